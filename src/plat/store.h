/* plat/store.h - the store contract: storage for swapped pages.
 *
 * A store is an array of page-sized slots, numbered from 0. It keeps no checksums and no reference
 * counts: the swap layer does. Data buffers are page aligned.
 *
 * A batch is submitted once. end_io is called exactly once for it, when every io has its result:
 * from store_submit itself, from store_wait, or from another thread. The batch may be reused after
 * that; the submitter keeps batch and buffers alive until then. store_wait returns after end_io has
 * returned. Every submitted batch must be waited for, once: an engine may collect results only
 * there.
 *
 * Errors, one per slot, in io[i].error: 0, -EIO (device; short read), -ENOSPC, -EDQUOT, or any
 * other error of the system call. The store retries only EINTR, EAGAIN and short transfers.
 */
#ifndef UMEMCG_PLAT_STORE_H
#define UMEMCG_PLAT_STORE_H

#include "plat/plat.h"

#define STORE_PAGE_SIZE 4096
#define STORE_BATCH_MAX 128

struct store;

struct store_batch {
	bool write;
	unsigned n;
	struct {
		uint64_t slot;
		void *data; /* STORE_PAGE_SIZE bytes */
		int error;  /* out: 0 or -errno */
	} io[STORE_BATCH_MAX];
	void (*end_io)(struct store_batch *batch);
	void *private; /* the submitter's */
	void *machine; /* the store's */
};

struct store_ops {
	const char *name; /* "io_uring", "thread-pool", "memory" */
	void (*submit)(struct store *s, struct store_batch *b);
	void (*wait)(struct store *s, struct store_batch *b);
	/* These slots are no longer in use: their space may be released. May be NULL. */
	void (*discard)(struct store *s, uint64_t first, uint64_t n);
	void (*destroy)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	uint64_t nr_slots;
	/* Every transfer waits for a device: starting reads early pays off, and adjacent slots are
	 * written at a fraction of the cost of scattered ones. */
	bool device;
};

static inline void store_submit(struct store *s, struct store_batch *b)
{
	s->ops->submit(s, b);
}
static inline void store_wait(struct store *s, struct store_batch *b)
{
	s->ops->wait(s, b);
}
static inline void store_discard(struct store *s, uint64_t first, uint64_t n)
{
	if (s->ops->discard)
		s->ops->discard(s, first, n);
}
static inline void store_destroy(struct store *s)
{
	if (s)
		s->ops->destroy(s);
}

enum store_engine { STORE_AUTO, STORE_IO_URING, STORE_THREADS };

/* native/store_file.c: an unnamed file (O_TMPFILE, mode 0600; where the file system has none:
 * mkstemp and unlink) in directory @dir. @direct: O_DIRECT. NULL and *@err = -errno of what failed
 * (-ENOTDIR, -EACCES, -EROFS, -EOPNOTSUPP for @direct, -ENOSYS for an engine that is not there). */
struct store *store_file_open(const char *dir, uint64_t nr_slots, bool direct,
			      enum store_engine engine, int *err);

/* soft/store_mem.c: slots in memory, for tests. NULL when out of memory. */
struct store *store_mem_create(uint64_t nr_slots);

#endif
