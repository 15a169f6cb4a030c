/* serve/channel/packet.c - packets: one message each, at most one descriptor attached.
 *
 * Locks: none.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/channel/channel.h"
#include "serve/process/process.h"

int msg_send(int sock, const void *msg, size_t size, int fd)
{
	VM_ASSERT(size >= sizeof(struct msg_head));
	return socket_send(sock, msg, size, fd, MSG_DONTWAIT);
}

/* Keep the first descriptor of a packet, close any others. */
static void take_fds(struct msghdr *m, int *fd)
{
	VM_ASSERT(*fd == -1);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (*fd < 0)
				*fd = got;
			else
				close(got);
		}
	}
}

ssize_t msg_recv(int sock, void *buf, size_t size, int flags, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { buf, size };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	VM_ASSERT(sock >= 0 && size >= sizeof(struct msg_head));
	*fd = -1;
	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	take_fds(&m, fd);
	return m.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

bool head_valid(const struct msg_head *h, ssize_t got, uint32_t type, size_t want)
{
	VM_ASSERT(type > 0 && type < NR_MSG_TYPES && want >= sizeof(*h));
	return got == (ssize_t)want && h->magic == PROTO_MAGIC && h->type == type;
}
