/* plat/native/store_uring.c - batches of several runs, through io_uring.
 *
 * A small pool of lanes, each a ring and the state of the one batch it carries. store_submit puts
 * all runs of the batch on the ring with one system call; store_wait reaps them in the waiting
 * thread. No completion thread: it would cost one wake-up per batch. When all lanes are busy the
 * submitter transfers its runs itself.
 *
 * From lane_get a lane belongs to the submitter, then to the thread that waits for the batch, until
 * lane_put.
 *
 * Locks: uring->lock (LEAF) covers the free list, nothing else.
 */
#include "plat/native/store_native.h"

#if !HAVE_IO_URING

int store_uring_init(struct store_file *f)
{
	(void)f;
	return -ENOSYS;
}

#else

#include <liburing.h>

#define NR_LANES 8

struct lane {
	struct io_uring ring;
	struct lane *next_free; /* (L) uring->lock */
	bool has_ring;          /* the rest: the lane's owner */
	unsigned in_ring;       /* runs [0, in_ring) are in the kernel's hands */
	struct store_run runs[STORE_BATCH_MAX];
	struct iovec iov[STORE_BATCH_MAX]; /* run i's begin at iov[runs[i].first] */
};

struct uring {
	struct spinlock lock;
	struct lane *free; /* (L) */
	struct lane lanes[NR_LANES];
};

static struct lane *lane_get(struct uring *u)
{
	struct lane *lane;

	spin_lock(&u->lock);
	lane = u->free;
	if (lane)
		u->free = lane->next_free;
	spin_unlock(&u->lock);
	return lane;
}

static int lane_open_ring(struct lane *lane)
{
	int err = io_uring_queue_init(STORE_BATCH_MAX, &lane->ring, 0);

	lane->has_ring = !err;
	return err;
}

/* A lane without a ring stays off the list: the pool shrinks, nothing is lost. */
static void lane_put(struct uring *u, struct lane *lane)
{
	if (!lane->has_ring)
		return;
	spin_lock(&u->lock);
	lane->next_free = u->free;
	u->free = lane;
	spin_unlock(&u->lock);
}

static void fill_ring(struct store_file *f, struct store_batch *b, struct lane *lane, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&lane->ring);
		struct store_run run = lane->runs[i];
		struct iovec *iov = &lane->iov[run.first];
		unsigned nr_iov = store_run_iov(b, run, iov);
		uint64_t at = b->io[run.first].slot * STORE_PAGE_SIZE;

		/* The ring holds STORE_BATCH_MAX and was empty. */
		VM_BUG_ON(!sqe);
		if (b->write)
			io_uring_prep_writev(sqe, f->fd, iov, nr_iov, at);
		else
			io_uring_prep_readv(sqe, f->fd, iov, nr_iov, at);
		io_uring_sqe_set_data(sqe, (void *)(uintptr_t)i);
	}
}

/* Returns how many of @nr entries the kernel took: all of them, unless it ran out of a resource. */
static unsigned push_ring(struct lane *lane, unsigned nr)
{
	unsigned done = 0;

	while (done < nr) {
		int r = io_uring_submit(&lane->ring);

		if (r > 0)
			done += (unsigned)r;
		else if (r != -EINTR)
			break;
	}
	return done;
}

static void uring_submit(struct store *s, struct store_batch *b)
{
	struct store_file *f = store_file(s);
	struct store_run runs[STORE_BATCH_MAX];
	unsigned nr = store_begin(f, b, runs);
	struct lane *lane;

	if (!nr)
		return;
	lane = lane_get(f->engine);
	if (!lane) {
		for (unsigned i = 0; i < nr; i++)
			store_run_io(f, b, runs[i]);
		store_end(b);
		return;
	}
	for (unsigned i = 0; i < nr; i++)
		lane->runs[i] = runs[i];
	b->machine = lane;
	fill_ring(f, b, lane, nr);
	lane->in_ring = push_ring(lane, nr);
	for (unsigned i = lane->in_ring; i < nr; i++)
		store_run_io(f, b, runs[i]);
	/* Entries that the kernel refused must not go out with the lane's next batch. */
	if (lane->in_ring < nr)
		lane->has_ring = false;
}

static void reap_one(struct store_file *f, struct store_batch *b, struct lane *lane)
{
	struct io_uring_cqe *cqe;
	uintptr_t i;
	int res, err;

	do {
		err = io_uring_wait_cqe(&lane->ring, &cqe);
	} while (err == -EINTR || err == -EAGAIN);
	/* The kernel still owns the buffers: there is no way to continue. */
	VM_BUG_ON(err);
	i = (uintptr_t)io_uring_cqe_get_data(cqe);
	res = cqe->res;
	io_uring_cqe_seen(&lane->ring, cqe);
	store_run_done(f, b, lane->runs[i], res);
}

static void uring_wait(struct store *s, struct store_batch *b)
{
	struct store_file *f = store_file(s);
	struct lane *lane = b->machine;

	if (!lane)
		return;
	while (lane->in_ring) {
		reap_one(f, b, lane);
		lane->in_ring--;
	}
	if (!lane->has_ring) {
		io_uring_queue_exit(&lane->ring);
		lane_open_ring(lane);
	}
	lane_put(f->engine, lane);
	store_end(b);
}

static void uring_destroy(struct store *s)
{
	struct store_file *f = store_file(s);
	struct uring *u = f->engine;

	for (unsigned i = 0; i < NR_LANES; i++)
		if (u->lanes[i].has_ring)
			io_uring_queue_exit(&u->lanes[i].ring);
	spin_fini(&u->lock);
	plat_free(u);
	store_file_close(f);
}

static const struct store_ops uring_ops = {
	.name = "io_uring",
	.submit = uring_submit,
	.wait = uring_wait,
	.discard = store_file_discard,
	.destroy = uring_destroy,
};

int store_uring_init(struct store_file *f)
{
	struct uring *u = plat_alloc(sizeof(*u));

	if (!u)
		return -ENOMEM;
	/* One ring is enough; why the first one failed (ENOSYS, EPERM from a sandbox or a sysctl,
	 * ENOMEM from a limit) makes no difference to the caller. */
	for (unsigned i = 0; i < NR_LANES && !lane_open_ring(&u->lanes[i]); i++)
		;
	if (!u->lanes[0].has_ring) {
		plat_free(u);
		return -ENOSYS;
	}
	spin_init(&u->lock, RANK_LEAF);
	for (unsigned i = 0; i < NR_LANES; i++)
		lane_put(u, &u->lanes[i]);
	f->engine = u;
	f->store.ops = &uring_ops;
	return 0;
}

#endif
