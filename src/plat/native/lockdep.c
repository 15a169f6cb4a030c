/* plat/native/lockdep.c - the lock order of plat/lockorder.def, checked at run time.
 *
 * Every thread keeps a stack of the locks it holds. A blocking acquisition must have a larger rank
 * than every lock held, or the same rank if lockorder.def allows nesting; retaking a held lock is
 * always wrong. A trylock cannot deadlock, so it is not checked when taken, but later acquisitions
 * are checked against it.
 *
 * The check is made before the thread blocks: a program about to deadlock reports why instead.
 *
 * Locks: none; everything here is thread-local. Debug builds only (-DUMEMCG_DEBUG).
 */
#include <stdio.h>

#include "plat/plat.h"

#ifdef UMEMCG_DEBUG

#define HELD_MAX 192 /* more than a reclaim batch holds (MMU_BATCH_MAX pages): more is an error */

struct held {
	const void *lock;
	enum lock_rank rank;
};

static _Thread_local struct held held_stack[HELD_MAX];
static _Thread_local unsigned nr_held;

static const struct {
	const char *name;
	bool nesting;
} ranks[NR_LOCK_RANKS] = {
#define LOCK_RANK(name, nesting) [RANK_##name] = { #name, nesting },
#include "plat/lockorder.def"
#undef LOCK_RANK
};

static const char *rank_name(enum lock_rank rank)
{
	return (unsigned)rank < NR_LOCK_RANKS ? ranks[rank].name : "(no rank)";
}

/* @with: the held lock that @lock conflicts with, or NULL. */
static _Noreturn void violation(const char *what, const void *lock, enum lock_rank rank,
				const struct held *with)
{
	char text[256];

	for (unsigned i = 0; i < nr_held; i++)
		fprintf(stderr, "lockdep: held #%u: %s (%p)\n", i, rank_name(held_stack[i].rank),
			held_stack[i].lock);
	if (with)
		snprintf(text, sizeof(text), "lock order: %s %s (%p) while holding %s (%p)", what,
			 rank_name(rank), lock, rank_name(with->rank), with->lock);
	else
		snprintf(text, sizeof(text), "lock order: %s %s (%p)", what, rank_name(rank), lock);
	plat_bug(text, __FILE__, __LINE__);
}

static void check_order(const void *lock, enum lock_rank rank)
{
	for (unsigned i = 0; i < nr_held; i++) {
		const struct held *h = &held_stack[i];

		if (h->lock == lock)
			violation("taking again", lock, rank, h);
		if (h->rank > rank || (h->rank == rank && !ranks[rank].nesting))
			violation("taking", lock, rank, h);
	}
}

void lockdep_acquire(const void *lock, enum lock_rank rank, bool try_)
{
	if ((unsigned)rank >= NR_LOCK_RANKS)
		violation("not initialised:", lock, rank, NULL);
	if (!try_)
		check_order(lock, rank);
	if (nr_held == HELD_MAX)
		violation("too many locks held, taking", lock, rank, NULL);
	held_stack[nr_held++] = (struct held){ lock, rank };
}

/* Index of the newest entry for @lock; nr_held if there is none. */
static unsigned held_index(const void *lock)
{
	for (unsigned i = nr_held; i-- > 0;)
		if (held_stack[i].lock == lock)
			return i;
	return nr_held;
}

void lockdep_release(const void *lock, enum lock_rank rank)
{
	unsigned i = held_index(lock);

	if (i == nr_held)
		violation("releasing, but not holding,", lock, rank, NULL);
	if (held_stack[i].rank != rank)
		violation("released with another rank than taken:", lock, rank, &held_stack[i]);
	for (nr_held--; i < nr_held; i++)
		held_stack[i] = held_stack[i + 1];
}

void lockdep_check_held(const void *lock, const char *name, const char *file, int line)
{
	char text[96];

	if (held_index(lock) != nr_held)
		return;
	snprintf(text, sizeof(text), "%s must be held here", name);
	plat_bug(text, file, line);
}

#else

/* A file with no declarations is not ISO C. */
typedef int lockdep_is_off;

#endif
