/* mmu/soft/codec_words.c - a page as runs of equal words, for tests and the checker: a schedule
 * replays exactly, and what is in the pool can be read in a debugger. */
#include <stdint.h>
#include <string.h>

#include "plat/codec.h"

#define WORDS (CODEC_PAGE_SIZE / sizeof(uint64_t))

struct run {
	uint64_t n, word;
};

static size_t words_compress(const void *page, void *out, size_t room)
{
	const uint64_t *w = page;
	size_t used = 0;

	for (size_t i = 0; i < WORDS;) {
		struct run r = { .n = 1, .word = w[i] };

		while (i + r.n < WORDS && w[i + r.n] == r.word)
			r.n++;
		if (used + sizeof(r) > room)
			return 0;
		memcpy((char *)out + used, &r, sizeof(r));
		used += sizeof(r);
		i += r.n;
	}
	return used;
}

static bool words_decompress(const void *in, size_t n, void *page)
{
	uint64_t *w = page;
	size_t done = 0;

	for (size_t at = 0; at + sizeof(struct run) <= n; at += sizeof(struct run)) {
		struct run r;

		memcpy(&r, (const char *)in + at, sizeof(r));
		if (r.n == 0 || r.n > WORDS - done)
			return false;
		while (r.n-- > 0)
			w[done++] = r.word;
	}
	return done == WORDS;
}

const struct codec *codec_words(void)
{
	static const struct codec words = { "words", words_compress, words_decompress };

	return &words;
}
