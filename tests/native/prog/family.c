/* tests/native/prog/family.c - family CHILDREN MIB ROUNDS [exits]
 *
 * A parent with MIB on its main stack, which is not managed, and CHILDREN that share it. They read
 * all of it. Then, in ROUNDS rounds, each in its turn writes to an equal part and reads the rest:
 * all of it after 8 rounds. A word of each page is checked. With "exits" a half of the children
 * ends first, and the first child forks and ends, so that what is left is shared with others.
 */
#include <alloca.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "prog.h"

#define PARTS        8
#define CHILDREN_MAX 512

struct plan {
	unsigned children, rounds;
	bool exits;
	size_t bytes;
	char *at;
	unsigned *arrived, *busy; /* shared by all */
};

static void wait_for_all(const struct plan *p, unsigned number)
{
	__atomic_add_fetch(p->arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(p->arrived, __ATOMIC_ACQUIRE) < number)
		usleep(1000);
}

static uint64_t word(size_t page, unsigned who)
{
	return page * 1000003u + who;
}

static void check(const struct plan *p, unsigned who, unsigned parts)
{
	for (size_t i = 0; i < p->bytes / PAGE; i++) {
		uint64_t got;

		memcpy(&got, p->at + i * PAGE, sizeof(got));
		if (got != word(i, i % PARTS < parts ? who : 0))
			fail("page %zu of child %u is wrong", i, who);
	}
}

/* One that was killed holds up nobody. The parent hears of its own children only. */
static void take_turn(const struct plan *p)
{
	unsigned holder = 0;

	while (!__atomic_compare_exchange_n(p->busy, &holder, (unsigned)getpid(), false,
					    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		if (kill((pid_t)holder, 0) == 0 || errno != ESRCH) {
			usleep(1000);
			holder = 0;
		}
	}
}

static void write_part(const struct plan *p, unsigned who, unsigned part)
{
	take_turn(p);
	for (size_t i = part; i < p->bytes / PAGE; i += PARTS) {
		uint64_t w = word(i, who);

		memcpy(p->at + i * PAGE, &w, sizeof(w));
	}
	__atomic_store_n(p->busy, 0, __ATOMIC_RELEASE);
}

static _Noreturn void child(const struct plan *p, unsigned who)
{
	unsigned left = p->children;

	check(p, who, 0);
	wait_for_all(p, left);
	usleep(300000);
	if (p->exits && who > p->children / 2)
		_exit(0);
	if (p->exits && who == 1 && fork() != 0)
		_exit(0);
	for (unsigned r = 0; r < p->rounds; r++) {
		write_part(p, who, r);
		usleep(50000);
		check(p, who, r + 1);
	}
	/* All of it is there at once, unless somebody is killed. */
	if (p->rounds == PARTS && !p->exits)
		wait_for_all(p, 2 * left);
	usleep(300000);
	_exit(0);
}

static int run(struct plan *p)
{
	int status, wrong = 0;

	for (unsigned i = 1; i <= p->children; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork: %s", strerror(errno));
		if (!pid)
			child(p, i);
	}
	while (wait(&status) > 0) {
		wrong += status != 0;
		if (WIFSIGNALED(status))
			__atomic_add_fetch(p->arrived, 2 * p->children, __ATOMIC_ACQ_REL);
	}
	check(p, 0, 0);
	return wrong;
}

static __attribute__((noinline)) int with_stack(struct plan *p)
{
	int wrong;

	p->at = alloca(p->bytes + PAGE);
	p->at = (char *)(((uintptr_t)p->at + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	/* Downwards: the kernel lets a stack grow so. */
	for (size_t i = p->bytes / PAGE; i-- > 0;) {
		uint64_t w = word(i, 0);

		memcpy(p->at + i * PAGE, &w, sizeof(w));
	}
	wrong = run(p);
	__asm__ volatile("" : : "r"(p->at) : "memory");
	return wrong;
}

int main(int argc, char **argv)
{
	struct plan p = {
		.children = (unsigned)arg_number(argc, argv, 1, 12),
		.bytes = arg_number(argc, argv, 2, 20) << 20,
		.rounds = (unsigned)arg_number(argc, argv, 3, 0),
		.exits = argc > 4 && strcmp(argv[4], "exits") == 0,
	};
	struct rlimit limit;

	EXPECT(p.children <= CHILDREN_MAX && p.rounds <= PARTS);
	EXPECT(getrlimit(RLIMIT_STACK, &limit) == 0);
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < p.bytes + (4u << 20)) {
		limit.rlim_cur = p.bytes + (8u << 20);
		if (setrlimit(RLIMIT_STACK, &limit) != 0)
			cannot_run("the stack may not be larger: %s", strerror(errno));
		execv("/proc/self/exe", argv);
		fail("exec: %s", strerror(errno));
	}
	p.arrived = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(p.arrived != MAP_FAILED);
	p.busy = p.arrived + 1;
	if (with_stack(&p))
		fail("a child failed");
	return ok("%u children, %zu MiB", p.children, p.bytes >> 20);
}
