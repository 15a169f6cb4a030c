/* tests/native/prog/forkways.c - forkways SEED MIB DEPTH FORKS [SECONDS]
 *
 * A random tree of forks, made in every way a program can: fork, _Fork, clone with a stack, clone
 * and clone3 through syscall(2), in a signal handler, in a thread, with vfork and posix_spawn
 * between. Every process checks all of its memory against what it had at its fork, changes some,
 * and forks again, while other threads read and map. Beside them:
 *
 *   - children by a system call instruction of our own. They may be ended by SIGSEGV; a page that
 *     they can read has its content
 *   - children that are killed at once, parents that end while a thread of theirs forks, and one
 *     that has no room for a mapping
 *
 * A page holds its number and its version everywhere; there is no version 0.
 */
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define SHARED_PAGES 64
#define STACK_BYTES  (256u << 10)
#define DIED         3

extern char **environ;

static uint64_t state;
static size_t pages;
static char *memory;      /* private, @pages */
static uint64_t *shared;  /* SHARED_PAGES, one writer: the first process, before it forks */
static uint32_t *version; /* of each page of memory; managed as well */
static unsigned forks, depth_left;
static uint32_t stop;
static uint64_t deadline;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static uint64_t word_of(size_t page, uint32_t v)
{
	return ((uint64_t)v << 32 | (uint32_t)page) * 0x9e3779b97f4a7c15u | 1;
}

static void write_page(size_t i)
{
	uint64_t *p = (uint64_t *)(void *)(memory + i * PAGE), w;

	version[i]++;
	w = word_of(i, version[i]);
	for (size_t k = 0; k < WORDS; k += 64)
		p[k] = w;
}

static void check_all(const char *when)
{
	for (size_t i = 0; i < pages; i++) {
		const uint64_t *p = (const uint64_t *)(const void *)(memory + i * PAGE);

		if (!version[i])
			fail("%s: the version of page %zu is lost", when, i);
		for (size_t k = 0; k < WORDS; k += 64)
			if (p[k] != word_of(i, version[i]))
				fail("%s: page %zu has %#llx in version %u", when, i,
				     (unsigned long long)p[k], version[i]);
	}
	for (size_t i = 0; i < SHARED_PAGES; i++)
		if (shared[i * WORDS] != word_of(i, 7))
			fail("%s: shared page %zu has %#llx", when, i,
			     (unsigned long long)shared[i * WORDS]);
}

static void change_some(void)
{
	for (unsigned n = 0; n < 40; n++)
		write_page(next(&state) % pages);
}

/* ---- other threads ---- */

static void *reader(void *arg)
{
	uint64_t s = (uintptr_t)arg * 77 + 5;
	volatile uint64_t sum = 0;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		size_t i = next(&s) % pages;

		sum += *(volatile uint64_t *)(void *)(memory + i * PAGE);
		if (!*(volatile uint64_t *)(void *)(memory + i * PAGE))
			fail("a thread reads zeros in page %zu", i);
	}
	return NULL;
}

static void *mapper(void *arg)
{
	uint64_t s = (uintptr_t)arg * 99 + 3;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		size_t n = 1 + next(&s) % 32;
		char *p = mmap(NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p == MAP_FAILED)
			continue;
		for (size_t i = 0; i < n; i++)
			p[i * PAGE] = (char)(i + 1);
		madvise(p, PAGE, MADV_DONTNEED);
		if (p[0])
			fail("a discarded page has content");
		for (size_t i = 1; i < n; i++)
			if (p[i * PAGE] != (char)(i + 1))
				fail("a mapped page has lost its content");
		munmap(p, n * PAGE);
		usleep(200);
	}
	return NULL;
}

/* ---- ways to fork ---- */

static int child_main(void *arg);

static pid_t by_handler;

static void handler(int sig)
{
	(void)sig;
	by_handler = fork();
}

static pid_t in_handler(void)
{
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	return by_handler;
}

static pid_t by_clone3(void)
{
	struct clone_args a = { .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

static pid_t by_stack(void)
{
	/* A new one: the caller may run on the one before. */
	char *stack =
		mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(stack != MAP_FAILED);
	return clone(child_main, stack + STACK_BYTES, SIGCHLD, NULL);
}

static void *thread_forks(void *arg)
{
	*(pid_t *)arg = fork();
	if (*(pid_t *)arg == 0)
		_exit(child_main(NULL));
	return NULL;
}

static pid_t in_thread(void)
{
	pthread_t t;
	pid_t pid = -1;

	EXPECT(!pthread_create(&t, NULL, thread_forks, &pid));
	pthread_join(t, NULL);
	return pid;
}

static pid_t fork_somehow(unsigned way)
{
	switch (way % 8) {
	case 0:
		return by_clone3();
	case 1:
		return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	case 2:
		return by_stack();
	case 3:
		return in_handler();
	case 4:
		return in_thread();
	case 5:
		return _Fork();
	default:
		return fork();
	}
}

static void spawn_something(void)
{
	char *const argv[] = { (char *)"true", NULL };
	pid_t pid;
	int status;

	if (next(&state) % 2) {
		if (posix_spawnp(&pid, "true", NULL, NULL, argv, environ))
			return;
	} else {
		pid = vfork();
		if (pid == 0) {
			execvp("true", argv);
			_exit(127);
		}
	}
	if (pid > 0 && (waitpid(pid, &status, 0) != pid || status))
		fail("true ended with %#x", status);
}

#if defined(__x86_64__)
static inline long own_call(long nr, long a)
{
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(0L), "d"(0L), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The agent sees nothing of it. The child calls nothing, and ends at the first wrong page; one that
 * it does not have ends it. */
static void past_the_agent(void)
{
	const bool of_shared = next(&state) % 2;
	long pid = own_call(SYS_clone, SIGCHLD);
	int status;

	if (pid == 0) {
		for (size_t i = 0; i < (of_shared ? SHARED_PAGES : pages); i++) {
			const volatile uint64_t *p =
				of_shared ? shared + i * WORDS
					  : (uint64_t *)(void *)(memory + i * PAGE);

			if (!*p)
				own_call(SYS_exit_group, DIED);
		}
		for (;;)
			own_call(SYS_exit_group, 0);
	}
	if (pid < 0)
		return;
	EXPECT(waitpid((pid_t)pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		fail("a child made past the agent read zeros in %s memory",
		     of_shared ? "shared" : "private");
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGKILL)
		fail("a child made past the agent ended by signal %d", WTERMSIG(status));
}
#else
static void past_the_agent(void) {}
#endif

/* ---- ends in the middle ---- */

static void *forks_on(void *arg)
{
	(void)arg;
	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			check_all("the child of one that ends");
			_exit(0);
		}
		if (pid > 0)
			(void)waitpid(pid, NULL, 0);
	}
	return NULL;
}

/* A process whose threads fork ends at any moment. */
static void end_in_the_middle(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		pthread_t t;

		for (int i = 0; i < 2; i++)
			EXPECT(!pthread_create(&t, NULL, forks_on, NULL));
		usleep((useconds_t)(next(&state) % 4000));
		if (next(&state) % 2)
			_exit(0);
		kill(getpid(), SIGKILL);
	}
	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		fail("who ended in the middle of a fork ended with %#x", status);
}

static void *killer(void *arg)
{
	char path[64], text[256];

	(void)arg;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		FILE *f = fopen(path, "r");
		int pid;

		if (f && fgets(text, sizeof(text), f) && sscanf(text, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (f)
			fclose(f);
	}
	return NULL;
}

/* Children are killed as soon as they can be seen: no fork may hang for it. */
static void kill_at_once(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		pthread_t t;

		EXPECT(!pthread_create(&t, NULL, killer, NULL));
		for (int i = 0; i < 5; i++) {
			pid_t child = fork();

			if (child == 0) {
				check_all("a child that may be killed");
				_exit(0);
			}
			if (child < 0)
				continue;
			EXPECT(waitpid(child, &status, 0) == child);
			if (WIFEXITED(status) && WEXITSTATUS(status))
				fail("a child ended with %#x", status);
		}
		check_all("whose children were killed");
		_exit(0);
	}
	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		fail("whose children were killed ended with %#x", status);
}

/* Without room for a mapping a child may be unable to go on, and be killed: its parent goes on. */
static void no_room(void)
{
	const struct rlimit limit = { .rlim_cur = MIB, .rlim_max = MIB };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		EXPECT(!setrlimit(RLIMIT_AS, &limit));
		for (int i = 0; i < 2; i++) {
			pid_t child = fork();

			if (child == 0) {
				check_all("without room");
				_exit(0);
			}
			EXPECT(child > 0 && waitpid(child, &status, 0) == child);
			if (status && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
				fail("a child without room ended with %#x", status);
		}
		check_all("the parent of who had no room");
		_exit(0);
	}
	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		fail("who had no room ended with %#x", status);
}

/* ---- the tree ---- */

static void grow(void)
{
	pthread_t t[2];
	bool threads = next(&state) % 2;

	__atomic_store_n(&stop, 0, __ATOMIC_RELEASE);
	if (threads)
		EXPECT(!pthread_create(&t[0], NULL, reader, (void *)(uintptr_t)next(&state)) &&
		       !pthread_create(&t[1], NULL, mapper, (void *)(uintptr_t)next(&state)));
	for (unsigned i = 0; i < forks && now_ms() < deadline; i++) {
		unsigned way = (unsigned)next(&state);
		pid_t pid;
		int status;

		change_some();
		pid = fork_somehow(way);
		if (pid == 0)
			_exit(child_main(NULL));
		if (pid < 0)
			fail("fork in way %u: errno %d", way % 8, errno);
		change_some();
		switch (next(&state) % 8) {
		case 0:
			past_the_agent();
			break;
		case 1:
			spawn_something();
			break;
		case 2:
			end_in_the_middle();
			break;
		case 3:
			kill_at_once();
			break;
		default:
			break;
		}
		EXPECT(waitpid(pid, &status, 0) == pid);
		if (status)
			fail("a child of way %u ended with %#x", way % 8, status);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; threads && i < 2; i++)
		pthread_join(t[i], NULL);
	check_all("at its end");
}

static int child_main(void *arg)
{
	(void)arg;
	/* What its parent had in swap, it has: nothing of it has come back yet. */
	if (next(&state) % 4 == 0)
		past_the_agent();
	check_all("after the fork");
	change_some();
	check_all("after its own changes");
	if (depth_left) {
		depth_left--;
		grow();
	}
	return 0;
}

int main(int argc, char **argv)
{
	const size_t mib = arg_number(argc, argv, 2, 8);

	state = arg_number(argc, argv, 1, 1) * 0x9e3779b97f4a7c15u | 1;
	depth_left = (unsigned)arg_number(argc, argv, 3, 2);
	forks = (unsigned)arg_number(argc, argv, 4, 3);
	deadline = now_ms() + arg_number(argc, argv, 5, 3600) * 1000;
	pages = mib * PAGES_PER_MIB;
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	shared = mmap(NULL, SHARED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	version = calloc(pages, sizeof(*version));
	EXPECT(memory != MAP_FAILED && shared != MAP_FAILED && version);
	for (size_t i = 0; i < pages; i++)
		write_page(i);
	for (size_t i = 0; i < SHARED_PAGES; i++)
		shared[i * WORDS] = word_of(i, 7);
	/* Shared memory goes out for it. */
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < pages; i++)
			EXPECT(*(volatile uint64_t *)(void *)(memory + i * PAGE));
	/* Before any fork that the agent has seen. */
	for (int i = 0; i < 4; i++)
		past_the_agent();
	no_room();
	grow();
	return ok("%zu MiB", mib);
}
