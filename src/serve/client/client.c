/* serve/client/client.c - the list of clients, their references and their end. */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mmu/host/shared.h"
#include "mmu/host/uffd.h"
#include "serve/internal.h"

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct client *client_create(struct supervisor *s, int uffd, bool foreign)
{
	struct client *c = plat_alloc(sizeof(*c));

	if (!c)
		return NULL;
	/* Set everything up before the address space: from then on the OOM killer finds the
	 * client. */
	host_client_init(&c->host, NULL, uffd);
	c->s = s;
	c->sock = c->statm_fd = c->maps_fd = -1;
	c->foreign = foreign;
	c->created_ns = plat_now_ns();
	a32_store(&c->ref, 2);
	spin_init(&c->fork_lock, RANK_LEAF);
	c->host.mm = mm_create(&s->engine, s->group, c);
	if (!c->host.mm) {
		c->host.uffd = -1;
		client_free(c);
		return NULL;
	}
	spin_lock(&s->clients_lock);
	c->key = ++s->next_key;
	list_add_tail(&c->link, &s->clients);
	spin_unlock(&s->clients_lock);
	a64_add(&s->nr_clients, 1);
	if (!foreign)
		a64_add(&s->total_clients, 1);
	return c;
}

void client_enter(struct client *c)
{
	a32_add(&c->host.mm->held, 1);
	a32_store(&c->entering, 1);
}

void client_entered(struct client *c)
{
	if (a32_cas(&c->entering, 1, 0))
		a32_add(&c->host.mm->held, -1);
}

/* One worker reads per client; others are woken for it only when that one blocks or finds several
 * faults at once. */
void client_rearm(struct client *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = c->key };

	if (a32_cas(&c->armed, 0, 1))
		(void)epoll_ctl(c->s->fault_ep, EPOLL_CTL_MOD, c->host.uffd, &ev);
}

int client_listen(struct client *c)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = c->key };

	a32_store(&c->armed, 1);
	return epoll_ctl(c->s->fault_ep, EPOLL_CTL_ADD, c->host.uffd, &ev) == 0 ? 0 : -errno;
}

static struct client *find(struct supervisor *s, bool (*match)(const struct client *c, uint64_t v), uint64_t v)
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

static bool match_key(const struct client *c, uint64_t key) { return c->key == key; }
static bool match_managed(const struct client *c, uint64_t pid)
{
	return c->host.pid == (pid_t)pid && !c->foreign && !a32_load(&c->closing);
}
static bool match_closing(const struct client *c, uint64_t pid)
{
	return c->host.pid == (pid_t)pid && !c->foreign && a32_load(&c->closing);
}
static bool match_foreign(const struct client *c, uint64_t pid)
{
	return c->host.pid == (pid_t)pid && c->foreign;
}
static bool match_cookie(const struct client *c, uint64_t cookie)
{
	return a64_load(&c->awaits_cookie) == (int64_t)cookie;
}

static bool match_forking(const struct client *c, uint64_t cookie)
{
	return a64_load(&c->fork_cookie) == (int64_t)cookie;
}

struct client *client_get(struct supervisor *s, uint64_t key) { return find(s, match_key, key); }
struct client *client_managed(struct supervisor *s, pid_t pid) { return find(s, match_managed, (uint64_t)pid); }
struct client *client_closed(struct supervisor *s, pid_t pid) { return find(s, match_closing, (uint64_t)pid); }
struct client *client_foreign(struct supervisor *s, pid_t pid) { return find(s, match_foreign, (uint64_t)pid); }
struct client *client_by_cookie(struct supervisor *s, uint64_t cookie) { return find(s, match_cookie, cookie); }
struct client *client_forking(struct supervisor *s, uint64_t cookie) { return find(s, match_forking, cookie); }

struct client *client_by_pid(struct supervisor *s, pid_t pid)
{
	struct client *c = client_managed(s, pid);

	return c ? c : client_foreign(s, pid);
}

void client_ref(struct client *c)
{
	a32_add(&c->ref, 1);
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

void client_free(struct client *c)
{
	close_if(c->host.uffd);
	close_if(c->host.pidfd);
	close_if(c->host.pagemap_fd);
	close_if(c->host.mem_fd);
	close_if(c->sock);
	close_if(c->statm_fd);
	close_if(c->maps_fd);
	spin_fini(&c->host.batch_lock);
	spin_fini(&c->host.fill_lock);
	spin_fini(&c->fork_lock);
	if (c->before)
		client_put(c->before);
	plat_free(c);
}

/* Reclaim and the OOM killer reference only the address space and reach the client through it, so
 * the client is freed with the address space. */
void client_put(struct client *c)
{
	if (a32_add(&c->ref, -1) == 0)
		mm_put(c->host.mm);
}

void client_set_pid(struct client *c, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct supervisor *s = c->s;
	char comm[sizeof(c->comm)];
	bool first;

	proc_comm(pid, comm, sizeof(comm));
	/* The child itself (HELLO) and the find thread's askers (mark.c) may identify it at the
	 * same time; they find the same. */
	spin_lock(&s->clients_lock);
	first = !c->host.pid;
	if (first) {
		memcpy(c->comm, comm, sizeof(comm));
		c->host.pidfd = pidfd;
		c->found_ns = plat_now_ns();
		c->host.task = pid;
		c->host.pid = pid;
	}
	spin_unlock(&s->clients_lock);
	if (first && !a32_load(&c->nameless))
		client_keep(c);
	if (!first)
		close_if(pidfd);
}

void client_keep(struct client *c)
{
	struct keeper *k = c->s->keeper;

	if (!k || c->host.pidfd < 0)
		return;
	keeper_add_pid(k, c->host.pid, c->host.pidfd);
	c->kept = true;
}

void client_kill(struct client *c, int sig)
{
	if (c->host.pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, c->host.pidfd, sig, NULL, 0);
}

void client_closing(struct client *c)
{
	a32_store(&c->closing, 1);
	/* Not a victim: a signal would hit what the process has become. */
	if (a32_cas(&c->host.mm->dying, 0, 1))
		c->spared = true;
}

void client_lives_on(struct client *c)
{
	if (!a32_load(&c->closing))
		return;
	if (c->spared) {
		spin_lock(&c->s->engine.mm_lock);
		c->host.mm->dying_since = 0;
		a32_store(&c->host.mm->dying, 0);
		spin_unlock(&c->s->engine.mm_lock);
	}
	c->spared = false;
	a32_store(&c->closing, 0);
	starting_over(c->s, c->host.pid);  /* it may have been found as foreign in the meantime */
}

/* Range @i of PRIVATE_RANGES of the agent's own memory: the last appears with the first standby. */
static void private_range(const struct client *c, int i, uint64_t *from, uint64_t *to)
{
	*to = __atomic_load_n(&c->private_end[i], __ATOMIC_ACQUIRE);
	*from = __atomic_load_n(&c->private_start[i], __ATOMIC_RELAXED);
}

void client_end(struct client *c)
{
	struct supervisor *s = c->s;
	int64_t unmanaged;

	if (!a32_cas(&c->ended, 0, 1))
		return;
	spin_lock(&s->clients_lock);
	list_del(&c->link);
	spin_unlock(&s->clients_lock);
	a64_add(&s->nr_clients, -1);
	if (c->host.uffd >= 0)
		(void)epoll_ctl(s->fault_ep, EPOLL_CTL_DEL, c->host.uffd, NULL);
	unmanaged_ended(c);
	census_peak(c);
	census_end(c);
	call_fork_over(c, 0);
	host_client_end(&s->mmu, &c->host);
	mm_teardown(c->host.mm);
	unmanaged = a64_xchg(&c->host.mm->unmanaged, 0);
	charge_unmanaged(&s->engine, s->group, unmanaged, 0);
	tables_end(c);
	reserve_end(c);
	host_shared_forget(&s->mmu, c->key);
	segments_forget(c);
	if (c->kept)
		keeper_del_pid(s->keeper, c->host.pid);
	if (s->keeper)
		keeper_del_fd(s->keeper, c->key);
	client_put(c);  /* the list's */
}

bool client_private(const struct client *c, uint64_t va, uint64_t *end)
{
	for (int i = 0; i <= PRIVATE_RANGES; i++) {
		uint64_t from = c->host.staging, to = from + EVICT_PAGES_MAX * PAGE_SIZE;

		if (i < PRIVATE_RANGES)
			private_range(c, i, &from, &to);
		if (from <= va && va < to) {
			*end = to < *end ? to : *end;
			return true;
		}
		if (va < from && from < *end)
			*end = from;
	}
	return false;
}
