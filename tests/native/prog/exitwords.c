/* tests/native/prog/exitwords.c - exitwords [MIB]
 *
 * Words that the kernel clears when a thread ends (CLONE_CHILD_CLEARTID, set_tid_address), of
 * threads made without libc's pthread_create: by clone(2), by syscall(2) with clone and clone3, as
 * processes that share the memory, in private and in shared memory, in a forked child. The words
 * are pushed out while the threads live, and waited for with a futex; robust mutexes of such a
 * thread are marked.
 */
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define NR          16
#define STACK_BYTES (64ul << 10)
#define APART       (16 * PAGE)
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static unsigned long mib;
static volatile uint32_t go, begun;

static volatile uint32_t *word_at(char *area, size_t i)
{
	return (uint32_t *)(area + i * APART + 128);
}

/* Thread-local storage is the maker's: nothing here uses it. */
static void wait_for_go(void)
{
	__atomic_fetch_add(&begun, 1, __ATOMIC_SEQ_CST);
	while (!go)
		raw_syscall(SYS_futex, (long)&go, FUTEX_WAIT, 0);
}

static int run(void *arg)
{
	(void)arg;
	wait_for_go();
	raw_syscall(SYS_exit, 0, 0, 0);
	return 0;
}

static int run_and_say(void *arg)
{
	syscall(SYS_set_tid_address, arg);
	return run(arg);
}

static char *new_stack(void)
{
	return map_bytes(STACK_BYTES) + STACK_BYTES;
}

static void push_out(unsigned int threads)
{
	while (begun != threads)
		usleep(1000);
	press(mib);
	go = 1;
	syscall(SYS_futex, &go, (long)FUTEX_WAKE, (long)NR * 4, NULL, NULL, 0L);
}

/* The kernel's wake is the only one. */
static void all_end(char *area, const char *whose)
{
	const struct timespec long_time = { .tv_sec = 120 };

	for (size_t i = 0; i < NR; i++) {
		volatile uint32_t *w = word_at(area, i);
		uint32_t now;

		while ((now = __atomic_load_n(w, __ATOMIC_ACQUIRE)) != 0)
			if (syscall(SYS_futex, w, (long)FUTEX_WAIT, (long)now, &long_time, NULL,
				    0L) == -1 &&
			    errno == ETIMEDOUT)
				fail("word %zu of %s was not cleared", i, whose);
	}
	go = begun = 0;
}

static void by_clone(char *area, int flags, const char *whose)
{
	pid_t pid[NR];

	for (size_t i = 0; i < NR; i++) {
		pid_t *w = (pid_t *)word_at(area, i);

		*w = -1;
		pid[i] = clone(run, new_stack(), flags | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
			       NULL, w, NULL, w);
		EXPECT(pid[i] > 0);
	}
	push_out(NR);
	all_end(area, whose);
	for (size_t i = 0; i < NR && !(flags & CLONE_THREAD); i++)
		EXPECT(waitpid(pid[i], NULL, __WALL) == pid[i]);
}

static void by_set_tid_address(char *area)
{
	for (size_t i = 0; i < NR; i++) {
		*word_at(area, i) = 1;
		EXPECT(clone(run_and_say, new_stack(), THREAD_FLAGS, (void *)word_at(area, i), NULL,
			     NULL, NULL) > 0);
	}
	push_out(NR);
	all_end(area, "threads that have set their address");
}

#if defined(__x86_64__)
/* Where syscall(2) returns to on the new stack: nothing called it. */
static __attribute__((noreturn)) void returned_to(void)
{
	wait_for_go();
	for (;;)
		raw_syscall(SYS_exit, 0, 0, 0);
}

static void by_system_call(char *area)
{
	const unsigned long flags = THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

	for (size_t i = 0; i < NR; i++) {
		volatile uint32_t *w = word_at(area, i);
		void **top = (void **)(new_stack() - 64);
		struct clone_args args = {
			.flags = flags,
			.child_tid = (uint64_t)w,
			.parent_tid = (uint64_t)w,
			.stack = (uint64_t)top - STACK_BYTES + 64,
			.stack_size = STACK_BYTES - 64,
		};
		long tid;

		*w = 1;
		*top = (void *)returned_to;
		if (i % 2)
			tid = syscall(SYS_clone3, &args, sizeof(args));
		else
			tid = syscall(SYS_clone, flags, top, w, w, 0L);
		EXPECT(tid > 0);
	}
	push_out(NR);
	all_end(area, "threads made by syscall(2)");
}
#else
static void by_system_call(char *area)
{
	(void)area;
}
#endif

/* Many at a time, none of which lives long: nothing is used up. */
static void one_after_the_other(char *area)
{
	char *stack = new_stack();
	pid_t *w = (pid_t *)word_at(area, 0);

	go = 1;
	for (int i = 0; i < 2000; i++) {
		*w = -1;
		EXPECT(clone(run, stack, THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
			     NULL, w, NULL, w) > 0);
		while (__atomic_load_n(w, __ATOMIC_ACQUIRE))
			sched_yield();
	}
	go = begun = 0;
	by_clone(area, THREAD_FLAGS, "threads after many others");
}

static void all(char *own, char *shared)
{
	by_clone(own, THREAD_FLAGS, "threads");
	by_clone(shared, THREAD_FLAGS, "threads, in shared memory");
	by_clone(own, CLONE_VM | SIGCHLD, "processes");
	by_set_tid_address(own);
	by_system_call(own);
}

int main(int argc, char **argv)
{
	const size_t bytes = NR * APART;
	char *own = map_bytes(bytes);
	char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	mib = arg_number(argc, argv, 1, 32);
	EXPECT(shared != MAP_FAILED);
	all(own, shared);
	one_after_the_other(own);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		all(own, shared);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	return ok("%d words each cleared", NR);
}
