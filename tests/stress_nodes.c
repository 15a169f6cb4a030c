/* tests/stress_nodes.c - memory nodes in the stress test: their frames come and go, and their pages move; see
 * stress.h. */
#include "mm/node.h"
#include "stress.h"
#include "stress_nodes.h"

#define EXCLUSIVE_MIN 1000 /* a fork there needs its frames at once, and cannot wait for them */

const struct fx_memory nodes_memory[2] = {
	{ .nr_nodes = 1 },
	{ .nr_nodes = 2, .demotion = { 2 } },
};

static atomic64_t done[NR_NODE_SEEN];

static void count(enum node_seen what, int64_t n)
{
	a64_add_relaxed(&done[what], n);
}

static void resize(struct worker *w)
{
	struct node_resize_result r;
	unsigned node = (unsigned)draw(w, fx.e.nr_nodes);
	/* Together they are now and then too small for what the groups may have; for a while, smaller than what is in use,
	 * or pages would rarely have to leave for swap. */
	int64_t least = draw(w, 4) ? 100 : 40;
	int64_t nr = files ? least + (int64_t)draw(w, 5 * (uint64_t)least) : EXCLUSIVE_MIN + (int64_t)draw(w, 1000);
	int err = node_resize(&fx.e, node, nr, (unsigned)draw(w, 4), &r);

	VM_BUG_ON(err && err != -EBUSY);
	VM_BUG_ON(err ? r.frames <= nr || r.busy == 0 : r.frames != nr);
	count(NODE_SHRUNK, r.taken);
	count(NODE_GROWN, r.given);
	count(NODE_COMPACTED, r.compacted);
	count(NODE_EMPTIED, r.demoted + r.reclaimed);
}

void nodes_step(struct worker *w)
{
	struct reclaim_result r;

	if (draw(w, 4) == 0) {
		w->doing = "resize";
		resize(w);
	} else if (files && draw(w, 4) == 0) {
		w->doing = "reclaim of a node";
		reclaim_node(&fx.e, (unsigned)draw(w, 2), 40, 0, &r);
		count(NODE_DEMOTED, r.demoted);
	}
}

bool nodes_all_seen(void)
{
	for (int i = 0; i < NR_NODE_SEEN; i++)
		if (a64_load(&done[i]) == 0)
			return false;
	return true;
}

void nodes_report(void)
{
	static const char *const name[NR_NODE_SEEN] = {
		"frames taken", "frames given back", "pages compacted", "pages driven out", "pages demoted",
	};

	for (int i = 0; i < NR_NODE_SEEN; i++)
		print_message("# %s %lld\n", name[i], (long long)a64_load(&done[i]));
	assert_true(nodes_all_seen());
}
