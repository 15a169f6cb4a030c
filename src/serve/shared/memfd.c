/* serve/shared/memfd.c - memfds that programs make: what the agent asks about them (agent/memfd.c),
 * and what is done for whoever opens one by its name in /proc.
 *
 * The object and its file are in mmu/host/memfd.h. Here are the areas: an object that becomes the
 * kernel's leaves the books of every process that maps it, and userfaultfd.
 *
 * The kernel lets a process that opens the file wait for some time (LEASE_TIME). If its content
 * cannot be brought back in that time, or does not fit into the limit, the processes that map it
 * are killed and it is empty: nobody may read holes.
 *
 * Locks: mmap_lock, one area at a time.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "mm/filemap.h"
#include "mm/mlock.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "mmu/host/memfd.h"
#include "mmu/host/uffd.h"
#include "serve/account/account.h"
#include "serve/client/client.h"
#include "serve/client/supervisor.h"
#include "serve/shared/memfd.h"
#include "serve/shared/shared.h"

#define LOOK_NS  (20 * 1000000ull)
#define STEP     128 /* pages */
#define PATIENCE 25  /* LOOK_NS: unmanaged memory that is gone is measured some time later */

#define LEASE_TIME   "/proc/sys/fs/lease-break-time"
#define LEASE_SPARE  10 /* seconds of that time that are not used */
#define LEASE_NEEDED 20 /* below it nothing is managed */
#define SECOND_NS    1000000000ull

static uint64_t lease_ns(void)
{
	FILE *f = fopen(LEASE_TIME, "re");
	unsigned int seconds = 0;
	int n = f ? fscanf(f, "%u", &seconds) : 0;

	if (f)
		fclose(f);
	if (n != 1 || (seconds && seconds < LEASE_NEEDED))
		return 0;
	return seconds ? (seconds - LEASE_SPARE) * SECOND_NS : UINT64_MAX / 2;
}

int memfds_init(struct supervisor *s)
{
	int err = supervisor_part(&s->memfds, sizeof(*s->memfds));

	if (!err) {
		s->memfds->lease_ns = lease_ns();
		stubs_init(s->memfds);
	}
	return err;
}

void memfds_fini(struct supervisor *s)
{
	if (s->memfds) {
		host_memfd_fini(&s->mmu);
		stubs_fini(s->memfds);
	}
	plat_free(s->memfds);
	s->memfds = NULL;
}

/* Where the object is mapped: one of the areas, and its client, referenced. False: nowhere. */
static bool next_area(struct address_space *as, struct client **c, uint64_t *start, uint64_t *end)
{
	const struct vma *v;

	*c = NULL;
	rw_rdlock(&as->i_mmap_lock);
	if (!list_empty(&as->i_mmap)) {
		v = list_first(&as->i_mmap, struct vma, file_link);
		*c = v->mm->host;
		*start = v->start;
		*end = v->end;
		client_ref(*c);
	}
	rw_rdunlock(&as->i_mmap_lock);
	return *c != NULL;
}

/* Leave to the kernel what the object still has in [start, end). Threads that wait for a page go
 * on, and find it in the file. */
static void release_area(struct client *c, const struct address_space *as, uint64_t start,
			 uint64_t end)
{
	struct mm *mm = c->host.mm;

	rw_wrlock(&mm->mmap_lock);
	for (unsigned i = vma_index(mm, start); i < mm->nr_vmas && mm->vmas[i]->start < end;) {
		const struct vma *v = mm->vmas[i];
		const uint64_t from = v->start, to = v->end;

		if (v->file != as) {
			i++;
			continue;
		}
		(void)uffd_unregister(c->host.uffd, from, to - from);
		mm_unmap_locked(mm, from, to);
		i = vma_index(mm, to);
	}
	rw_wrunlock(&mm->mmap_lock);
}

static int64_t most_pages(const struct client *c)
{
	const struct mem_cgroup *g = c->s->group;

	return mlock_limit(a64_load(&g->memory.max), stat_read_local(g, STAT_UNMANAGED));
}

/* Of the processes that map it the oldest that is younger than @key, referenced; NULL: none. */
static struct client *next_user(struct address_space *as, uint64_t key)
{
	struct client *oldest = NULL;

	rw_rdlock(&as->i_mmap_lock);
	list_for_each(v, &as->i_mmap, const struct vma, file_link) {
		struct client *c = v->mm->host;

		if (c->key > key && (!oldest || c->key < oldest->key))
			oldest = c;
	}
	if (oldest)
		client_ref(oldest);
	rw_rdunlock(&as->i_mmap_lock);
	return oldest;
}

/* Its unmanaged memory it will be (shmem.c). */
static struct client *oldest_user(struct address_space *as)
{
	return next_user(as, 0);
}

static void release_areas(struct address_space *as)
{
	struct client *user;
	uint64_t start, end;

	while (next_area(as, &user, &start, &end)) {
		release_area(user, as, start, end);
		client_put(user);
	}
}

/* From the books to unmanaged memory, a few at a time: others must not get the room meanwhile. */
static void hand_over(struct address_space *as, struct client *to)
{
	uint64_t n;

	for (uint64_t i = 0; (i = filemap_next(as, i, as->nr_pages)) < as->nr_pages; i += n) {
		n = 0;
		while (n < STEP && i + n < as->nr_pages &&
		       filemap_next(as, i + n, i + n + 1) == i + n)
			n++;
		if (to && n)
			measure_add_shared(to, (int64_t)n);
		filemap_discard(as, i, n ? n : 1);
	}
}

/* ---- it becomes the kernel's ---- */

/* All content is in the file. */
static void part(struct supervisor *s, struct address_space *as)
{
	struct client *to = oldest_user(as);

	a32_add(&s->leaving, 1);
	stubs_keep(s->memfds, as);
	host_memfd_part(&s->mmu, as);
	release_areas(as);
	hand_over(as, to);
	host_memfd_open(as);
	a32_add(&s->leaves, 1);
	a32_add(&s->leaving, -1);
	if (to)
		client_put(to);
}

/* 0: it is the kernel's, and this call has done it; 1: another has; or -errno. */
static int leave(struct client *c, struct address_space *as, uint64_t until_ns)
{
	int err = host_memfd_bring(&c->s->mmu, as, c->host.mm, most_pages(c), until_ns);

	for (int i = 0; err == -ENOMEM && i < PATIENCE; i++) {
		plat_sleep_ns(LOOK_NS);
		err = host_memfd_bring(&c->s->mmu, as, c->host.mm, most_pages(c), until_ns);
	}
	if (!err)
		part(c->s, as);
	return err;
}

static int leave_call(struct client *c, struct address_space *as)
{
	int err = leave(c, as, UINT64_MAX);

	if (err < 0)
		supervisor_notice(c->s,
				  "a memfd of %s (%d) has more pages than fit into its limit: what "
				  "it is used for "
				  "needs all of them in memory, and fails",
				  c->comm, (int)c->host.pid);
	return err < 0 ? err : 0;
}

static int file_call(struct address_space *as, int *fd)
{
	*fd = fcntl(host_shared_fd(as), F_DUPFD_CLOEXEC, 0);
	return *fd < 0 ? -errno : 0;
}

static int add(struct client *c, pid_t pid, const struct msg_call *m)
{
	const struct host_memfd_new n = { .pid = pid,
					  .number = (int)m->arg,
					  .dev = m->dev,
					  .ino = m->ino,
					  .locked = MEMFD_LOCKED_AT };

	if (c->s->config.kernel_memfd || c->s->mode == SERVE_MODE_USER || !c->s->memfds->lease_ns)
		return -EOPNOTSUPP;
	return host_memfd_add(&c->s->mmu, &n);
}

static int object_call(struct client *c, struct address_space *as, const struct msg_call *m,
		       int *fd)
{
	struct mmu_host *h = &c->s->mmu;

	if (!host_memfd_is(as))
		return -ENOENT;
	switch (m->op) {
	case CALL_MEMFD_FILE:
		return file_call(as, fd);
	case CALL_MEMFD_SIZE:
		return host_memfd_resize(h, as, c->host.mm, m->len);
	case CALL_MEMFD_SPACE:
		return host_memfd_allocate(h, as, c->host.mm, (int)m->arg, m->offset, m->len);
	default:
		return leave_call(c, as);
	}
}

int memfd_call(struct client *c, pid_t pid, const struct msg_call *m, int *fd)
{
	struct supervisor *s = c->s;
	struct address_space *as;
	int err = -ENOENT;

	if (m->op == CALL_MEMFD)
		return add(c, pid, m);
	if (m->op == CALL_MEMFD_MAPPED)
		return adopt_object(c, m->start, m->len);
	as = host_shared_find(&s->mmu, m->dev, m->ino);
	if (as) {
		err = object_call(c, as, m, fd);
		file_put(as);
	}
	if (m->op != CALL_MEMFD_LEAVE || (err && err != -ENOENT))
		return err;
	return stubs_find(s->memfds, m->dev, m->ino, fd) || !err ? 0 : -ENOENT;
}

/* ---- whoever opens it ---- */

/* They are killed first: they must not go on without it. */
static void kill_users(struct supervisor *s, struct address_space *as)
{
	struct client *user;
	uint64_t key = 0;

	while ((user = next_user(as, key))) {
		key = user->key;
		supervisor_notice(s,
				  "%s (%d) is killed: another process opens a memfd of it, which "
				  "has more pages than fit into its limit",
				  user->comm, (int)user->host.pid);
		client_kill(user, SIGKILL);
		client_put(user);
	}
	host_memfd_clear(&s->mmu, as);
	host_memfd_part(&s->mmu, as);
	release_areas(as);
}

/* If nobody maps it, any process will do to charge what is brought back to. */
static struct client *payer(struct supervisor *s, struct address_space *as)
{
	struct client *c = oldest_user(as);

	if (c)
		return c;
	while ((c = client_next(s, c)))
		if (!c->unmanaged)
			return c;
	return NULL;
}

static void open_up(struct supervisor *s, struct address_space *as)
{
	const uint64_t until = plat_now_ns() + s->memfds->lease_ns;
	struct client *c = payer(s, as);

	if (!c || leave(c, as, until) < 0) {
		kill_users(s, as);
		host_memfd_open(as);
	}
	if (c)
		client_put(c);
}

static void open_asked(struct supervisor *s)
{
	struct address_space *as = NULL;

	while ((as = host_shared_next(&s->mmu, as)))
		if (host_memfd_is(as) && host_memfd_asked(as))
			open_up(s, as);
}

void memfds_look(struct supervisor *s)
{
	const uint64_t now = plat_now_ns();

	if (now - s->memfds->look_ns < LOOK_NS)
		return;
	s->memfds->look_ns = now;
	if (host_memfd_needs(&s->mmu) || stubs_kept(s->memfds))
		waitq_wake(&s->wake.finder);
}

void memfds_tend(struct supervisor *s)
{
	open_asked(s);
	host_memfd_sweep(&s->mmu, stubs_exist, s);
	stubs_drop(s->memfds);
}
