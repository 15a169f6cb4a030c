/* serve/channel/door.c - two more ways to the supervisor, for processes that cannot see its name.
 *
 * The name of an abstract socket is known in one network namespace only. A program that enters
 * another (unshare -n, ip netns exec, sandboxes) would run unmanaged there, and so would its
 * children. So there are two more ways:
 *
 *   the door  one end of a pair of sockets, inherited down the process tree. It needs no name, no
 *             /proc and no file, so it also works in an empty root directory. Who wants a
 *             connection makes a pair of its own and sends one end of it through the door
 *             (MSG_CONNECT). The end of a connection comes back on the other; the kernel says who
 *             made the pair (SO_PEERCRED). The connection is not the pair itself: its other end
 *             would be shared with who sent it, and could be made to block us.
 *   the path  a socket with a file name, in a directory of the run: for programs that are executed
 *             after all descriptors were closed. Names of files do not depend on the network
 *             namespace. The file is removed at the end; the keeper removes it if umemcg is killed.
 *
 * Without them umemcg works as before: a failure here is not an error.
 *
 * Locks: none. Opened and closed while there are no other threads; else the control thread only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/channel/channel.h"

#define SEND_TIMEOUT_S 30 /* as of connections that the agent makes by name */
#define STALE_S        60 /* before a directory that nobody listens in is removed */
#define DOOR_PREFIX    "umemcg-"

/* Descriptor numbers that programs rarely reach. */
static const int numbers[] = { 988, 499, 235, 51, 19 };

void door_place(struct door *d, const char *name)
{
	static const char *const dirs[] = { "/run", "/tmp", "/var/tmp" };

	d->fd = d->out = d->listen_fd = -1;
	d->dir[0] = '\0';
	VM_ASSERT(strncmp(name, DOOR_PREFIX, sizeof(DOOR_PREFIX) - 1) == 0);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !d->dir[0]; i++)
		if (access(dirs[i], W_OK | X_OK) == 0)
			snprintf(d->dir, sizeof(d->dir), "%s/%s", dirs[i], name);
}

/* Other users' processes reach the socket only where they may be of the program: where we are root.
 * Who connects is checked later, as with the name. */
static int listen_in(const char *dir)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	bool root = geteuid() == 0;
	int fd;

	if (!dir[0] || mkdir(dir, 0700) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/" DOOR_FILE, dir);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    chmod(a.sun_path, root ? 0666 : 0600) == 0 && chmod(dir, root ? 0711 : 0700) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	door_remove(dir);
	return -1;
}

/* Does nobody listen there any more? One that is being made looks like that for an instant. */
static bool is_stale(const char *dir)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	bool stale = false;
	struct stat st;
	int fd;

	if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    st.st_mtime > time(NULL) - STALE_S)
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.*s/" DOOR_FILE, DOOR_DIR_MAX, dir);
	if (fd >= 0)
		stale = connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0 && errno == ECONNREFUSED;
	if (fd >= 0)
		close(fd);
	return stale;
}

/* Remove what runs have left whose keeper was killed with them. */
static void sweep(const char *beside)
{
	const char *slash = strrchr(beside, '/');
	char top[DOOR_DIR_MAX], dir[DOOR_DIR_MAX];
	struct dirent *e;
	DIR *list;

	if (!slash)
		return;
	snprintf(top, sizeof(top), "%.*s", (int)(slash - beside), beside);
	list = opendir(top);
	while (list && (e = readdir(list)))
		if (strncmp(e->d_name, DOOR_PREFIX, sizeof(DOOR_PREFIX) - 1) == 0 &&
		    snprintf(dir, sizeof(dir), "%s/%s", top, e->d_name) < (int)sizeof(dir) &&
		    is_stale(dir))
			door_remove(dir);
	if (list)
		closedir(list);
}

void door_open(struct door *d)
{
	int pair[2];

	sweep(d->dir);
	d->listen_fd = listen_in(d->dir);
	if (d->listen_fd < 0)
		d->dir[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return;
	d->fd = pair[0];
	d->out = pair[1];
}

/* "NUMBER.INODE:PATH". A number that has become another file is recognized by the inode. */
static void describe(const struct door *d, int number, char *text, size_t size)
{
	struct stat st = { 0 };
	int n = 0;

	if (number >= 0 && fstat(number, &st) == 0)
		n = snprintf(text, size, "%d.%" PRIu64, number, (uint64_t)st.st_ino);
	if (d->dir[0])
		snprintf(text + n, size - (size_t)n, ":%s/" DOOR_FILE, d->dir);
}

void door_hand_down(const struct door *d)
{
	char text[sizeof(d->dir) + 64] = "";
	int fd = -1;

	VM_ASSERT((d->fd < 0) == (d->out < 0));
	for (size_t i = 0; d->out >= 0 && fd < 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		fd = fcntl(d->out, F_DUPFD, numbers[i]);
	describe(d, fd, text, sizeof(text));
	if (text[0])
		setenv(PROTO_DOOR_ENV, text, 1);
	else
		unsetenv(PROTO_DOOR_ENV);
}

int door_request(const struct door *d)
{
	struct msg_head h;
	int fd;
	ssize_t n = msg_recv(d->fd, &h, sizeof(h), MSG_DONTWAIT, &fd);

	VM_ASSERT(d->fd >= 0);
	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	if (n > 0 && head_valid(&h, n, MSG_CONNECT, sizeof(h)) && fd >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -EAGAIN;
}

int door_answer(int to)
{
	struct msg_head h = { PROTO_MAGIC, MSG_CONNECTED, 1 };
	struct timeval limit = { .tv_sec = SEND_TIMEOUT_S };
	int pair[2];

	VM_ASSERT(to >= 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -errno;
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (msg_send(to, &h, sizeof(h), pair[1]) != 0) {
		close(pair[0]);
		pair[0] = -EPIPE;
	}
	close(pair[1]);
	return pair[0];
}

void door_remove(const char *dir)
{
	char path[DOOR_DIR_MAX + sizeof(DOOR_FILE)];

	if (!dir[0])
		return;
	snprintf(path, sizeof(path), "%s/" DOOR_FILE, dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

void door_close(struct door *d)
{
	const int fds[] = { d->fd, d->out, d->listen_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	door_remove(d->dir);
}
