/* tests/native/prog/heirs.c - heirs several|late|killed [MIB]
 *
 * More of clone(CLONE_VM), whose children outlive the process their memory began with (outlive.c).
 * "several": three of them, for a second. "late": the process is killed while it makes the child,
 * at many moments. "killed": children die as soon as they make a thread, then comes one that
 * does not. The last survivor uses MIB more, twice, and checks everything.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define STACK_BYTES (256ul << 10)
#define SEVERAL     3
#define SURVIVE_US  1000000
#define MOMENTS     12
#define STEP_US     60
#define KILLED      10
#define KILLED_US   20e6 /* for all of them: far below five seconds for each */

static size_t n;
static unsigned long more; /* MiB */
static char *area;
static int done[2];

static int make(int (*fn)(void *))
{
	return clone(fn, map_bytes(STACK_BYTES) + STACK_BYTES, CLONE_VM | SIGCHLD, NULL);
}

static int waits(void *arg)
{
	(void)arg;
	usleep(SURVIVE_US);
	return 0;
}

/* It begins, and is through. */
static int uses(void *arg)
{
	(void)arg;
	usleep(SURVIVE_US / 10);
	EXPECT(write(done[1], "b", 1) == 1);
	press(more);
	area_check(area, n, 0, 0, "in the survivor");
	for (size_t i = 0; i < n; i++)
		page_change(area + i * PAGE, i, 1);
	press(more);
	area_check(area, n, 0, 1, "in the survivor, at its end");
	EXPECT(write(done[1], "u", 1) == 1);
	_exit(0);
}

static void fill_area(void)
{
	area = map_bytes(n * PAGE);
	area_fill(area, n, 0, 0);
}

/* In a child, whose survivors it is about; until all of them have closed the pipe. Returns what
 * they wrote. */
static int below(void (*fn)(long), long arg)
{
	int status, bytes = 0;
	pid_t pid;
	char c;

	EXPECT(pipe(done) == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	EXPECT(close(done[1]) == 0 && waitpid(pid, &status, 0) == pid);
	if (!(WIFEXITED(status) && !WEXITSTATUS(status)) &&
	    !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		fail("the first process ended with status %x", (unsigned int)status);
	while (read(done[0], &c, 1) == 1)
		bytes++;
	EXPECT(close(done[0]) == 0);
	return bytes;
}

static void several(long arg)
{
	(void)arg;
	fill_area();
	for (int i = 0; i < SEVERAL; i++)
		EXPECT(make(waits) > 0);
}

static void *kills(void *us)
{
	usleep((useconds_t)(intptr_t)us);
	kill((pid_t)syscall(SYS_getpid), SIGKILL);
	return NULL;
}

static void late(long us)
{
	pthread_t thread;

	fill_area();
	EXPECT(pthread_create(&thread, NULL, kills, (void *)us) == 0);
	EXPECT(make(uses) > 0);
	pause();
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

/* For the calling thread, and what it makes: no thread is made. */
static void no_threads(void)
{
	struct sock_filter rule[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(rule) / sizeof(rule[0]), rule };

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *makes_killed(void *arg)
{
	double start = now_us();

	no_threads();
	for (int i = 0; i < KILLED; i++) {
		int status, pid = make(nothing);

		EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	}
	if (now_us() - start > KILLED_US)
		fail("%d children that die at once took %.1f s", KILLED, (now_us() - start) / 1e6);
	return arg;
}

static void killed(long arg)
{
	pthread_t thread;

	fill_area();
	EXPECT(pthread_create(&thread, NULL, makes_killed, (void *)arg) == 0);
	EXPECT(pthread_join(thread, NULL) == 0);
	EXPECT(make(uses) > 0);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	int survived = 0;

	more = arg_number(argc, argv, 2, 24);
	/* Of the others nothing is on its way out when the first process ends. */
	n = (strcmp(how, "several") ? more / 4 : more) * PAGES_PER_MIB;
	if (!strcmp(how, "several"))
		return below(several, 0) ? 1 : ok("%d survivors", SEVERAL);
	if (!strcmp(how, "killed"))
		return below(killed, 0) == 2 ? ok("a survivor, after %d that did not", KILLED) : 1;
	if (strcmp(how, "late"))
		fail("usage: heirs several|late|killed [MIB]");
	for (long i = 0; i < MOMENTS; i++) {
		int bytes = below(late, i * STEP_US);

		if (bytes == 1)
			fail("a survivor was not through");
		survived += bytes;
	}
	EXPECT(survived);
	return ok("%zu pages, killed at %d moments", n, MOMENTS);
}
