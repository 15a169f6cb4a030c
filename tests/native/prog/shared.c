/* tests/native/prog/shared.c - shared [MIB] [CHILDREN] [ROUNDS] [kill|unmap|plain]
 *
 * Processes that share anonymous memory, and store to every page of it. One region of MIB MiB,
 * mapped before any fork. Member 0 is the parent, 1..CHILDREN its children: half of them are forked
 * before anything is stored, the others after half the rounds. In a round each member stores its
 * own word to every page, in an order of its own; then all wait for each other, and each checks the
 * words of all. A word that is not what its owner stored last is a store that was lost.
 *
 *   kill   child 1 kills itself in the middle of a store loop; the others go on
 *   unmap  every second child unmaps the second half of the region after half the rounds, and goes
 * on with the first
 *
 * What the members say to each other is in a page of their own, below the size that umemcg manages.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "prog.h"

#define MEMBERS_MAX 64
#define STRIDE      7919ul /* prime: an order that visits all pages */

struct board {
	_Atomic uint64_t
		meeting; /* how many meetings there were, << 32; how many wait for this one */
	atomic_uint members;
	atomic_bool failed, killed;
};

static struct board *board;
static char *region;
static size_t nr_pages;
static unsigned nr_children, nr_rounds;
static bool kill_one, unmap_some;

static uint64_t word(size_t page, unsigned member, unsigned round)
{
	return mix((uint64_t)page << 32 | member << 16 | (round + 1)) | 1;
}

static _Atomic uint64_t *slot(size_t page, unsigned member)
{
	return (_Atomic uint64_t *)(void *)(region + page * PAGE + member * (PAGE / MEMBERS_MAX));
}

static void wrong(size_t page, unsigned member, uint64_t has, uint64_t want, const char *when)
{
	atomic_store(&board->failed, true);
	fail("page %zu, word of member %u: %#jx, not %#jx, %s", page, member, (uintmax_t)has,
	     (uintmax_t)want, when);
}

/* Wait until all members are here. Whoever sees that they are ends the meeting: one may have died
 * on its way. */
static void meet(void)
{
	uint64_t now = atomic_fetch_add(&board->meeting, 1) + 1, turn = now >> 32;

	for (; now >> 32 == turn; now = atomic_load(&board->meeting)) {
		if ((uint32_t)now >= atomic_load(&board->members))
			atomic_compare_exchange_strong(&board->meeting, &now, (turn + 1) << 32);
		else
			usleep(200);
		if (atomic_load(&board->failed))
			_exit(1);
	}
}

static void store_all(unsigned me, unsigned round, size_t pages)
{
	bool late = me > nr_children / 2 && round == nr_rounds / 2;
	size_t page = me * 131 % pages;

	for (size_t i = 0; i < pages; i++, page = (page + STRIDE) % pages) {
		uint64_t has = atomic_load(slot(page, me));
		uint64_t want = round && !late ? word(page, me, round - 1) : 0;

		if (has != want)
			wrong(page, me, has, want, "before its next store");
		atomic_store(slot(page, me), word(page, me, round));
		if (kill_one && me == 1 && round == nr_rounds / 2 && i == pages / 2) {
			atomic_store(&board->killed, true);
			atomic_fetch_sub(&board->members, 1);
			kill(getpid(), SIGKILL);
		}
	}
}

static bool stored_by(unsigned m, unsigned round, size_t page)
{
	if (m == 1 && atomic_load(&board->killed))
		return false;
	return !(unmap_some && m % 2 && round >= nr_rounds / 2 && page >= nr_pages / 2);
}

static void check_all(unsigned round, unsigned members, size_t pages)
{
	for (size_t page = 0; page < pages; page++)
		for (unsigned m = 0; m < members; m++) {
			uint64_t has = atomic_load(slot(page, m));

			if (stored_by(m, round, page) && has != word(page, m, round))
				wrong(page, m, has, word(page, m, round), "after a round");
		}
}

static void work(unsigned me, unsigned from, unsigned to, unsigned members)
{
	size_t pages = nr_pages;

	if (unmap_some && me % 2 && from == nr_rounds / 2) {
		pages = nr_pages / 2;
		EXPECT(munmap(region + pages * PAGE, (nr_pages - pages) * PAGE) == 0);
	}
	for (unsigned round = from; round < to; round++) {
		store_all(me, round, pages);
		meet();
		check_all(round, members, pages);
		meet();
	}
}

static void start(unsigned me, bool early)
{
	pid_t pid = fork();

	EXPECT(pid >= 0);
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (early)
		work(me, 0, nr_rounds / 2, nr_children / 2 + 1);
	meet(); /* all are there */
	work(me, nr_rounds / 2, nr_rounds, nr_children + 1);
	_exit(0);
}

static void collect(void)
{
	unsigned killed = 0, failed = 0;
	int status;

	while (wait(&status) > 0) {
		killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		failed += !WIFSIGNALED(status) && status;
	}
	if (failed || killed != (unsigned)kill_one)
		fail("%u children failed, %u were killed", failed, killed);
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 64);

	nr_pages = mib * PAGES_PER_MIB;
	nr_children = (unsigned)arg_number(argc, argv, 2, 8);
	nr_rounds = (unsigned)arg_number(argc, argv, 3, 4);
	kill_one = argc > 4 && !strcmp(argv[4], "kill");
	unmap_some = argc > 4 && !strcmp(argv[4], "unmap");
	EXPECT(nr_children < MEMBERS_MAX && nr_pages % STRIDE != 0 && nr_rounds >= 2);
	board = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	EXPECT(board != MAP_FAILED && region != MAP_FAILED);
	atomic_store(&board->members, nr_children / 2 + 1);
	for (unsigned i = 1; i <= nr_children / 2; i++)
		start(i, true);
	work(0, 0, nr_rounds / 2, nr_children / 2 + 1);
	atomic_store(&board->members, nr_children + 1);
	for (unsigned i = nr_children / 2 + 1; i <= nr_children; i++)
		start(i, false);
	meet();
	work(0, nr_rounds / 2, nr_rounds, nr_children + 1);
	collect();
	return ok("%lu MiB shared by %u processes, %u rounds", mib, nr_children + 1, nr_rounds);
}
