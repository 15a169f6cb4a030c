/* serve/session/starting.c - processes that have just executed a program, or are about to, and have
 * not (yet) said HELLO.
 *
 * Each is an unmanaged client, measured continuously (measure.c) from the moment its old memory is
 * gone. It begins with a charge for START_PAGES, roughly what a dynamically linked program has
 * touched when it says HELLO. HELLO ends this state: the process has books then. A process that
 * does not say HELLO in time is unmanaged: its name is recorded (unmanaged.c).
 *
 * Some processes end sooner than that. To report these too, we examine the program when they
 * announce the exec or the kernel reports it: a static program, a program with another loader, or
 * one in a root directory without the agent cannot say HELLO.
 *
 * The sources are: the agent before an exec (CALL_EXEC), in the process itself or in a child of
 * vfork; the supervisor for the root process; the watcher for the processes it finds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mm/charge.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/client/lineage.h"
#include "serve/process/proc.h"
#include "serve/process/target.h"
#include "serve/session/session.h"

#define START_PAGES 96
#define START_SHARE 32              /* at most this part of memory.max */
#define COMM_BYTES  16              /* the kernel keeps no more of a process's name */
#define EXEC_NS     (1000000000ull) /* an exec that takes longer has failed */

static int64_t start_pages(const struct supervisor *s)
{
	int64_t share = a64_load(&s->group->memory.max) / START_SHARE;

	return share < START_PAGES ? share : START_PAGES;
}

static struct client *starting_create(struct supervisor *s, pid_t pid, struct client *before,
				      int64_t paid)
{
	struct client *c = client_create(s, -1, CLIENT_EXECUTING);

	VM_ASSERT(pid > 0 && paid >= 0);
	if (!c)
		return NULL;
	if (before)
		client_ref(before);
	c->before = before;
	c->announced = before;
	c->least = paid;
	a64_store(&c->since_ns, (int64_t)plat_now_ns());
	charge_unmanaged_paid(s->group, paid);
	a64_store(&c->host.mm->unmanaged, paid);
	client_set_pid(c, pid);
	watcher_wake(s);
	return c;
}

int starting_announce(struct client *caller, pid_t pid, uint32_t how)
{
	struct supervisor *s = caller->s;
	int64_t n = start_pages(s);
	struct client *c;

	assert_thread(THREAD_CALL);
	assert_referenced(caller);
	/* For a child of vfork nothing else shows when it has memory of its own. */
	if (caller->host.pid != pid && !proc_shares_memory(pid, caller->host.pid))
		return -EINVAL;
	c = client_unmanaged(s, pid);
	if (c) {
		a64_store(&c->since_ns, (int64_t)plat_now_ns()); /* the previous one failed */
	} else {
		if (charge_pages(&s->engine, s->group, NULL, n, CHARGE_NOOOM) != 0)
			n = 0;
		c = starting_create(s, pid, caller, n);
		if (!c)
			uncharge_pages(s->group, n);
	}
	if (c)
		a32_store(&c->unable, how != 0);
	if (c && how == EXEC_STATIC && page_counter_margin(&s->group->memory) < reserve_size(s, 1))
		reserve_make(c, reserve_size(s, 1));
	if (c)
		client_put(c);
	return 0;
}

static long read_file(const char *path, void *buf, size_t n, size_t at)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : pread(fd, buf, n, (off_t)at);

	if (fd >= 0)
		close(fd);
	return got;
}

/* Does @pid have a root directory without our library? */
static bool lacks_agent(const struct supervisor *s, pid_t pid)
{
	char path[sizeof(s->agent_path) + 32];
	int root = snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	bool lacks;

	if (access(path, F_OK) != 0)
		return false;
	snprintf(path + root, sizeof(path) - (size_t)root, "%s", s->agent_path);
	lacks = access(path, F_OK) != 0 && errno == ENOENT;
	path[root] = '\0';
	return lacks && access(path, F_OK) == 0;
}

/* Examines the program, while the process exists, for signs that it cannot say HELLO. */
static void look_whether_able(struct client *c)
{
	char path[32];

	VM_ASSERT(c->unmanaged);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)c->host.pid);
	if (proc_there(c->host.pid) &&
	    (target_of(path, read_file) != TARGET_TAKES || lacks_agent(c->s, c->host.pid)))
		a32_store(&c->unable, 1);
}

/* Is the process's previous memory still in our books and still present? Then the process is ending
 * or in the middle of an exec, and has no other memory. */
static bool has_old(struct supervisor *s, pid_t pid)
{
	struct client *old = NULL;
	bool yes = false;

	while ((old = client_next(s, old)))
		yes |= !old->unmanaged && old->host.pid == pid &&
		       client_state(old) == CLIENT_CLOSING && !uffd_dead(old->host.uffd);
	return yes;
}

void starting_found(struct supervisor *s, pid_t pid)
{
	struct client *c = starting_create(s, pid, NULL, 0);

	VM_ASSERT(pid > 0);
	if (!c)
		return;
	if (!has_old(s, pid)) {
		(void)client_change_state(c, CLIENT_EXECUTING, CLIENT_UNIDENTIFIED);
		look_whether_able(c);
	}
	client_put(c);
}

void starting_root(struct supervisor *s, pid_t pid, const char *unable)
{
	struct client *c = starting_create(s, pid, NULL, 0);

	assert_thread(THREAD_MAIN);
	if (!c)
		return;
	/* If it does not execute the program, nothing has run, and there is nothing to report. */
	if (unable) {
		snprintf(c->told_comm, COMM_BYTES, "%s", unable);
		a32_store(&c->told, 1);
		a32_store(&c->unable, 1);
	}
	client_put(c);
}

void starting_told(struct supervisor *s, pid_t pid)
{
	struct client *c = client_unmanaged(s, pid);

	assert_thread(THREAD_LISTENER);
	if (!c) {
		find_wake(s); /* it may be over in a moment */
		return;
	}
	if (client_state(c) == CLIENT_EXECUTING) {
		char comm[sizeof(c->told_comm)];

		proc_comm(pid, comm, sizeof(comm));
		if (!c->announced)
			look_whether_able(c);
		/* Do this for each exec: the report of one from before the announcement may come
		 * late. */
		spin_lock(&s->names_lock);
		if (proc_there(pid) || !*c->told_comm)
			memcpy(c->told_comm, comm, sizeof(comm));
		spin_unlock(&s->names_lock);
		a32_store(&c->told, 1);
	}
	client_put(c);
}

bool starting_was_unable(const struct client *c, enum client_state was)
{
	return a32_load(&c->unable) && (was != CLIENT_EXECUTING || a32_load(&c->told) ||
					(!lineage_is_reported(c->s) && client_exited(c)));
}

void starting_over(struct supervisor *s, pid_t pid)
{
	struct client *c = client_unmanaged(s, pid);
	enum client_state was;

	assert_thread(THREAD_CONTROL);
	VM_ASSERT(pid > 0);
	if (!c)
		return;
	c->introduced = true;
	was = client_end(c);
	if (was == CLIENT_UNMANAGED || was == CLIENT_ENDED)
		unmanaged_registered(c);
	client_put(c);
}

bool starting_has_executed(struct client *c)
{
	struct client *before = c->before;
	struct proc_stat st;
	bool done;

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(c->unmanaged);
	if (client_state(c) != CLIENT_EXECUTING)
		return true;
	if (!before)
		done = proc_stat(c->host.pid, &st) && !(st.flags & PROC_FORKED) &&
		       (!has_old(c->s, c->host.pid) ||
			plat_now_ns() - (uint64_t)a64_load(&c->since_ns) > EXEC_NS / 2);
	else if (before->host.pid == c->host.pid)
		done = client_has_ended(before) || uffd_dead(before->host.uffd);
	else
		done = !proc_shares_memory(c->host.pid, before->host.pid);
	if (!done)
		return false;
	proc_comm(c->host.pid, c->comm, sizeof(c->comm));
	a64_store(&c->since_ns, (int64_t)plat_now_ns());
	(void)client_change_state(c, CLIENT_EXECUTING, CLIENT_UNIDENTIFIED);
	if (!before || !lineage_is_reported(c->s))
		/* Not reported, and starting_found skipped it while its old memory was there. */
		look_whether_able(c);
	c->before = NULL;
	if (before)
		client_put(before);
	return true;
}

bool starting_failed(const struct client *c)
{
	VM_ASSERT(c->unmanaged);
	return client_state(c) == CLIENT_EXECUTING &&
	       plat_now_ns() - (uint64_t)a64_load(&c->since_ns) > EXEC_NS;
}

bool starting_said_hello(const struct client *c)
{
	struct client *managed = client_managed(c->s, c->host.pid);
	bool alive = managed && !uffd_dead(managed->host.uffd);

	if (managed)
		client_put(managed);
	return alive;
}
