/* agent/way.c - ways to the supervisor: its abstract name, the door, a socket with a file name.
 *
 * The name is not visible in another network namespace; the path is not in another root directory;
 * the descriptor of the door may have been closed (serve/channel/door.c). The way that worked last
 * is tried first, also by a forked child.
 *
 * Raw system calls only: signal handlers and children of vfork use this. Locks: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "agent/agent.h"
#include "agent/sys.h"

enum { WAY_NAME, WAY_DOOR, WAY_PATH, NR_WAYS };

static struct sockaddr_un name_address = { .sun_family = AF_UNIX };
static socklen_t name_size;
static struct sockaddr_un path_address = { .sun_family = AF_UNIX }; /* empty: none */
static struct {
	int fd; /* -1: none */
	uint64_t inode;
} door = { .fd = -1 };
static uint32_t last_way; /* (A) */

bool way_set_name(const char *name)
{
	size_t n = strlen(name);

	if (!n || n >= sizeof name_address.sun_path)
		return false;
	memcpy(name_address.sun_path + 1, name, n);
	name_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
	return true;
}

void way_set_door(const char *text)
{
	const char *at = text ? text : "", *path = strchr(at, ':');
	uint64_t inode = 0;
	long number = proc_number(&at);

	if (number >= 0 && *at == '.') {
		for (at++; *at >= '0' && *at <= '9'; at++)
			inode = 10 * inode + (uint64_t)(*at - '0');
		door.fd = (int)number;
		door.inode = inode;
	}
	if (path && strlen(path + 1) < sizeof path_address.sun_path)
		memcpy(path_address.sun_path, path + 1, strlen(path + 1));
}

/* Is it still what it was? The program may have closed it, and have another file of that number. */
static bool is_door(int fd, uint64_t inode)
{
	struct stat st;

	return fd >= 0 && !sys_call2(SYS_fstat, fd, &st) && S_ISSOCK(st.st_mode) &&
	       st.st_ino == inode;
}

static int connect_to(const struct sockaddr_un *to, socklen_t size)
{
	struct timeval limit = { .tv_sec = CALL_TIMEOUT_S };
	long fd = sys_call3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	long err;

	AGENT_ASSERT(size > offsetof(struct sockaddr_un, sun_path));
	if (fd < 0)
		return (int)fd;
	sys_call5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	do
		err = sys_call3(SYS_connect, fd, to, size);
	while (err == -EINTR);
	if (err < 0) {
		sys_close((int)fd);
		return (int)err;
	}
	return (int)fd;
}

static int by_name(void)
{
	return connect_to(&name_address, name_size);
}

static int by_path(void)
{
	return path_address.sun_path[0] ? connect_to(&path_address, sizeof path_address) : -ENOENT;
}

/* Ask on @fd, one end of a pair whose other end is @other: a connection, or -errno. */
static int ask_for_one(int fd, int other)
{
	struct msg_head h;
	int n, got = -1;

	AGENT_ASSERT(fd >= 0 && other >= 0);
	msg_init(&h, MSG_CONNECT, 1);
	n = channel_send(door.fd, &h, sizeof h, other);
	/* Ours of it must go: it would keep the pair open if nobody answers. */
	sys_close(other);
	if (n >= 0)
		n = channel_recv_timed(fd, &h, sizeof h, 0, &got, CALL_TIMEOUT_S * 1000);
	if (n == sizeof h && msg_is(&h, MSG_CONNECTED) && got >= 0)
		return got;
	if (got >= 0)
		sys_close(got);
	return n < 0 ? n : -ECONNREFUSED;
}

static int by_door(void)
{
	int pair[2], fd;
	long err;

	if (!is_door(door.fd, door.inode))
		return -EBADF;
	err = sys_call4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
	if (err < 0)
		return (int)err;
	fd = ask_for_one(pair[0], pair[1]);
	sys_close(pair[0]);
	return fd;
}

static const struct {
	int (*connect)(void);
	uint32_t filter; /* FILTER_ that forbids it */
} ways[NR_WAYS] = {
	[WAY_NAME] = { by_name, FILTER_NAME },
	[WAY_DOOR] = { by_door, FILTER_DOOR },
	[WAY_PATH] = { by_path, FILTER_NAME },
};

/* No other way would do better. */
static bool no_room(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM || err == -ENOBUFS;
}

/* A supervisor that accepts no connections costs CALL_TIMEOUT_S at most. Where no way leads to it,
 * the error is that of its name: it tells an end of the supervisor from another namespace's view
 * no worse than the others. */
int channel_connect(void)
{
	uint32_t first = __atomic_load_n(&last_way, __ATOMIC_RELAXED);
	int err = -EPERM;

	for (uint32_t i = 0; i < NR_WAYS; i++) {
		uint32_t way = (first + i) % NR_WAYS;
		int fd = filter_forbids(ways[way].filter) ? -EPERM : ways[way].connect();

		if (fd >= 0 && way != first)
			__atomic_store_n(&last_way, way, __ATOMIC_RELAXED);
		if (fd >= 0 || no_room(fd))
			return fd;
		if (way == WAY_NAME)
			err = fd;
	}
	return err;
}

void way_keep_door(void)
{
	uint64_t mask;
	struct stat st;
	int fd;
	long kept;

	if (door.fd < 0 || is_door(door.fd, door.inode))
		return;
	sys_block_signals(&mask);
	fd = channel_call_fd(CALL_DOOR, 0, 0);
	kept = fd < 0 ? fd : sys_fcntl(fd, F_DUPFD, door.fd);
	if (fd >= 0)
		sys_close(fd);
	if (kept >= 0 && !sys_call2(SYS_fstat, kept, &st)) {
		door.fd = (int)kept;
		door.inode = st.st_ino;
	}
	sys_restore_signals(&mask);
}
