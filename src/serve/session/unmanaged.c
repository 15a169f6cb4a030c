/* serve/session/unmanaged.c - the names of programs that stay unmanaged, for the report.
 *
 * Locks: names_lock, rank LEAF.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "serve/process/proc.h"
#include "serve/session/session.h"

/* names_lock held. */
static void name_of(const struct client *c, enum client_state was, char *name)
{
	const char *comm = c->comm;

	lockdep_assert_held(&c->s->names_lock);
	/* That is the previous program's name. */
	if (was == CLIENT_EXECUTING)
		comm = a32_load(&c->told) ? c->told_comm : "?";
	snprintf(name, SERVE_UNMANAGED_NAME_MAX, "%s (%d)", comm, (int)c->host.pid);
}

/* Count a program that never says HELLO, unless it just has. */
static void count_unmanaged(struct supervisor *s, struct client *c, enum client_state was)
{
	VM_ASSERT(c->unmanaged);
	spin_lock(&s->names_lock);
	if (!c->named.registered && !c->named.counted) {
		a64_add(&s->unmanaged_total, 1);
		if (s->nr_names < SERVE_UNMANAGED_NAMES)
			name_of(c, was, s->names[s->nr_names++]);
		c->named.counted = true;
	}
	spin_unlock(&s->names_lock);
}

/* Is it still the program that was given up? The root is a copy of umemcg until it executes its
 * program. */
static bool same_program(const struct client *c)
{
	char now[sizeof(c->comm)], ours[sizeof(c->comm)];

	proc_comm(c->host.pid, now, sizeof(now));
	proc_comm(getpid(), ours, sizeof(ours));
	return strcmp(c->comm, now) == 0 || strcmp(c->comm, ours) == 0;
}

void unmanaged_registered(struct client *c)
{
	struct supervisor *s = c->s;
	char name[SERVE_UNMANAGED_NAME_MAX];
	unsigned i = 0;

	VM_ASSERT(c->unmanaged);
	if (!same_program(c))
		return;
	spin_lock(&s->names_lock);
	name_of(c, CLIENT_UNMANAGED, name);
	while (i < s->nr_names && strcmp(s->names[i], name) != 0)
		i++;
	if (c->named.counted)
		a64_add(&s->unmanaged_total, -1);
	if (c->named.counted && i < s->nr_names)
		memmove(s->names[i], s->names[i + 1], (--s->nr_names - i) * sizeof(s->names[0]));
	c->named.counted = false;
	c->named.registered = true;
	spin_unlock(&s->names_lock);
}

void unmanaged_ended(struct client *c, enum client_state was)
{
	bool executing = was == CLIENT_EXECUTING;

	VM_ASSERT(client_has_ended(c));
	if ((!executing && was != CLIENT_UNIDENTIFIED) || c->introduced)
		return;
	if ((!executing && a32_load(&c->host.mm->dying)) || starting_was_unable(c, was))
		count_unmanaged(c->s, c, was);
}

void unmanaged_give_name(struct client *c)
{
	assert_thread(THREAD_WATCHER);
	VM_ASSERT(c->unmanaged && c->host.pid);
	proc_comm(c->host.pid, c->comm, sizeof(c->comm));
	client_keep(c);
	/* If it has ended that is counted there. If it ends from now on starting_over sees it. */
	if (client_change_state(c, CLIENT_UNIDENTIFIED, CLIENT_UNMANAGED))
		count_unmanaged(c->s, c, CLIENT_UNMANAGED);
}
