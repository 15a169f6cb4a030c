/* serve/shared/pipes.c - pages of clients that pipes refer to (vmsplice), until the pipes have
 * released them.
 *
 * A pin is a range of a client that withdrawals leave alone (struct host_hold), together with the
 * queues it may be in: first the pipe it was put into, then those that splice and tee passed it on
 * to. A queue is examined from outside. For a pipe we keep a descriptor of its file without access
 * (O_PATH), which adds no reader or writer, and open it briefly to ask how much is in it. For a
 * socket, or a pipe with a name, we briefly borrow the program's own descriptor. So no peer keeps
 * waiting for an end that the program has closed.
 *
 * I1  Bytes leave a pipe in the order they came: a pin that was not passed on is over once the
 *     bytes left in the pipe are all younger. Bytes written otherwise count as well; they make pins
 *     last longer, never shorter.
 * I2  The queues of a pin are examined in the order they were added: bytes in transit from one to
 *     the next are found in one of them.
 * I3  Pins cover at most a quarter of the limit, and there are at most PINS_MAX, and
 *     PINS_CLIENT_MAX per client: beyond that the oldest are given up.
 * I4  A pin is judged by an examination of its queues that began after the pin last changed.
 * I5  No file is queried before it is known to be a pipe or a socket: a client may name any
 *     descriptor, and other files answer only when their server does.
 *
 * A range that is already in a queue gets no second pin when it is put there again.
 *
 * A pin names addresses; what the program maps there later is left alone just as long.
 *
 * Lock: pipes->lock, rank LEAF: the lists, the byte counts of queues, client->nr_pins. No file is
 * opened, queried or closed under it. The range itself belongs to the client's batch_lock, which
 * the watcher takes by trylock only: a withdrawal may be waiting for its client.
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
#include "serve/shared/shared.h"

#define SHARE           4 /* I3 */
#define PINS_MAX        4096
#define PINS_CLIENT_MAX 1024
#define QUEUES_MAX      64 /* descriptors of ours */
#define PASSED_MAX      4

struct pipes {
	struct spinlock lock;          /* rank LEAF: all below */
	struct list_head pins, queues; /* struct pin, the oldest first; struct queue */
	unsigned nr_queues, nr_pins;
	int64_t pages;  /* of all pins */
	uint64_t looks; /* that have begun */
};

struct pin {
	struct host_hold hold;
	struct list_head link;
	struct client *client; /* referenced */
	struct queue *queue[PASSED_MAX];
	unsigned n;
	int64_t bytes;    /* at most, what was put in last */
	uint64_t changed; /* number of the latest examination at the last change (I4) */
	bool over;
};

int pipes_init(struct supervisor *s)
{
	struct pipes *p;

	if (supervisor_part(&s->pipes, sizeof(*p)))
		return -ENOMEM;
	p = s->pipes;
	spin_init(&p->lock, RANK_LEAF);
	list_init(&p->pins);
	list_init(&p->queues);
	return 0;
}

/* ---- queues; lock held ---- */

/* With its last user the queue goes to @dead, for queue_free. */
static void queue_put(struct pipes *p, struct queue *q, struct list_head *dead)
{
	lockdep_assert_held(&p->lock);
	VM_ASSERT(q->users > 0);
	if (--q->users)
		return;
	list_del(&q->link);
	p->nr_queues--;
	list_add_tail(&q->link, dead);
}

static struct queue *queue_find(struct pipes *p, uint64_t dev, uint64_t ino)
{
	lockdep_assert_held(&p->lock);
	list_for_each(q, &p->queues, struct queue, link)
		if (q->ino == ino && q->dev == dev)
			return q;
	return NULL;
}

/* The known queue for @fresh, or @fresh entered, with one more user. NULL: no room. A queue that is
 * not entered goes to @dead. */
static struct queue *queue_enter(struct pipes *p, struct queue *fresh, struct list_head *dead)
{
	struct queue *q = queue_find(p, fresh->dev, fresh->ino);

	lockdep_assert_held(&p->lock);
	VM_ASSERT(fresh->users == 1);
	if (!q && p->nr_queues < QUEUES_MAX) {
		list_add_tail(&fresh->link, &p->queues);
		p->nr_queues++;
		return fresh;
	}
	if (q)
		q->users++;
	list_add_tail(&fresh->link, dead);
	return q;
}

/* Without the lock. */
static void queues_free(struct list_head *dead)
{
	while (!list_empty(dead)) {
		struct queue *q = list_first(dead, struct queue, link);

		list_del(&q->link);
		queue_free(q);
	}
}

/* ---- pins; lock held ---- */

static int64_t pages_of(const struct pin *pin)
{
	return (int64_t)((pin->hold.end - pin->hold.start) >> PAGE_SHIFT);
}

static void pin_link(struct pipes *p, struct pin *pin)
{
	lockdep_assert_held(&p->lock);
	list_add_tail(&pin->link, &p->pins);
	p->pages += pages_of(pin);
	p->nr_pins++;
	pin->client->nr_pins++;
}

static void pin_unlink(struct pipes *p, struct pin *pin, struct list_head *dead)
{
	lockdep_assert_held(&p->lock);
	VM_ASSERT(p->nr_pins > 0 && pin->client->nr_pins > 0);
	for (unsigned i = 0; i < pin->n; i++)
		queue_put(p, pin->queue[i], dead);
	pin->n = 0;
	list_del(&pin->link);
	p->pages -= pages_of(pin);
	p->nr_pins--;
	pin->client->nr_pins--;
}

static bool is_in(const struct pin *pin, const struct queue *q)
{
	for (unsigned i = 0; i < pin->n; i++)
		if (pin->queue[i] == q)
			return true;
	return false;
}

/* A pin that covers all of @pin and lasts as long: it stands for both, as the youngest. */
static bool merge(struct pipes *p, const struct pin *pin, const struct queue *q)
{
	lockdep_assert_held(&p->lock);
	list_for_each(old, &p->pins, struct pin, link) {
		if (old->over || old->client != pin->client || old->hold.start > pin->hold.start ||
		    old->hold.end < pin->hold.end || !is_in(old, q))
			continue;
		old->bytes = pin->bytes;
		old->changed = p->looks;
		list_del(&old->link);
		list_add_tail(&old->link, &p->pins);
		return true;
	}
	return false;
}

/* Youngest first (I1). */
static bool is_over(struct pin *pin)
{
	int64_t in_it = 0;

	lockdep_assert_held(&pin->client->s->pipes->lock);
	if (client_has_ended(pin->client))
		return true;
	if (pin->n == 1) {
		in_it = pin->queue[0]->left;
		pin->queue[0]->left -= in_it < pin->bytes ? in_it : pin->bytes;
	} else {
		for (unsigned i = 0; i < pin->n; i++)
			in_it += pin->queue[i]->holds;
	}
	return in_it == 0;
}

/* Takes a pin to remove off the list; NULL: none. */
static struct pin *next_over(struct pipes *p, struct list_head *dead)
{
	lockdep_assert_held(&p->lock);
	list_for_each(pin, &p->pins, struct pin, link)
		if (pin->over) {
			pin_unlink(p, pin, dead);
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

/* Removes pins that are over. Without @wait, those whose locks are not free now stay for the next
 * time. */
static void sweep(struct pipes *p, bool wait)
{
	for (;;) {
		struct list_head dead;
		struct pin *pin;
		struct spinlock *batch;

		list_init(&dead);
		spin_lock(&p->lock);
		pin = next_over(p, &dead);
		spin_unlock(&p->lock);
		queues_free(&dead);
		if (!pin)
			return;
		batch = &pin->client->host.batch_lock;
		if (wait) {
			spin_lock(batch);
		} else if (!spin_trylock(batch)) {
			spin_lock(&p->lock);
			pin_link(p, pin);
			spin_unlock(&p->lock);
			return;
		}
		list_del(&pin->hold.link);
		spin_unlock(batch);
		pin_free(pin);
	}
}

/* I3. */
static void give_up_oldest(struct client *c)
{
	struct pipes *p = c->s->pipes;
	int64_t pages, most = a64_load(&c->s->group->memory.max) / SHARE;
	unsigned all, of_client;

	spin_lock(&p->lock);
	pages = p->pages;
	all = p->nr_pins;
	of_client = c->nr_pins;
	list_for_each(pin, &p->pins, struct pin, link) {
		bool too_many = of_client > PINS_CLIENT_MAX && pin->client == c;

		if (pages <= most && all <= PINS_MAX && of_client <= PINS_CLIENT_MAX)
			break;
		if (pages <= most && all <= PINS_MAX && !too_many)
			continue;
		pin->over = true;
		pages -= pages_of(pin);
		all--;
		of_client -= pin->client == c;
	}
	spin_unlock(&p->lock);
	sweep(p, true);
}

/* Enter @pin, whose queue is @fresh. False: not needed, or no room. */
static bool put(struct pipes *p, struct pin *pin, struct queue *fresh)
{
	struct list_head dead;
	struct queue *q;
	bool enters;

	VM_ASSERT(pin->hold.start < pin->hold.end);
	list_init(&dead);
	spin_lock(&p->lock);
	q = queue_enter(p, fresh, &dead);
	enters = q && !merge(p, pin, q);
	if (enters) {
		pin->queue[0] = q;
		pin->n = 1;
		pin->changed = p->looks;
		pin_link(p, pin);
	} else if (q) {
		queue_put(p, q, &dead);
	}
	spin_unlock(&p->lock);
	queues_free(&dead);
	return enters;
}

int pipes_put(struct client *c, uint64_t start, uint64_t len, int number)
{
	struct queue *fresh;
	struct pin *pin;

	assert_thread(THREAD_CALL);
	assert_referenced(c);
	if (!len)
		return -EINVAL;
	fresh = queue_new(c, number);
	if (!fresh)
		return -EBADF;
	pin = plat_alloc(sizeof(*pin));
	if (!pin) {
		queue_free(fresh);
		return -ENOMEM;
	}
	*pin = (struct pin){ .hold = { .start = start & ~(PAGE_SIZE - 1),
				       .end = (start + len + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1) },
			     .bytes = (int64_t)len,
			     .client = c };
	client_ref(c);
	spin_lock(&c->host.batch_lock);
	list_add_tail(&pin->hold.link, &c->host.holds);
	spin_unlock(&c->host.batch_lock);
	if (put(c->s->pipes, pin, fresh)) {
		give_up_oldest(c);
		return 0;
	}
	spin_lock(&c->host.batch_lock);
	list_del(&pin->hold.link);
	spin_unlock(&c->host.batch_lock);
	pin_free(pin);
	return 0;
}

int pipes_pass_on(struct client *c, int in, int out)
{
	struct pipes *p = c->s->pipes;
	struct queue *from, *to, *fresh;
	struct list_head dead;
	struct file_id id;

	assert_thread(THREAD_CALL);
	assert_referenced(c);
	if (!queue_look_up(c->host.pid, in, &id) || !(fresh = queue_new(c, out)))
		return -EBADF;
	list_init(&dead);
	spin_lock(&p->lock);
	from = queue_find(p, id.dev, id.ino);
	to = queue_enter(p, fresh, &dead);
	list_for_each(pin, &p->pins, struct pin, link) {
		if (!from || !to || !is_in(pin, from))
			continue;
		pin->changed = p->looks;
		if (is_in(pin, to) || pin->n == PASSED_MAX)
			continue;
		pin->queue[pin->n++] = to;
		to->users++;
	}
	if (to)
		queue_put(p, to, &dead);
	spin_unlock(&p->lock);
	queues_free(&dead);
	return 0;
}

void pipes_look(struct supervisor *s)
{
	struct pipes *p = s->pipes;
	struct queue *queue[QUEUES_MAX];
	struct list_head dead;
	unsigned n = 0;
	uint64_t look;

	assert_thread(THREAD_WATCHER);
	list_init(&dead);
	spin_lock(&p->lock);
	look = ++p->looks;
	list_for_each(q, &p->queues, struct queue, link) {
		q->users++;
		queue[n++] = q;
	}
	spin_unlock(&p->lock);
	for (unsigned i = 0; i < n; i++)
		queue[i]->holds = queue_bytes(queue[i]);
	spin_lock(&p->lock);
	for (unsigned i = 0; i < n; i++)
		queue[i]->left = queue[i]->holds;
	for (struct list_head *l = p->pins.prev; l != &p->pins; l = l->prev) {
		struct pin *pin = list_entry(l, struct pin, link);

		if (pin->changed < look)
			pin->over |= is_over(pin);
	}
	for (unsigned i = 0; i < n; i++)
		queue_put(p, queue[i], &dead);
	spin_unlock(&p->lock);
	queues_free(&dead);
	sweep(p, false);
}

void pipes_fini(struct supervisor *s)
{
	struct pipes *p = s->pipes;

	list_for_each(pin, &p->pins, struct pin, link)
		pin->over = true;
	sweep(p, true);
	spin_fini(&p->lock);
	plat_free(p);
	s->pipes = NULL;
}
