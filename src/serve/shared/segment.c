/* serve/shared/segment.c - System V shared memory of the tree: ids, keys, permissions, attachments.
 *
 * A segment is a shared memory object (mmu/host/shared.h) that has an id. shmat(2) maps its memfd;
 * from then on it is shared memory like any other. The table holds a reference until IPC_RMID, so a
 * segment that no process has attached keeps its content, in memory or in swap. After IPC_RMID only
 * the areas hold it: it goes away with the last one.
 *
 * The areas in the books tell who has attached a segment: fork copies them, unmapping, exec and
 * exit remove them, so we keep no count. An area of a process that has ended does not count,
 * although its books may live a little longer.
 *
 * The kernel's segments stay reachable. These belong to the kernel: a key that exists there, small
 * segments, huge page segments, segments of a process in another IPC namespace, and those beyond
 * our descriptor limit. For these we return -EOPNOTSUPP, and the caller asks its kernel. Our keys
 * are known only within the tree.
 *
 * I1  A segment has segment->as (referenced) iff it was not removed; then its id and its key find
 *     it.
 * I2  A removed segment stays in the table as long as its object lives: its id finds it, its key
 *     does not.
 *
 * Lock: segments->lock, over everything here except adopting an area. References are dropped
 * without it: the last one frees pages.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "mm/filemap.h"
#include "mm/unmap.h"
#include "mm/vma.h"
#include "mmu/host/shared.h"
#include "serve/account/account.h"
#include "serve/shared/segment.h"

#define SEQ_MAX   0xffffu
#define SEQ_SHIFT 15 /* as in the kernel's ids */
#define SLOT_MASK 0x0fffu
#define BYTES_MAX (1ull << 44)

struct segments {
	struct spinlock lock;       /* rank SEGMENTS: all below */
	struct list_head list;      /* struct segment */
	struct list_head attaching; /* struct attaching: mapped any moment */
	uint32_t last_seq;
	uint64_t nr, pages;
};

/* Holds the object between the reply to shmat and the area in the books. */
struct attaching {
	struct list_head link;
	uint64_t client;
	int id;
	struct address_space *as; /* referenced */
};

int segments_init(struct supervisor *s)
{
	struct segments *t;

	if (supervisor_part(&s->segments, sizeof(*t)))
		return -ENOMEM;
	t = s->segments;
	spin_init(&t->lock, RANK_SEGMENTS);
	list_init(&t->list);
	list_init(&t->attaching);
	return 0;
}

void segments_fini(struct supervisor *s)
{
	struct segments *t = s->segments;

	list_for_each_safe(g, tmp, &t->list, struct segment, link) {
		if (g->as)
			file_put(g->as);
		plat_free(g);
	}
	spin_fini(&t->lock);
	plat_free(t);
	s->segments = NULL;
}

/* ---- the table; lock held ---- */

static bool is_alive(const struct mm *mm)
{
	const struct client *c = mm->host;

	return !client_is_leaving(c) && !client_exited(c);
}

/* Number of processes that have it attached, or are about to. */
static uint64_t attachments(const struct segments *t, const struct segment *g,
			    struct address_space *as)
{
	uint64_t n = 0;

	lockdep_assert_held(&t->lock);
	list_for_each(a, &t->attaching, const struct attaching, link)
		n += a->id == g->id;
	return n + rmap_count_areas(as, is_alive);
}

/* Forget removed segments whose objects are gone. */
static void sweep(struct supervisor *s)
{
	struct segments *t = s->segments;

	lockdep_assert_held(&t->lock);
	list_for_each_safe(g, tmp, &t->list, struct segment, link) {
		if (g->as || host_shared_segment_lives(&s->mmu, g->id))
			continue;
		list_del(&g->link);
		t->nr--;
		t->pages -= g->nr_pages;
		plat_free(g);
	}
}

/* The segment @id, its object referenced in *@as; NULL: none. */
static struct segment *find(struct supervisor *s, int id, struct address_space **as)
{
	struct segments *t = s->segments;

	lockdep_assert_held(&t->lock);
	sweep(s);
	*as = NULL;
	list_for_each(g, &t->list, struct segment, link) {
		if (g->id != id)
			continue;
		*as = host_shared_segment_find(&s->mmu, id);
		return *as && (g->as || attachments(t, g, *as)) ? g : NULL;
	}
	return NULL;
}

static struct segment *find_key(struct segments *t, int32_t key)
{
	lockdep_assert_held(&t->lock);
	list_for_each(g, &t->list, struct segment, link)
		if (g->as && g->key == key && key != IPC_PRIVATE)
			return g;
	return NULL;
}

static bool id_used(const struct segments *t, int id)
{
	lockdep_assert_held(&t->lock);
	list_for_each(g, &t->list, const struct segment, link)
		if (g->id == id)
			return true;
	return false;
}

static int next_id(struct segments *t)
{
	int id;

	lockdep_assert_held(&t->lock);
	do {
		t->last_seq = t->last_seq % SEQ_MAX + 1;
		id = (int)(t->last_seq << SEQ_SHIFT | SEGMENT_ID_MARK | (t->last_seq & SLOT_MASK));
	} while (id_used(t, id));
	return id;
}

static int make(const struct caller *who, int32_t key, uint64_t size, uint32_t flags,
		struct segment **out)
{
	const uint64_t nr_pages = (size + PAGE_SIZE - 1) / PAGE_SIZE;
	struct segments *t = who->s->segments;
	struct segment *g;
	int err;

	lockdep_assert_held(&t->lock);
	if (size < SEGMENT_BYTES_MIN || size > BYTES_MAX || size > segment_kernel_limit("shmmax") ||
	    flags & SHM_HUGETLB || segment_kernel_has(key))
		return -EOPNOTSUPP;
	if (t->nr >= segment_kernel_limit("shmmni") || t->nr >= SLOT_MASK ||
	    t->pages + nr_pages > segment_kernel_limit("shmall"))
		return -ENOSPC;
	g = plat_alloc(sizeof(*g));
	if (!g)
		return -ENOMEM;
	*g = (struct segment){
		.id = next_id(t),
		.key = key,
		.mode = flags & PERMISSIONS,
		.uid = who->cred.uid,
		.gid = who->cred.gid,
		.cuid = who->cred.uid,
		.cgid = who->cred.gid,
		.cpid = who->cred.pid,
		.ctime = time(NULL),
		.size = size,
		.nr_pages = nr_pages,
	};
	g->as = host_shared_segment(&who->s->mmu, g->nr_pages, g->id, &err);
	if (!g->as) {
		plat_free(g);
		return err == -ENOMEM ? err : -EOPNOTSUPP;
	}
	list_add_tail(&g->link, &t->list);
	t->nr++;
	t->pages += g->nr_pages;
	*out = g;
	return 0;
}

static int get(const struct caller *who, int32_t key, uint64_t size, uint32_t flags, uint64_t *id)
{
	struct segments *t = who->s->segments;
	struct segment *g;
	int err = 0;

	if (!segment_at_home(who) || who->s->config.kernel_sysv ||
	    who->s->mode == SERVE_MODE_USER)
		return -EOPNOTSUPP;
	spin_lock(&t->lock);
	sweep(who->s);
	g = find_key(t, key);
	if (!g)
		err = key == IPC_PRIVATE || flags & IPC_CREAT ? make(who, key, size, flags, &g)
							      : -EOPNOTSUPP;
	else if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
		err = -EEXIST;
	else if (size > g->size)
		err = -EINVAL;
	else if (!segment_permitted(who, g, flags & PERMISSIONS))
		err = -EACCES;
	if (!err)
		*id = (uint64_t)g->id;
	spin_unlock(&t->lock);
	return err;
}

/* ---- shmat, shmdt ---- */

static uint32_t attach_wants(uint32_t flags)
{
	return 4 | (flags & SHM_RDONLY ? 0 : 2) | (flags & SHM_EXEC ? 1 : 0);
}

static int attach(const struct caller *who, int id, uint32_t flags, struct msg_call_reply *r,
		  int *fd)
{
	struct segments *t = who->s->segments;
	struct attaching *a = plat_alloc(sizeof(*a));
	struct address_space *as = NULL;
	const struct segment *g = NULL;
	int err = a ? -EOPNOTSUPP : -ENOMEM;

	assert_thread(THREAD_CALL);
	spin_lock(&t->lock);
	if (a && segment_at_home(who))
		g = find(who->s, id, &as);
	if (g)
		err = client_has_ended(who->client)                    ? -EINVAL
		      : segment_permitted(who, g, attach_wants(flags)) ? 0
								       : -EACCES;
	if (!err) {
		*a = (struct attaching){ .client = who->client->key, .id = id, .as = as };
		list_add_tail(&a->link, &t->attaching);
		*fd = host_shared_fd(as);
		r->len = g->nr_pages * PAGE_SIZE;
	}
	spin_unlock(&t->lock);
	if (err && as)
		file_put(as);
	if (err)
		plat_free(a);
	return err;
}

static void used(struct supervisor *s, int id, pid_t pid, bool attached)
{
	lockdep_assert_held(&s->segments->lock);
	list_for_each(g, &s->segments->list, struct segment, link)
		if (g->id == id) {
			g->lpid = pid;
			*(attached ? &g->atime : &g->dtime) = time(NULL);
		}
}

/* The area is in the books, or never will be. */
static void attach_done(const struct caller *who, int id, bool attached)
{
	struct segments *t = who->s->segments;
	struct address_space *as = NULL;

	spin_lock(&t->lock);
	list_for_each_safe(a, tmp, &t->attaching, struct attaching, link)
		if (a->client == who->client->key && a->id == id) {
			as = a->as;
			list_del(&a->link);
			plat_free(a);
			break;
		}
	if (attached)
		used(who->s, id, who->cred.pid, true);
	spin_unlock(&t->lock);
	if (as)
		file_put(as);
}

/* An area that raises no events must not stay in the books: we would not hear of its end. */
static int mapped(const struct caller *who, uint64_t start, uint64_t len, int id)
{
	struct mm *mm = who->client->host.mm;
	int err = len ? adopt_range(who->client, start, len) : 0;

	assert_thread(THREAD_CALL);
	if (err) {
		rw_wrlock(&mm->mmap_lock);
		mm_unmap_locked(mm, start, start + len);
		rw_wrunlock(&mm->mmap_lock);
	}
	attach_done(who, id, len && !err);
	return err;
}

/* The first area after @after of the attachment at @addr, and its segment in *@id. */
static bool find_area(struct mm *mm, uint64_t addr, uint64_t after, uint64_t *start, uint64_t *len,
		      int *id)
{
	const struct vma *v;
	bool found = false;

	rw_rdlock(&mm->mmap_lock);
	for (v = vma_next(mm, addr > after ? addr : after); v && !found; v = vma_next(mm, v->end)) {
		if (!v->file || v->start <= after || v->start - v->pgoff * PAGE_SIZE != addr)
			continue;
		*id = host_shared_segment_id(v->file);
		*start = v->start;
		*len = v->end - v->start;
		found = *id != 0;
	}
	rw_rdunlock(&mm->mmap_lock);
	return found;
}

static int detach(const struct caller *who, uint64_t addr, uint64_t after, struct msg_call_reply *r)
{
	struct segments *t = who->s->segments;
	int id;

	assert_thread(THREAD_CALL);
	if (!find_area(who->client->host.mm, addr, after, &r->value, &r->len, &id))
		return after ? -EINVAL : -EOPNOTSUPP;
	spin_lock(&t->lock);
	used(who->s, id, who->cred.pid, false);
	spin_unlock(&t->lock);
	return 0;
}

/* ---- shmctl ---- */

/* A caller that has seen an munmap or a fork finish must find it in the books. */
static void settle(struct supervisor *s)
{
	struct client *c = NULL;

	while ((c = client_next(s, c)))
		client_events_applied(c);
}

static void tell(const struct segments *t, const struct segment *g, struct address_space *as,
		 struct msg_segment *out)
{
	lockdep_assert_held(&t->lock);
	*out = (struct msg_segment){
		.key = g->key,
		.mode = g->mode | (g->as ? 0 : SHM_DEST),
		.uid = g->uid,
		.gid = g->gid,
		.cuid = g->cuid,
		.cgid = g->cgid,
		.cpid = g->cpid,
		.lpid = g->lpid,
		.size = g->size,
		.nattch = attachments(t, g, as),
		.atime = g->atime,
		.dtime = g->dtime,
		.ctime = g->ctime,
	};
}

static int change(const struct caller *who, struct segment *g, const struct msg_call *m)
{
	lockdep_assert_held(&who->s->segments->lock);
	if (!segment_owned(who, g))
		return -EPERM;
	g->uid = (uint32_t)m->len;
	g->gid = (uint32_t)(m->len >> 32);
	g->mode = m->arg & PERMISSIONS;
	g->ctime = time(NULL);
	return 0;
}

/* *@drop: a reference to drop. */
static int remove_segment(const struct caller *who, struct segment *g, struct address_space **drop)
{
	lockdep_assert_held(&who->s->segments->lock);
	if (!segment_owned(who, g))
		return -EPERM;
	*drop = g->as;
	g->as = NULL;
	g->key = IPC_PRIVATE;
	return 0;
}

static int control(const struct caller *who, const struct msg_call *m, struct msg_call_reply *r)
{
	struct segments *t = who->s->segments;
	struct address_space *as, *drop = NULL;
	struct segment *g;
	int err = -EOPNOTSUPP;

	settle(who->s);
	spin_lock(&t->lock);
	g = find(who->s, (int)m->start, &as);
	if (g && m->op == CALL_SHM_STAT)
		err = segment_permitted(who, g, 4) ? 0 : -EACCES;
	else if (g && m->op == CALL_SHM_SET)
		err = change(who, g, m);
	else if (g && m->op == CALL_SHM_RMID)
		err = remove_segment(who, g, &drop);
	else if (g && m->op == CALL_SHM_LOCK)
		err = !segment_owned(who, g) ? -EPERM : m->arg == SHM_LOCK ? -ENOMEM : 0;
	if (g && !err)
		tell(t, g, as, &r->seg);
	spin_unlock(&t->lock);
	if (drop)
		file_put(drop);
	if (as)
		file_put(as);
	return err;
}

int segment_call(struct client *c, int sock, const struct msg_call *m, struct msg_call_reply *r,
		 int *fd)
{
	struct caller who = { .client = c, .s = c->s, .sock = sock };
	socklen_t size = sizeof(who.cred);

	assert_thread(THREAD_CALL);
	assert_referenced(c);
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who.cred, &size) != 0)
		return -errno;
	switch (m->op) {
	case CALL_SHMGET:
		return get(&who, (int32_t)m->start, m->len, m->arg, &r->value);
	case CALL_SHMAT:
		return attach(&who, (int)m->start, m->arg, r, fd);
	case CALL_SHM_MAPPED:
		return mapped(&who, m->start, m->len, (int)m->arg);
	case CALL_SHMDT:
		return detach(&who, m->start, m->len, r);
	case CALL_SHM_STAT:
	case CALL_SHM_SET:
	case CALL_SHM_RMID:
	case CALL_SHM_LOCK:
		return control(&who, m, r);
	default:
		return -EINVAL;
	}
}

void segments_forget(struct client *c)
{
	struct segments *t = c->s->segments;
	struct attaching *found;

	VM_ASSERT(client_has_ended(c));
	do {
		found = NULL;
		spin_lock(&t->lock);
		list_for_each(a, &t->attaching, struct attaching, link)
			if (a->client == c->key) {
				found = a;
				list_del(&a->link);
				break;
			}
		spin_unlock(&t->lock);
		if (found)
			file_put(found->as);
		plat_free(found);
	} while (found);
}
