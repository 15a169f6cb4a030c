/* serve/pipes.c - pages of clients that pipes refer to (vmsplice), until the pipes are through
 * with them.
 *
 * A pin is a range of a client that withdrawals leave alone (struct host_hold), and the queues it
 * may be in: first the pipe it was put into, then those that splice and tee passed it on to. A
 * queue is looked at from outside: a pipe is kept by a descriptor of its file without access
 * (O_PATH), which makes nobody a reader or writer of it, and opened for an instant to ask what is
 * in it; of a socket the program's own descriptor is borrowed for an instant. Nobody waits for a
 * program that has closed its end.
 *
 * I1  Bytes leave a pipe in the order they came: of pins that were passed on nowhere, those are
 *     over that lie before the bytes that are left. What was written otherwise counts as well, and
 *     makes them last longer, never shorter.
 * I2  The queues of a pin are looked at in the order they were added: bytes on their way from one
 *     to the next are found in one.
 * I3  Pins have at most a quarter of the limit: beyond that the oldest are given up.
 *
 * A pin names addresses; what the program maps there later is left alone for as long, no more.
 *
 * Lock: pipes->lock, rank LEAF: the lists, the queues' figures. The range itself belongs to the
 * client's batch_lock, of which the watcher only tries to get hold: a withdrawal may be waiting
 * for its client.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "serve/internal.h"

#define SHARE 4            /* I3 */
#define QUEUES_MAX 64      /* descriptors of ours */
#define PASSED_MAX 4

struct queue {
	struct list_head link;
	uint64_t dev, ino;
	int fd;                /* a pipe, O_PATH; -1: a socket */
	int pidfd, number;     /* of a socket: whose, and its descriptor there */
	unsigned users;        /* pins */
	int64_t holds, left;   /* bytes: in it; of them, not yet put down to a pin */
};

struct pin {
	struct host_hold hold;
	struct list_head link;
	struct client *client;     /* referenced */
	struct queue *queue[PASSED_MAX];
	unsigned n;
	bool over;
};

void pipes_init(struct pipes *p)
{
	spin_init(&p->lock, RANK_LEAF);
	list_init(&p->pins);
	list_init(&p->queues);
}

/* ---- queues; lock held ---- */

static void queue_put(struct pipes *p, struct queue *q)
{
	if (--q->users)
		return;
	list_del(&q->link);
	p->nr_queues--;
	if (q->fd >= 0)
		close(q->fd);
	if (q->pidfd >= 0)
		close(q->pidfd);
	plat_free(q);
}

static struct queue *queue_find(struct pipes *p, const struct stat *st)
{
	list_for_each(q, &p->queues, struct queue, link)
		if (q->ino == st->st_ino && q->dev == st->st_dev)
			return q;
	return NULL;
}

/* Descriptor @number of @c's, with its file's @st. -1: none. */
static int look_up(const struct client *c, int number, struct stat *st)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)c->host.pid, number);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st) == 0)
		return fd;
	close(fd);
	return -1;
}

/* The queue behind @number, new or known, with one user more. NULL: there is none, or no room for
 * it. */
static struct queue *queue_get(struct pipes *p, const struct client *c, int number)
{
	struct stat st;
	int fd = look_up(c, number, &st);
	struct queue *q = NULL;
	bool pipe;

	if (fd < 0)
		return NULL;
	pipe = S_ISFIFO(st.st_mode);
	q = pipe || S_ISSOCK(st.st_mode) ? queue_find(p, &st) : NULL;
	if (!q && (pipe || S_ISSOCK(st.st_mode)) && p->nr_queues < QUEUES_MAX && (q = plat_alloc(sizeof(*q)))) {
		*q = (struct queue){ .dev = st.st_dev, .ino = st.st_ino, .fd = -1, .pidfd = -1, .number = number };
		if (pipe)
			q->fd = fd;
		else
			q->pidfd = fcntl(c->host.pidfd, F_DUPFD_CLOEXEC, 0);
		list_add_tail(&q->link, &p->queues);
		p->nr_queues++;
	}
	if (!q || q->fd != fd)
		close(fd);
	if (q)
		q->users++;
	return q;
}

/* Opened as a reader, which no writer and no reader notices. */
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

static int64_t socket_bytes(const struct queue *q)
{
	int fd = (int)syscall(SYS_pidfd_getfd, q->pidfd, q->number, 0), n = 0;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) != 0 || st.st_ino != q->ino || st.st_dev != q->dev || ioctl(fd, SIOCOUTQ, &n) != 0)
		n = 0;
	close(fd);
	return n;
}

static void look_at_queues(struct pipes *p)
{
	list_for_each(q, &p->queues, struct queue, link) {
		q->holds = q->fd >= 0 ? pipe_bytes(q->fd) : socket_bytes(q);
		q->left = q->holds;
	}
}

/* ---- pins; lock held ---- */

static void pin_unlink(struct pipes *p, struct pin *pin)
{
	for (unsigned i = 0; i < pin->n; i++)
		queue_put(p, pin->queue[i]);
	pin->n = 0;
	list_del(&pin->link);
	p->pages -= (int64_t)((pin->hold.end - pin->hold.start) >> PAGE_SHIFT);
}

/* The youngest first (I1). */
static bool is_over(struct pin *pin)
{
	int64_t bytes = (int64_t)(pin->hold.end - pin->hold.start), in_it = 0;

	if (a32_load(&pin->client->ended))
		return true;
	if (pin->n == 1) {
		in_it = pin->queue[0]->left;
		pin->queue[0]->left -= in_it < bytes ? in_it : bytes;
	} else {
		for (unsigned i = 0; i < pin->n; i++)
			in_it += pin->queue[i]->holds;
	}
	return in_it == 0;
}

/* A pin to take away, off the list; NULL: none. */
static struct pin *next_over(struct pipes *p)
{
	list_for_each(pin, &p->pins, struct pin, link)
		if (pin->over) {
			pin_unlink(p, pin);
			return pin;
		}
	return NULL;
}

/* ---- without the lock ---- */

static void pin_free(struct pin *pin)
{
	client_put(pin->client);
	plat_free(pin);
}

/* Take away what is over. @wait: else what cannot be had now stays over, and is taken another
 * time. */
static void sweep(struct pipes *p, bool wait)
{
	for (;;) {
		struct pin *pin;
		struct spinlock *batch;

		spin_lock(&p->lock);
		pin = next_over(p);
		spin_unlock(&p->lock);
		if (!pin)
			return;
		batch = &pin->client->host.batch_lock;
		if (wait) {
			spin_lock(batch);
		} else if (!spin_trylock(batch)) {
			spin_lock(&p->lock);
			list_add(&pin->link, &p->pins);
			p->pages += (int64_t)((pin->hold.end - pin->hold.start) >> PAGE_SHIFT);
			spin_unlock(&p->lock);
			return;
		}
		list_del(&pin->hold.link);
		spin_unlock(batch);
		pin_free(pin);
	}
}

/* I3. */
static void give_up_oldest(struct pipes *p, int64_t most)
{
	int64_t pages;

	spin_lock(&p->lock);
	pages = p->pages;
	list_for_each(pin, &p->pins, struct pin, link) {
		if (pages <= most)
			break;
		pin->over = true;
		pages -= (int64_t)((pin->hold.end - pin->hold.start) >> PAGE_SHIFT);
	}
	spin_unlock(&p->lock);
	sweep(p, true);
}

int pipes_put(struct client *c, uint64_t start, uint64_t len, int number)
{
	struct pipes *p = &c->s->pipes;
	struct pin *pin = plat_alloc(sizeof(*pin));

	if (!pin)
		return -ENOMEM;
	*pin = (struct pin){ .hold = { .start = start, .end = start + len }, .client = c };
	client_ref(c);
	spin_lock(&c->host.batch_lock);
	list_add_tail(&pin->hold.link, &c->host.holds);
	spin_unlock(&c->host.batch_lock);
	spin_lock(&p->lock);
	pin->queue[0] = queue_get(p, c, number);
	pin->n = pin->queue[0] ? 1 : 0;
	pin->over = !pin->n;
	list_add_tail(&pin->link, &p->pins);
	p->pages += (int64_t)(len >> PAGE_SHIFT);
	spin_unlock(&p->lock);
	give_up_oldest(p, a64_load(&c->s->group->memory.max) / SHARE);
	return 0;
}

int pipes_pass_on(struct client *c, int in, int out)
{
	struct pipes *p = &c->s->pipes;
	struct queue *from = NULL, *to;
	struct stat st;
	int fd = look_up(c, in, &st);

	if (fd < 0)
		return -EBADF;
	close(fd);
	spin_lock(&p->lock);
	from = queue_find(p, &st);
	to = from ? queue_get(p, c, out) : NULL;
	list_for_each(pin, &p->pins, struct pin, link) {
		bool has = false, knows = false;

		for (unsigned i = 0; to && i < pin->n; i++) {
			has |= pin->queue[i] == from;
			knows |= pin->queue[i] == to;
		}
		if (!has || knows || pin->n == PASSED_MAX)
			continue;
		pin->queue[pin->n++] = to;
		to->users++;
	}
	if (to)
		queue_put(p, to);
	spin_unlock(&p->lock);
	return 0;
}

void pipes_look(struct supervisor *s)
{
	struct pipes *p = &s->pipes;

	spin_lock(&p->lock);
	if (!list_empty(&p->pins)) {
		look_at_queues(p);
		for (struct list_head *l = p->pins.prev; l != &p->pins; l = l->prev) {
			struct pin *pin = list_entry(l, struct pin, link);

			pin->over |= is_over(pin);
		}
	}
	spin_unlock(&p->lock);
	sweep(p, false);
}

void pipes_fini(struct pipes *p)
{
	list_for_each(pin, &p->pins, struct pin, link)
		pin->over = true;
	sweep(p, true);
	spin_fini(&p->lock);
}
