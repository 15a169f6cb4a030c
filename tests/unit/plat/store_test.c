/* tests/unit/plat/store_test.c - every store engine keeps the store contract (plat/store.h).
 *
 * Common behaviour is tested on all engines by for_each_engine; an engine this system does not have
 * is skipped with a message. Failures that only a file has (a full disk, a short file, a missing
 * directory) are tested on the file engines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_engines.h"

/* ---- engines --------------------------------------------------------------------------------- */

static void for_each_engine(void (*fn)(struct store *s))
{
	struct store *s = store_mem_create(NR_SLOTS);

	assert_non_null(s);
	fn(s);
	store_destroy(s);
	for_each_file_engine(fn);
}

TEST(engines_have_the_names_asked_for)
{
	struct store *s = store_mem_create(1);

	assert_string_equal(s->ops->name, "memory");
	assert_int_equal(s->nr_slots, 1);
	store_destroy(s);
	s = open_file(STORE_THREADS, work_dir());
	assert_string_equal(s->ops->name, "thread-pool");
	store_destroy(s);
	s = open_file(STORE_IO_URING, work_dir());
	if (s)
		assert_string_equal(s->ops->name, "io_uring");
	store_destroy(s);
	s = open_file(STORE_AUTO, work_dir());
	assert_int_equal(s->nr_slots, NR_SLOTS);
	store_destroy(s);
}

/* ---- all engines: data ----------------------------------------------------------------------- */

static void single_pages(struct store *s)
{
	static const uint64_t slots[] = { 0, 1, 77, NR_SLOTS - 1 };
	struct job *job = job_create();

	for (unsigned i = 0; i < 4; i++) {
		job_begin(job, true);
		job_add(job, slots[i]);
		write_and_read_back(s, job, i);
	}
	job_destroy(job);
}

TEST(a_page_written_is_the_page_read)
{
	for_each_engine(single_pages);
}

/* A full batch: as one run, as one run with scattered buffers, backwards, every second slot. */
static void full_batches(struct store *s)
{
	struct job *job = job_create();

	for (unsigned shape = 0; shape < 4; shape++) {
		job_begin(job, true);
		for (unsigned i = 0; i < STORE_BATCH_MAX; i++)
			job_add(job, shape < 2 ? 100 + i : shape == 2 ? 500 - i : 1000 + 2 * i);
		if (shape == 1)
			job_scatter(job);
		write_and_read_back(s, job, shape);
	}
	job_destroy(job);
}

TEST(batches_of_the_largest_size_keep_every_page)
{
	for_each_engine(full_batches);
}

/* Runs of random length, far apart, never overlapping. */
static void add_random_runs(struct job *job, uint64_t first, uint64_t n, unsigned *rnd)
{
	uint64_t slot = first;

	while (job->b.n < STORE_BATCH_MAX) {
		unsigned len = 1 + (unsigned)rand_r(rnd) % 9;

		slot += 1 + (unsigned)rand_r(rnd) % 20;
		for (; len && job->b.n < STORE_BATCH_MAX && slot < first + n; len--)
			job_add(job, slot++);
		if (slot >= first + n)
			return;
	}
}

static void random_runs(struct store *s)
{
	struct job *job = job_create();
	unsigned rnd = 1;

	for (unsigned round = 0; round < 50; round++) {
		job_begin(job, true);
		add_random_runs(job, 0, NR_SLOTS, &rnd);
		if (round % 2)
			job_scatter(job);
		write_and_read_back(s, job, round);
	}
	job_destroy(job);
}

TEST(disjoint_runs_in_one_batch_keep_every_page)
{
	for_each_engine(random_runs);
}

/* Many concurrent batches from four threads: more than an engine has room for. */
#define SUBMITTERS 4
#define IN_FLIGHT  6

struct submitter {
	struct plat_thread thread;
	struct store *s;
	unsigned id, wrong;
};

static unsigned check_round(struct store *s, struct job **jobs, bool write, uint64_t seed)
{
	unsigned wrong = 0;

	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		jobs[i]->b.write = write;
		a32_store(&jobs[i]->ended, 0);
		if (write)
			job_fill(jobs[i], seed);
		else
			memset(jobs[i]->pages, 0, (size_t)STORE_BATCH_MAX * PAGE);
		store_submit(s, &jobs[i]->b);
	}
	for (unsigned k = 0; k < IN_FLIGHT; k++) {
		struct job *job = jobs[(k * 5 + seed) % IN_FLIGHT];

		store_wait(s, &job->b);
		wrong += a32_load(&job->ended) != 1;
		for (unsigned i = 0; i < job->b.n; i++)
			wrong += job->b.io[i].error || !io_holds(job, i, seed);
	}
	return wrong;
}

static void submitter(void *arg)
{
	struct submitter *me = arg;
	struct job *jobs[IN_FLIGHT];
	unsigned rnd = me->id + 7;

	for (unsigned i = 0; i < IN_FLIGHT; i++)
		jobs[i] = job_create();
	for (unsigned round = 0; round < 15; round++) {
		uint64_t share = NR_SLOTS / SUBMITTERS / IN_FLIGHT;

		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			job_begin(jobs[i], true);
			add_random_runs(jobs[i], (me->id * IN_FLIGHT + i) * share, share, &rnd);
		}
		me->wrong += check_round(me->s, jobs, true, round);
		me->wrong += check_round(me->s, jobs, false, round);
	}
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		job_destroy(jobs[i]);
}

static void many_submitters(struct store *s)
{
	struct submitter t[SUBMITTERS] = { 0 };

	for (unsigned i = 0; i < SUBMITTERS; i++) {
		t[i].s = s;
		t[i].id = i;
		assert_int_equal(plat_thread_start(&t[i].thread, "submitter", submitter, &t[i]), 0);
	}
	for (unsigned i = 0; i < SUBMITTERS; i++) {
		plat_thread_join(&t[i].thread);
		assert_int_equal(t[i].wrong, 0);
	}
}

TEST(four_threads_with_many_batches_in_flight_do_not_mix_them_up)
{
	for_each_engine(many_submitters);
}

static _Thread_local unsigned ended_here;

static void count_end_here(struct store_batch *b)
{
	(void)b;
	ended_here++;
}

/* The submitter holds locks of what is transferred, and end_io releases them. */
static void ends_where_it_is_waited_for(struct store *s)
{
	struct job *jobs[IN_FLIGHT];

	ended_here = 0;
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			jobs[i] = job_create();
			jobs[i]->b.end_io = count_end_here;
			job_begin(jobs[i], false);
			for (unsigned run = 0; run < 3; run++)
				job_add(jobs[i], (round * IN_FLIGHT + i) * 6 + run * 2);
			store_submit(s, &jobs[i]->b);
		}
		plat_sleep_ns(10 * 1000 * 1000); /* lets the engine's own threads do it all */
		for (unsigned i = 0; i < IN_FLIGHT; i++) {
			store_wait(s, &jobs[i]->b);
			job_destroy(jobs[i]);
		}
	}
	assert_int_equal(ended_here, 10 * IN_FLIGHT);
}

TEST(a_batch_ends_in_the_thread_that_waits_for_it)
{
	for_each_engine(ends_where_it_is_waited_for);
}

/* A batch ends once even if it is empty. */
static void empty_batch(struct store *s)
{
	struct job *job = job_create();

	job_begin(job, false);
	job_run(s, job);
	job_destroy(job);
}

TEST(an_empty_batch_ends)
{
	for_each_engine(empty_batch);
}

static void discard_some(struct store *s)
{
	struct job *job = job_create();

	job_begin(job, true);
	for (unsigned i = 0; i < 8; i++)
		job_add(job, 10 + i);
	write_and_read_back(s, job, 3);
	store_discard(s, 12, 2);
	store_discard(s, NR_SLOTS - 1, 100);
	store_discard(s, NR_SLOTS + 5, 1);
	job_run(s, job);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(io_holds(job, i, 3), i != 2 && i != 3);
	job_destroy(job);
}

TEST(discard_drops_the_slots_named_and_no_other)
{
	for_each_engine(discard_some);
}

/* ---- all engines: errors --------------------------------------------------------------------- */

static void add_mixed(struct job *job)
{
	for (unsigned i = 0; i < 12; i++)
		job_add(job, i < 6 ? 200 + i : 300 + 3 * i);
}

/* The nth io of a batch fails, for every n; past the end nothing does. */
static void fault_loop(struct store *s, bool write)
{
	struct job *job = job_create();

	job_begin(job, true);
	add_mixed(job);
	write_and_read_back(s, job, 1);
	for (unsigned nth = 1; nth <= job->b.n + 1; nth++) {
		job->b.write = write;
		a32_store(&job->ended, 0);
		fault_arm(write ? FAULT_WRITE : FAULT_READ, nth);
		job_run(s, job);
		for (unsigned i = 0; i < job->b.n; i++) {
			assert_int_equal(job->b.io[i].error, i + 1 == nth ? -EIO : 0);
			assert_true(job->b.io[i].error || io_holds(job, i, 1));
		}
	}
	/* Spend the fault that was left over. */
	job->b.n = 1;
	a32_store(&job->ended, 0);
	job_run(s, job);
	assert_int_equal(job->b.io[0].error, -EIO);
	job_destroy(job);
}

static void fault_loops(struct store *s)
{
	fault_loop(s, false);
	fault_loop(s, true);
}

TEST(the_nth_io_fails_alone_for_every_n)
{
	for_each_engine(fault_loops);
}

static void past_the_end(struct store *s)
{
	struct job *job = job_create();

	for (unsigned write = 0; write < 2; write++) {
		job_begin(job, write);
		job_add(job, NR_SLOTS - 2);
		job_add(job, NR_SLOTS - 1);
		job_add(job, NR_SLOTS);
		job_add(job, UINT64_MAX);
		job_fill(job, 1);
		job_run(s, job);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(job->b.io[i].error, i < 2 ? 0 : -EIO);
	}
	job_destroy(job);
}

TEST(slots_past_the_end_fail_and_spare_their_neighbours)
{
	for_each_engine(past_the_end);
}

TEST(a_direct_store_keeps_every_page)
{
	static const enum store_engine engines[] = { STORE_IO_URING, STORE_THREADS };

	for (unsigned i = 0; i < 2; i++) {
		int err = 0;
		struct store *s = store_file_open(work_dir(), NR_SLOTS, true, engines[i], &err);

		if (!s && (err == -EOPNOTSUPP || err == -ENOSYS)) {
			print_message("# no O_DIRECT or no io_uring here: passed over\n");
			continue;
		}
		assert_non_null(s);
		full_batches(s);
		store_destroy(s);
	}
}
