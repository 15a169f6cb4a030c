/* serve/find/listen.c - the thread that hears of forks and execs from the kernel (process
 * connector), and enters them into the lineage.
 *
 * Locks: none.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/client/lineage.h"
#include "serve/find/parts.h"
#include "serve/session/session.h"

#define RECEIVE_SIZE (8 << 20) /* bytes of messages that may be queued for us */
#define ACK_MS       200
/* messages before the answer, on a machine that forks all the time */
#define ACK_TRIES 10000

/* ---- what the kernel reports ---- */

static void heard(struct supervisor *s, const struct proc_event *e)
{
	bool ours = false;

	assert_thread(THREAD_LISTENER);
	if (e->what == PROC_EVENT_FORK) {
		ours = lineage_forked(s, e->event_data.fork.parent_tgid,
				      e->event_data.fork.child_tgid, e->timestamp_ns);
	} else if (e->what == PROC_EVENT_EXEC) {
		pid_t pid = e->event_data.exec.process_tgid;

		ours = lineage_executed(s, pid, e->timestamp_ns);
		if (ours)
			starting_told(s, pid);
	}
	if (ours)
		watcher_fresh(s);
}

union packet {
	struct nlmsghdr h;
	char bytes[1024];
};

/* The message in a packet of @n bytes from the kernel; NULL: it is not one. */
static const struct cn_msg *message(const union packet *p, ssize_t n,
				    const struct sockaddr_nl *from)
{
	const struct cn_msg *m = NLMSG_DATA(&p->h);

	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(*m) + sizeof(struct proc_event)) ||
	    from->nl_pid != 0 || m->id.idx != CN_IDX_PROC || m->id.val != CN_VAL_PROC)
		return NULL;
	return m;
}

static ssize_t receive(int sock, union packet *p, struct sockaddr_nl *from, int flags)
{
	socklen_t len = sizeof(*from);

	return recvfrom(sock, p, sizeof(*p), flags, (struct sockaddr *)from, &len);
}

static void read_all(struct find *f)
{
	struct sockaddr_nl from = { 0 };
	union packet p;
	ssize_t n;

	assert_thread(THREAD_LISTENER);
	while ((n = receive(f->sock, &p, &from, MSG_DONTWAIT)) >= 0 || errno == ENOBUFS ||
	       errno == EINTR) {
		const struct cn_msg *m = n < 0 ? NULL : message(&p, n, &from);
		struct proc_event e;

		if (n < 0 && errno == ENOBUFS)
			lineage_lost(f->s);
		if (!m)
			continue;
		memcpy(&e, m->data, sizeof(e)); /* the kernel does not align it */
		heard(f->s, &e);
	}
}

static void listen_main(void *arg)
{
	struct find *f = arg;

	thread_begin(THREAD_LISTENER);
	thread_hurry();
	while (!a32_load(&f->s->stopping)) {
		struct pollfd p[] = {
			{ .fd = f->sock, .events = POLLIN },
			{ .fd = f->s->stop_fd, .events = POLLIN },
		};

		if (poll(p, 2, -1) > 0 && p[0].revents)
			read_all(f);
	}
}

/* ---- listening ---- */

struct request {
	struct nlmsghdr h;
	struct cn_msg m;
	enum proc_cn_mcast_op op;
} __attribute__((packed));

static bool ask(int sock, enum proc_cn_mcast_op op, uint32_t seq)
{
	struct request r = {
		.h = { .nlmsg_len = sizeof(r), .nlmsg_type = NLMSG_DONE, .nlmsg_pid = 0 },
		.m = { .id = { CN_IDX_PROC, CN_VAL_PROC },
		       .seq = seq,
		       .ack = seq,
		       .len = sizeof(r.op) },
		.op = op,
	};

	return send(sock, &r, sizeof(r), 0) == sizeof(r);
}

#define AT_EVENT  (NLMSG_HDRLEN + sizeof(struct cn_msg))
#define AT(field) (AT_EVENT + offsetof(struct proc_event, field))

/* Pass only forks that create a process, execs, and the answer to our request: threads come and go
 * far more often. */
static void filter(int sock)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(what)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_NONE), 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_EXEC), 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_FORK), 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(event_data.fork.child_pid)),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(event_data.fork.child_tgid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, ~0u),
	};
	struct sock_fprog f = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	int size = RECEIVE_SIZE;

	(void)setsockopt(sock, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof(f));
	(void)setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

/* In another PID or user namespace the kernel silently ignores the request. */
static bool answered(int sock, uint32_t seq)
{
	for (int i = 0; i < ACK_TRIES; i++) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		struct sockaddr_nl from = { 0 };
		union packet packet;
		const struct cn_msg *m;
		struct proc_event e;

		if (poll(&p, 1, ACK_MS) <= 0)
			return false;
		m = message(&packet, receive(sock, &packet, &from, MSG_DONTWAIT), &from);
		if (!m)
			continue;
		memcpy(&e, m->data, sizeof(e));
		if (e.what == PROC_EVENT_NONE && m->ack == seq + 1)
			return e.event_data.ack.err == 0;
	}
	return false;
}

static int listen_to_kernel(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	int sock = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
	uint32_t seq = 0;

	if (sock < 0)
		return -1;
	filter(sock);
	if (getrandom(&seq, sizeof(seq), 0) == sizeof(seq) &&
	    bind(sock, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    ask(sock, PROC_CN_MCAST_LISTEN, seq) && answered(sock, seq))
		return sock;
	close(sock);
	return -1;
}

int listen_start(struct find *f)
{
	struct supervisor *s = f->s;
	int err;

	assert_thread(THREAD_MAIN);
	if (s->config.no_events)
		return 0;
	f->sock = listen_to_kernel();
	if (f->sock < 0)
		return 0;
	lineage_set_reported(s, true);
	err = plat_thread_start(&f->listener, "umemcg-lineage", listen_main, f);
	if (err) {
		close(f->sock);
		f->sock = -1;
		lineage_set_reported(s, false);
	}
	return err;
}

void listen_stop(struct find *f)
{
	if (f->sock < 0)
		return;
	plat_thread_join(&f->listener);
	/* Older kernels keep sending, to no listener. */
	(void)ask(f->sock, PROC_CN_MCAST_IGNORE, 0);
	close(f->sock);
	f->sock = -1;
	lineage_set_reported(f->s, false);
}
