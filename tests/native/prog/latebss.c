/* tests/native/prog/latebss.c - latebss LIBRARY [HOW] [ROUNDS]
 *
 * The .bss of a library that is loaded by a program that runs: ld.so maps it with system calls of
 * its own. All that is stored there stays, and what was not is zeros. HOW: dlopen once, checked
 * twice dlmopen in two namespaces of its own: two libraries fork a child, made while its memory is
 * being looked at, has the same, and changes its own only again loaded, filled, unloaded, ROUNDS
 * times: each is new
 */
#include <dlfcn.h>
#include <sys/wait.h>

#include "prog.h"

static const char *library;

struct late {
	void *handle;
	char *bss;
	size_t n; /* pages */
};

static struct late load(Lmid_t where)
{
	struct late l = { .handle = dlmopen(where, library, RTLD_NOW) };
	char *bss = l.handle ? dlsym(l.handle, "late_bss") : NULL;
	size_t (*size)(void) = l.handle ? (size_t(*)(void))dlsym(l.handle, "late_size") : NULL;

	if (!bss || !size)
		fail("dlopen: %s", dlerror());
	l.bss = bss + (-(uintptr_t)bss & (PAGE - 1));
	l.n = (size() - (size_t)(l.bss - bss)) / PAGE;
	return l;
}

static void fill(const struct late *l, uint64_t id)
{
	area_check_zero(l->bss, l->n, "of a library that was just loaded");
	area_fill(l->bss, l->n, id, 1);
}

static void check_late(const struct late *l, uint64_t id, const char *when)
{
	area_check(l->bss, l->n, id, 1, when);
	area_check(l->bss, l->n, id, 1, when);
}

static void two_namespaces(void)
{
	struct late a = load(LM_ID_NEWLM), b = load(LM_ID_NEWLM);

	EXPECT(a.bss != b.bss);
	fill(&a, 1ull << 32);
	fill(&b, 2ull << 32);
	check_late(&a, 1ull << 32, "in the first namespace");
	check_late(&b, 2ull << 32, "in the second namespace");
}

static void over_forks(unsigned long rounds)
{
	struct late l = load(LM_ID_BASE);
	int status;

	for (unsigned long r = 0; r < rounds; r++) {
		pid_t pid;

		area_fill(l.bss, l.n / rounds * (r + 1), 0, r);
		pid = fork();
		EXPECT(pid >= 0);
		if (pid == 0) {
			area_check(l.bss, l.n / rounds * (r + 1), 0, r, "in a child");
			area_fill(l.bss, l.n, 7, 7);
			_exit(0);
		}
		EXPECT(waitpid(pid, &status, 0) == pid);
		EXPECT(status == 0);
		area_check(l.bss, l.n / rounds * (r + 1), 0, r, "in a parent");
	}
}

static void again_and_again(unsigned long rounds)
{
	for (unsigned long r = 0; r < rounds; r++) {
		struct late l = load(LM_ID_BASE);

		fill(&l, r << 32);
		area_check(l.bss, l.n, r << 32, 1, "of a library loaded again");
		EXPECT(dlclose(l.handle) == 0);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc > 2 ? argv[2] : "dlopen";
	unsigned long rounds = arg_number(argc, argv, 3, 4);

	if (argc < 2)
		fail("which library?");
	library = argv[1];
	if (strcmp(how, "dlmopen") == 0) {
		two_namespaces();
	} else if (strcmp(how, "fork") == 0) {
		over_forks(rounds);
	} else if (strcmp(how, "again") == 0) {
		again_and_again(rounds);
	} else {
		struct late l = load(LM_ID_BASE);

		fill(&l, 0);
		check_late(&l, 0, "after dlopen");
	}
	return ok("%s", how);
}
