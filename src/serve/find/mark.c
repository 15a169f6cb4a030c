/* serve/find/mark.c - finds the process that a fork event's userfaultfd belongs to.
 *
 * A fork event brings the child's userfaultfd but does not name the child. The child names itself
 * in its HELLO, unless the agent has not prepared it (raw clone(2), or HELLO failed). The thread id
 * in its faults does not help: it is a number in the child's own PID namespace, and a child need
 * not fault.
 *
 * So we mark its memory through the userfaultfd: we write a text that only we know to the page
 * after the agent's first one. That page is empty in a child (MADV_WIPEONFORK) and nothing touches
 * it. The process that has the text there is the child. The page stays registered only while we
 * write it. A child's children do not inherit the mark.
 *
 * A client whose memory several processes share (standby.c) is marked, too: once its own process
 * has ended, the others cannot be compared with it.
 *
 * Locks: none. The thread that changes client->mark from MARK_NONE to MARK_BUSY places the mark.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/find/parts.h"
#include "serve/process/proc.h"

#define SAY_NS  (20 * 1000000ull) /* a child that was announced says HELLO itself */
#define PRESENT (1ull << 63)

struct text {
	char name[sizeof(((struct supervisor *)NULL)->socket_name)];
	uint64_t key;
};

static void make_text(const struct client *c, struct text *t)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->name, c->s->socket_name, sizeof(t->name));
	t->key = c->key;
}

/* We set @c to MARK_BUSY. If an event is unread, sets MARK_NONE again for a later try. */
static void place(struct client *c)
{
	_Alignas(4096) char page[PAGE_SIZE] = { 0 };
	int err;

	VM_ASSERT(a32_peek(&c->mark) == MARK_BUSY);
	_Static_assert(sizeof(struct text) <= sizeof(page), "the mark fits");
	make_text(c, (struct text *)page);
	err = uffd_register(c->host.uffd, c->mark_va, PAGE_SIZE);
	if (!err) {
		err = uffd_copy(c->host.uffd, c->mark_va, page, 1);
		uffd_unregister(c->host.uffd, c->mark_va, PAGE_SIZE);
	}
	a32_store(&c->mark, err == 1 ? MARK_PLACED : err == -EAGAIN ? MARK_NONE : MARK_FAILED);
}

/* Check first: reading an absent page would raise a fault that we must serve. */
static bool is_present(pid_t pid, uint64_t va)
{
	uint64_t entry = 0;
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	fd = proc_there(pid) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	if (pread(fd, &entry, sizeof(entry), (off_t)(va / PAGE_SIZE * sizeof(entry))) !=
	    sizeof(entry))
		entry = 0;
	close(fd);
	return entry & PRESENT;
}

static bool has_mark(const struct client *c, pid_t pid)
{
	struct text want, got;
	struct iovec local = { &got, sizeof(got) },
		     remote = { (void *)(uintptr_t)c->mark_va, sizeof(got) };

	VM_ASSERT(a32_peek(&c->mark) == MARK_PLACED);
	make_text(c, &want);
	return is_present(pid, c->mark_va) &&
	       process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(got) &&
	       memcmp(&got, &want, sizeof(got)) == 0;
}

/* Its process has the memory now, but a standby may take over (standby.c). While that happens no
 * process shows whose memory it is. */
static bool may_be_shared(const struct client *c)
{
	return a32_load(&c->host.spare_task) != 0;
}

/* May the fork of @pid, first seen at @since_ns, be one of @c's whose event is being applied? Its
 * parent continued as soon as the event was read. */
static bool being_entered(const struct client *c, pid_t parent, uint64_t since_ns, uint64_t now)
{
	return a32_load(&c->event_turn) & 1 && (c->host.pid == parent || now - since_ns < SAY_NS);
}

struct client *mark_find(struct supervisor *s, pid_t pid, pid_t parent, uint64_t since_ns,
			 bool *unsure)
{
	uint64_t now = plat_now_ns();
	struct client *c = NULL;

	assert_thread(THREAD_ASKER);
	VM_ASSERT(pid > 0);
	*unsure = false;
	while ((c = client_next(s, c))) {
		*unsure |= being_entered(c, parent, since_ns, now);
		/* A client created later belongs to another process. */
		if (c->unmanaged || (c->host.pid && !may_be_shared(c)) || c->host.uffd < 0 ||
		    c->created_ns > since_ns + SAY_NS)
			continue;
		if (a64_load(&c->awaits_cookie) && now - c->created_ns < SAY_NS) {
			*unsure = true;
			continue;
		}
		if (c->mark_va && a32_cas(&c->mark, MARK_NONE, MARK_BUSY))
			place(c);
		if (a32_load(&c->mark) != MARK_PLACED)
			*unsure = true;
		else if (has_mark(c, pid))
			return c;
	}
	return NULL;
}

bool mark_failed(const struct client *c)
{
	return a32_load(&c->mark) == MARK_FAILED;
}
