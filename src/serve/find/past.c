/* serve/find/past.c - children of clients where the kernel reports no fork (mode kernel): those
 * that are about to say HELLO, and those that were made past the agent.
 *
 * Locks: none. Askers.
 */
#include "serve/find/parts.h"
#include "serve/process/proc.h"

/* The client of @parent; NULL: none, or forks are reported. */
static struct client *forking_itself(struct supervisor *s, pid_t parent)
{
	assert_thread(THREAD_ASKER);
	return serve_mode_own_forks(s->mode) && parent > 0 ? client_managed(s, parent) : NULL;
}

bool past_may_speak(struct supervisor *s, pid_t parent)
{
	struct client *c = forking_itself(s, parent);
	bool yes = c && a64_load(&c->fork_cookie);

	if (c)
		client_put(c);
	return yes;
}

/* One that was managed may be ending: its memory has gone before its last thread. */
static bool was_managed(struct supervisor *s, pid_t pid)
{
	struct client *closed = client_closed(s, pid), *c = client_by_pid(s, pid);
	bool yes = closed || c;
	struct proc_stat st;

	if (closed)
		client_put(closed);
	if (c)
		client_put(c);
	return yes || !proc_stat(pid, &st) || st.flags & PROC_ENDING;
}

void past_tell(struct supervisor *s, pid_t pid, pid_t parent)
{
	struct client *c = forking_itself(s, parent);

	VM_ASSERT(pid > 0);
	if (!c)
		return;
	if (!was_managed(s, pid))
		supervisor_notice(s,
				  "%s (%d) has made process %d by a system call of its own, which "
				  "cannot be followed here: it ends by SIGSEGV where it touches "
				  "what was in swap",
				  c->comm, (int)parent, (int)pid);
	client_put(c);
}
