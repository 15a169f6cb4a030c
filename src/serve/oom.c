/* serve/oom.c - what the host MMU asks the supervisor for, and what the user is told of an OOM
 * kill.
 *
 * Locks: none; names_lock for the results.
 */
#include <stdio.h>

#include "base/size.h"
#include "serve/oom.h"
#include "serve/session/session.h"
#include "serve/watch/watch.h"

#define WHY_MAX 128

static int64_t less(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Pages in the books that cannot be reclaimed: of processes forked past libc, which have no
 * helper. */
static int64_t forked_pages(struct supervisor *s)
{
	struct client *c = NULL;
	int64_t pages = 0;

	while ((c = client_next(s, c)))
		if (!c->unmanaged && c->sock < 0 && !a64_load(&c->awaits_cookie) &&
		    !client_has_ended(c))
			pages += a64_load(&c->host.mm->rss);
	return pages;
}

/* How much memory was in use, and how much of it could not be reclaimed. A part never exceeds the
 * whole, even if values change while they are read. */
static void look_at_memory(struct supervisor *s, struct serve_snapshot *now)
{
	const int64_t page = PAGE_SIZE, *stat = now->stat;

	supervisor_snapshot(s, now);
	now->oom_unmanaged = less(stat[STAT_UNMANAGED] * page, now->memory_current);
	now->oom_tables =
		less((stat[STAT_PAGETABLES] + stat[STAT_OWN_TABLES]) * page, now->oom_unmanaged);
	now->oom_forked = less(forked_pages(s) * page, now->memory_current - now->oom_unmanaged);
}

/* Why swap did not help, if it did not; "" otherwise. */
static void why_not_swapped(char *text, size_t size, const struct serve_snapshot *now)
{
	char part[SIZE_TEXT_MAX];

	VM_ASSERT(now->oom_tables <= now->memory_current);
	text[0] = '\0';
	if (now->oom_tables > now->memory_max / 2)
		snprintf(text, size, "; page tables take %s", size_format(part, now->oom_tables));
	else if (now->oom_unmanaged + now->oom_forked <= now->memory_max / 2)
		return;
	else if (now->oom_forked > now->oom_unmanaged)
		snprintf(text, size,
			 "; %s are of processes forked past libc, and cannot be "
			 "swapped",
			 size_format(part, now->oom_forked));
	else
		snprintf(text, size, "; %s are not managed and cannot be swapped",
			 size_format(part, now->oom_unmanaged));
}

static void transport_killed(struct host_client *hc)
{
	struct client *c = (struct client *)hc;
	char memory[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX], swap[SIZE_TEXT_MAX],
		swap_max[SIZE_TEXT_MAX];
	char more[WHY_MAX], victim[WHY_MAX];
	struct serve_snapshot now;
	int64_t forked;

	VM_ASSERT(a32_peek(&hc->mm->dying));
	look_at_memory(c->s, &now);
	if (c->host.pid && (uint32_t)c->host.pid == a32_load(&c->s->root_pid)) {
		a64_store(&c->s->oom_memory, now.memory_current);
		a64_store(&c->s->oom_swap, now.swap_current);
		a64_store(&c->s->oom_unmanaged, now.oom_unmanaged);
		a64_store(&c->s->oom_tables, now.oom_tables);
		a64_store(&c->s->oom_forked, now.oom_forked);
		a32_store(&c->s->root_oom_killed, 1);
		kinds_at_kill(c, now.oom_unmanaged);
		return; /* the final message of the run says it */
	}
	kinds_at_kill(c, now.oom_unmanaged);
	spin_lock(&c->s->names_lock);
	forked = c->s->unmanaged_oom.kind[SERVE_KIND_FORKED];
	spin_unlock(&c->s->names_lock);
	now.oom_forked += forked;
	now.oom_unmanaged -= forked;
	why_not_swapped(more, sizeof(more), &now);
	/* The process of a forked child may not be known yet. */
	if (c->host.pid)
		snprintf(victim, sizeof(victim), "%s (%d)", c->comm, (int)c->host.pid);
	else
		snprintf(victim, sizeof(victim), "a child of process %d that was just forked",
			 (int)c->forked_by);
	supervisor_notice(c->s,
			  "out of memory and swap (memory %s of %s, swap %s of %s): killed %s, "
			  "the largest%s",
			  size_format(memory, now.memory_current), size_format(max, now.memory_max),
			  size_format(swap, now.swap_current), size_format(swap_max, now.swap_max),
			  victim, more);
}

static bool transport_search(struct mmu_host *h, bool wait)
{
	return search_room((struct supervisor *)((char *)h - offsetof(struct supervisor, mmu)),
			   wait);
}

const struct host_transport serve_transport = {
	.evict = transport_evict,
	.fill = transport_fill,
	.adopt = transport_adopt,
	.zap = transport_zap,
	.late = transport_late,
	.lost = transport_lost,
	.blocking = transport_blocking,
	.release = transport_release,
	.search = transport_search,
	.killed = transport_killed,
};
