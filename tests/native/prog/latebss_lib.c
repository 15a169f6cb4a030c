/* tests/native/prog/latebss_lib.c - a library with 32 MiB of .bss, for latebss.c. */
#include <stddef.h>
#include <stdint.h>

char late_bss[32u << 20];
/* Copied when it is relocated or written. */
char *late_data[4096] = { late_bss };

/* The end of what ld.so maps with the file, and of what it maps itself. */
size_t late_size(void);
size_t late_size(void)
{
	return sizeof(late_bss);
}
