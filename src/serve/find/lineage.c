/* serve/find/lineage.c - the set of processes that descend from the program, and the thread that listens
 * for them. See lineage.h.
 *
 * Two threads change the set: this one and the find thread (find.c). A fork is reported before the
 * child runs, so the child's own forks find it there. A report about a stranger costs one lookup in
 * the set. When messages were lost (ENOBUFS) or there is no memory for the set, the find thread
 * walks the tree.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/internal.h"

#define GONE         ((pid_t)-1)
#define CAP_MIN      256
#define RECEIVE_SIZE (8 << 20)      /* bytes of messages that may be queued for us */
#define ACK_MS       200
/* messages before the answer, on a machine that forks all the time */
#define ACK_TRIES    10000

/* ---- the set; lock held ---- */

static unsigned place(const struct lineage *l, pid_t pid)
{
	return (unsigned)pid * 2654435761u & (l->cap - 1);
}

/* Its slot, or the free slot where the search ends. NULL: no table yet. */
static pid_t *find(struct lineage *l, pid_t pid)
{
	unsigned i;

	if (!l->cap)
		return NULL;
	for (i = place(l, pid); l->slot[i] && l->slot[i] != pid;)
		i = (i + 1) & (l->cap - 1);
	return &l->slot[i];
}

/* Rebuild without those that are gone, in a table that is at most a quarter full. */
static bool rebuild(struct lineage *l)
{
	pid_t *old = l->slot, *p;
	unsigned old_cap = l->cap, nr = 0, cap = CAP_MIN;

	for (unsigned i = 0; i < old_cap; i++)
		nr += old[i] > 0;
	while (cap < 4 * (nr + 1))
		cap *= 2;
	p = plat_alloc(cap * sizeof(*p));
	if (!p)
		return false;
	l->slot = p;
	l->cap = cap;
	l->used = nr;
	for (unsigned i = 0; i < old_cap; i++)
		if (old[i] > 0)
			*find(l, old[i]) = old[i];
	plat_free(old);
	return true;
}

static void add(struct lineage *l, pid_t pid)
{
	pid_t *p;

	VM_BUG_ON(pid <= 0);
	p = find(l, pid);
	if (p && *p == pid)
		return;
	if (2 * (l->used + 1) > l->cap && !rebuild(l)) {
		l->lost = true;
		return;
	}
	*find(l, pid) = pid;
	l->used++;
}

static bool has(struct lineage *l, pid_t pid)
{
	const pid_t *p = find(l, pid);

	return p && *p == pid;
}

static void drop(struct lineage *l, pid_t pid)
{
	pid_t *p = find(l, pid);

	if (p && *p == pid)
		*p = GONE;
}

static void note(struct lineage *l, pid_t pid, uint64_t since_ns)
{
	if (l->nr_fresh < LINEAGE_FRESH)
		l->fresh[l->nr_fresh++] = (struct fresh){ pid, since_ns };
	else
		l->lost = true;
}

/* ---- for others ---- */

void lineage_add(struct supervisor *s, pid_t pid)
{
	spin_lock(&s->lineage.lock);
	add(&s->lineage, pid);
	spin_unlock(&s->lineage.lock);
}

void lineage_note(struct supervisor *s, pid_t pid)
{
	if (pid <= 0)
		return;
	spin_lock(&s->lineage.lock);
	note(&s->lineage, pid, plat_now_ns());
	spin_unlock(&s->lineage.lock);
	watcher_fresh(s);
}

bool lineage_has(struct supervisor *s, pid_t pid)
{
	bool yes;

	spin_lock(&s->lineage.lock);
	yes = has(&s->lineage, pid);
	spin_unlock(&s->lineage.lock);
	return yes;
}

unsigned lineage_take(struct supervisor *s, struct fresh *fresh, unsigned max, bool *lost)
{
	struct lineage *l = &s->lineage;
	unsigned n;

	spin_lock(&l->lock);
	n = l->nr_fresh < max ? l->nr_fresh : max;
	memcpy(fresh, l->fresh, n * sizeof(*fresh));
	memmove(l->fresh, l->fresh + n, (l->nr_fresh - n) * sizeof(*fresh));
	l->nr_fresh -= n;
	*lost = l->lost;
	l->lost = false;
	spin_unlock(&l->lock);
	return n;
}

/* A pid found free may be given to a child of ours before it is dropped: check again under the
 * lock, where no fork is applied in between. */
void lineage_prune(struct supervisor *s)
{
	struct lineage *l = &s->lineage;

	for (unsigned i = 0;; i++) {
		pid_t pid;

		spin_lock(&l->lock);
		if (i >= l->cap) {
			spin_unlock(&l->lock);
			return;
		}
		pid = l->slot[i];
		spin_unlock(&l->lock);
		if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		spin_lock(&l->lock);
		if (kill(pid, 0) != 0 && errno == ESRCH)
			drop(l, pid);
		spin_unlock(&l->lock);
	}
}

/* ---- what the kernel tells ---- */

static void heard(struct supervisor *s, const struct proc_event *e)
{
	struct lineage *l = &s->lineage;
	bool ours = false;
	pid_t executed = 0;

	spin_lock(&l->lock);
	if (e->what == PROC_EVENT_FORK) {
		pid_t parent = e->event_data.fork.parent_tgid, child = e->event_data.fork.child_tgid;

		ours = has(l, parent) || parent == getpid();
		if (ours) {
			add(l, child);
			note(l, child, e->timestamp_ns);
		} else {
			drop(l, child);  /* a new process that reuses the pid of one of ours */
		}
	} else if (e->what == PROC_EVENT_EXEC && has(l, e->event_data.exec.process_tgid)) {
		ours = true;
		executed = e->event_data.exec.process_tgid;
		note(l, executed, e->timestamp_ns);
	}
	spin_unlock(&l->lock);
	if (executed)
		starting_told(s, executed);
	if (ours)
		watcher_fresh(s);
}

static void lost_some(struct supervisor *s)
{
	spin_lock(&s->lineage.lock);
	s->lineage.lost = true;
	spin_unlock(&s->lineage.lock);
	watcher_fresh(s);
}

union packet {
	struct nlmsghdr h;
	char bytes[1024];
};

/* The message in a packet of @n bytes from the kernel; NULL: it is not one. */
static const struct cn_msg *message(const union packet *p, ssize_t n, const struct sockaddr_nl *from)
{
	const struct cn_msg *m = NLMSG_DATA(&p->h);

	if (n < (ssize_t)(NLMSG_HDRLEN + sizeof(*m) + sizeof(struct proc_event)) || from->nl_pid != 0 ||
	    m->id.idx != CN_IDX_PROC || m->id.val != CN_VAL_PROC)
		return NULL;
	return m;
}

static ssize_t receive(int sock, union packet *p, struct sockaddr_nl *from, int flags)
{
	socklen_t len = sizeof(*from);

	return recvfrom(sock, p, sizeof(*p), flags, (struct sockaddr *)from, &len);
}

static void read_all(struct supervisor *s)
{
	struct sockaddr_nl from = { 0 };
	union packet p;
	ssize_t n;

	while ((n = receive(s->lineage.sock, &p, &from, MSG_DONTWAIT)) >= 0 || errno == ENOBUFS || errno == EINTR) {
		const struct cn_msg *m = n < 0 ? NULL : message(&p, n, &from);
		struct proc_event e;

		if (n < 0 && errno == ENOBUFS)
			lost_some(s);
		if (!m)
			continue;
		memcpy(&e, m->data, sizeof(e));  /* the kernel does not align it */
		heard(s, &e);
	}
}

static void lineage_main(void *arg)
{
	struct supervisor *s = arg;

	watcher_hurry();
	while (!a32_load(&s->stopping)) {
		struct pollfd p[] = {
			{ .fd = s->lineage.sock, .events = POLLIN },
			{ .fd = s->stop_fd, .events = POLLIN },
		};

		if (poll(p, 2, -1) > 0 && p[0].revents)
			read_all(s);
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
		.m = { .id = { CN_IDX_PROC, CN_VAL_PROC }, .seq = seq, .ack = seq, .len = sizeof(r.op) },
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
	if (getrandom(&seq, sizeof(seq), 0) == sizeof(seq) && bind(sock, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	    ask(sock, PROC_CN_MCAST_LISTEN, seq) && answered(sock, seq))
		return sock;
	close(sock);
	return -1;
}

void lineage_init(struct supervisor *s)
{
	spin_init_urgent(&s->lineage.lock, RANK_LEAF);
	s->lineage.sock = -1;
}

int lineage_start(struct supervisor *s)
{
	struct lineage *l = &s->lineage;
	int err;

	if (s->config.no_events)
		return 0;
	l->sock = listen_to_kernel();
	if (l->sock < 0)
		return 0;
	err = plat_thread_start(&l->thread, "umemcg-lineage", lineage_main, s);
	if (err) {
		close(l->sock);
		l->sock = -1;
	}
	return err;
}

void lineage_stop(struct supervisor *s)
{
	struct lineage *l = &s->lineage;

	if (l->sock >= 0) {
		plat_thread_join(&l->thread);
		/* Older kernels keep sending, to no listener. */
		(void)ask(l->sock, PROC_CN_MCAST_IGNORE, 0);
		close(l->sock);
		l->sock = -1;
	}
	plat_free(l->slot);
	l->slot = NULL;
	l->cap = l->used = 0;
	spin_fini(&l->lock);
}
