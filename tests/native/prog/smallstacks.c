/* tests/native/prog/smallstacks.c - smallstacks
 *
 * Executes a program, with an environment of its own and with another, where there is little
 * stack: in a thread with the least there is, after fork and after vfork, and in a signal handler
 * on an alternate stack of 8 KiB. A large environment is handed down, too.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "prog.h"

#define THREAD_BYTES  16384
#define HANDLER_BYTES 8192
#define FRAME_ROOM    6144 /* below what the kernel stores for a handler */
#define MANY          1500

extern char **environ;
static char *const self_argv[] = { "smallstacks", "nothing", NULL };
static char *const no_env[] = { NULL };
static char *const *env_of[2];

static void execute(int which)
{
	execve("/proc/self/exe", self_argv, env_of[which]);
	_exit(3);
}

static void expect_zero(pid_t pid, const char *where)
{
	int status;

	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		fail("executed %s: status %x", where, (unsigned int)status);
}

static void *in_thread(void *arg)
{
	int which = (int)(intptr_t)arg;
	pid_t pid = fork();

	if (!pid)
		execute(which);
	expect_zero(pid, "in a thread, after fork");
	pid = vfork();
	if (!pid)
		execute(which);
	expect_zero(pid, "in a thread, after vfork");
	return NULL;
}

static void on_signal(int sig)
{
	execute(sig == SIGUSR2);
}

static void in_handler(int sig)
{
	size_t size = HANDLER_BYTES, least = (size_t)sysconf(_SC_MINSIGSTKSZ) + FRAME_ROOM;
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	pid_t pid = fork();

	EXPECT(pid >= 0);
	if (!pid) {
		char *at;
		stack_t stack;

		size = size < least ? (least + PAGE - 1) & ~(PAGE - 1) : size;
		at = map_bytes(PAGE + size);
		stack = (stack_t){ .ss_sp = at + PAGE, .ss_size = size };
		EXPECT(mprotect(at, PAGE, PROT_NONE) == 0);
		EXPECT(sigaltstack(&stack, NULL) == 0 && sigaction(sig, &act, NULL) == 0);
		raise(sig);
		_exit(4);
	}
	expect_zero(pid, "in a signal handler");
}

/* More than is copied: it arrives as it is. */
static void with_many(void)
{
	static char *many[MANY + 2];
	char *argv[] = { "smallstacks", "count", NULL };
	pid_t pid;

	for (int i = 0; i < MANY; i++)
		many[i] = "A=1";
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		execve("/proc/self/exe", argv, many);
		_exit(3);
	}
	expect_zero(pid, "with a large environment");
}

static int count(void)
{
	int n = 0;

	for (char **e = environ; *e; e++)
		n += !strcmp(*e, "A=1");
	return n == MANY ? 0 : 5;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return strcmp(argv[1], "count") ? 0 : count();
	env_of[0] = no_env;
	env_of[1] = environ;
	for (intptr_t which = 0; which < 2; which++) {
		pthread_attr_t attr;
		pthread_t thread;

		EXPECT(pthread_attr_init(&attr) == 0);
		EXPECT(pthread_attr_setstacksize(&attr, THREAD_BYTES) == 0);
		EXPECT(pthread_create(&thread, &attr, in_thread, (void *)which) == 0);
		EXPECT(pthread_join(thread, NULL) == 0);
		in_handler(which ? SIGUSR2 : SIGUSR1);
	}
	with_many();
	return ok("executed on small stacks");
}
