/* serve/account/tables.c - page tables: the kernel's for the programs, and the engine's own for
 * them. Both are part of what is measured and charged (measure.c): memory spread thinly over its
 * addresses needs as much for its tables as for itself.
 *
 * The kernel's are read per client (VmPTE), which costs about 20 us. So they are read only when
 * they may have grown: with the client's engine tables, with its unmanaged RSS, or, unnoticed (file
 * mappings), within LOOK_NS. The size of the engine's own tables, of all clients together, is
 * always known; the watcher keeps it up to date.
 *
 * Locks: none. client->tables is exchanged, and the statistic is adjusted by the difference.
 */
#include "mm/charge.h"
#include "mm/engine.h"
#include "mm/pgtable.h"
#include "serve/account/account.h"

#define LOOK_NS    (1000000000ull)
#define LOOK_PAGES 32 /* growth that may be unnoticed */
#define HOT_PAGES  16
#define HOT_NS     (50 * 1000000ull)

static int64_t distance(int64_t a, int64_t b)
{
	return a > b ? a - b : b - a;
}

static void set_tables(struct client *c, int64_t now)
{
	stat_add(c->s->group, STAT_PAGETABLES, now - a64_xchg(&c->tables, now));
}

int64_t tables_pages(struct client *c, int64_t extra)
{
	int64_t leaves = pgtable_leaves(c->host.mm), now_ns = (int64_t)plat_now_ns(), got;

	assert_referenced(c);
	if (now_ns - a64_load(&c->tables_seen.ns) < (int64_t)LOOK_NS &&
	    distance(leaves, a64_load(&c->tables_seen.leaves)) < LOOK_PAGES &&
	    distance(extra, a64_load(&c->tables_seen.extra)) < LOOK_PAGES)
		return a64_load(&c->tables);
	got = proc_table_pages(client_state(c) == CLIENT_UNREADY ? c->host.pid : c->host.task);
	if (got < 0)
		return a64_load(&c->tables);
	a64_store(&c->tables_seen.ns, now_ns);
	a64_store(&c->tables_seen.leaves, leaves);
	a64_store(&c->tables_seen.extra, extra);
	set_tables(c, got);
	if (client_has_ended(c))
		set_tables(c, 0);
	return got;
}

void tables_end(struct client *c)
{
	VM_ASSERT(client_has_ended(c));
	set_tables(c, 0);
}

static void set_own(struct supervisor *s, struct own_tables *own, int64_t now)
{
	int64_t was = own->pages;

	if (now == was)
		return;
	own->pages = now;
	charge_unmanaged(&s->engine, s->group, was, now);
	stat_add(s->group, STAT_OWN_TABLES, now - was);
	if (now > was)
		a32_store(&s->unsettled, 1);
	if (now - was >= HOT_PAGES)
		own->grown_ns = plat_now_ns();
}

bool tables_measure_own(struct supervisor *s, struct own_tables *own)
{
	assert_thread(THREAD_WATCHER);
	set_own(s, own,
		(engine_tables_bytes(&s->engine) + (int64_t)PAGE_SIZE - 1) / (int64_t)PAGE_SIZE);
	return own->grown_ns && plat_now_ns() - own->grown_ns < HOT_NS;
}

void tables_forget_own(struct supervisor *s, struct own_tables *own)
{
	assert_thread(THREAD_WATCHER);
	set_own(s, own, 0);
}
