/* plat/native/store_threads.c - batches of several runs, on a few threads.
 *
 * The engine used if io_uring is missing or refused. A batch takes a lane; the pool's threads and
 * the thread that waits for the batch take its runs one by one, so the waiter works instead of only
 * sleeping. When all lanes are busy the submitter transfers its runs itself.
 *
 * A lane belongs to its batch from store_submit to store_wait, which gives it back and calls
 * end_io: so the waiting thread ends what it began (page locks, which a debug build tracks per
 * thread).
 *
 * Locks: pool->lock (LEAF) covers every field of the pool and its lanes marked (L); never held over
 * a transfer or end_io.
 */
#include "plat/native/store_native.h"

#define NR_LANES   16
#define NR_THREADS 4

struct lane {
	struct store_batch *batch;              /* (L) */
	struct lane *next;                      /* (L) on the queue or the free list */
	unsigned nr, taken, done;               /* (L) runs; taken <= nr, done <= taken */
	struct store_run runs[STORE_BATCH_MAX]; /* set before it is queued */
};

struct pool {
	struct spinlock lock;
	pthread_cond_t work;      /* a lane was queued, or stop */
	pthread_cond_t finished;  /* a lane's runs are done */
	struct lane *head, *tail; /* (L) the queue: lanes with untaken runs */
	struct lane *free;        /* (L) */
	bool stop;                /* (L) */
	struct store_file *file;  /* constant, as is what follows */
	unsigned nr_threads;
	struct plat_thread threads[NR_THREADS];
	struct lane lanes[NR_LANES];
};

static void queue_add(struct pool *p, struct lane *lane)
{
	lane->next = NULL;
	if (p->head)
		p->tail->next = lane;
	else
		p->head = lane;
	p->tail = lane;
}

static void queue_del(struct pool *p, struct lane *lane)
{
	struct lane *prev = NULL;

	for (struct lane *l = p->head; l != lane; l = l->next)
		prev = l;
	if (prev)
		prev->next = lane->next;
	else
		p->head = lane->next;
	if (p->tail == lane)
		p->tail = prev;
}

/* Take one run of @lane and do it. Called with the lock held; drops and retakes it. */
static void lane_step(struct pool *p, struct lane *lane)
{
	struct store_run run = lane->runs[lane->taken++];

	if (lane->taken == lane->nr)
		queue_del(p, lane);
	spin_unlock(&p->lock);
	store_run_io(p->file, lane->batch, run);
	spin_lock(&p->lock);
	if (++lane->done == lane->nr)
		pthread_cond_broadcast(&p->finished);
}

static void worker(void *arg)
{
	struct pool *p = arg;

	spin_lock(&p->lock);
	for (;;) {
		if (p->head)
			lane_step(p, p->head);
		else if (p->stop)
			break;
		else
			pthread_cond_wait(&p->work, &p->lock.m);
	}
	spin_unlock(&p->lock);
}

static void threads_submit(struct store *s, struct store_batch *b)
{
	struct store_file *f = store_file(s);
	struct pool *p = f->engine;
	struct store_run runs[STORE_BATCH_MAX];
	unsigned nr = store_begin(f, b, runs);
	struct lane *lane;

	if (!nr)
		return;
	spin_lock(&p->lock);
	lane = p->free;
	if (lane) {
		p->free = lane->next;
		lane->batch = b;
		lane->nr = nr;
		lane->taken = lane->done = 0;
		for (unsigned i = 0; i < nr; i++)
			lane->runs[i] = runs[i];
		b->machine = lane;
		queue_add(p, lane);
		pthread_cond_broadcast(&p->work);
	}
	spin_unlock(&p->lock);
	if (lane)
		return;
	for (unsigned i = 0; i < nr; i++)
		store_run_io(f, b, runs[i]);
	store_end(b);
}

static void threads_wait(struct store *s, struct store_batch *b)
{
	struct pool *p = store_file(s)->engine;
	struct lane *lane = b->machine;

	if (!lane)
		return;
	spin_lock(&p->lock);
	while (lane->done < lane->nr) {
		if (lane->taken < lane->nr)
			lane_step(p, lane);
		else
			pthread_cond_wait(&p->finished, &p->lock.m);
	}
	lane->next = p->free;
	p->free = lane;
	spin_unlock(&p->lock);
	store_end(b);
}

/* Stop the threads once the queue is empty, and free the pool. */
static void pool_destroy(struct pool *p)
{
	spin_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	spin_unlock(&p->lock);
	for (unsigned i = 0; i < p->nr_threads; i++)
		plat_thread_join(&p->threads[i]);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->finished);
	spin_fini(&p->lock);
	plat_free(p);
}

static void threads_destroy(struct store *s)
{
	struct store_file *f = store_file(s);

	pool_destroy(f->engine);
	store_file_close(f);
}

static const struct store_ops threads_ops = {
	.name = "thread-pool",
	.submit = threads_submit,
	.wait = threads_wait,
	.discard = store_file_discard,
	.destroy = threads_destroy,
};

int store_threads_init(struct store_file *f)
{
	struct pool *p = plat_alloc(sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	spin_init(&p->lock, RANK_LEAF);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->finished, NULL);
	p->file = f;
	for (unsigned i = 0; i < NR_LANES; i++) {
		p->lanes[i].next = p->free;
		p->free = &p->lanes[i];
	}
	while (!err && p->nr_threads < NR_THREADS) {
		err = plat_thread_start(&p->threads[p->nr_threads], "umemcg-store", worker, p);
		if (!err)
			p->nr_threads++;
	}
	/* Fewer threads are slower; none at all is an error. */
	if (!p->nr_threads) {
		pool_destroy(p);
		return err;
	}
	f->engine = p;
	f->store.ops = &threads_ops;
	return 0;
}
