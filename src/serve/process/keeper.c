/* serve/process/keeper.c - the process that outlives a killed supervisor. keeper.h says what it
 * guarantees.
 *
 * One SEQPACKET socket, one message per packet, at most one descriptor attached. The supervisor's
 * end is close-on-exec and the keeper closes its copy, so end of file means exactly: the supervisor
 * is gone.
 *
 * Invariants:
 * I1  Every table entry owns its descriptor (-1: it could not be received).
 * I2  A process is signalled through its pidfd only: a recycled pid is never hit.
 * I3  The keeper holds none of the program's files: its own descriptors are the socket, three times
 *     /dev/null, a pidfd of the supervisor, and what it was sent (the terminal is there while the
 *     supervisor has it changed).
 *
 * Locks: none. The supervisor's threads send whole packets on one socket, which the kernel orders.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/keeper_terminal.h"
#include "serve/process/process.h"

#define KEEPER_FD       3      /* the socket, in the keeper */
#define SEND_TIMEOUT_US 100000 /* per message: how long a stuck keeper may delay the supervisor */
#define DEATH_WAIT_MS   5000   /* how long the keeper waits for the processes it killed */
#define STOP_WAIT_MS    1000   /* how long the supervisor waits for the keeper */

enum keeper_op {
	KEEPER_ADD_PID = 1,
	KEEPER_DEL_PID,
	KEEPER_ADD_FD,
	KEEPER_DEL_FD,
	KEEPER_REMOVE,
	KEEPER_TERMINAL,
	KEEPER_DONE
};

struct keeper_msg {
	uint32_t op;
	uint32_t pad;
	uint64_t key;               /* a pid for the PID operations; KEEPER_TERMINAL: the sizes */
	char text[KEEPER_TEXT_MAX]; /* KEEPER_REMOVE: a file; KEEPER_TERMINAL: what restores it */
};

struct entry {
	bool is_pid;
	uint64_t key;
	int fd;
};

struct table {
	struct entry *e;
	size_t n, cap;
};

static int sys_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int sys_pidfd_send_signal(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* ---- the keeper's table ------------------------------------------------------------------- */

static struct entry *table_find(struct table *t, bool is_pid, uint64_t key)
{
	for (size_t i = t->n; i > 0; i--)
		if (t->e[i - 1].is_pid == is_pid && t->e[i - 1].key == key)
			return &t->e[i - 1];
	return NULL;
}

/* Takes @fd. Out of memory: the entry is dropped, but the descriptor stays open. */
static void table_add(struct table *t, bool is_pid, uint64_t key, int fd)
{
	VM_ASSERT(t->n <= t->cap && fd >= -1);
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct entry *e = realloc(t->e, cap * sizeof(*e));

		if (!e)
			return;
		t->e = e;
		t->cap = cap;
	}
	t->e[t->n++] = (struct entry){ .is_pid = is_pid, .key = key, .fd = fd };
}

static void table_del(struct table *t, bool is_pid, uint64_t key)
{
	struct entry *e = table_find(t, is_pid, key);

	if (!e)
		return;
	if (e->fd >= 0)
		close(e->fd);
	*e = t->e[--t->n];
}

/* ---- the end: kill the tree ---------------------------------------------------------------- */

static bool is_alive(const struct entry *e)
{
	struct pollfd p = { .fd = e->fd, .events = POLLIN };

	return e->is_pid && e->fd >= 0 && poll(&p, 1, 0) == 0;
}

static void signal_all(struct table *t, int sig)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->e[i].is_pid && t->e[i].fd >= 0)
			sys_pidfd_send_signal(t->e[i].fd, sig);
}

/* Is @child, whose pidfd is already open, really a child of @parent? */
static bool has_parent(pid_t child, pid_t parent)
{
	char path[64], line[512], *at;
	int ppid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", child);
	f = fopen(path, "re");
	if (!f)
		return false;
	/* The name may contain anything; the fields start after its last parenthesis. */
	if (fgets(line, sizeof(line), f)) {
		at = strrchr(line, ')');
		if (at)
			sscanf(at + 1, " %*c %d", &ppid);
	}
	fclose(f);
	return ppid == parent;
}

/* Add the children of thread @tid of entry @i that were not reported to us. The parent is stopped:
 * it creates no more. */
static void add_children_of(struct table *t, size_t i, const char *tid)
{
	pid_t parent = (pid_t)t->e[i].key;
	char path[64];
	int child;
	FILE *f;

	VM_ASSERT(i < t->n && t->e[i].is_pid);
	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", parent, tid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fscanf(f, "%d", &child) == 1) {
		int pidfd;

		if (table_find(t, true, (uint64_t)child))
			continue;
		pidfd = sys_pidfd_open(child);
		if (pidfd < 0)
			continue;
		if (has_parent(child, parent) && is_alive(&t->e[i])) {
			sys_pidfd_send_signal(pidfd, SIGSTOP);
			table_add(t, true, (uint64_t)child, pidfd);
		} else {
			close(pidfd);
		}
	}
	fclose(f);
}

static void add_children(struct table *t, size_t i)
{
	struct dirent *thread;
	char path[64];
	DIR *d;

	VM_ASSERT(i < t->n && t->e[i].is_pid);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)t->e[i].key);
	d = opendir(path);
	if (!d)
		return;
	while ((thread = readdir(d)))
		if (thread->d_name[0] != '.')
			add_children_of(t, i, thread->d_name);
	closedir(d);
}

static void kill_tree(struct table *t)
{
	int64_t deadline = now_ms() + DEATH_WAIT_MS;

	/* Stop first, so that no process forks away while the tree is walked. */
	signal_all(t, SIGSTOP);
	for (size_t i = 0; i < t->n; i++)
		if (is_alive(&t->e[i]))
			add_children(t, i);
	signal_all(t, SIGKILL);
	for (size_t i = 0; i < t->n; i++) {
		struct pollfd p = { .fd = t->e[i].fd, .events = POLLIN };
		int64_t left = deadline - now_ms();

		if (t->e[i].is_pid && t->e[i].fd >= 0)
			poll(&p, 1, left > 0 ? (int)left : 0);
	}
}

/* The supervisor is dying, and some of its threads get a CPU last of all (fault/spinner.c), which
 * delays every waiter for it. Its pid is its own until its pidfd says that it is over. */
static void hurry(pid_t supervisor, int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	const struct sched_param ordinary = { 0 };
	struct dirent *thread;
	char path[64];
	DIR *d;

	if (pidfd < 0 || poll(&p, 1, 0) != 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)supervisor);
	d = opendir(path);
	while (d && (thread = readdir(d))) {
		pid_t tid = (pid_t)strtol(thread->d_name, NULL, 10);

		if (tid > 0 && sched_getscheduler(tid) == SCHED_IDLE)
			(void)sched_setscheduler(tid, SCHED_OTHER, &ordinary);
	}
	if (d)
		closedir(d);
}

/* ---- the keeper's life --------------------------------------------------------------------- */

/* Receive one message. 1; 0 at end of file; -1: try again. *@fd is the descriptor attached, or
 * -1. */
static int receive(struct keeper_msg *m, int *fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = m, .iov_len = sizeof(*m) };
	struct msghdr h = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	n = recvmsg(KEEPER_FD, &h, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? -1 : 0;
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (n == 0)
		return 0;
	return n == sizeof(*m) ? 1 : -1;
}

/* Detach from the terminal, the signals and the files of the program. */
static void detach(int sock)
{
	struct rlimit files;
	sigset_t all;
	int null;

	VM_ASSERT(sock >= 0 && proc_single_threaded());
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "umemcg-keeper");
	/* It must not hold a file system busy; failure changes nothing. */
	if (chdir("/") != 0)
		errno = 0;
	/* First move the socket out of the way: it may be any number, 0 to 2 included. */
	sock = fcntl(sock, F_DUPFD_CLOEXEC, KEEPER_FD + 1);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (sock < 0 || dup2(sock, KEEPER_FD) < 0)
		_exit(1);
	for (int fd = 0; fd < KEEPER_FD; fd++)
		dup2(null, fd);
	syscall(SYS_close_range, KEEPER_FD + 1, ~0u, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void remove_file(const char *file)
{
	const char *slash = strrchr(file, '/');
	char dir[KEEPER_TEXT_MAX];

	if (!slash || (size_t)(slash - file) >= sizeof(dir))
		return;
	memcpy(dir, file, (size_t)(slash - file));
	dir[slash - file] = '\0';
	(void)unlink(file);
	(void)rmdir(dir);
}

static _Noreturn void keeper_main(int sock, pid_t supervisor)
{
	char file[KEEPER_TEXT_MAX] = "";
	struct keeper_terminal terminal = { .fd = -1 };
	struct table t = { 0 };
	struct keeper_msg m;
	int fd, ret, pidfd;

	detach(sock);
	pidfd = sys_pidfd_open(supervisor);
	if (getppid() != supervisor)
		pidfd = -1; /* gone already: the pid may be another process by now */
	while ((ret = receive(&m, &fd)) != 0) {
		if (ret < 0)
			continue;
		switch (m.op) {
		case KEEPER_ADD_PID:
		case KEEPER_ADD_FD:
			table_add(&t, m.op == KEEPER_ADD_PID, m.key, fd);
			break;
		case KEEPER_DEL_PID:
		case KEEPER_DEL_FD:
			table_del(&t, m.op == KEEPER_DEL_PID, m.key);
			break;
		case KEEPER_REMOVE:
			memcpy(file, m.text, sizeof(file));
			break;
		case KEEPER_TERMINAL:
			terminal_set(&terminal, fd, m.key, m.text);
			break;
		case KEEPER_DONE:
			remove_file(file);
			_exit(0);
		}
	}
	hurry(supervisor, pidfd);
	kill_tree(&t);
	terminal_restore(&terminal);
	remove_file(file);
	_exit(0);
}

/* ---- the supervisor's side ------------------------------------------------------------------ */

int keeper_start(struct keeper *k)
{
	struct timeval timeout = { .tv_usec = SEND_TIMEOUT_US };
	pid_t self = getpid();
	int pair[2], ret;

	VM_ASSERT(proc_single_threaded());
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -errno;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	k->pid = fork();
	if (k->pid < 0) {
		ret = -errno;
		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	if (k->pid == 0)
		keeper_main(pair[1], self);
	close(pair[1]);
	k->sock = pair[0];
	return 0;
}

static void keeper_tell(struct keeper *k, struct keeper_msg m, int fd)
{
	VM_ASSERT(k->sock >= 0);
	(void)socket_send(k->sock, &m, sizeof(m), fd, 0);
}

static void keeper_send(struct keeper *k, enum keeper_op op, uint64_t key, int fd)
{
	keeper_tell(k, (struct keeper_msg){ .op = op, .key = key }, fd);
}

void keeper_remove(struct keeper *k, const char *file)
{
	struct keeper_msg m = { .op = KEEPER_REMOVE };

	if (strlen(file) >= sizeof(m.text))
		return;
	memcpy(m.text, file, strlen(file) + 1);
	keeper_tell(k, m, -1);
}

void keeper_terminal(struct keeper *k, int fd, const char *text, uint16_t rows, uint16_t rows_now)
{
	struct keeper_msg m = { .op = KEEPER_TERMINAL, .key = rows | (uint64_t)rows_now << 16 };

	VM_ASSERT(strlen(text) < sizeof(m.text));
	memcpy(m.text, text, strlen(text) + 1);
	keeper_tell(k, m, fd);
}

void keeper_add_pid(struct keeper *k, pid_t pid, int pidfd)
{
	VM_ASSERT(pid > 0 && pidfd >= 0);
	keeper_send(k, KEEPER_ADD_PID, (uint64_t)pid, pidfd);
}

void keeper_del_pid(struct keeper *k, pid_t pid)
{
	VM_ASSERT(pid > 0);
	keeper_send(k, KEEPER_DEL_PID, (uint64_t)pid, -1);
}

void keeper_add_fd(struct keeper *k, uint64_t key, int fd)
{
	VM_ASSERT(fd >= 0);
	keeper_send(k, KEEPER_ADD_FD, key, fd);
}

void keeper_del_fd(struct keeper *k, uint64_t key)
{
	keeper_send(k, KEEPER_DEL_FD, key, -1);
}

void keeper_stop(struct keeper *k)
{
	int64_t deadline = now_ms() + STOP_WAIT_MS;
	struct timespec pause = { .tv_nsec = 1000000 };

	VM_ASSERT(k->pid > 0);
	keeper_send(k, KEEPER_DONE, 0, -1);
	close(k->sock);
	/* ECHILD: the thread that reaps all children of this process was faster. */
	while (waitpid(k->pid, NULL, WNOHANG) == 0) {
		if (now_ms() >= deadline) {
			kill(k->pid, SIGKILL);
			waitpid(k->pid, NULL, 0);
			break;
		}
		nanosleep(&pause, NULL);
	}
	k->pid = -1;
	k->sock = -1;
}
