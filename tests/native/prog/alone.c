/* tests/native/prog/alone.c - alone HOW MIB [N]: goes where only a process of one thread may go.
 *
 * Fills MIB, makes the call, checks all, and fills as much again. HOW is
 *   user, pid, time, net, all   unshare into a user namespace, alone or with others
 *   raw, libc                   the first by syscall(2), or by libc's own address
 *   setns, any, pidfd           into the user namespace of a child; fd of any type; by pidfd
 *   settime                     into the time namespace of a child
 *   after                       unshare into a user namespace once its children are in another
 *                               PID namespace: such a process can make no thread any more
 *   crowd                       of two threads: EINVAL; then of one
 *   vfork                       a child that shares the memory does it, then the parent
 *   deep                        N user namespaces, one in the other
 *   again                       N calls that fail; all is checked between them
 *   errors                      calls that fail: prints how, to be compared
 *   forks                       N children, one by one, each in a user namespace of its own
 *   killed                      the same, each killed at some moment
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static size_t n;
static char *before;

static void enter(int flags)
{
	if (unshare(flags) != 0)
		fail("unshare(%#x): %s", (unsigned int)flags, strerror(errno));
}

/* A child in new namespaces that lives until ours does. */
static pid_t child_in(int flags)
{
	int said[2];
	char c = 0;
	pid_t pid;

	EXPECT(pipe(said) == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		enter(flags);
		EXPECT(write(said[1], &c, 1) == 1);
		for (;;)
			pause();
	}
	EXPECT(read(said[0], &c, 1) == 1);
	return pid;
}

static void join(const char *what, int type)
{
	pid_t child = child_in(CLONE_NEWUSER | CLONE_NEWTIME);
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)child, what);
	fd = what ? open(path, O_RDONLY | O_CLOEXEC) : (int)syscall(SYS_pidfd_open, child, 0);
	EXPECT(fd >= 0);
	if (setns(fd, type) != 0)
		fail("setns: %s", strerror(errno));
	kill(child, SIGKILL);
	EXPECT(waitpid(child, NULL, 0) == child);
}

static int (*go)(int);

static void *wait_for(void *pipe)
{
	char c;

	(void)!read(*(int *)pipe, &c, 1);
	return NULL;
}

static void crowd(void)
{
	pthread_t other;
	int stop[2];

	EXPECT(pipe(stop) == 0 && pthread_create(&other, NULL, wait_for, stop) == 0);
	EXPECT(unshare(CLONE_NEWUSER) == -1 && errno == EINVAL);
	area_check(before, n, 0, 0, "beside a thread");
	EXPECT(write(stop[1], "", 1) == 1 && pthread_join(other, NULL) == 0);
	/* The kernel may count a thread that has been joined for a moment longer. */
	for (int i = 0; i < 1000 && unshare(CLONE_NEWUSER) != 0; i++) {
		EXPECT(errno == EINVAL && i < 999);
		usleep(1000);
	}
}

static void by_vfork(void)
{
	int status;
	pid_t child = vfork();

	EXPECT(child >= 0);
	if (!child)
		_exit(unshare(CLONE_NEWUSER) ? errno : 0);
	EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status));
	EXPECT(WEXITSTATUS(status) == 0);
	area_check(before, n, 0, 0, "after the child");
	enter(CLONE_NEWUSER);
}

static void say(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A user or group without a number in a user namespace makes none in it. */
static void deeper(unsigned long many)
{
	char user[32], group[32];

	for (unsigned long i = 0; i < many; i++) {
		snprintf(user, sizeof(user), "0 %d 1", (int)geteuid());
		snprintf(group, sizeof(group), "0 %d 1", (int)getegid());
		enter(CLONE_NEWUSER);
		say("/proc/self/uid_map", user);
		say("/proc/self/setgroups", "deny");
		say("/proc/self/gid_map", group);
		area_check(before, n, 0, 0, "in a namespace");
	}
}

/* A call of an unknown flag fails for a process of one thread, too. */
static void fail_again(unsigned long many)
{
	for (unsigned long i = 0; i < many; i++) {
		EXPECT(unshare(CLONE_NEWUSER | 1) == -1 && errno == EINVAL);
		for (size_t k = i % 7; k < n; k += 7)
			if (!page_is(before + k * PAGE, k, 0))
				fail("page %zu is wrong after call %lu", k, i);
	}
}

static void tell(const char *what, int result)
{
	printf("%s: %s\n", what, result ? strerror(errno) : "succeeds");
}

static void errors(void)
{
	int own = open("/proc/self/ns/user", O_RDONLY), file = open("/dev/null", O_RDONLY);

	EXPECT(own >= 0 && file >= 0);
	tell("unshare, unknown flag", unshare(CLONE_NEWUSER | 1));
	tell("unshare of nothing", unshare(0));
	tell("unshare of signal handlers", unshare(CLONE_SIGHAND));
	tell("unshare of the thread group", unshare(CLONE_THREAD));
	tell("unshare of memory", unshare(CLONE_VM));
	tell("setns to no file", setns(-1, CLONE_NEWUSER));
	tell("setns to another file", setns(file, CLONE_NEWUSER));
	tell("setns to its own", setns(own, CLONE_NEWUSER));
	tell("setns to its own, any type", setns(own, 0));
	tell("setns of another type", setns(own, CLONE_NEWNET));
	tell("unshare, chroot", chroot("/proc") || unshare(CLONE_NEWUSER));
}

static void forks(unsigned long many, bool killed)
{
	uint64_t seed = 1;

	for (unsigned long i = 0; i < many; i++) {
		pid_t pid = fork();
		int status;

		EXPECT(pid >= 0);
		if (!pid) {
			enter(CLONE_NEWUSER);
			for (size_t k = i % 7; k < n; k += 7)
				EXPECT(page_is(before + k * PAGE, k, 0));
			_exit(0);
		}
		if (killed) {
			usleep((useconds_t)(rnd(&seed) % 6000));
			kill(pid, SIGKILL);
		}
		EXPECT(waitpid(pid, &status, 0) == pid);
		EXPECT(status == 0 ||
		       (killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	}
}

static int by_syscall(int flags)
{
	return (int)syscall(SYS_unshare, flags);
}

static void one_of(const char *how)
{
	static const struct {
		const char *how;
		int flags;
	} kinds[] = {
		{ "user", CLONE_NEWUSER },
		{ "pid", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS },
		{ "time", CLONE_NEWUSER | CLONE_NEWTIME },
		{ "net", CLONE_NEWUSER | CLONE_NEWNET },
		{ "all", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWTIME | CLONE_NEWNET | CLONE_NEWNS |
				 CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(how, kinds[i].how)) {
			enter(kinds[i].flags);
			return;
		}
	if (!strcmp(how, "raw") || !strcmp(how, "libc")) {
		void *libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_LAZY);

		go = *how == 'r' ? by_syscall : (int (*)(int))dlsym(libc, "unshare");
		EXPECT(go && go(CLONE_NEWUSER) == 0);
	} else if (!strcmp(how, "setns")) {
		join("user", CLONE_NEWUSER);
	} else if (!strcmp(how, "any")) {
		join("user", 0);
	} else if (!strcmp(how, "pidfd")) {
		join(NULL, CLONE_NEWUSER);
	} else if (!strcmp(how, "settime")) {
		join("time_for_children", CLONE_NEWTIME);
	} else if (!strcmp(how, "after")) {
		press(4 * n / PAGES_PER_MIB); /* all is in swap when the helper goes */
		enter(CLONE_NEWPID);
		enter(CLONE_NEWUSER);
		usleep(500000); /* umemcg says so after 200 ms */
	} else {
		fail("what is %s?", how);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "user";
	unsigned long many = arg_number(argc, argv, 3, 12);
	char *after;

	n = arg_number(argc, argv, 2, 24) * PAGES_PER_MIB;
	before = map_bytes(n * PAGE);
	area_fill(before, n, 0, 0);
	if (!strcmp(how, "errors"))
		errors();
	else if (!strcmp(how, "crowd"))
		crowd();
	else if (!strcmp(how, "vfork"))
		by_vfork();
	else if (!strcmp(how, "again"))
		fail_again(many);
	else if (!strcmp(how, "deep"))
		deeper(many);
	else if (!strcmp(how, "forks") || !strcmp(how, "killed"))
		forks(many, *how == 'k');
	else
		one_of(how);
	area_check(before, n, 0, 0, "after the call");
	after = map_bytes(n * PAGE);
	area_fill(after, n, n, 0);
	area_check(before, n, 0, 0, "after another was filled");
	area_check(after, n, n, 0, "that was filled after the call");
	return ok("%s", how);
}
