/* serve/remote/remote_client.c - the client side of the control socket: finds running supervisors
 * and talks to one. See remote.h.
 *
 * Uses nothing of the supervisor's except what reads /proc: it runs in other processes. No run can
 * hold it up: it asks all of them at once, then waits for them together, for a bounded time.
 *
 * Locks: none.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/proc.h"
#include "serve/remote/remote.h"

#define LISTENING 0x10000u

int remote_send(int fd, const void *msg, size_t size)
{
	ssize_t n;

	do
		n = send(fd, msg, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int remote_recv(int fd, void *msg, size_t size, uint32_t type, uint32_t other_type, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const struct remote_head *h = msg;
	ssize_t n;
	int got;

	do
		got = poll(&p, 1, timeout_ms);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got < 0 ? -errno : -ETIMEDOUT;
	n = recv(fd, msg, size, MSG_DONTWAIT | MSG_TRUNC);
	/* Reported once if the peer closed with a message of ours unread; its own last message
	 * comes after that. */
	if (n < 0 && errno == ECONNRESET)
		n = recv(fd, msg, size, MSG_DONTWAIT | MSG_TRUNC);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return 0;
	if (n < 0)
		return -errno;
	if (n < (ssize_t)sizeof(*h) || h->magic != REMOTE_MAGIC)
		return -EPROTO;
	/* Every caller must expect a refusal. */
	if (h->type == REMOTE_REFUSED)
		return n == sizeof(struct remote_refused) ? REMOTE_REFUSED : -EPROTO;
	return n == (ssize_t)size && (h->type == type || h->type == other_type) ? (int)h->type
										: -EPROTO;
}

/* @name: without the @ that stands for the leading NUL. Returns the descriptor, or -errno. */
static int dial(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd;

	if (len >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path + 1, name, len);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) != 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Ask the run behind a socket. False: it is gone. */
static bool ask(const char *name, uint32_t pid, struct remote_run *run)
{
	struct remote_who m = { .h = { REMOTE_MAGIC, REMOTE_WHO }, .pid = pid };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd = dial(name);

	*run = (struct remote_run){ .fd = -1, .state = REMOTE_SILENT };
	if (fd == -EAGAIN) {
		/* Its backlog is full: it accepts no connections. The name gives its pid. */
		run->pid = (pid_t)strtol(name + strlen(REMOTE_PREFIX), NULL, 10);
		return true;
	}
	if (fd < 0)
		return false;
	/* It has no pid here: another PID namespace. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.pid <= 0) {
		close(fd);
		return false;
	}
	run->pid = cred.pid;
	if (geteuid() != 0 && cred.uid != 0 && cred.uid != geteuid()) {
		/* It would refuse if it is what its name says; otherwise its answer is
		 * worthless. */
		run->state = REMOTE_DENIED;
		close(fd);
		return true;
	}
	run->fd = fd;
	/* It may have refused already; then the answer is there. */
	(void)remote_send(fd, &m, sizeof(m));
	return true;
}

/* Read the answer of a readable run. Anyone may bind such a name and claim any process; a real
 * supervisor's processes are its descendants, as the kernel confirms. If /proc does not show @pid
 * (hidepid), no claim is believed. */
static void hear(struct remote_run *run, uint32_t pid)
{
	union {
		struct remote_is is;
		struct remote_refused refused;
	} m;
	int type = remote_recv(run->fd, &m, sizeof(m.is), REMOTE_IS, REMOTE_IS, 0);

	if (type == REMOTE_IS) {
		run->is = m.is;
		run->is.group[REMOTE_TEXT_MAX - 1] = run->is.program[REMOTE_TEXT_MAX - 1] = '\0';
		if (run->is.member != REMOTE_STRANGER && !proc_is_below((pid_t)pid, run->pid))
			run->is.member = REMOTE_STRANGER;
		run->state = REMOTE_ANSWERED;
		return;
	}
	run->state =
		type == REMOTE_REFUSED && m.refused.error == -EACCES ? REMOTE_DENIED : REMOTE_OTHER;
	close(run->fd);
	run->fd = -1;
}

static bool has(const struct remote_run *run, uint32_t pid)
{
	return run->state == REMOTE_ANSWERED &&
	       (run->is.member != REMOTE_STRANGER || (uint32_t)run->pid == pid);
}

/* Wait for all answers; or, with @pid, until one run claims it: at most one does. */
static void hear_all(struct remote_run *runs, int n, uint32_t pid)
{
	uint64_t until = plat_now_ns() + REMOTE_FIND_MS * 1000000ull;
	struct pollfd *p = calloc((size_t)n, sizeof(*p));
	bool found = false;
	int waiting = 1;

	while (p && waiting && !found && plat_now_ns() < until) {
		waiting = 0;
		for (int i = 0; i < n; i++) {
			bool wait = runs[i].state == REMOTE_SILENT && runs[i].fd >= 0;

			p[i] = (struct pollfd){ .fd = wait ? runs[i].fd : -1, .events = POLLIN };
			waiting += wait;
		}
		if (waiting && poll(p, (nfds_t)n, (int)((until - plat_now_ns()) / 1000000) + 1) > 0)
			for (int i = 0; i < n; i++)
				if (p[i].fd >= 0 && p[i].revents) {
					hear(&runs[i], pid);
					found |= pid && has(&runs[i], pid);
				}
	}
	free(p);
}

/* The name of a listening control socket on one line of /proc/net/unix, or NULL. */
static const char *socket_name(char *line)
{
	char *name = strstr(line, "@" REMOTE_PREFIX);
	unsigned flags;

	line[strcspn(line, "\n")] = '\0';
	/* Num RefCount Protocol Flags Type St Inode Path; connections carry their listener's
	 * path. */
	if (!name || sscanf(line, "%*s %*x %*x %x", &flags) != 1 || !(flags & LISTENING))
		return NULL;
	return name + 1;
}

int remote_find(uint32_t pid, struct remote_run **runs)
{
	FILE *f = fopen("/proc/net/unix", "re");
	int n = 0, room = 0;
	char line[256];

	*runs = NULL;
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		const char *name = socket_name(line);

		if (!name)
			continue;
		if (n == room) {
			int more = room ? 2 * room : 16;
			struct remote_run *grown = realloc(*runs, (size_t)more * sizeof(*grown));

			if (!grown)
				break;
			*runs = grown;
			room = more;
		}
		n += ask(name, pid, &(*runs)[n]);
	}
	fclose(f);
	if (n)
		hear_all(*runs, n, pid);
	return n;
}

void remote_found_free(struct remote_run *runs, int n)
{
	for (int i = 0; i < n; i++)
		if (runs[i].fd >= 0)
			close(runs[i].fd);
	free(runs);
}
