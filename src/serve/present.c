/* serve/present.c - which anonymous pages of a process are there, by /proc/PID/pagemap. Costs what
 * is present, where the kernel has PAGEMAP_SCAN (Linux 6.7); on older ones, every page that could
 * be. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "serve/finder.h"

/* Not in Debian 12's headers. */
struct scan_region_ {
	uint64_t start, end, categories;
};
struct scan_arg_ {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_  _IOWR('f', 16, struct scan_arg_)
#define SCAN_FILE      (1u << 2)
#define SCAN_PRESENT   (1u << 3)
#define SCAN_ZERO      (1u << 5)
#define SCAN_REGIONS   128
#define WORD_PRESENT   (1ull << 63)
#define WORD_FILE      (1ull << 61)
#define WORDS_READ     512

static void read_words(int fd, uint64_t at, uint64_t end, void (*fn)(uint64_t, uint64_t, void *),
		       void *arg)
{
	uint64_t word[WORDS_READ];

	while (at < end) {
		uint64_t left = (end - at) / PAGE_SIZE, n = left < WORDS_READ ? left : WORDS_READ;
		off_t where = (off_t)(at / PAGE_SIZE * sizeof(word[0]));
		ssize_t got = pread(fd, word, n * sizeof(word[0]), where);

		if (got < (ssize_t)sizeof(word[0]))
			return;
		n = (uint64_t)got / sizeof(word[0]);
		for (uint64_t i = 0; i < n; i++)
			if (word[i] & WORD_PRESENT && !(word[i] & WORD_FILE))
				fn(at + i * PAGE_SIZE, at + (i + 1) * PAGE_SIZE, arg);
		at += n * PAGE_SIZE;
	}
}

void present_runs(int fd, uint64_t start, uint64_t end,
		  void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg)
{
	struct scan_region_ region[SCAN_REGIONS];
	uint64_t at = start;

	while (at < end) {
		struct scan_arg_ scan = {
			.size = sizeof(scan), .start = at, .end = end,
			.vec = (uintptr_t)region, .vec_len = SCAN_REGIONS,
			.category_inverted = SCAN_FILE | SCAN_ZERO,
			.category_mask = SCAN_PRESENT | SCAN_FILE | SCAN_ZERO,
			.return_mask = SCAN_PRESENT,
		};
		int n = ioctl(fd, PAGEMAP_SCAN_, &scan);

		if (n < 0 || scan.walk_end <= at)
			break;
		for (int i = 0; i < n; i++)
			fn(region[i].start, region[i].end, arg);
		at = scan.walk_end;
	}
	if (at == start)
		read_words(fd, at, end, fn, arg);
}
