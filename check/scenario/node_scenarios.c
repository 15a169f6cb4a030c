/* check/scenario/node_scenarios.c - frames that go offline, and pages that move to a slower node,
 * against concurrent users. All of them require: no task has a frame above its node's end once the
 * resize is over; no page is lost; each is counted once. */
#include "scenario/tasks.h"
#include "mm/node.h"

static struct mm *mm;
static struct page *victim, *other;
static struct mem_cgroup *group;
static struct node_resize_result *resized;
static struct reclaim_result *reclaimed;

/* ---- tasks ---- */

static void fill_0(void *arg)
{
	fx_write(arg, 0, 0);
}

/* There may be no free frame for it. */
static void touch_0(void *arg)
{
	int err = fx_fault(arg, 0, false);

	if (err && err != -ENOMEM)
		sim_fail(SIM_WRONG, NULL, 0, "a page cannot be brought: %d", err);
}

/* What a fault does with a frame, in short. */
static void use_a_frame(void *arg)
{
	struct page *p;

	(void)arg;
	if (frames_alloc(&fx->e, &p, 1) == 0)
		page_put(&fx->e, p);
}

/* To one frame. */
static void resize(void *arg)
{
	(void)arg;
	node_resize(&fx->e, 0, 1, 2, resized);
}

static void resize_once(void *arg)
{
	(void)arg;
	node_resize(&fx->e, 0, 1, 1, resized);
}

/* Back to all frames. */
static void grow(void *arg)
{
	(void)arg;
	node_resize(&fx->e, 0, FX_FRAMES, 2, resized + 1);
}

static void demote(void *arg)
{
	(void)arg;
	shrink_pages(&fx->e, &victim, 1, RECLAIM_DEMOTE, reclaimed);
}

static void demote_other(void *arg)
{
	(void)arg;
	shrink_pages(&fx->e, &other, 1, RECLAIM_DEMOTE, reclaimed + 1);
}

static void demote_if_on_list(void *arg)
{
	if (lru_isolate_page(victim))
		demote(arg);
	else
		page_put(&fx->e, victim);
}

/* ---- set-up and end ---- */

/* One node; the first two frames are unused, and number 1 is the next to be handed out: above the
 * future end. */
static void one_node(void)
{
	struct page *p[2];

	fx_up(FX_SLOTS);
	resized = plat_alloc(2 * sizeof(*resized));
	if (frames_alloc(&fx->e, p, 2) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: no frames");
	page_put(&fx->e, p[0]);
	page_put(&fx->e, p[1]);
	fx_name_frames();
	group = fx_group("A", 8);
	mm = fx_mm(group, "mm", 1);
}

/* That frame holds a page. */
static void page_above(void (*fn)(void *arg))
{
	one_node();
	fx_fill(mm, 0);
	victim = pfn_page(&fx->e, pte_pfn(fx_pte(mm, 0)));
	sim_task("resize", fn, NULL, 0, 0);
}

static void resized_end(void)
{
	int64_t frames = fx->e.node[0].nr_frames - fx->e.node[0].nr_above;

	expect_is("frames of the node", frames, resized->frames);
	expect_is("frames it may have", fx->e.node[0].max, resized->frames);
	expect_is("it gave up, for it has more than the one frame it should", resized->busy > 0,
		  resized->frames > 1);
	expect_is("pgmigrate_success", stat_read(fx->e.tree.root, STAT_PGMIGRATE_SUCCESS),
		  resized->compacted + resized->demoted);
	fx_down();
}

static void tiers(unsigned npages)
{
	fx_up_tiers(FX_SLOTS);
	reclaimed = plat_alloc(2 * sizeof(*reclaimed));
	group = fx_group("A", 8);
	mm = fx_mm(group, "mm", npages);
	for (unsigned i = 0; i < npages; i++)
		fx_fill(mm, i);
}

static void isolated(void)
{
	tiers(1);
	victim = fx_isolate(mm, 0);
	sim_task("demote", demote, NULL, 0, 0);
}

static void demoted_end(void)
{
	struct mem_cgroup *root = fx->e.tree.root;
	int64_t demoted = reclaimed[0].demoted + reclaimed[1].demoted;

	expect_is("pgdemote_direct", stat_read(root, STAT_PGDEMOTE_DIRECT), demoted);
	expect_is("pgmigrate_success", stat_read(root, STAT_PGMIGRATE_SUCCESS), demoted);
	fx_down();
}

/* ---- resizing ---- */

static void resize_and_fault_setup(void)
{
	one_node();
	sim_task("resize", resize, NULL, 0, 0);
	sim_task("write", fill_0, mm, 1, 0);
}
DEFINE_SCENARIO(
	resize_and_fault, "resize-and-fault", resize_and_fault_setup, resized_end,
	"a node's frames go while a fault wants one: it gets one that stays, or is moved to it");

static void resize_and_zap_setup(void)
{
	page_above(resize);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(resize_and_zap, "resize-and-zap", resize_and_zap_setup, resized_end,
		"a page in a frame that goes is unmapped: whoever frees it, it goes offline");

static void resize_and_exit_setup(void)
{
	page_above(resize);
	sim_task("exit", task_exit, mm, 1, 0);
}
DEFINE_SCENARIO(resize_and_exit, "resize-and-exit", resize_and_exit_setup, resized_end,
		"the owner of a page in a frame that goes ends");

static void resize_and_reclaim_setup(void)
{
	page_above(resize);
	page_get(victim);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(
	resize_and_reclaim, "resize-and-reclaim", resize_and_reclaim_setup, resized_end,
	"reclaim has the page in a frame that goes: out it is, or tried again, or the frame stays");

/* The frame below the end is taken: the page must be swapped out while it is in use. */
static void resize_out_and_fault_setup(void)
{
	struct page *taken;

	page_above(resize);
	if (frames_alloc(&fx->e, &taken, 1) != 0 || taken->pfn != 0)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: not the first frame");
	victim = taken;
	sim_task("fault", touch_0, mm, 1, 0);
}

static void resize_out_and_fault_end(void)
{
	page_put(&fx->e, victim);
	fx_read(mm, 0, 0);
	resized_end();
}
DEFINE_SCENARIO(resize_out_and_fault, "resize-out-and-fault", resize_out_and_fault_setup,
		resize_out_and_fault_end,
		"a page that no frame is left for goes to swap while a thread wants it");

/* The page has an extra reference throughout. */
static void resize_fails_and_alloc_setup(void)
{
	page_above(resize_once);
	page_get(victim);
	sim_task("allocate", use_a_frame, NULL, 1, 0);
}

static void resize_fails_and_alloc_end(void)
{
	page_put(&fx->e, victim);
	expect_is("frames that stay", resized->frames, 2);
	expect_is("frames in use", resized->busy, 1);
	fx_read(mm, 0, 0);
	resized_end();
}
DEFINE_SCENARIO(
	resize_fails_and_alloc, "resize-fails-and-alloc", resize_fails_and_alloc_setup,
	resize_fails_and_alloc_end,
	"a frame that should go is pinned: the node ends behind it, while others come and go");

static void free_victim(void *arg)
{
	(void)arg;
	page_put(&fx->e, victim);
}

/* The user of the page gives no handle on it: no mapping, no list. */
static void resize_fails_and_free_setup(void)
{
	struct page *p;

	one_node();
	if (frames_alloc(&fx->e, &victim, 1) != 0 || frames_alloc(&fx->e, &p, 1) != 0 ||
	    victim->pfn != 1)
		sim_fail(SIM_WRONG, NULL, 0, "set-up: not the frame above the end");
	page_put(&fx->e, p);
	sim_task("resize", resize_once, NULL, 0, 0);
	sim_task("free", free_victim, NULL, 1, 0);
}
DEFINE_SCENARIO(resize_fails_and_free, "resize-fails-and-free", resize_fails_and_free_setup,
		resized_end,
		"a frame that should go becomes free as the resize gives up: it is offline, or "
		"stays and is what is busy");

static void resize_and_grow_setup(void)
{
	page_above(resize);
	sim_task("grow", grow, NULL, 1, 0);
}

/* One was refused, or they ran one after the other. */
static void resize_and_grow_end(void)
{
	int64_t max = fx->e.node[0].max;

	if (max != resized[0].frames && max != resized[1].frames)
		sim_fail(SIM_WRONG, NULL, 0, "%lld frames are nobody's result", (long long)max);
	fx_down();
}
DEFINE_SCENARIO(resize_and_grow, "resize-and-grow", resize_and_grow_setup, resize_and_grow_end,
		"a node is shrunk and grown at once: one is refused, or one comes after the other");

/* ---- demotion ---- */

static void demote_and_fault_setup(void)
{
	isolated();
	sim_task("read", task_read, mm, 1, 0);
}
DEFINE_SCENARIO(demote_and_fault, "demote-and-fault", demote_and_fault_setup, demoted_end,
		"a page goes to the slower node while a thread wants it");

static void demote_and_write_setup(void)
{
	isolated();
	sim_task("write", task_write, mm, 1, 0);
}

static void demote_and_write_end(void)
{
	fx_read(mm, 0, 1);
	demoted_end();
}
DEFINE_SCENARIO(demote_and_write, "demote-and-write", demote_and_write_setup, demote_and_write_end,
		"a page goes to the slower node while a thread stores to it: the store is there");

static void demote_and_zap_setup(void)
{
	isolated();
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(demote_and_zap, "demote-and-zap", demote_and_zap_setup, demoted_end,
		"a page goes to the slower node while its mapping goes: it is freed, and what was "
		"done is counted");

static void demote_and_reclaim_setup(void)
{
	tiers(1);
	victim = pfn_page(&fx->e, pte_pfn(fx_pte(mm, 0)));
	page_get(victim);
	page_get(victim);
	sim_task("demote", demote_if_on_list, NULL, 0, 0);
	sim_task("reclaim", task_reclaim_if_listed, victim, 1, 0);
}
DEFINE_SCENARIO(demote_and_reclaim, "demote-and-reclaim", demote_and_reclaim_setup, demoted_end,
		"a full group and a full node want one page: it is swapped out or moved, or one of "
		"them after the other");

/* The slower node has one frame left. */
static void demote_last_frame_setup(void)
{
	struct node_resize_result r;

	tiers(2);
	node_resize(&fx->e, 1, 1, 1, &r);
	victim = fx_isolate(mm, 0);
	other = fx_isolate(mm, 1);
	sim_task("demote 0", demote, NULL, 0, 0);
	sim_task("demote 1", demote_other, NULL, 1, 0);
}

static void demote_last_frame_end(void)
{
	expect_is("pages on the slower node", reclaimed[0].demoted + reclaimed[1].demoted, 1);
	fx_read(mm, 0, 0);
	fx_read(mm, 1, 0);
	demoted_end();
}
DEFINE_SCENARIO(
	demote_last_frame, "demote-last-frame", demote_last_frame_setup, demote_last_frame_end,
	"two pages want the last frame of the slower node: one gets it, the other goes to swap");
