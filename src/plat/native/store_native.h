/* plat/native/store_native.h - shared by the engines of a file store.
 *
 * A batch is split into runs: ios that are adjacent in the batch and in the file, one vectored
 * transfer each. The submitter itself does a batch of one run, the usual case. An engine
 * (store_uring.c, store_threads.c) sees only batches of several runs.
 *
 * Letters: (C) constant after open.
 */
#ifndef UMEMCG_PLAT_NATIVE_STORE_NATIVE_H
#define UMEMCG_PLAT_NATIVE_STORE_NATIVE_H

#include <sys/types.h>
#include <sys/uio.h>

#include "plat/store.h"

struct store_file {
	struct store store; /* (C) first: an engine casts back */
	int fd;             /* (C) */
	bool direct;        /* (C) O_DIRECT: transfers wait for the device */
	void *engine;       /* (C) the engine's own */
};

/* ios [first, first + n) of a batch: slots ascending by one. */
struct store_run {
	uint16_t first, n;
};

static inline struct store_file *store_file(struct store *s)
{
	return (struct store_file *)s;
}

/* Start @b: fail ios that are out of range or armed to fail, split the rest into @runs (room for
 * STORE_BATCH_MAX). Returns how many runs the engine must do; 0 if the batch was done here, end_io
 * included. */
unsigned store_begin(struct store_file *f, struct store_batch *b, struct store_run *runs);

/* Every io of @b has its result. Does not touch @b after end_io. */
static inline void store_end(struct store_batch *b)
{
	b->machine = NULL;
	b->end_io(b);
}

/* The buffers of @run, neighbours joined. @iov holds run->n. Returns how many were used. */
unsigned store_run_iov(const struct store_batch *b, struct store_run run, struct iovec *iov);

/* Transfer @run now, in this thread, and set the errors of its ios. */
void store_run_io(struct store_file *f, struct store_batch *b, struct store_run run);

/* The transfer of @run returned @res (bytes or -errno): set the errors of its ios, after
 * transferring in this thread what @res leaves open. */
void store_run_done(struct store_file *f, struct store_batch *b, struct store_run run, ssize_t res);

void store_file_discard(struct store *s, uint64_t first, uint64_t n);

/* Close and free. Engines call it at the end of destroy. */
void store_file_close(struct store_file *f);

/* An unnamed file without O_TMPFILE: a descriptor or -errno. */
int store_file_mkstemp(const char *dir);

/* Give @f its engine: 0, or -errno and @f unchanged. -ENOSYS: not built in or refused by the
 * system. */
int store_uring_init(struct store_file *f);
int store_threads_init(struct store_file *f);

#endif
