/* agent/channel.c - the connection to the supervisor: send and receive with descriptors, calls. How
 * it is made: way.c.
 *
 * Raw system calls only: the helper and signal handlers use this. Every call makes a new
 * connection, so that program threads never share one.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/sys.h"

void msg_init(struct msg_head *h, enum msg_type type, uint64_t seq)
{
	h->magic = PROTO_MAGIC;
	h->type = type;
	h->seq = seq;
}

bool msg_is(const struct msg_head *h, enum msg_type type)
{
	return h->magic == PROTO_MAGIC && h->type == type;
}

/* Send one packet, with the descriptor @attach unless it is negative. */
int channel_send(int fd, const void *msg, size_t size, int attach)
{
	AGENT_ASSERT(fd >= 0 && size > 0);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = (void *)msg, .iov_len = size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	long n;

	if (attach >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)(void *)CMSG_DATA(&control.head) = attach;
	}
	do
		n = sys_call3(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
	while (n == -EINTR || n == -EAGAIN);
	return n == (long)size ? 0 : n < 0 ? (int)n : -EMSGSIZE;
}

/* Receive one packet of at most @size bytes: its size, 0 at the end of the connection, -EBADMSG for
 * a longer one. *@attached receives the descriptor that came with it, or -1; with @attached NULL
 * the kernel drops it. -EMFILE: a descriptor came, and the process is at its limit. */
int channel_recv(int fd, void *msg, size_t size, int flags, int *attached)
{
	AGENT_ASSERT(fd >= 0 && size > 0);
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = msg, .iov_len = size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	long n;

	if (attached) {
		*attached = -1;
		m.msg_control = &control;
		m.msg_controllen = sizeof control;
	}
	do
		n = sys_call3(SYS_recvmsg, fd, &m, flags | MSG_CMSG_CLOEXEC);
	while (n == -EINTR);
	if (n < 0)
		return (int)n;
	if (attached && m.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.head.cmsg_level == SOL_SOCKET && control.head.cmsg_type == SCM_RIGHTS)
		*attached = *(int *)(void *)CMSG_DATA(&control.head);
	if (m.msg_flags & MSG_TRUNC) {
		if (attached && *attached >= 0)
			sys_close(*attached);
		return -EBADMSG;
	}
	if (attached && *attached < 0 && m.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	return (int)n;
}

/* The same, within @timeout_ms. */
int channel_recv_timed(int fd, void *msg, size_t size, int flags, int *attached, int timeout_ms)
{
	struct timespec limit = { .tv_sec = timeout_ms / 1000,
				  .tv_nsec = timeout_ms % 1000 * 1000000L };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	long n;

	AGENT_ASSERT(fd >= 0 && timeout_ms >= 0);
	do
		n = sys_call5(SYS_ppoll, &p, 1, &limit, 0, 0);
	while (n == -EINTR);
	if (n <= 0)
		return n ? (int)n : -ETIMEDOUT;
	return channel_recv(fd, msg, size, flags | MSG_DONTWAIT, attached);
}

/* 0: there is a @reply, which may carry -errno. *@attached as in channel_recv. */
static int ask_on(int fd, struct msg_call *call, struct msg_call_reply *reply, int *attached)
{
	int n;

	AGENT_ASSERT(!maplock_is_mine());
	msg_init(&call->h, MSG_CALL, 1);
	n = channel_send(fd, call, sizeof *call, -1);
	if (n < 0)
		return n;
	n = channel_recv_timed(fd, reply, sizeof *reply, 0, attached, CALL_TIMEOUT_S * 1000);
	if (n < 0)
		return n;
	return n == sizeof *reply && msg_is(&reply->h, MSG_CALL_REPLY) ? 0 : -EPROTO;
}

static int call_on(int fd, enum call_op op, uint64_t start, uint64_t len, uint64_t *value,
		   int *attached)
{
	struct msg_call call = { .op = op, .start = start, .len = len };
	struct msg_call_reply reply;
	int err = ask_on(fd, &call, &reply, attached);

	if (err)
		return err;
	*value = reply.value;
	return reply.error;
}

/* One complete request, with signals blocked. 0: there is a @reply; else there was no answer. */
int channel_ask(struct msg_call *call, struct msg_call_reply *reply, int *attached)
{
	uint64_t mask;
	int fd, err;

	AGENT_ASSERT(!maplock_is_mine());
	*attached = -1;
	sys_block_signals(&mask);
	fd = channel_connect();
	err = fd < 0 ? fd : ask_on(fd, call, reply, attached);
	if (fd >= 0)
		sys_close(fd);
	sys_restore_signals(&mask);
	return err;
}

/* One request whose connection the caller closes: the descriptor, or -errno. */
int channel_call_open(enum call_op op, uint64_t start, uint64_t len, uint64_t *value)
{
	int fd = channel_connect();
	int err;

	if (fd < 0)
		return fd;
	err = call_on(fd, op, start, len, value, NULL);
	if (!err)
		return fd;
	sys_close(fd);
	return err < 0 ? err : -EPROTO;
}

/* One request, with signals blocked: 0 or -errno. */
int channel_call(enum call_op op, uint64_t start, uint64_t len)
{
	uint64_t mask, value;
	int fd;

	AGENT_ASSERT(!maplock_is_mine());
	sys_block_signals(&mask);
	fd = channel_call_open(op, start, len, &value);
	if (fd >= 0)
		sys_close(fd);
	sys_restore_signals(&mask);
	return fd < 0 ? fd : 0;
}

/* One request that is answered with a descriptor: it, or -errno. The caller blocks signals. */
int channel_call_fd(enum call_op op, uint64_t start, uint64_t len)
{
	int fd = channel_connect(), got = -1, err;
	uint64_t value;

	AGENT_ASSERT(sys_signals_blocked());
	AGENT_ASSERT(!maplock_is_mine());
	if (fd < 0)
		return fd;
	err = call_on(fd, op, start, len, &value, &got);
	sys_close(fd);
	if (!err && got >= 0)
		return got;
	if (got >= 0)
		sys_close(got);
	return err < 0 ? err : -EPROTO;
}
