/* tests/native/prog/escape.c - escape HOW MIB [PROGRAM [ARGS...]]
 *
 * Memory by a way on which nobody is told of the process that takes it. HOW:
 *
 *     clone       a child of raw clone(2), in the same namespaces, takes MIB
 *     namespace   ... in a new PID namespace, where it makes another, which executes PROGRAM, or
 *                 takes MIB itself
 *     headless    a thread takes MIB when the first one is over
 *     inner       the same in a child in a new PID namespace, by another thread that is made only
 *                 then
 *     orphan      a child of a child, in a session of its own, whose parent is over
 *     late        children of raw clone(2) take MIB, and execute PROGRAM when umemcg has long known
 *                 them; the memory of every second one lives on, in a process that shares it
 *
 * The memory is touched, and kept for a while. Exits with what the process that takes it ended
 * with. Static, as escape-static, nothing of this is managed.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define KEEP_US 300000
#define LATE    10
#define STACK   65536ul

static size_t bytes;

static void take_now(void)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
}

static _Noreturn void take(void)
{
	take_now();
	usleep(KEEP_US);
	ok("%zu MiB", bytes / MIB);
	_exit(0);
}

static void *take_in_thread(void *leader)
{
	EXPECT(pthread_join(*(pthread_t *)leader, NULL) == 0);
	take();
}

static void *take_anew(void *unused)
{
	(void)unused;
	take();
}

static void *make_another(void *leader)
{
	pthread_t thread;

	EXPECT(pthread_join(*(pthread_t *)leader, NULL) == 0);
	EXPECT(pthread_create(&thread, NULL, take_anew, NULL) == 0);
	pause();
	return NULL;
}

static _Noreturn void without_leader(void *(*fn)(void *leader))
{
	static pthread_t leader;
	pthread_t thread;

	leader = pthread_self();
	EXPECT(pthread_create(&thread, NULL, fn, &leader) == 0);
	pthread_exit(NULL);
}

static int wait_for(pid_t pid)
{
	int status;

	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static pid_t raw_clone(unsigned long flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0l, 0l, 0l, 0l);
}

static int in_namespace(char **argv)
{
	pid_t pid = raw_clone(CLONE_NEWPID), inner;

	if (pid < 0)
		cannot_run("no new PID namespace: errno %d", errno);
	if (pid)
		return wait_for(pid);
	inner = raw_clone(0);
	if (inner)
		_exit(wait_for(inner));
	if (*argv)
		execv(*argv, argv);
	take();
}

/* Its end is told by the pipe, of which it has the last end. */
static int in_orphan(void)
{
	int fd[2];
	char byte = 1;
	pid_t pid;

	EXPECT(pipe(fd) == 0);
	pid = fork();
	if (pid == 0) {
		setsid();
		if (fork() == 0) {
			close(fd[0]);
			take();
		}
		_exit(0);
	}
	EXPECT(wait_for(pid) == 0);
	close(fd[1]);
	EXPECT(read(fd[0], &byte, 1) == 0);
	return 0;
}

static int live_on(void *unused)
{
	(void)unused;
	usleep(2 * KEEP_US);
	return 0;
}

static int late(char **argv)
{
	static char stack[STACK];
	pid_t pid[LATE];
	int code = 0;

	for (int i = 0; i < LATE; i++) {
		pid[i] = raw_clone(0);
		if (pid[i])
			continue;
		take_now();
		usleep(KEEP_US);
		if (i % 2)
			EXPECT(clone(live_on, stack + STACK, CLONE_VM | SIGCHLD, NULL) > 0);
		execv(*argv, argv);
		_exit(127);
	}
	for (int i = 0; i < LATE; i++) {
		int its = wait_for(pid[i]);

		if (its)
			printf("child %d ended with %d\n", i, its);
		code |= its;
	}
	return code ? 1 : 0;
}

int main(int argc, char **argv)
{
	pid_t pid;

	EXPECT(argc >= 3);
	bytes = arg_number(argc, argv, 2, 0) * MIB;
	if (!strcmp(argv[1], "namespace"))
		return in_namespace(argv + 3);
	if (!strcmp(argv[1], "orphan"))
		return in_orphan();
	if (!strcmp(argv[1], "late") && argc >= 4)
		return late(argv + 3);
	if (!strcmp(argv[1], "headless"))
		without_leader(take_in_thread);
	if (!strcmp(argv[1], "inner")) {
		if (unshare(CLONE_NEWPID) != 0)
			cannot_run("no new PID namespace: errno %d", errno);
		pid = fork();
		if (pid == 0)
			without_leader(make_another);
		return wait_for(pid);
	}
	pid = raw_clone(0);
	if (pid == 0)
		take();
	return wait_for(pid);
}
