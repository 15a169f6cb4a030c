/* tests/native/prog/spoil.c - spoil FILE: change one byte in every page that is not empty. */
#include <fcntl.h>
#include <sys/stat.h>

#include "prog.h"

int main(int argc, char **argv)
{
	unsigned char page[PAGE];
	unsigned long spoiled = 0;
	struct stat st;
	int fd;

	if (argc != 2)
		fail("usage: spoil FILE");
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		fail("%s: %s", argv[1], strerror(errno));
	for (off_t at = 0; at < st.st_size; at += (off_t)PAGE) {
		if (pread(fd, page, PAGE, at) != (ssize_t)PAGE || page_is_zero(page))
			continue;
		page[100] ^= 1;
		EXPECT(pwrite(fd, page + 100, 1, at + 100) == 1);
		spoiled++;
	}
	return ok("%lu pages", spoiled);
}
