/* tests/native/prog/tree.c - tree SEED TREES AT_ONCE FILE [DEPTH]
 *
 * Grows TREES trees of processes, AT_ONCE of them at a time, at random from SEED: up to DEPTH
 * deep (6), by every way there is to make a process or to change one: fork, vfork, clone, clone3,
 * CLONE_VM, CLONE_PARENT, double forks, setsid, namespaces (PID, user, mount, time), exec of a
 * dynamic and of a static program, another user, a tracer that comes and goes, a first thread
 * that ends before the others. Each process touches a little memory, and lives a random short
 * while.
 *
 * FILE gets a line for each process that was made: its PID where the list is read, the
 * milliseconds that it lived at least, when it was about to be made, had begun, and was over
 * (CLOCK_MONOTONIC, ms), and how it was made. A process says so itself, through a socket on which
 * the kernel adds the PID: so it is right in any PID namespace. The static program is
 * `tree-static`, beside this one.
 *
 * tree node SEED DEPTH BEFORE HOW is what the programs of a tree are executed as; the socket is
 * descriptor SOCKET.
 */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define SOCKET       400
#define DEPTH_MAX    6
#define CHILDREN_MAX 3
#define LIFE_MS      240
#define STACK        65536ul
#define NOBODY       65534
#define KEPT         (1u << 16) /* processes of a batch */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

extern char **environ;

/* clang-format off */
enum how {
	FORK, FORK_EXEC, FORK_STATIC, VFORK_EXEC, VFORK_STATIC, SPAWN,
	CLONE, CLONE_STATIC, CLONE3, SHARED, SIBLING, ORPHAN,
	SESSION, NEW_PID, NEW_USER, NEW_MOUNT, NEW_TIME, UNSHARED,
	USER, USER_EXEC, TRACED, HEADLESS, NR_HOWS
};
/* clang-format on */
static const char *const how_name[] = { "fork",         "fork-exec", "fork-static", "vfork-exec",
					"vfork-static", "spawn",     "clone",       "clone-static",
					"clone3",       "shared",    "sibling",     "orphan",
					"session",      "new-pid",   "new-user",    "new-mount",
					"new-time",     "unshared",  "user",        "user-exec",
					"traced",       "headless",  "root" };

struct note {
	bool begins;
	uint8_t how;
	double before_ms, ms; /* before it was made; now. By itself: its reader may be late */
};

static uint64_t state;
static char self[PATH_MAX], self_static[PATH_MAX + 8];

static uint32_t draw(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state * 0x2545f4914f6cdd1dull) >> 33) % n;
}

static void seed(uint64_t n)
{
	state = (n + 1) * 0x9e3779b97f4a7c15ull;
	for (int i = 0; i < 4; i++)
		(void)draw(2);
}

static double now_ms(void)
{
	return now_us() / 1000;
}

static void say(bool begins, enum how how, double before)
{
	struct note n = {
		.begins = begins, .how = (uint8_t)how, .before_ms = before, .ms = now_ms()
	};

	/* Nothing of libc's: the caller may share memory with its parent. */
	while (raw_syscall(SYS_write, SOCKET, (long)&n, sizeof(n)) == -1 && errno == EINTR)
		;
}

static void nap(unsigned ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	raw_syscall(SYS_nanosleep, (long)&t, 0, 0);
}

static void touch(unsigned pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	for (unsigned i = 0; p != MAP_FAILED && i < pages; i++)
		p[i * PAGE] = 1;
}

static void grow(unsigned depth);

/* The life of a process of a tree. */
static _Noreturn void live(enum how how, unsigned depth, double before)
{
	say(true, how, before);
	touch(1 + draw(64));
	if (depth)
		grow(depth);
	nap(draw(3) ? draw(LIFE_MS / 8) : draw(LIFE_MS));
	say(false, how, 0);
	_exit(0);
}

static void execute(bool is_static, enum how how, unsigned depth, double before)
{
	char arg[4][32];
	char *argv[] = {
		is_static ? self_static : self, "node", arg[0], arg[1], arg[2], arg[3], NULL
	};

	snprintf(arg[0], sizeof(arg[0]), "%u", draw(1u << 30));
	snprintf(arg[1], sizeof(arg[1]), "%u", depth);
	snprintf(arg[2], sizeof(arg[2]), "%.3f", before);
	snprintf(arg[3], sizeof(arg[3]), "%d", (int)how);
	execve(argv[0], argv, environ);
}

static void spawn(enum how how, unsigned depth)
{
	char arg[4][32];
	char *argv[] = { self, "node", arg[0], arg[1], arg[2], arg[3], NULL };
	pid_t pid;

	snprintf(arg[0], sizeof(arg[0]), "%u", draw(1u << 30));
	snprintf(arg[1], sizeof(arg[1]), "%u", depth);
	snprintf(arg[2], sizeof(arg[2]), "%.3f", now_ms());
	snprintf(arg[3], sizeof(arg[3]), "%d", (int)how);
	(void)posix_spawn(&pid, self, NULL, NULL, argv, environ);
}

static long raw_clone(unsigned long flags)
{
	return syscall(SYS_clone, flags | SIGCHLD, 0l, 0l, 0l, 0l);
}

static long raw_clone3(unsigned long flags)
{
	struct clone_args a = { .flags = flags, .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD };

	return syscall(SYS_clone3, &a, sizeof(a));
}

/* With the memory of its parent, which it outlives or not. */
struct shared_life {
	unsigned ms;
	double before;
};

static int live_shared(void *arg)
{
	const struct shared_life life = *(const struct shared_life *)arg;

	say(true, SHARED, life.before);
	nap(life.ms);
	say(false, SHARED, 0);
	raw_syscall(SYS_exit_group, 0, 0, 0);
	return 0;
}

static void share(void)
{
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct shared_life *life = (void *)stack;

	if (stack == MAP_FAILED)
		return;
	*life = (struct shared_life){ draw(LIFE_MS), now_ms() };
	(void)clone(live_shared, stack + STACK, CLONE_VM | SIGCHLD, life);
}

struct rest {
	unsigned depth;
	double before;
};

static void *live_on(void *arg)
{
	const struct rest *r = arg;

	nap(draw(20));
	live(HEADLESS, r->depth, r->before);
}

static void change_user(void)
{
	(void)!setgroups(0, NULL);
	(void)!setgid(NOBODY);
	(void)!setuid(NOBODY);
}

static void unshare_and_fork(unsigned depth, double before)
{
	pid_t pid;

	say(true, UNSHARED, before);
	(void)unshare(CLONE_NEWPID | (draw(2) ? CLONE_NEWNS : 0));
	before = now_ms();
	pid = fork();
	if (!pid)
		live(UNSHARED, depth, before);
	if (draw(2))
		waitpid(pid, NULL, 0);
	say(false, UNSHARED, 0);
	_exit(0);
}

/* In the child, made by fork or clone. */
static _Noreturn void begin(enum how how, unsigned depth, double before)
{
	static struct rest rest;
	pthread_t thread;

	switch (how) {
	case FORK_EXEC:
	case CLONE:
		if (how == CLONE && draw(2))
			break;
		execute(false, how, depth, before);
		break;
	case FORK_STATIC:
	case CLONE_STATIC:
		execute(true, how, depth, before);
		break;
	case ORPHAN:
		before = now_ms();
		if (draw(2))
			setsid();
		if (fork())
			_exit(0);
		break;
	case SESSION:
		setsid();
		break;
	case UNSHARED:
		unshare_and_fork(depth, before);
		break;
	case USER:
		change_user();
		break;
	case USER_EXEC:
		change_user();
		execute(draw(2), how, depth, before);
		break;
	case HEADLESS:
		rest = (struct rest){ depth, before };
		if (pthread_create(&thread, NULL, live_on, &rest) == 0)
			raw_syscall(SYS_exit, 0, 0, 0);
		break;
	default:
		break;
	}
	live(how, depth, before);
}

static void trace(pid_t pid)
{
	if (pid <= 0 || ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0)
		return;
	nap(draw(8));
	(void)ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	if (waitpid(pid, NULL, __WALL) == pid)
		(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static long make(enum how how)
{
	switch (how) {
	case CLONE:
	case CLONE_STATIC:
		return raw_clone(0);
	case CLONE3:
		return raw_clone3(0);
	case SIBLING:
		return draw(2) ? raw_clone(CLONE_PARENT) : raw_clone3(CLONE_PARENT);
	case NEW_PID:
		return raw_clone(CLONE_NEWPID);
	case NEW_USER:
		return draw(2) ? raw_clone(CLONE_NEWUSER | CLONE_NEWPID) : raw_clone(CLONE_NEWUSER);
	case NEW_MOUNT:
		return raw_clone3(CLONE_NEWNS | CLONE_NEWPID);
	case NEW_TIME:
		return raw_clone3(CLONE_NEWTIME);
	default:
		return fork();
	}
}

static __attribute__((noinline)) void make_by_vfork(enum how how, unsigned depth, double before)
{
	if (!vfork()) {
		execute(how == VFORK_STATIC, how, depth, before);
		_exit(0);
	}
}

static void add_child(unsigned depth)
{
	enum how how = (enum how)draw(NR_HOWS);
	uint64_t its = ((uint64_t)draw(1u << 30) << 30) | draw(1u << 30);
	double before = now_ms();
	long pid;

	switch (how) {
	case SHARED:
		share();
		return;
	case SPAWN:
		spawn(how, depth);
		return;
	case VFORK_EXEC:
	case VFORK_STATIC:
		make_by_vfork(how, depth, before);
		return;
	default:
		pid = make(how);
	}
	if (pid == 0) {
		seed(its);
		begin(how, depth, before);
	}
	if (how == TRACED)
		trace((pid_t)pid);
}

static void grow(unsigned depth)
{
	unsigned n = draw(CHILDREN_MAX + 1);

	for (unsigned i = 0; i < n; i++)
		add_child(draw(3) ? depth - 1 : 0);
	if (draw(2))
		while (waitpid(-1, NULL, draw(2) ? WNOHANG : 0) > 0)
			;
}

/* ---- what was made ---- */

static struct made {
	pid_t pid;
	bool over;
	uint8_t how;
	double before_ms, begun_ms, last_ms;
} made[KEPT];
static unsigned nr_made;

static void take(const struct note *n, pid_t pid)
{
	struct made *m = NULL;

	for (unsigned i = nr_made; i-- > 0 && !m;)
		if (made[i].pid == pid)
			m = &made[i];
	if (m && !m->over && !(n->begins && n->how != m->how)) {
		m->last_ms = n->ms;
		m->over = !n->begins;
		return;
	}
	if (!n->begins)
		return;
	EXPECT(nr_made < KEPT);
	made[nr_made++] = (struct made){ pid, false, n->how, n->before_ms, n->ms, n->ms };
}

/* Until everybody has closed the other end, that is, is over. */
static void collect(int sock)
{
	for (;;) {
		union {
			char buf[CMSG_SPACE(sizeof(struct ucred))];
			struct cmsghdr align;
		} control;
		struct note note;
		struct iovec iov = { &note, sizeof(note) };
		struct msghdr h = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = control.buf,
				    .msg_controllen = sizeof(control.buf) };
		ssize_t n = recvmsg(sock, &h, 0);
		const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&h) : NULL;
		struct ucred cred;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		EXPECT(n == sizeof(note) && c && c->cmsg_type == SCM_CREDENTIALS);
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		take(&note, cred.pid);
	}
}

static void write_made(FILE *f)
{
	for (unsigned i = 0; i < nr_made; i++)
		fprintf(f, "%d %.0f %.0f %.0f %.0f %s\n", made[i].pid,
			made[i].last_ms - made[i].begun_ms, made[i].before_ms - 1, made[i].begun_ms,
			made[i].last_ms + 1, how_name[made[i].how]);
	nr_made = 0;
}

static void batch(uint64_t first, unsigned n, unsigned depth, FILE *f)
{
	int pair[2], one = 1;

	EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	EXPECT(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) == 0);
	EXPECT(dup2(pair[1], SOCKET) == SOCKET);
	close(pair[1]);
	for (unsigned i = 0; i < n; i++) {
		double before = now_ms();
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (!pid) {
			close(pair[0]);
			seed(first + i);
			live(NR_HOWS, depth, before);
		}
	}
	close(SOCKET);
	collect(pair[0]);
	close(pair[0]);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	write_made(f);
}

static void find_self(void)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *name = getenv("TREE_DYNAMIC");

	EXPECT(n > 0);
	self[n] = '\0';
	if (name)
		snprintf(self, sizeof(self), "%s", name);
	EXPECT(setenv("TREE_DYNAMIC", self, 1) == 0);
	snprintf(self_static, sizeof(self_static), "%s-static", self);
}

int main(int argc, char **argv)
{
	unsigned long first, trees, at_once, total = 0;
	unsigned depth;
	FILE *f;

	if (argc == 6 && !strcmp(argv[1], "node")) {
		const char *name = getenv("TREE_DYNAMIC");

		snprintf(self, sizeof(self), "%s", name ? name : "");
		snprintf(self_static, sizeof(self_static), "%s-static", self);
		seed(strtoul(argv[2], NULL, 10));
		live((enum how)atoi(argv[5]), (unsigned)atoi(argv[3]), strtod(argv[4], NULL));
	}
	first = arg_number(argc, argv, 1, 1);
	trees = arg_number(argc, argv, 2, 100);
	at_once = arg_number(argc, argv, 3, 8);
	depth = (unsigned)arg_number(argc, argv, 5, DEPTH_MAX);
	EXPECT(argc >= 5 && at_once && (f = fopen(argv[4], "we")));
	find_self();
	signal(SIGCHLD, SIG_DFL);
	for (unsigned long i = 0; i < trees; i += at_once) {
		batch(first * 1000000 + i, (unsigned)(trees - i < at_once ? trees - i : at_once),
		      depth, f);
		total += at_once;
	}
	EXPECT(fclose(f) == 0);
	return ok("%lu trees", trees);
}
