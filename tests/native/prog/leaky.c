/* tests/native/prog/leaky.c - leaky [leak]: a large .bss, some threads' and heap memory, and a leak
 * if it is asked for.
 *
 * Compiled with one sanitizer after another by run_entry.sh. Prints the sum of what it has written.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES (24u << 20)
#define STEP  4096u

static char large[BYTES];
void *kept;

static void *add(void *sum)
{
	for (size_t i = 0; i < sizeof(large); i += STEP)
		*(unsigned long *)sum += (unsigned char)large[i];
	return sum;
}

int main(int argc, char **argv)
{
	unsigned long sum = 0;
	pthread_t thread;
	char *lost;

	(void)argv;
	for (size_t i = 0; i < sizeof(large); i += STEP)
		large[i] = (char)(i >> 12 | 1);
	kept = malloc(100);
	lost = malloc(77);
	if (!lost || pthread_create(&thread, NULL, add, &sum) != 0)
		return 2;
	lost[0] = 1;
	if (argc < 2)
		free(lost);
	lost = NULL;
	pthread_join(thread, NULL);
	printf("%lu\n", sum);
	return 0;
}
