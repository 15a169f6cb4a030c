/* bench/gen.c - input of the benchmark, the same on every run, on standard output.
 *
 *     bench-gen lines BYTES       lines of 512 to 1023 characters in random order, for sort
 *     bench-gen redis KEYS SIZE   SET commands in the Redis protocol for redis-cli --pipe, keys
 *                                 named the way redis-benchmark names them
 *
 * Half of every line and value does not compress, half does.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536

static uint64_t state = 0x2545f4914f6cdd1du;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* @n characters: random letters, then one letter repeated. */
static void text(char *to, size_t n)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < n / 2; i++)
		to[i] = letters[draw() >> 58];
	memset(to + n / 2, letters[draw() >> 58], n - n / 2);
}

static void lines(uint64_t bytes)
{
	static char line[1024];

	while (bytes > 0) {
		size_t n = 512 + draw() % 512;

		text(line, n - 1);
		line[n - 1] = '\n';
		fwrite(line, 1, n, stdout);
		bytes -= n < bytes ? n : bytes;
	}
}

static void redis(uint64_t keys, size_t size)
{
	static char value[TEXT_MAX];

	for (uint64_t key = 0; key < keys; key++) {
		text(value, size);
		printf("*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%zu\r\n", (unsigned long long)key,
		       size);
		fwrite(value, 1, size, stdout);
		fputs("\r\n", stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "lines")) {
		lines(strtoull(argv[2], NULL, 10));
	} else if (argc == 4 && !strcmp(argv[1], "redis") &&
		   strtoul(argv[3], NULL, 10) <= TEXT_MAX) {
		redis(strtoull(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
	} else {
		fprintf(stderr, "usage: bench-gen lines BYTES | redis KEYS SIZE\n");
		return 2;
	}
	if (fflush(stdout) || ferror(stdout)) {
		perror("bench-gen");
		return 1;
	}
	return 0;
}
