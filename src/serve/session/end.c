/* serve/session/end.c - the end of a client: every room gives back what it has of it.
 *
 * Locks: none held by the caller.
 */
#include <sys/epoll.h>

#include "mm/charge.h"
#include "mmu/host/shared.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/session/session.h"
#include "serve/shared/shared.h"

enum client_state client_end(struct client *c)
{
	struct supervisor *s = c->s;
	enum client_state was = client_set_state(c, CLIENT_ENDED);
	int64_t unmanaged, debt;

	assert_referenced(c);
	if (was == CLIENT_ENDED)
		return was;
	roster_remove(c);
	if (c->host.uffd >= 0)
		(void)epoll_ctl(s->fault_ep, EPOLL_CTL_DEL, c->host.uffd, NULL);
	unmanaged_ended(c, was);
	census_peak(c);
	census_end(c, was);
	fork_over(c, 0);
	host_client_end(&s->mmu, &c->host);
	mm_teardown(c->host.mm);
	debt = copies_leave(c);
	unmanaged = a64_xchg(&c->host.mm->unmanaged, 0);
	charge_unmanaged(&s->engine, s->group, unmanaged + (debt < 0 ? -debt : 0),
			 debt > 0 ? debt : 0);
	tables_end(c);
	reserve_end(c);
	host_shared_forget(&s->mmu, c->key);
	segments_forget(c);
	if (c->kept)
		keeper_del_pid(s->keeper, c->host.pid);
	if (s->keeper)
		keeper_del_fd(s->keeper, c->key);
	client_put(c); /* the list's */
	return was;
}

/* ---- an end without a channel ---- */

bool client_left(struct client *c)
{
	struct proc_stat st;

	assert_referenced(c);
	if (!client_mute(c) || !proc_stat(c->host.pid, &st) || st.flags & PROC_FORKED)
		return false;
	if (uffd_dead(c->host.uffd))
		(void)client_end(c);
	else
		/* Another process shares its old memory. If HELLO is faster it is no mute one. */
		(void)client_change_state(c, CLIENT_FORKED, CLIENT_CLOSING);
	return true;
}
