/* serve/client/client.c - one client: references, its process, its helper's comings and goings.
 *
 * Locks: none but clients_lock, for the moment in which its process becomes known.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mmu/host/shared.h"
#include "mmu/host/uffd.h"
#include "serve/client/client.h"
#include "serve/process/proc.h"

#define HOLD_SHARE 8 /* margin below max / HOLD_SHARE: more than background reclaim keeps free */
#define ALL_START  (16 * PAGE_SIZE)

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

struct client *client_create(struct supervisor *s, int uffd, enum client_state state)
{
	struct client *c = plat_alloc(sizeof(*c));

	VM_ASSERT(state == CLIENT_FORKED || state == CLIENT_JOINING || state == CLIENT_EXECUTING);
	if (!c)
		return NULL;
	/* Set everything up before the address space: from then on the OOM killer finds the
	 * client. */
	host_client_init(&c->host, NULL, uffd);
	c->s = s;
	c->sock = c->statm_fd = c->maps_fd = c->guard_fd = -1;
	c->copying.stat_fd = -1;
	c->unmanaged = state == CLIENT_EXECUTING;
	a32_store(&c->state_word, state);
	c->created_ns = plat_now_ns();
	a32_store(&c->ref, 2);
	spin_init(&c->fork.lock, RANK_LEAF);
	c->host.mm = mm_create(&s->engine, s->group, c);
	if (!c->host.mm) {
		c->host.uffd = -1;
		client_free(c);
		return NULL;
	}
	roster_add(c);
	return c;
}

void client_enter(struct client *c)
{
	VM_ASSERT(!c->unmanaged);
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

	VM_ASSERT(c->host.uffd >= 0);
	a32_store(&c->armed, 1);
	return epoll_ctl(c->s->fault_ep, EPOLL_CTL_ADD, c->host.uffd, &ev) == 0 ? 0 : -errno;
}

void client_ref(struct client *c)
{
	assert_referenced(c);
	a32_add(&c->ref, 1);
}

void client_free(struct client *c)
{
	VM_ASSERT(a32_peek(&c->ref) == 0 || !c->host.mm);
	close_if(c->host.uffd);
	close_if(c->host.pidfd);
	close_if(c->host.pagemap_fd);
	close_if(c->host.mem_fd);
	close_if(c->sock);
	close_if(c->statm_fd);
	close_if(c->copying.stat_fd);
	close_if(c->maps_fd);
	close_if(c->guard_fd);
	spin_fini(&c->host.batch_lock);
	spin_fini(&c->host.fill_lock);
	spin_fini(&c->fork.lock);
	if (c->before)
		client_put(c->before);
	plat_free(c);
}

/* Reclaim and the OOM killer reference only the address space and reach the client through it, so
 * the client is freed with the address space. */
void client_put(struct client *c)
{
	assert_referenced(c);
	if (a32_add(&c->ref, -1) == 0)
		mm_put(c->host.mm);
}

void client_set_pid(struct client *c, pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct supervisor *s = c->s;
	char comm[sizeof(c->comm)];
	bool first;

	VM_ASSERT(pid > 0);
	assert_referenced(c);
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
	/* One that executes a program, too: its memory from before, which the keeper knew, ends. */
	if (first)
		client_keep(c);
	if (!first)
		close_if(pidfd);
}

void client_keep(struct client *c)
{
	struct keeper *k = c->s->keeper;

	if (!k || c->host.pidfd < 0 || c->kept)
		return;
	keeper_add_pid(k, c->host.pid, c->host.pidfd);
	c->kept = true;
}

void client_kill(struct client *c, int sig)
{
	VM_ASSERT(sig > 0);
	if (c->host.pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, c->host.pidfd, sig, NULL, 0);
}

/* The states that may follow each one. */
static bool may_follow(enum client_state from, enum client_state to)
{
#define TO(state) (1u << CLIENT_##state)
	static const uint32_t next[NR_CLIENT_STATES] = {
		[CLIENT_FORKED] = TO(JOINING) | TO(CLOSING) | TO(ENDED),
		[CLIENT_JOINING] = TO(JOINING) | TO(SERVED) | TO(UNREADY) | TO(ENDED),
		[CLIENT_SERVED] = TO(SERVED) | TO(JOINING) | TO(CLOSING) | TO(ENDED),
		[CLIENT_UNREADY] = TO(JOINING) | TO(SERVED) | TO(CLOSING) | TO(ENDED),
		[CLIENT_EXECUTING] = TO(UNIDENTIFIED) | TO(ENDED),
		[CLIENT_UNIDENTIFIED] = TO(UNMANAGED) | TO(ENDED),
		[CLIENT_UNMANAGED] = TO(ENDED),
		[CLIENT_CLOSING] = TO(CLOSING) | TO(JOINING) | TO(SERVED) | TO(ENDED),
	};
#undef TO

	return next[from] & 1u << to;
}

bool client_change_state(struct client *c, enum client_state from, enum client_state to)
{
	VM_ASSERT(may_follow(from, to));
	return a32_cas(&c->state_word, from, to);
}

enum client_state client_set_state(struct client *c, enum client_state to)
{
	enum client_state from;

	do {
		from = client_state(c);
		if (from == CLIENT_ENDED)
			break;
	} while (!client_change_state(c, from, to));
	return from;
}

void client_closing(struct client *c)
{
	assert_thread(THREAD_CONTROL);
	VM_ASSERT(!c->unmanaged);
	(void)client_set_state(c, CLIENT_CLOSING);
	/* Not a victim: a signal would hit what the process has become. */
	if (a32_cas(&c->host.mm->dying, 0, 1))
		c->spared = true;
}

bool client_lives_on(struct client *c, bool started)
{
	bool closing = client_state(c) == CLIENT_CLOSING;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(!c->unmanaged);
	if (closing && c->spared) {
		spin_lock(&c->s->engine.mm_lock);
		c->host.mm->dying_since = 0;
		a32_store(&c->host.mm->dying, 0);
		spin_unlock(&c->s->engine.mm_lock);
		c->spared = false;
	}
	(void)client_set_state(c, started ? CLIENT_SERVED : CLIENT_JOINING);
	return closing;
}

/* Range @i of PRIVATE_RANGES of the agent's own memory: the last appears with the first standby. */
static void private_range(const struct client *c, int i, uint64_t *from, uint64_t *to)
{
	*to = __atomic_load_n(&c->private_end[i], __ATOMIC_ACQUIRE);
	*from = __atomic_load_n(&c->private_start[i], __ATOMIC_RELAXED);
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

bool client_exited(const struct client *c)
{
	struct pollfd p = { .fd = c->host.pidfd, .events = POLLIN };
	struct proc_stat st;

	/* After an exec the process is another address space; and another process may share the old
	 * one. */
	if (client_mute(c) &&
	    (!proc_stat(c->host.pid, &st) || !(st.flags & PROC_FORKED) || st.state == 'Z'))
		return uffd_dead(c->host.uffd);
	if (c->host.pidfd >= 0)
		return !client_mute(c) && poll(&p, 1, 0) == 1;
	if (c->host.uffd >= 0)
		return uffd_dead(c->host.uffd);
	/* It had ended when it was found. */
	return c->host.pid && kill(c->host.pid, 0) != 0 && errno == ESRCH;
}

/* A client whose helper does not answer gives no pages back. It keeps what it has, but must not
 * take the rest of the group's memory, page by page, from clients that do. */
static bool takes_too_much(struct client *c)
{
	struct page_counter *memory = &c->s->group->memory;

	return a32_load(&c->host.is_late) && !client_has_ended(c) && !a32_load(&c->beyond) &&
	       page_counter_margin(memory) < a64_load(&memory->max) / HOLD_SHARE;
}

bool client_must_wait(struct client *c)
{
	assert_thread(THREAD_FAULT);
	if (!takes_too_much(c))
		return false;
	a32_store(&c->faults_wait, 1);
	return true;
}

void client_let_go(struct client *c)
{
	assert_referenced(c);
	if (!a32_load(&c->faults_wait) || takes_too_much(c))
		return;
	a32_store(&c->faults_wait, 0);
	(void)uffd_wake(c->host.uffd, ALL_START,
			(proc_addresses_end() - PAGE_SIZE - ALL_START) / PAGE_SIZE);
}

/* The caller of fork continues as soon as its event is read: wait until the event is applied. */
void client_events_applied(struct client *c)
{
	uint32_t turn = a32_load(&c->event_turn);

	while (turn & 1 && a32_load(&c->event_turn) == turn)
		plat_sleep_ns(50 * 1000);
}

/* A user of the descriptor sees either the old process or the new one. */
void client_change_pid(struct client *c, pid_t pid)
{
	struct supervisor *s = c->s;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(pid > 0 && !c->unmanaged);
	census_end(c, client_state(c));
	c->found_ns = plat_now_ns();
	if (c->kept)
		keeper_del_pid(s->keeper, c->host.pid);
	c->kept = false;
	if (fd >= 0 && c->host.pidfd >= 0)
		(void)dup3(fd, c->host.pidfd, O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	spin_lock(&s->clients_lock);
	c->host.pid = pid;
	spin_unlock(&s->clients_lock);
	proc_comm(pid, c->comm, sizeof(c->comm));
	client_keep(c);
}
