/* tests/unit/mm/stress_test.c - everything at once on real threads, on both kinds of MMU.
 *
 * Each owner runs a few address spaces: it fills and checks pages, maps, unmaps, discards, moves,
 * locks, forks and exits, and knows the content of every page. Visitors are second threads of those
 * spaces: they fault on any page at any time and write a word of their own. One thread makes,
 * limits and removes groups and reclaims from them; background reclaim runs; swap fails now and
 * then, and so does an allocation in any thread. An owner that lacks memory to go on ends its
 * address space. The OOM killer's victim frees its memory soon, as a killed process does: its owner
 * ends it at its next step, and may before that wait for it, with another of its spaces.
 *
 * At a pause all threads stop and the audit must be clean. At the end nothing may be left.
 * UMEMCG_STRESS_SECONDS sets the total run time (the default is 2), UMEMCG_STRESS_SEED the random
 * draws. The test continues until every kind of operation was seen. A thread that does not reach
 * its next step for STALL_NS reports it and dies: it waits for something that will not happen.
 */
#include <stdlib.h>

#include "mm/migrate.h"
#include "mm/move.h"
#include "stress.h"
#include "stress_files.h"
#include "stress_nodes.h"

#define STALL_NS (120 * SECOND_NS)
/* A sanitized run on a busy machine may need longer; tools/soak.sh ends it 40 s later. */
#define SEEN_NS     (200 * SECOND_NS)
#define REAP_NS     1000000ull
#define PROGRESS_NS (10 * SECOND_NS)

struct soft_fixture fx;
bool files;
struct mem_cgroup *top, *groups[NR_GROUPS];
pthread_mutex_t groups_mutex = PTHREAD_MUTEX_INITIALIZER;
atomic64_t seen[NR_SEEN];
static struct worker workers[NR_THREADS];
atomicptr_t stress_shared_mm[NR_OWNERS][NR_SPACES]; /* for visitors, under RCU */
atomic32_t stress_stop, stress_over;
static atomic32_t pausing, parked;
static struct waitq resume;

void stress_park(void)
{
	while (a32_load(&pausing)) {
		uint32_t t = waitq_prepare(&resume);

		a32_add(&parked, 1);
		if (a32_load(&pausing))
			waitq_sleep(&resume, t, 1000000000);
		a32_add(&parked, -1);
	}
}

/* ---- visitors ---- */

/* A published space, referenced; NULL: none now. */
static struct mm *visited(uint64_t i)
{
	struct mm *mm;

	rcu_rd_lock();
	mm = aptr_load(&stress_shared_mm[i / NR_SPACES][i % NR_SPACES]);
	if (mm && !mm_tryget(mm))
		mm = NULL;
	rcu_rd_unlock();
	return mm;
}

static void visit(struct worker *w, struct mm *mm)
{
	uint64_t va = (draw(w, 2) ? AREA : ELSEWHERE) + draw(w, PAGES) * PAGE_SIZE,
		 word = w->random;
	int err;

	if (draw(w, 2))
		err = soft_write(&fx.soft, mm, w->id, va + w->id * 8, &word, 8);
	else
		err = soft_read(&fx.soft, mm, w->id, va + w->id * 8, &word, 8);
	VM_BUG_ON(err && err != -EFAULT && err != -EIO && err != -ENOMEM && err != -ESRCH);
	saw(SEEN_VISIT);
}

static void visitor(void *arg)
{
	struct worker *w = arg;

	while (!a32_load(&stress_stop)) {
		struct mm *mm;

		stress_park();
		mm = visited(draw(w, NR_OWNERS * NR_SPACES));
		if (!mm)
			continue;
		for (int i = 0; i < 8; i++)
			if (files && draw(w, 3) == 0)
				files_visit(mm, w->id, &w->random);
			else
				visit(w, mm);
		mm_put(mm);
	}
	a32_add(&stress_over, 1);
}

static void keeper(void *arg)
{
	struct worker *w = arg;

	while (!a32_load(&stress_stop)) {
		stress_park();
		groups_step(w);
		nodes_step(w);
		plat_sleep_ns(300000);
	}
	a32_store(&fx.store->fail_every, 0);
	fault_arm(FAULT_ALLOC, 0);
	a32_add(&stress_over, 1);
}

/* ---- the test ---- */

/* Other threads run: a failed assertion would leak them into the next test. */
static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* The owner of a killed space may wait, in another one, for memory of the killed one. */
static void reap_killed(void)
{
	for (unsigned i = 0; i < NR_OWNERS * NR_SPACES; i++) {
		struct mm *mm = visited(i);

		if (mm && a32_load(&mm->dying) &&
		    a64_load(&mm->rss) + a64_load(&mm->swapents) > 0) {
			fx_discard(&fx, mm, AREA, PAGES);
			fx_discard(&fx, mm, ELSEWHERE, PAGES);
			if (files)
				files_reap(mm);
		}
		if (mm)
			mm_put(mm);
	}
}

/* Until all threads have arrived. */
static void wait_for_all(const atomic32_t *come)
{
	uint64_t since = plat_now_ns();

	while (a32_load(come) < NR_THREADS) {
		if (plat_now_ns() - since > STALL_NS) {
			for (unsigned i = 0; i < NR_THREADS; i++)
				fprintf(stderr, "thread %u: %s\n", i, workers[i].doing);
			die("a thread has not come to its next step for two minutes");
		}
		reap_killed();
		plat_sleep_ns(REAP_NS / 4);
	}
}

static void pause_and_audit(void)
{
	a32_store(&pausing, 1);
	wait_for_all(&parked);
	fault_arm(FAULT_ALLOC, 0);
	engine_stop(&fx.e);
	/* A limit may be met late: the last charge was forced. */
	fx.report.flags = AUDIT_FLUSHED | AUDIT_FORCED;
	for (int i = 0; i < 4; i++)
		rcu_flush();
	if (audit_engine(&fx.e, &fx.report) != 0)
		die(fx.report.text);
	if (soft_stale_translations(&fx.soft) != 0)
		die("a stale translation");
	if (engine_start(&fx.e) != 0)
		die("background reclaim does not start");
	a32_store(&pausing, 0);
	waitq_wake(&resume);
}

static bool all_seen(void)
{
	for (int i = 0; i < NR_SEEN; i++)
		if (i != SEEN_KILLED && i != SEEN_LOST && a64_load(&seen[i]) == 0)
			return false;
	return !files || (files_all_seen() && nodes_all_seen());
}

/* A line now and then for the observer of a long run. */
static void progress(uint64_t begin, uint64_t ns, uint64_t *last)
{
	uint64_t now = plat_now_ns();

	if (now - *last < PROGRESS_NS)
		return;
	*last = now;
	fprintf(stderr,
		"# %llu of %llu s: %lld checks, %lld exits, %lld migrations, %lld removals, %lld "
		"killed\n",
		(unsigned long long)((now - begin) / SECOND_NS),
		(unsigned long long)(ns / SECOND_NS), (long long)a64_load(&seen[SEEN_CHECK]),
		(long long)a64_load(&seen[SEEN_EXIT]), (long long)a64_load(&seen[SEEN_MIGRATE]),
		(long long)a64_load(&seen[SEEN_REMOVE]), (long long)a64_load(&seen[SEEN_KILLED]));
}

/* These decide whether anything leaked; fx_down asserts it. */
static void say_what_is_left(void)
{
	struct engine *e = &fx.e;

	print_message("# left: %lld pages, %lld slots, %lld address spaces, %lld anon_vmas, %lld "
		      "chains, %u groups\n",
		      (long long)(a64_load(&e->nr_frames) - a64_load(&e->nr_free)),
		      (long long)a64_load(&e->swap->nr_used), (long long)a64_load(&e->nr_mms),
		      (long long)a64_load(&e->nr_anon_vmas), (long long)a64_load(&e->nr_chains),
		      a32_load(&e->tree.nr_groups) - 1);
}

static void run(enum soft_kind kind, uint64_t ns)
{
	static void (*const role[NR_THREADS])(void *) = {
		stress_owner, stress_owner, stress_owner, stress_owner,
		stress_owner, visitor,      visitor,      keeper,
	};
	uint64_t begin = plat_now_ns(), end = begin + ns, said = begin;
	const char *seed = getenv("UMEMCG_STRESS_SEED");

	fx_up_memory(&fx, kind, 8192, 4096, &nodes_memory[kind == SOFT_SHARED]);
	fx.reap = false;
	fx.store->store.device = kind == SOFT_EXCLUSIVE;
	files = kind == SOFT_SHARED;
	if (files)
		files_up(&fx);
	waitq_init(&resume);
	a32_store(&stress_stop, 0);
	a32_store(&stress_over, 0);
	memset(workers, 0, sizeof(workers));
	top = fx_group(&fx, NULL, "top", 400);
	for (unsigned i = 0; i < NR_GROUPS; i++) {
		workers[0].random = i + 1;
		groups[i] = NULL;
		groups_renew(&workers[0], i);
	}
	assert_int_equal(engine_start(&fx.e), 0);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		workers[i].id = i;
		workers[i].random = 0x1234567 * (i + 1) +
				    (seed ? strtoull(seed, NULL, 10) * 0x9e3779b97f4a7c15ull : 0);
		workers[i].doing = "starts";
		assert_int_equal(
			plat_thread_start(&workers[i].thread, "stress", role[i], &workers[i]), 0);
	}
	while (plat_now_ns() < end || (!all_seen() && plat_now_ns() < end + SEEN_NS)) {
		for (uint64_t slept = 0; slept < PAUSE_NS; slept += REAP_NS) {
			plat_sleep_ns(REAP_NS);
			reap_killed();
		}
		pause_and_audit();
		progress(begin, ns, &said);
	}
	a32_store(&stress_stop, 1);
	wait_for_all(&stress_over);
	for (unsigned i = 0; i < NR_THREADS; i++)
		plat_thread_join(&workers[i].thread);
	engine_stop(&fx.e);
	if (files)
		files_down();
	for (unsigned i = NR_GROUPS; i-- > 0;)
		fx_ungroup(&fx, groups[i]);
	fx_ungroup(&fx, top);
	for (int i = 0; i < 4; i++) /* a deferred call may defer another */
		rcu_flush();
	say_what_is_left();
	fx_down(&fx);
}

static uint64_t stress_ns(void)
{
	const char *s = getenv("UMEMCG_STRESS_SECONDS");

	return (s ? strtoull(s, NULL, 10) : 2) * SECOND_NS;
}

static void report(void)
{
	static const char *const name[NR_SEEN] = {
		"fills",
		"checks",
		"visits",
		"unmaps",
		"discards",
		"moves",
		"locks",
		"forks",
		"exits",
		"killed",
		"lost",
		"groups",
		"removals",
		"limits",
		"migrations",
		"changes",
		"failed for want of memory",
	};

	for (int i = 0; i < NR_SEEN; i++)
		print_message("# %s %lld\n", name[i], (long long)a64_load(&seen[i]));
	for (int i = 0; i < NR_SEEN; i++)
		if (i != SEEN_KILLED && i != SEEN_LOST)
			assert_true(a64_load(&seen[i]) > 0);
}

TEST(everything_at_once_on_shared_page_tables_keeps_every_content_and_every_count)
{
	run(SOFT_SHARED, stress_ns() / 2);
	report();
	files_report();
	nodes_report();
}

TEST(everything_at_once_on_exclusive_memory_keeps_every_content_and_every_count)
{
	run(SOFT_EXCLUSIVE, stress_ns() / 2);
	report();
}
