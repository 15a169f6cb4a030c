/* check/scenario/zswap_scenarios.c - the compressed tier (mm/zswap.h): contents of slots in memory
 * that are stored, read back, written on to the store and freed, while groups and limits change.
 * All of them require: each program finds what it left, and the charges are those of what is
 * there. */
#include "mm/swap_slot.h"
#include "mm/zswap.h"
#include "mm/zswap_entry.h"
#include "scenario/tasks.h"

static struct mem_cgroup *a, *b;
static struct mm *mm;
static struct page *victim;

/* ---- set-up ---- */

static void space(unsigned nr_slots)
{
	fx_up(nr_slots);
	if (zswap_enable(&fx->e, codec_words(), true) != 0)
		sim_fail(SIM_WRONG, NULL, 0, "no tier");
	sim_name(&fx->e.swap->zswap->lock, sizeof(struct spinlock), "tier lock");
	a = fx_group("A", 8);
	mm = fx_mm(a, "mm", 2);
	fx_fill(mm, 0);
}

static void compressed(unsigned nr_slots)
{
	space(nr_slots);
	fx_push_out(mm, 0);
	if (!zswap_holds(&fx->e, pte_entry(fx_pte(mm, 0))))
		sim_fail(SIM_WRONG, NULL, 0, "page 0 was not compressed");
}

/* ---- tasks ---- */

static void write_back(void *arg)
{
	zswap_writeback(&fx->e, arg, 1);
}

static void write_back_task(void)
{
	sim_task("write-back", write_back, fx->e.tree.root, 0, 0);
}

/* The only slot is freed, and page 1 goes there. */
static void reuse(void *arg)
{
	fx_discard(mm, 0, 1);
	task_reclaim(arg);
}

/* Page 0 is read back, changed, and goes out again. */
static void rewrite(void *arg)
{
	struct page *p;

	(void)arg;
	fx_write(mm, 0, 1);
	p = pte_present(fx_pte(mm, 0)) ? pfn_page(&fx->e, pte_pfn(fx_pte(mm, 0))) : NULL;
	if (!p)
		return;
	page_get(p);
	if (lru_isolate_page(p))
		task_reclaim(p);
	else
		page_put(&fx->e, p);
}

static void read_second(void *arg)
{
	(void)arg;
	fx_read(mm, 1, 0);
}

static void lower(void *arg)
{
	struct mem_cgroup *g = arg;

	page_counter_force_max(&g->zswap, 0);
	while (page_counter_read(&g->zswap) > 0 && zswap_writeback(&fx->e, g, 1) > 0)
		;
}

/* ---- at the end ---- */

static void unchanged_end(void)
{
	fx_read(mm, 0, 0);
	fx_down();
}

static void changed_end(void)
{
	fx_read(mm, 0, 1);
	fx_down();
}

static void other_end(void)
{
	fx_read(mm, 1, 0);
	fx_down();
}

/* ---- write-back against what else happens to the slot ---- */

static void writeback_and_read_setup(void)
{
	compressed(2);
	write_back_task();
	sim_task("read", task_read, mm, 1, 0);
}
DEFINE_SCENARIO(zswap_writeback_and_read, "zswap-writeback-and-read", writeback_and_read_setup,
		unchanged_end, "a compressed page goes on to the store while it is read back");

static void writeback_and_zap_setup(void)
{
	compressed(2);
	write_back_task();
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(zswap_writeback_and_zap, "zswap-writeback-and-zap", writeback_and_zap_setup,
		fx_down, "a compressed page goes on to the store while its last entry goes");

static void writeback_and_reuse_setup(void)
{
	compressed(1);
	fx_fill(mm, 1);
	victim = fx_isolate(mm, 1);
	write_back_task();
	sim_task("zap, reclaim", reuse, victim, 1, 0);
}
DEFINE_SCENARIO(
	zswap_writeback_and_reuse, "zswap-writeback-and-reuse", writeback_and_reuse_setup,
	other_end,
	"a compressed page goes on to the store while its slot is freed and used for another");

static void writeback_and_rewrite_setup(void)
{
	compressed(2);
	write_back_task();
	sim_task("write, reclaim", rewrite, NULL, 1, 0);
}
DEFINE_SCENARIO(
	zswap_writeback_and_rewrite, "zswap-writeback-and-rewrite", writeback_and_rewrite_setup,
	changed_end,
	"a compressed page goes on to the store while it is read back, changed and goes out");

/* ---- the group, the limit ---- */

static void left_behind(void)
{
	b = fx_group("B", 8);
	stock_drain(a);
	fx_move(mm, b);
}

static void writeback_and_rmdir_setup(void)
{
	compressed(2);
	left_behind();
	write_back_task();
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(zswap_writeback_and_rmdir, "zswap-writeback-and-rmdir", writeback_and_rmdir_setup,
		unchanged_end, "a compressed page goes on to the store while its group goes");

static void out_and_rmdir_setup(void)
{
	space(2);
	victim = fx_isolate(mm, 0);
	left_behind();
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("rmdir", task_rmdir, a, 1, 0);
}
DEFINE_SCENARIO(zswap_out_and_rmdir, "zswap-out-and-rmdir", out_and_rmdir_setup, unchanged_end,
		"a page is compressed while its group goes");

/* Page 1 is the last of its slab: it moves to where page 0 was. */
static void in_and_zap_setup(void)
{
	compressed(2);
	fx_fill(mm, 1);
	fx_push_out(mm, 1);
	sim_task("read", read_second, NULL, 0, 0);
	sim_task("zap", task_zap, mm, 1, 0);
}
DEFINE_SCENARIO(zswap_in_and_zap, "zswap-in-and-zap", in_and_zap_setup, other_end,
		"a compressed page is read back while another, whose place it takes, is freed");

static void out_and_limit_setup(void)
{
	space(2);
	victim = fx_isolate(mm, 0);
	sim_task("reclaim", task_reclaim, victim, 0, 0);
	sim_task("lower", lower, a, 1, 0);
}
DEFINE_SCENARIO(zswap_out_and_limit, "zswap-out-and-limit", out_and_limit_setup, unchanged_end,
		"a page is compressed while zswap.max becomes 0");
