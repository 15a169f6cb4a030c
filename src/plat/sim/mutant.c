/* plat/sim/mutant.c - see mutant.h. A lock that was left out is remembered with the task that
 * "took" it, so its unlock is left out, too; another task may release a page lock. */
#include "plat/sim/mutant.h"

#include "plat/sim/tso.h"

#define SKIPPED_MAX 64

struct mutant mutants[MUTANTS_MAX];
unsigned nr_mutants;

static void *left_out;
static int recording = -1;
static struct {
	const void *lock;
	int task;
} skipped[SKIPPED_MAX];
static unsigned nr_skipped;

void mutants_record(int number)
{
	recording = number;
}

void mutant_set(void *pc)
{
	left_out = pc;
}

bool mutant_on(void)
{
	return left_out != NULL;
}

void mutant_reset(void)
{
	nr_skipped = 0;
}

static void record(sim_at at, void *pc, bool fence)
{
	unsigned i;

	for (i = 0; i < nr_mutants; i++)
		if (mutants[i].pc == pc)
			break;
	if (i == MUTANTS_MAX)
		return;
	if (i == nr_mutants)
		mutants[nr_mutants++] = (struct mutant){ .pc = pc, .at = at, .fence = fence };
	mutants[i].reached[recording] = true;
}

bool mutant_keeps(sim_at at, void *pc)
{
	if (sim_current < 0)
		return true;
	if (recording >= 0)
		record(at, pc, false);
	return pc != left_out;
}

bool mutant_keeps_fence(sim_at at, void *pc)
{
	if (!tso_buffers() || sim_current < 0)
		return true;
	if (recording >= 0)
		record(at, pc, true);
	return pc != left_out;
}

bool mutant_skips_lock(const void *lock, sim_at at, void *pc)
{
	if (mutant_keeps(at, pc))
		return false;
	if (nr_skipped < SKIPPED_MAX) {
		skipped[nr_skipped].lock = lock;
		skipped[nr_skipped++].task = sim_current;
	}
	return true;
}

/* If the task left out this lock itself, skip. Otherwise it unlocks a lock that it holds; a lock
 * that it does not hold was "taken" for it by another task. */
bool mutant_skips_unlock(const void *lock)
{
	int found = -1;

	for (unsigned i = 0; i < nr_skipped; i++)
		if (skipped[i].lock == lock && (found < 0 || skipped[i].task == sim_current))
			found = (int)i;
	if (found < 0)
		return false;
	if (skipped[found].task != sim_current && sim_current >= 0)
		for (unsigned i = 0; i < sim_tasks[sim_current].nr_held; i++)
			if (sim_tasks[sim_current].held[i].lock == lock)
				return false;
	skipped[found] = skipped[--nr_skipped];
	return true;
}

bool sim_mark(sim_at at)
{
	return mutant_keeps(at, __builtin_return_address(0));
}
