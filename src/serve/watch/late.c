/* serve/watch/late.c - a client whose helper a tracer has stopped does not wait for ever.
 *
 * A tracer that can still stop helpers (where ptrace is refused to us, follow.c) may itself wait
 * for a page of the client it has stopped. Faults of such a client wait while the group is full
 * (client_must_wait). After a while it continues beyond the limit, one page at a time. The limit
 * rises by what it takes while that lasts, so no other client pays for it, and a notice says so. A
 * client that takes as much as the limit again is killed.
 *
 * Locks: none. Only the watcher writes here; fault workers read @beyond.
 */
#include <inttypes.h>
#include <signal.h>

#include "base/size.h"
#include "mm/reclaim.h"
#include "serve/process/proc.h"
#include "serve/session/session.h"
#include "serve/watch/parts.h"

#define PATIENCE_NS (2 * 1000000000ull)

/* If our own tracer stopped it, it continues as soon as that thread runs. */
static bool is_stopped(const struct client *c)
{
	pid_t ours = follow_tracer(c->s);

	assert_thread(THREAD_WATCHER);
	return proc_thread_stopped(c->host.pid, c->host.task) &&
	       (!ours || proc_tracer(c->host.pid, c->host.task) != ours);
}

static void go_beyond(struct client *c)
{
	struct mm *mm = c->host.mm;

	assert_thread(THREAD_WATCHER);
	a32_add(&mm->held, 1);
	c->late.from = a64_load(&mm->rss);
	a32_store(&c->beyond, 1);
	supervisor_notice(c->s,
			  "%s (%d): a tracer has stopped the thread that gives its memory back; "
			  "until that goes on the limit may be exceeded",
			  c->comm, (int)c->host.pid);
}

static void come_back(struct client *c)
{
	assert_thread(THREAD_WATCHER);
	c->late.since_ns = 0;
	if (a32_cas(&c->beyond, 1, 0))
		a32_add(&c->host.mm->held, -1);
}

/* Pages it has taken beyond the limit. */
static int64_t taken(struct client *c)
{
	char text[SIZE_TEXT_MAX];
	int64_t n = a64_load(&c->host.mm->rss) - c->late.from;

	assert_thread(THREAD_WATCHER);
	if (n > bounds_get(&c->s->bounds, CTL_MAX) && !a32_load(&c->host.mm->dying)) {
		supervisor_notice(
			c->s,
			"%s (%d) needed %s more than the limit while a tracer had stopped "
			"the thread that gives its memory back: killed",
			c->comm, (int)c->host.pid, size_format(text, n * (int64_t)PAGE_SIZE));
		client_kill(c, SIGKILL);
	}
	return n > 0 ? n : 0;
}

int64_t late_look(struct client *c, uint64_t now)
{
	assert_thread(THREAD_WATCHER);
	if (!a32_load(&c->host.is_late) || client_has_ended(c)) {
		come_back(c);
		return 0;
	}
	if (!c->late.since_ns)
		c->late.since_ns = now;
	if (!a32_load(&c->beyond) && a32_load(&c->faults_wait) &&
	    now - c->late.since_ns > PATIENCE_NS && is_stopped(c))
		go_beyond(c);
	return a32_load(&c->beyond) ? taken(c) : 0;
}

void late_adjust(struct supervisor *s, int64_t was, int64_t pages)
{
	assert_thread(THREAD_WATCHER);
	if (pages == was)
		return;
	bounds_beyond(&s->bounds, s->group, pages);
	if (pages < was)
		kswapd_wake(&s->engine);
}
