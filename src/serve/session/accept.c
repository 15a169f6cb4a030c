/* serve/session/accept.c - new connections: by the supervisor's names, and through the door
 * (serve/channel/door.c). Only processes of the program get one.
 *
 * Locks: none. Control thread only.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/client/lineage.h"
#include "serve/process/proc.h"
#include "serve/session/conn.h"

#define SPEAK_TIMEOUT_NS (5 * 1000000000ull)
#define SILENT_MAX       256            /* silent new connections per process */
#define NO_ROOM_NS       (10 * 1000000) /* out of descriptors: how long to let others go on */
#define WALKS_MAX        16             /* walks to the ancestors, when one exits during the walk */

static bool too_many_silent(struct supervisor *s, pid_t pid)
{
	unsigned n = 0;

	assert_thread(THREAD_CONTROL);
	list_for_each(conn, &s->control->conns, struct conn, link)
		n += conn->kind == CONN_NEW && conn->pid == pid;
	return n >= SILENT_MAX;
}

/* Is the peer a client, or a descendant of one or of us? The socket's name is no secret
 * (/proc/net/unix): another process could make itself a member or get /dev/userfaultfd. */
static bool is_member(struct supervisor *s, pid_t peer)
{
	pid_t up, pid = peer;
	int walks = 0;

	assert_thread(THREAD_CONTROL);
	if (lineage_has(s, peer))
		return true;
	while (pid > 1 && pid != getpid()) {
		struct client *c = client_by_pid(s, pid);

		if (c) {
			client_put(c);
			return true;
		}
		up = proc_parent(pid);
		/* It was reaped after its child had named it: the child has another parent by
		 * now. */
		pid = up < 0 && pid != peer && walks++ < WALKS_MAX ? peer : up;
	}
	return pid == getpid();
}

/* The process at the other end of @fd may speak to us: its pid. Else 0. */
static pid_t welcome(struct supervisor *s, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	assert_thread(THREAD_CONTROL);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || cred.pid <= 0 ||
	    (geteuid() != 0 && cred.uid != geteuid()) || !is_member(s, cred.pid) ||
	    too_many_silent(s, cred.pid))
		return 0;
	return cred.pid;
}

/* Takes @fd. */
static void enter(struct supervisor *s, int fd, pid_t pid)
{
	struct conn *conn = pid ? plat_alloc(sizeof(*conn)) : NULL;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(fd >= 0);
	if (!conn) {
		close(fd);
		return;
	}
	conn->kind = CONN_NEW;
	conn->fd = fd;
	conn->pid = pid;
	conn->deadline_ns = plat_now_ns() + SPEAK_TIMEOUT_NS;
	list_add_tail(&conn->link, &s->control->conns);
	conn_watch(s, conn, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_ADD);
}

void accept_one(struct supervisor *s, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	assert_thread(THREAD_CONTROL);
	if (fd >= 0)
		enter(s, fd, welcome(s, fd));
	else if (errno == EMFILE || errno == ENFILE)
		plat_sleep_ns(NO_ROOM_NS);
}

/* Somebody shut it down, or asks for a connection. */
void accept_at_door(struct supervisor *s, struct conn *conn)
{
	int fd = door_request(&s->control->door), other;
	pid_t pid;

	assert_thread(THREAD_CONTROL);
	if (fd == -EPIPE)
		(void)epoll_ctl(s->control_ep, EPOLL_CTL_DEL, conn->fd, NULL);
	if (fd < 0)
		return;
	pid = welcome(s, fd);
	other = pid ? door_answer(fd) : -EPERM;
	if (other >= 0)
		enter(s, other, pid);
	else if (other == -EMFILE || other == -ENFILE)
		plat_sleep_ns(NO_ROOM_NS);
	close(fd);
}
