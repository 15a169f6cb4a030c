/* serve/shared/queue.c - looks at pipes and sockets of the program from outside (pipes.c).
 *
 * Locks: none may be held: it opens, queries and closes files.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "serve/shared/queue.h"

static bool identify(int dirfd, const char *path, int flags, struct statx *x)
{
	return statx(dirfd, path, flags | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, x) == 0;
}

bool queue_look_up(pid_t pid, int number, struct file_id *id)
{
	char path[64], name[16] = "";
	struct statx x;

	*id = (struct file_id){ .kind = NO_QUEUE };
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, number);
	if (readlink(path, name, sizeof(name) - 1) <= 0)
		return false;
	if (strncmp(name, "pipe:[", 6) == 0)
		id->kind = PIPE;
	else if (strncmp(name, "socket:[", 8) == 0)
		id->kind = SOCKET;
	else if (name[0] == '/')
		id->kind = NAMED_PIPE;
	if (id->kind == NO_QUEUE || !identify(AT_FDCWD, path, 0, &x) ||
	    S_ISSOCK(x.stx_mode) != (id->kind == SOCKET) ||
	    S_ISFIFO(x.stx_mode) != (id->kind != SOCKET))
		return false;
	id->dev = makedev(x.stx_dev_major, x.stx_dev_minor);
	id->ino = x.stx_ino;
	return true;
}

void queue_free(struct queue *q)
{
	if (q->fd >= 0)
		close(q->fd);
	if (q->pidfd >= 0)
		close(q->pidfd);
	plat_free(q);
}

struct queue *queue_new(const struct client *c, int number)
{
	struct file_id id;
	struct queue *q = queue_look_up(c->host.pid, number, &id) ? plat_alloc(sizeof(*q)) : NULL;
	char path[64];
	struct statx x;

	if (!q)
		return NULL;
	*q = (struct queue){ .kind = id.kind,
			     .dev = id.dev,
			     .ino = id.ino,
			     .fd = -1,
			     .pidfd = -1,
			     .pid = c->host.pid,
			     .number = number,
			     .users = 1 };
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)q->pid, number);
	if (id.kind == PIPE)
		q->fd = open(path, O_PATH | O_CLOEXEC);
	else
		q->pidfd = fcntl(c->host.pidfd, F_DUPFD_CLOEXEC, 0);
	/* The number may have been reused. */
	if (q->fd < 0 ? q->pidfd >= 0
		      : identify(q->fd, "", AT_EMPTY_PATH, &x) && x.stx_ino == q->ino)
		return q;
	queue_free(q);
	return NULL;
}

/* Opens the pipe for reading, which neither its writers nor its readers notice. */
static int64_t pipe_bytes(int path_fd)
{
	char path[40];
	int fd, n = 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, FIONREAD, &n) != 0)
		n = 0;
	if (fd >= 0)
		close(fd);
	return n;
}

static int64_t borrowed_bytes(const struct queue *q)
{
	struct file_id id;
	struct statx x;
	int fd, n = 0;

	if (!queue_look_up(q->pid, q->number, &id) || id.ino != q->ino || id.dev != q->dev)
		return 0;
	fd = (int)syscall(SYS_pidfd_getfd, q->pidfd, q->number, 0);
	if (fd < 0)
		return 0;
	if (!identify(fd, "", AT_EMPTY_PATH, &x) || x.stx_ino != q->ino ||
	    ioctl(fd, q->kind == SOCKET ? SIOCOUTQ : FIONREAD, &n) != 0)
		n = 0;
	close(fd);
	return n;
}

int64_t queue_bytes(const struct queue *q)
{
	return q->fd >= 0 ? pipe_bytes(q->fd) : borrowed_bytes(q);
}
