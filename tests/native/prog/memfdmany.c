/* memfdmany MIB PROCESSES ROUNDS [leave [PRESSURE]] - processes that store to the same pages of a
 * memfd that is mapped as a heap, each to words of its own, and know what they stored.
 * One page in four is discarded now and then by the first process, whose words it has to itself.
 *
 * leave: in the middle one of them does what only the kernel can do with a memfd, while the others
 * go on. It may fail for want of memory. Now and then the first pushes all out by PRESSURE MiB of
 * other memory.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "prog.h"

static size_t pages;
static unsigned long pressure;
static int fd;

static bool is_private(size_t page)
{
	return page % 4 == 3;
}

static void one_word(char *map, size_t page, unsigned long who, uint32_t *count)
{
	const size_t at = page * PAGE + who * 64 + page % 8 * 512;
	uint64_t *word = (void *)(map + at), now = pattern_head(page * 64 + who, count[page] + 1);

	if (count[page] && *word != pattern_head(page * 64 + who, count[page]))
		fail("process %lu finds a wrong word in page %zu", who, page);
	if (!count[page] && *word)
		fail("process %lu finds a word in page %zu", who, page);
	count[page]++;
	*(volatile uint64_t *)word = now;
}

static void work(unsigned long who, unsigned long rounds, bool leaves)
{
	char *map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t *count = calloc(pages, sizeof(*count));
	uint64_t state = who;
	int to = open("/dev/null", O_WRONLY);

	EXPECT(map != MAP_FAILED && count);
	for (unsigned long i = 0; i < rounds; i++) {
		const size_t page = rnd(&state) % pages;

		if (leaves && i == rounds / 2)
			EXPECT(sendfile(to, fd, &(off_t){ 0 }, PAGE) >= 0 || errno == ENOMEM);
		if (!who && i % (rounds / 16 + 1) == 0)
			press(pressure);
		if (is_private(page) && who)
			continue;
		if (is_private(page) && rnd(&state) % 4 == 0) {
			EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 (off_t)(page * PAGE), PAGE) == 0);
			count[page] = 0;
		}
		one_word(map, page, who, count);
	}
	for (size_t page = 0; page < pages; page++)
		if (!is_private(page) || !who)
			one_word(map, page, who, count);
}

int main(int argc, char **argv)
{
	const unsigned long mib = arg_number(argc, argv, 1, 16), n = arg_number(argc, argv, 2, 4);
	const unsigned long rounds = arg_number(argc, argv, 3, 20000);
	const bool leaves = argc > 4 && !strcmp(argv[4], "leave");
	int status;
	char *map;

	pages = mib * PAGES_PER_MIB;
	EXPECT(n <= 8);
	pressure = arg_number(argc, argv, 5, 0);
	fd = memfd_create("many", MFD_CLOEXEC);
	if (fd < 0)
		cannot_run("memfd_create: %s", strerror(errno));
	EXPECT(ftruncate(fd, (off_t)(pages * PAGE)) == 0);
	map = mmap(map_bytes(pages * PAGE), pages * PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED, fd, 0);
	EXPECT(map != MAP_FAILED);
	for (unsigned long who = 0; who < n; who++)
		if (fork() == 0) {
			work(who, rounds, leaves && who == 1);
			_exit(0);
		}
	for (unsigned long who = 0; who < n; who++) {
		EXPECT(wait(&status) > 0);
		if (status)
			fail("a process ended with status %x", (unsigned int)status);
	}
	return ok("%zu pages, %lu processes", pages, n);
}
