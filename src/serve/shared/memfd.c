/* serve/shared/memfd.c - memfds that programs make: what the agent asks about them (agent/memfd.c).
 *
 * The object and its file are in mmu/host/memfd.h. Here are the areas: an object that becomes the
 * kernel's leaves the books of every process that maps it, and userfaultfd.
 *
 * Locks: mmap_lock, one area at a time.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
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
#include "serve/process/proc.h"
#include "serve/shared/shared.h"

#define LOOK_NS (20 * 1000000ull)
#define STEP    128 /* pages */
#define LEFT    1024

struct memfds {
	uint64_t look_ns;      /* watcher: the last look */
	atomic64_t left[LEFT]; /* (A) inodes of those that are never managed */
};

int memfds_init(struct supervisor *s)
{
	return supervisor_part(&s->memfds, sizeof(*s->memfds));
}

void memfds_fini(struct supervisor *s)
{
	if (s->memfds)
		host_memfd_fini(&s->mmu);
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

/* The oldest process that maps it, referenced; NULL: none does. Its unmanaged memory it will be
 * (shmem.c). */
static struct client *oldest_user(struct address_space *as)
{
	struct client *oldest = NULL;

	rw_rdlock(&as->i_mmap_lock);
	list_for_each(v, &as->i_mmap, const struct vma, file_link) {
		struct client *c = v->mm->host;

		if (!oldest || c->key < oldest->key)
			oldest = c;
	}
	if (oldest)
		client_ref(oldest);
	rw_rdunlock(&as->i_mmap_lock);
	return oldest;
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

/* All content is in the file. */
static void part(struct client *c, struct address_space *as)
{
	struct supervisor *s = c->s;
	struct client *user, *to = oldest_user(as);
	uint64_t start, end;

	a32_add(&s->leaving, 1);
	host_memfd_part(&s->mmu, as);
	while (next_area(as, &user, &start, &end)) {
		release_area(user, as, start, end);
		client_put(user);
	}
	hand_over(as, to);
	a32_add(&s->leaves, 1);
	a32_add(&s->leaving, -1);
	if (to)
		client_put(to);
}

static int leave(struct client *c, struct address_space *as)
{
	int err = host_memfd_bring(&c->s->mmu, as, c->host.mm, most_pages(c));

	if (err < 0)
		supervisor_notice(c->s,
				  "a memfd of %s (%d) has more pages than fit into its limit: what "
				  "it is used for "
				  "needs all of them in memory, and fails",
				  c->comm, (int)c->host.pid);
	else if (!err)
		part(c, as);
	return err < 0 ? err : 0;
}

/* A file that was passed on before it was ever mapped must not begin any more, whoever maps it. A
 * later one with the same inode number does not, either. */
static atomic64_t *left(struct supervisor *s, uint64_t ino)
{
	return &s->memfds->left[ino % LEFT];
}

/* Can the process make requests that nobody sees? It may have made its ring by system calls of its
 * own. */
static bool has_ring(pid_t pid)
{
	static const char ring[] = "anon_inode:[io_uring]";
	char path[64], target[sizeof(ring)];
	const struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir)))
		found = readlinkat(dirfd(dir), e->d_name, target, sizeof(target)) ==
				(ssize_t)sizeof(ring) - 1 &&
			!memcmp(target, ring, sizeof(ring) - 1);
	if (dir)
		closedir(dir);
	return found;
}

static int add(struct client *c, pid_t pid, const struct msg_call *m)
{
	if (has_ring(pid) || (uint64_t)a64_load(left(c->s, m->ino)) == m->ino)
		return -EOPNOTSUPP;
	return host_memfd_add(&c->s->mmu, c->host.mm, pid, (int)m->arg, m->dev, m->ino);
}

int memfd_call(struct client *c, pid_t pid, const struct msg_call *m, uint64_t *value)
{
	struct mmu_host *h = &c->s->mmu;
	struct address_space *as;
	int err;

	if (m->op == CALL_MEMFD && !c->s->config.manage_memfd)
		return -ENOENT;
	if (m->op == CALL_MEMFD)
		return add(c, pid, m);
	if (m->op == CALL_MEMFD_MAPPED)
		return adopt_object(c, m->start, m->len);
	if (m->op == CALL_MEMFD_LEAVE)
		a64_store(left(c->s, m->ino), (int64_t)m->ino);
	as = host_shared_find(h, m->dev, m->ino);
	if (!as)
		return -ENOENT;
	if (!host_memfd_is(as))
		err = -ENOENT;
	else if (m->op == CALL_MEMFD_SIZE)
		err = host_memfd_resize(h, as, c->host.mm, m->len);
	else if (m->op == CALL_MEMFD_SPACE)
		err = host_memfd_allocate(h, as, c->host.mm, (int)m->arg, m->offset, m->len);
	else if (m->op == CALL_MEMFD_SEEK)
		err = m->arg == SEEK_DATA || m->arg == SEEK_HOLE
			      ? host_memfd_seek(as, (int)m->arg, m->offset, value)
			      : -EINVAL;
	else
		err = leave(c, as);
	file_put(as);
	return err;
}

void memfds_look(struct supervisor *s)
{
	const uint64_t now = plat_now_ns();

	if (now - s->memfds->look_ns < LOOK_NS)
		return;
	s->memfds->look_ns = now;
	if (host_memfd_unused(&s->mmu))
		waitq_wake(&s->wake.finder);
}

/* ---- descriptors that the kernel does not count ---- */

struct descriptor {
	uint64_t dev, ino;
	bool found;
};

static void look_through(pid_t pid, pid_t parent, void *arg)
{
	static const char name[] = "/memfd:";
	struct descriptor *d = arg;
	const struct dirent *e;
	char path[64], target[sizeof(name)];
	struct stat st;
	DIR *dir;

	(void)parent;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = d->found || !proc_there(pid) ? NULL : opendir(path);
	/* The name first: to ask for the status of any other file might wait for its server. */
	while (dir && !d->found && (e = readdir(dir)))
		if (readlinkat(dirfd(dir), e->d_name, target, sizeof(target)) >=
			    (ssize_t)sizeof(name) - 1 &&
		    !strncmp(target, name, sizeof(name) - 1) &&
		    fstatat(dirfd(dir), e->d_name, &st, 0) == 0)
			d->found = st.st_dev == d->dev && st.st_ino == d->ino;
	if (dir)
		closedir(dir);
}

static bool has_descriptor(void *arg, uint64_t dev, uint64_t ino)
{
	struct descriptor d = { .dev = dev, .ino = ino };

	(void)arg;
	proc_descendants(getpid(), look_through, &d);
	return d.found;
}

void memfds_drop(struct supervisor *s)
{
	host_memfd_sweep(&s->mmu, has_descriptor, s);
}
