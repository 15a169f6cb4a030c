/* tests/stress.h - what the parts of the stress test share.
 *
 * Owners each run a few address spaces, visitors are second threads of those, one thread keeps the groups
 * (engine_stress_test.c, stress_groups.c; files: stress_files.c).
 */
#ifndef UMEMCG_TESTS_STRESS_H
#define UMEMCG_TESTS_STRESS_H

#include <pthread.h>

#include "soft_fixture.h"

#define NR_OWNERS   5
#define NR_VISITORS 2
#define NR_THREADS  (NR_OWNERS + NR_VISITORS + 1)
#define NR_SPACES   3 /* an owner */
#define NR_GROUPS   64
#define NR_PARENTS  8 /* the first so many groups; the others are their children */
#define PAGES	    96
#define AREA	    (FX_BASE + 460 * PAGE_SIZE) /* across two leaves */
#define ELSEWHERE   (FX_BASE + 5000 * PAGE_SIZE)
#define BLOCK	    256 /* bytes an owner writes in a page, at BLOCK_AT */
#define BLOCK_AT    1024
#define PAUSE_NS    200000000ull
#define SECOND_NS   1000000000ull

enum seen {
	SEEN_FILL,
	SEEN_CHECK,
	SEEN_VISIT,
	SEEN_UNMAP,
	SEEN_DISCARD,
	SEEN_MOVE,
	SEEN_LOCK,
	SEEN_FORK,
	SEEN_EXIT,
	SEEN_KILLED,
	SEEN_LOST,
	SEEN_GROUP,
	SEEN_REMOVE,
	SEEN_LIMIT,
	SEEN_MIGRATE,
	SEEN_CHANGE,
	SEEN_NOMEM,
	NR_SEEN
};

struct space {
	struct mm *mm;
	uint64_t at;	      /* where the area is now */
	uint64_t seed[PAGES]; /* what the page holds; 0: zeros */
};

struct worker {
	struct plat_thread thread;
	unsigned id;
	uint64_t random;
	const char *doing; /* racy; for the message about a thread that is stuck */
	struct space space[NR_SPACES];
};

extern struct soft_fixture fx;
extern bool files; /* the MMU shares: a file and shared memory take part */
extern pthread_mutex_t groups_mutex; /* groups[]: joining and removing */
extern struct mem_cgroup *top, *groups[NR_GROUPS];
extern atomic64_t seen[NR_SEEN];

static inline void saw(enum seen what)
{
	a64_add_relaxed(&seen[what], 1);
}

static inline uint64_t draw(struct worker *w, uint64_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (w->random >> 20) % n;
}

/* Remove group @i, if nobody is in it, and make it anew. */
void groups_renew(struct worker *w, unsigned i);
/* One action of the keeper: limits, reclaim, faults of devices, a group removed and made. */
void groups_step(struct worker *w);

#endif
