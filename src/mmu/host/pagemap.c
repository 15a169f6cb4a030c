/* mmu/host/pagemap.c - see pagemap.h.
 *
 * Before Linux 6.7 one cannot ask where another process has pages; one can only read a word per
 * page. 512 of them cover 2 MiB, and a hole costs as much as memory. So for a large range smaps
 * first tells how many pages are present: if none, nothing is read; otherwise reading ends when
 * they are found, or after WORDS_MAX.
 *
 * Locks: none.
 */
#include "mmu/host/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mm/mm_types.h"

/* PAGEMAP_SCAN (Linux 6.7) is not in Debian 12's headers. */
struct page_region_ {
	uint64_t start, end, categories;
};
struct pm_scan_arg_ {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define PAGEMAP_SCAN_    _IOWR('f', 16, struct pm_scan_arg_)
#define PAGE_IS_FILE_    4
#define PAGE_IS_PRESENT_ 8
#define PAGE_IS_ZERO_    32

#define WORD_PRESENT (1ull << 63)
#define WORD_FILE    (1ull << 61)

#define REGIONS     128
#define WORDS       4096         /* read in one call */
#define WORDS_SMALL (1ull << 15) /* 128 MiB: read without asking smaps; under a millisecond */
#define WORDS_MAX   (1ull << 25) /* 128 GiB: a few tenths of a second */

int pagemap_open(struct pagemap *p, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	p->pid = pid;
	p->scans = true;
	p->fd = open(path, O_RDONLY | O_CLOEXEC);
	return p->fd < 0 ? -errno : 0;
}

void pagemap_close(struct pagemap *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* Anonymous pages in areas that have a part of [start, end), as smaps counts them; -errno. */
static int64_t smaps_anon(pid_t pid, uint64_t start, uint64_t end)
{
	uint64_t from, to, kib;
	int64_t sum = 0;
	bool ours = false;
	char line[512];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/smaps", (int)pid);
	f = fopen(line, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
			ours = from < end && start < to;
		else if (ours && sscanf(line, "Anonymous: %" SCNu64, &kib) == 1)
			sum += (int64_t)(kib * 1024 / PAGE_SIZE);
	}
	fclose(f);
	return sum;
}

static int read_words(const struct pagemap *p, uint64_t start, uint64_t end,
		      void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg)
{
	uint64_t word[WORDS], left = (end - start) >> PAGE_SHIFT, budget = WORDS_MAX, run = 0;
	int64_t expected = INT64_MAX;

	if (left > WORDS_SMALL) {
		expected = smaps_anon(p->pid, start, end);
		if (expected < 0)
			return (int)expected;
	}
	for (uint64_t va = start; va < end && expected > 0;) {
		uint64_t n = (end - va) >> PAGE_SHIFT;
		ssize_t got;

		if (n > WORDS)
			n = WORDS;
		if (budget < n)
			return -E2BIG;
		budget -= n;
		got = pread(p->fd, word, n * sizeof(word[0]),
			    (off_t)((va >> PAGE_SHIFT) * sizeof(word[0])));
		if (got <= 0)
			return got < 0 ? -errno : 0;
		n = (uint64_t)got / sizeof(word[0]);
		for (uint64_t i = 0; i < n; i++) {
			bool there = word[i] & WORD_PRESENT && !(word[i] & WORD_FILE);

			run += there;
			expected -= there;
			if (run && (!there || i + 1 == n)) {
				uint64_t stop = va + ((i + there) << PAGE_SHIFT);

				fn(stop - (run << PAGE_SHIFT), stop, arg);
				run = 0;
			}
		}
		va += n << PAGE_SHIFT;
	}
	return 0;
}

int pagemap_anon(const struct pagemap *p, uint64_t start, uint64_t end,
		 void (*fn)(uint64_t start, uint64_t end, void *arg), void *arg)
{
	struct page_region_ region[REGIONS];
	struct pm_scan_arg_ a = {
		.size = sizeof(a),
		.start = start,
		.end = end,
		.vec = (uintptr_t)region,
		.vec_len = REGIONS,
		.category_mask = PAGE_IS_PRESENT_ | PAGE_IS_FILE_ | PAGE_IS_ZERO_,
		.category_inverted = PAGE_IS_FILE_ | PAGE_IS_ZERO_,
		.return_mask = PAGE_IS_PRESENT_,
	};

	if (!p->scans)
		return read_words(p, start, end, fn, arg);
	while (a.start < end) {
		int n = ioctl(p->fd, PAGEMAP_SCAN_, &a);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOTTY || errno == EINVAL) && a.start == start)
			return read_words(p, start, end, fn, arg);
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++)
			fn(region[i].start, region[i].end, arg);
		if (a.walk_end <= a.start)
			return -EIO;
		a.start = a.walk_end;
	}
	return 0;
}
