/* tests/native/prog/advices.c - advices [PRESSURE MIB]
 *
 * Prints what madvise(2) returns and what it leaves behind: every advice, on mappings of every
 * kind, for ranges that are whole, empty, not aligned, too long, have a hole, or end in another
 * kind. Without umemcg it prints what the kernel does; under it, it has to print the same. The
 * memory was filled, and pushed out where that can be, before.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>

#include "prog.h"

#define PAGES 16ul

static const int advices[] = {
	0,
	1,
	2,
	3,
	MADV_DONTNEED,
	5,
	MADV_FREE,
	MADV_REMOVE,
	MADV_DONTFORK,
	MADV_DOFORK,
	16,
	17,
	MADV_WIPEONFORK,
	MADV_KEEPONFORK,
	20,
	21,
	22,
	23,
	24,
	99,
	102,
	103,
	-1,
};

enum kind {
	OWN,
	LOCKED,
	READ_ONLY,
	NO_ACCESS,
	SHARED,
	SMALL_SHARED,
	OBJECT,
	FILE_OWN,
	FILE_SHARED,
	NR_KINDS
};

static const char *const kind_name[] = {
	"private",      "locked", "read-only",    "no access",   "shared",
	"small shared", "memfd",  "private file", "shared file",
};

enum shape { WHOLE, EMPTY, UNALIGNED, ODD_LENGTH, TOO_LONG, HOLE, MIXED, NR_SHAPES };

static const char *const shape_name[] = {
	"whole", "empty", "unaligned", "odd length", "too long", "hole", "mixed",
};

#define NR_ADVICES (sizeof(advices) / sizeof(advices[0]))

static char *place[NR_KINDS][NR_SHAPES][NR_ADVICES];
static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static int new_file(void)
{
	FILE *f = tmpfile();
	int fd = f ? dup(fileno(f)) : -1;

	EXPECT(fd >= 0 && ftruncate(fd, (off_t)(PAGES * PAGE)) == 0);
	fclose(f);
	return fd;
}

static char *map_kind(enum kind kind)
{
	const int prot = PROT_READ | PROT_WRITE;
	size_t len = (kind == SMALL_SHARED ? PAGES / 4 : PAGES) * PAGE;
	int fd = -1, flags = kind == SHARED || kind == SMALL_SHARED ? MAP_SHARED | MAP_ANONYMOUS
			     : kind < SHARED                        ? MAP_PRIVATE | MAP_ANONYMOUS
			     : kind == FILE_OWN                     ? MAP_PRIVATE
								    : MAP_SHARED;
	char *at = mmap(NULL, 2 * PAGES * PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	EXPECT(at != MAP_FAILED);
	if (kind == OBJECT) {
		fd = memfd_create("advices", MFD_CLOEXEC);
		EXPECT(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
	} else if (kind == FILE_OWN || kind == FILE_SHARED) {
		fd = new_file();
	}
	EXPECT(mmap(at, len, prot, flags | MAP_FIXED, fd, 0) == at);
	EXPECT(munmap(at + len, 2 * PAGES * PAGE - len) == 0);
	if (fd >= 0)
		EXPECT(close(fd) == 0);
	for (size_t i = 0; i < len / PAGE; i++)
		page_fill(at + i * PAGE, i, 0);
	return at;
}

static size_t kind_pages(enum kind kind)
{
	return kind == SMALL_SHARED ? PAGES / 4 : PAGES;
}

/* A private mapping of one page right behind it, or a hole inside. */
static void shape(char *at, enum kind kind, enum shape s)
{
	size_t pages = kind_pages(kind);

	if (kind == READ_ONLY || kind == NO_ACCESS)
		EXPECT(mprotect(at, pages * PAGE, kind == READ_ONLY ? PROT_READ : PROT_NONE) == 0);
	if (s == HOLE)
		EXPECT(munmap(at + pages / 2 * PAGE, PAGE) == 0);
	if (s == MIXED) {
		char *next = at + pages * PAGE;
		int flags = MAP_ANONYMOUS | MAP_FIXED | (kind < SHARED ? MAP_SHARED : MAP_PRIVATE);

		EXPECT(mmap(next, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == next);
		page_fill(next, pages, 0);
	}
	if (kind == LOCKED)
		EXPECT(mlock(at, PAGE) == 0);
}

/* One letter for the page @i at @page: k what it was, 0 zeros, ! a signal, ? something else. */
static char content(char *page, size_t i)
{
	if (sigsetjmp(fault, 1))
		return '!';
	return page_is(page, i, 0) ? 'k' : page_is_zero(page) ? '0' : '?';
}

/* What MADV_FREE may keep or drop counts as dropped. */
static bool freed(enum kind kind, enum shape s, int advice, int result, size_t i)
{
	if (advice != MADV_FREE || (result && s != HOLE && s != MIXED) || i >= kind_pages(kind))
		return false;
	return kind == OWN || kind == READ_ONLY || (kind == LOCKED && i);
}

static void left(char *at, enum kind kind, enum shape s, int advice, int result, char *text)
{
	size_t pages = kind_pages(kind) + (s == MIXED);

	for (size_t i = 0; i < pages; i++) {
		text[i] = s == HOLE && i == kind_pages(kind) / 2 ? '-' : content(at + i * PAGE, i);
		if (text[i] == 'k' && freed(kind, s, advice, result, i))
			text[i] = '0';
	}
	text[pages] = '\0';
}

static void one(enum kind kind, enum shape s, size_t a)
{
	char *at = place[kind][s][a], text[PAGES + 2];
	size_t len = kind_pages(kind) * PAGE;
	int result, err;

	switch (s) {
	case EMPTY:
		len = 0;
		break;
	case ODD_LENGTH:
		len -= PAGE + 5;
		break;
	case TOO_LONG:
		len = -PAGE;
		break;
	case MIXED:
		len += PAGE;
		break;
	default:
		break;
	}
	errno = 0;
	result = madvise(s == UNALIGNED ? at + 1 : at, s == UNALIGNED ? len - PAGE : len,
			 advices[a]);
	err = errno;
	left(at, kind, s, advices[a], result, text);
	printf("%s, %s, advice %d: %d %s, %s\n", kind_name[kind], shape_name[s], advices[a], result,
	       result ? strerrorname_np(err) : "", text);
}

int main(int argc, char **argv)
{
	struct sigaction catch = { .sa_handler = on_fault };

	EXPECT(sigaction(SIGSEGV, &catch, NULL) == 0 && sigaction(SIGBUS, &catch, NULL) == 0);
	for (int k = 0; k < NR_KINDS; k++)
		for (int s = 0; s < NR_SHAPES; s++)
			for (size_t a = 0; a < NR_ADVICES; a++)
				place[k][s][a] = map_kind((enum kind)k);
	for (int k = 0; k < NR_KINDS; k++)
		for (int s = 0; s < NR_SHAPES; s++)
			for (size_t a = 0; a < NR_ADVICES; a++)
				shape(place[k][s][a], (enum kind)k, (enum shape)s);
	press(arg_number(argc, argv, 1, 16));
	for (int k = 0; k < NR_KINDS; k++)
		for (int s = 0; s < NR_SHAPES; s++)
			for (size_t a = 0; a < NR_ADVICES; a++)
				one((enum kind)k, (enum shape)s, a);
	return 0;
}
