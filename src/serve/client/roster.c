/* serve/client/roster.c - the list of clients.
 *
 * Lock: clients_lock, rank LEAF. A walk does not hold it: it looks the next key up.
 */
#include "serve/client/client.h"

void roster_init(struct supervisor *s)
{
	spin_init_urgent(&s->clients_lock, RANK_LEAF);
	list_init(&s->clients);
}

void roster_add(struct client *c)
{
	struct supervisor *s = c->s;

	spin_lock(&s->clients_lock);
	c->key = ++s->next_key;
	list_add_tail(&c->link, &s->clients);
	spin_unlock(&s->clients_lock);
	a64_add(&s->nr_clients, 1);
	if (!c->unmanaged)
		a64_add(&s->total_clients, 1);
}

void roster_remove(struct client *c)
{
	struct supervisor *s = c->s;

	VM_ASSERT(client_has_ended(c));
	spin_lock(&s->clients_lock);
	list_del(&c->link);
	spin_unlock(&s->clients_lock);
	a64_add(&s->nr_clients, -1);
}

static struct client *find(struct supervisor *s, bool (*match)(const struct client *c, uint64_t v),
			   uint64_t v)
{
	struct client *found = NULL;

	spin_lock(&s->clients_lock);
	list_for_each(c, &s->clients, struct client, link)
		if (match(c, v)) {
			found = c;
			a32_add(&c->ref, 1);
			break;
		}
	spin_unlock(&s->clients_lock);
	return found;
}

static bool match_managed(const struct client *c, uint64_t pid)
{
	return pid && c->host.pid == (pid_t)pid && !c->unmanaged && !client_is_leaving(c);
}

static bool match_closing(const struct client *c, uint64_t pid)
{
	return pid && c->host.pid == (pid_t)pid && !c->unmanaged && client_is_leaving(c);
}

static bool match_unmanaged(const struct client *c, uint64_t pid)
{
	return pid && c->host.pid == (pid_t)pid && c->unmanaged;
}

static bool match_cookie(const struct client *c, uint64_t cookie)
{
	return a64_load(&c->awaits_cookie) == (int64_t)cookie;
}

static bool match_forking(const struct client *c, uint64_t cookie)
{
	return a64_load(&c->fork_cookie) == (int64_t)cookie;
}

static bool match_key(const struct client *c, uint64_t key)
{
	return c->key == key;
}

struct client *client_get(struct supervisor *s, uint64_t key)
{
	return find(s, match_key, key);
}
struct client *client_managed(struct supervisor *s, pid_t pid)
{
	return find(s, match_managed, (uint64_t)pid);
}
struct client *client_closed(struct supervisor *s, pid_t pid)
{
	return find(s, match_closing, (uint64_t)pid);
}
struct client *client_unmanaged(struct supervisor *s, pid_t pid)
{
	return find(s, match_unmanaged, (uint64_t)pid);
}
struct client *client_by_cookie(struct supervisor *s, uint64_t cookie)
{
	return find(s, match_cookie, cookie);
}
struct client *client_forking(struct supervisor *s, uint64_t cookie)
{
	return find(s, match_forking, cookie);
}

struct client *client_by_pid(struct supervisor *s, pid_t pid)
{
	struct client *c = client_managed(s, pid);

	return c ? c : client_unmanaged(s, pid);
}

struct client *client_next(struct supervisor *s, struct client *prev)
{
	struct client *next = NULL;
	uint64_t after = prev ? prev->key : 0;

	spin_lock(&s->clients_lock);
	list_for_each(c, &s->clients, struct client, link)
		if (c->key > after) {
			next = c;
			a32_add(&c->ref, 1);
			break;
		}
	spin_unlock(&s->clients_lock);
	if (prev)
		client_put(prev);
	return next;
}
