/* check/search/minimise_slice.c - which operations of a failing schedule the failure depends on.
 *
 * Where one task's run ends and another's begins, the switch is moved, one operation at a time:
 * earlier, so that the last operations of the first task come after the second one's run; later, so
 * that the second task's next operations come before it. The first operation whose move makes the
 * failure go away must be where it is, and so must the operation of the other task that it depends
 * on. All others could be elsewhere.
 *
 * An order that a lock does not permit proves nothing; the search goes on past it.
 */
#include "search/minimise.h"

#define TRIES_MAX 6000

enum outcome { FAILS_TOO, ENDS_OTHERWISE, NOT_POSSIBLE };

static struct sim_event trace[SIM_DEPTH_MAX]; /* of the unmodified schedule */
static unsigned len;
static struct sim_failure wanted;
static uint32_t left_out;
static unsigned tries;

/* ---- running an order ---- */

static uint8_t order[SIM_DEPTH_MAX];
static unsigned order_len, order_at, strict;
static bool blocked;

/* The first @strict operations in exactly this order, unless their task has ended; then as far as
 * possible. */
static int order_pick(uint32_t enabled)
{
	while (order_at < order_len) {
		unsigned t = order[order_at++];

		if (enabled & 1u << t)
			return (int)t;
		if (order_at <= strict && t < sim_nr_tasks && sim_tasks[t].alive) {
			blocked = true;
			return -1;
		}
	}
	if (sim_depth && enabled & 1u << sim_trace[sim_depth - 1].task)
		return sim_trace[sim_depth - 1].task;
	return __builtin_ctz(enabled);
}

static enum outcome run_order(unsigned strict_len)
{
	tries++;
	order_at = 0;
	order_len = len;
	strict = strict_len;
	blocked = false;
	sim_left_out = left_out;
	sim_run(order_pick, NULL);
	sim_left_out = 0;
	if (blocked)
		return NOT_POSSIBLE;
	return same_finding(&sim_failure, &wanted) ? FAILS_TOO : ENDS_OTHERWISE;
}

static unsigned run_end(unsigned i)
{
	unsigned end = i + 1;

	while (end < len && trace[end].task == trace[i].task)
		end++;
	return end;
}

/* ---- moving a task switch ---- */

/* The run [from, mid) is followed by [mid, end) of another task: move its last @k operations after
 * that one. */
static enum outcome try_earlier(unsigned mid, unsigned end, unsigned k)
{
	for (unsigned i = 0; i < len; i++)
		order[i] = (uint8_t)trace[i].task;
	for (unsigned i = 0; i < end - mid; i++)
		order[mid - k + i] = (uint8_t)trace[mid].task;
	for (unsigned i = 0; i < k; i++)
		order[end - k + i] = (uint8_t)trace[mid - 1].task;
	return run_order(end - k);
}

/* The first @k operations of the run that begins at @next, moved to @mid. */
static enum outcome try_later(unsigned mid, unsigned next, unsigned k)
{
	for (unsigned i = 0; i < len; i++)
		order[i] = (uint8_t)trace[i].task;
	for (unsigned i = 0; i < k; i++)
		order[mid + i] = (uint8_t)trace[next].task;
	for (unsigned i = mid; i < next; i++)
		order[i + k] = (uint8_t)trace[i].task;
	return run_order(mid + k);
}

/* One of them changes an object of the other: stricter than that their order could matter. */
static bool meet(const struct sim_event *a, const struct sim_event *b)
{
	uint64_t bits = a->op.mask & b->op.mask;

	return op_dependent(&a->op, &b->op) &&
	       (!a->op.width || ((a->before ^ a->after) | (b->before ^ b->after)) & bits);
}

/* The operation of another task between @i and @limit, in that direction, that @i depends on. */
static void mark_partner(unsigned i, unsigned limit, bool *decisive)
{
	int step = limit > i ? 1 : -1;

	for (int j = (int)i + step; j != (int)limit + step && j >= 0 && j < (int)len; j += step)
		if (trace[j].task != trace[i].task && meet(&trace[i], &trace[j])) {
			decisive[j] = true;
			return;
		}
}

static void look_earlier(unsigned from, unsigned mid, unsigned end, bool *decisive)
{
	for (unsigned k = 1; k <= mid - from && tries < TRIES_MAX; k++)
		if (try_earlier(mid, end, k) == ENDS_OTHERWISE) {
			decisive[mid - k] = true;
			mark_partner(mid - k, end - 1, decisive);
			return;
		}
}

static void look_later(unsigned mid, bool *decisive)
{
	unsigned next = mid, end;

	while (next < len && trace[next].task != trace[mid - 1].task)
		next++;
	if (next == len)
		return;
	end = run_end(next);
	for (unsigned k = 1; k <= end - next && tries < TRIES_MAX; k++)
		if (try_later(mid, next, k) == ENDS_OTHERWISE) {
			decisive[next + k - 1] = true;
			mark_partner(next + k - 1, mid, decisive);
			return;
		}
}

void find_decisive(const struct schedule *s, bool *decisive)
{
	schedule_run(s);
	wanted = sim_failure;
	len = sim_depth;
	left_out = s->left_out;
	tries = 0;
	memcpy(trace, sim_trace, len * sizeof(trace[0]));
	memset(decisive, 0, SIM_DEPTH_MAX * sizeof(*decisive));
	if (wanted.kind == SIM_LIVELOCK)
		return;
	for (unsigned from = 0, mid; (mid = run_end(from)) < len; from = mid) {
		look_earlier(from, mid, run_end(mid), decisive);
		look_later(mid, decisive);
	}
}
