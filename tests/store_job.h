/* tests/store_job.h - a batch for a store, with buffers whose every byte is checked.
 *
 *     job_begin(job, true);
 *     job_add(job, slot);                  as many as there are
 *     write_and_read_back(s, job, seed);
 */
#ifndef UMEMCG_TESTS_STORE_JOB_H
#define UMEMCG_TESTS_STORE_JOB_H

#include <stdlib.h>
#include <string.h>

#include "plat/store.h"
#include "test.h"

#define NR_SLOTS 4096
#define PAGE STORE_PAGE_SIZE

/* ---- batches with checked data --------------------------------------------------------------- */

/* A batch and its buffers: io i uses page order[i] of the buffer. */
struct job {
	struct store_batch b;
	atomic32_t ended;
	char *pages;
};

static inline void count_end(struct store_batch *b)
{
	struct job *job = b->private;

	a32_add(&job->ended, 1);
}

static inline struct job *job_create(void)
{
	struct job *job = calloc(1, sizeof(*job));

	assert_non_null(job);
	job->pages = aligned_alloc(PAGE, (size_t)STORE_BATCH_MAX * PAGE);
	assert_non_null(job->pages);
	job->b.private = job;
	job->b.end_io = count_end;
	return job;
}

static inline void job_destroy(struct job *job)
{
	free(job->pages);
	free(job);
}

static inline void job_add(struct job *job, uint64_t slot)
{
	unsigned i = job->b.n++;

	assert_true(i < STORE_BATCH_MAX);
	job->b.io[i].slot = slot;
	job->b.io[i].data = job->pages + (size_t)i * PAGE;
	job->b.io[i].error = 1;
}

static inline void job_begin(struct job *job, bool write)
{
	job->b.write = write;
	job->b.n = 0;
	a32_store(&job->ended, 0);
}

/* Adjacent ios get buffers that are not neighbours. */
static inline void job_scatter(struct job *job)
{
	for (unsigned i = 0; i < job->b.n; i++)
		job->b.io[i].data = job->pages + (size_t)(i * 37 % STORE_BATCH_MAX) * PAGE;
}

/* What slot @slot holds after it was written with @seed. */
static inline uint64_t word_of(uint64_t slot, uint64_t seed, unsigned at)
{
	return (slot + 1) * 0x9e3779b97f4a7c15ull ^ (seed << 32 | at);
}

static inline void job_fill(struct job *job, uint64_t seed)
{
	for (unsigned i = 0; i < job->b.n; i++)
		for (unsigned w = 0; w < PAGE / 8; w++)
			((uint64_t *)job->b.io[i].data)[w] = word_of(job->b.io[i].slot, seed, w);
}

static inline bool io_holds(const struct job *job, unsigned i, uint64_t seed)
{
	for (unsigned w = 0; w < PAGE / 8; w++)
		if (((uint64_t *)job->b.io[i].data)[w] != word_of(job->b.io[i].slot, seed, w))
			return false;
	return true;
}

static inline void job_run(struct store *s, struct job *job)
{
	store_submit(s, &job->b);
	store_wait(s, &job->b);
	assert_int_equal(a32_load(&job->ended), 1);
}

static inline void expect_no_errors(const struct job *job)
{
	for (unsigned i = 0; i < job->b.n; i++)
		assert_int_equal(job->b.io[i].error, 0);
}

static inline void expect_data(const struct job *job, uint64_t seed)
{
	for (unsigned i = 0; i < job->b.n; i++)
		assert_true(io_holds(job, i, seed));
}

/* Write the slots of @job, forget the buffers, read them back. */
static inline void write_and_read_back(struct store *s, struct job *job, uint64_t seed)
{
	job->b.write = true;
	job_fill(job, seed);
	job_run(s, job);
	expect_no_errors(job);
	memset(job->pages, 0xee, (size_t)STORE_BATCH_MAX * PAGE);
	job->b.write = false;
	a32_store(&job->ended, 0);
	job_run(s, job);
	expect_no_errors(job);
	expect_data(job, seed);
	a32_store(&job->ended, 0);
}

#endif
