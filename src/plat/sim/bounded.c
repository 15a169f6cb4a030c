/* plat/sim/bounded.c - depth-first search over all schedules with few preemptions, and random
 * priorities.
 *
 * A preemption is a switch away from a task that could have continued; the drain of a store buffer
 * is none. Most bugs need one to three
 * of them (Thomson, Donaldson, Betts, PPoPP 2014). No reduction is used, so the bound is exact.
 */
#include "plat/sim/strategy.h"

#include "plat/sim/tso.h"

/* ---- bounded ---- */

static struct choice {
	uint32_t left; /* still to be tried here */
	uint8_t task;
	uint8_t used; /* preemptions before this choice */
	int8_t runs;  /* the last task up to it that is no store buffer */
	uint32_t enabled;
} choices[SIM_DEPTH_MAX];
static unsigned len, bound;

void bounded_setup(unsigned preemptions)
{
	len = 0;
	bound = preemptions;
}

void bounded_begin(void) {}

/* The last task before choice @d that is no store buffer; -1: none. */
static int runs_before(unsigned d)
{
	return d ? choices[d - 1].runs : -1;
}

static bool costs(unsigned d, uint32_t enabled, unsigned t)
{
	int before = runs_before(d);

	return before >= 0 && before != (int)t && enabled & 1u << before && tso_owner((int)t) < 0;
}

static uint32_t enabled_buffers(uint32_t enabled)
{
	uint32_t buffers = 0;

	for (uint32_t m = enabled; m; m &= m - 1)
		if (tso_owner(__builtin_ctz(m)) >= 0)
			buffers |= m & -m;
	return buffers;
}

static int chosen(struct choice *c, unsigned d)
{
	c->runs = (int8_t)(tso_owner(c->task) < 0 ? c->task : runs_before(d));
	return c->task;
}

int bounded_pick(uint32_t enabled)
{
	unsigned d = sim_depth;
	struct choice *c = &choices[d];
	int before = runs_before(d);
	bool goes_on = before >= 0 && enabled & 1u << before;

	c->enabled = enabled;
	if (d < len)
		return chosen(c, d);
	c->used = d ? (uint8_t)(choices[d - 1].used + (d > 1 && costs(d - 1, choices[d - 1].enabled,
								      choices[d - 1].task)))
		    : 0;
	c->left = enabled;
	c->task = (uint8_t)(goes_on ? before : __builtin_ctz(enabled));
	if (goes_on && c->used >= bound)
		c->left = enabled_buffers(enabled);
	c->left &= ~(1u << c->task);
	len = d + 1;
	return chosen(c, d);
}

bool bounded_next(void)
{
	for (; len > 0; len--) {
		struct choice *c = &choices[len - 1];

		if (!c->left)
			continue;
		c->task = (uint8_t)__builtin_ctz(c->left);
		c->left &= c->left - 1;
		return true;
	}
	return false;
}

bool preempted(unsigned i)
{
	unsigned k = i;

	if (tso_owner(sim_trace[i].task) >= 0)
		return false;
	while (k > 0 && tso_owner(sim_trace[k - 1].task) >= 0)
		k--;
	return k > 0 && sim_trace[i].enabled & 1u << sim_trace[k - 1].task &&
	       sim_trace[i].task != sim_trace[k - 1].task;
}

/* ---- random ---- */

#define CHANGES 3

static uint64_t state;
static unsigned priority[SIM_TASKS_MAX], change_at[CHANGES], lowest, longest;

static uint64_t rnd(void) /* splitmix64 */
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void random_setup(uint64_t seed)
{
	state = seed;
	longest = 64;
}

void random_begin(void)
{
	for (unsigned t = 0; t < SIM_TASKS_MAX; t++)
		priority[t] = 1000 + (unsigned)(rnd() % 100000);
	for (unsigned i = 0; i < CHANGES; i++)
		change_at[i] = (unsigned)(rnd() % longest);
	lowest = 999;
}

int random_pick(uint32_t enabled)
{
	int best = -1;

	if (sim_depth > longest)
		longest = sim_depth;
	for (uint32_t m = enabled; m; m &= m - 1) {
		int t = __builtin_ctz(m);

		if (best < 0 || priority[t] > priority[best])
			best = t;
	}
	for (unsigned i = 0; i < CHANGES; i++)
		if (change_at[i] == sim_depth && lowest > 0) {
			priority[best] = lowest--;
			change_at[i] = SIM_DEPTH_MAX;
			return random_pick(enabled);
		}
	return best;
}

bool random_next(void)
{
	return true;
}
