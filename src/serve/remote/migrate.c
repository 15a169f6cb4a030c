/* serve/remote/migrate.c - moves a running group, or one of its processes, to another memory node,
 * for `umemcg migrate`.
 *
 * The books say where the pages are; the kernel moves what backs them (mmu/host/nodes.h). In this
 * order:
 *   spaces   what the page table entries of the address spaces say is present
 *   objects  shared memory, through a window of our own onto the memfd, so that unmapped pages
 *            move, too
 *   frames   pages held by the supervisor, on their way to or from swap: for a whole group only, as
 *            frames belong to no process
 *
 * One step is one batch. A page that is taken out, unmapped or brought in during a step is found
 * absent or not found; the kernel places what comes after the look. A place that could be a hole is
 * touched only under the page's lock: then nothing takes the page out, and a hole (MADV_REMOVE)
 * reads as the zeros it is.
 *
 * Locks: mmap_lock and a leaf lock for the look, none for the move. Shared memory: the locks of a
 * batch of pages, the first blocking, the others by trylock; a thread that faults on them waits for
 * a few system calls.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mm/filemap.h"
#include "mm/page.h"
#include "mm/pgtable.h"
#include "mm/vma.h"
#include "mmu/host/shared.h"
#include "serve/process/proc.h"
#include "serve/remote/migrate.h"

#define FRAMES_A_STEP 65536u /* examined */
#define WINDOW_PAGES  64     /* of shared memory, locked at once; faults on them wait */

/* ---- address spaces ---- */

struct bases {
	uint64_t *base;
	unsigned n, room;
};

static void note_base(struct mm *mm, struct leaf *leaf, uint64_t from, uint64_t to, void *arg)
{
	struct bases *b = arg;

	(void)mm, (void)from, (void)to;
	if (b->n < b->room)
		b->base[b->n++] = leaf->base;
}

/* The leaves of @mm as they are now. Leaves that come later have new pages only. */
static bool note_leaves(struct mm *mm, struct bases *b)
{
	rw_wrlock(&mm->mmap_lock);
	b->room = mm->nr_leaves;
	b->base = plat_alloc((b->room + 1) * sizeof(*b->base));
	if (b->base)
		leaf_for_range(mm, 0, proc_addresses_end(), note_base, b);
	rw_wrunlock(&mm->mmap_lock);
	return b->base != NULL;
}

/* The pages of one leaf that are present in the process, and how many are in swap. */
static unsigned look_at_leaf(struct migration_job *j, struct mm *mm, uint64_t base, void **page)
{
	struct leaf *leaf;
	unsigned n = 0;

	assert_thread(THREAD_REMOTE);
	rw_rdlock(&mm->mmap_lock);
	leaf = leaf_find(mm, base);
	if (leaf) {
		spin_lock(&leaf->lock);
		for (uint64_t va = base; va < base + LEAF_SPAN; va += PAGE_SIZE) {
			pte_t pte = pte_read(leaf, va);
			struct page *p =
				pte_present(pte) ? pfn_page(&j->s->engine, pte_pfn(pte)) : NULL;

			j->sum.absent += pte_is_swap(pte);
			if (p && page_is_anon(p) && !home_data(&j->s->mmu.home, p->pfn))
				page[n++] = (void *)(uintptr_t)va;
		}
		spin_unlock(&leaf->lock);
	}
	rw_rdunlock(&mm->mmap_lock);
	return n;
}

/* The process that has this memory; 0: none, or unknown. */
static pid_t who_has(const struct client *c)
{
	struct pollfd p = { .fd = c->host.pidfd, .events = POLLIN };

	if (client_is_leaving(c) || (p.fd >= 0 && poll(&p, 1, 0) != 0))
		return 0;
	if (c->host.task)
		return c->host.task;
	return c->host.pid;
}

static void move_leaf(struct migration_job *j, uint64_t base)
{
	struct client *c = j->client;
	void *page[LEAF_ENTRIES];
	unsigned n = look_at_leaf(j, c->host.mm, base, page);
	pid_t pid = who_has(c);

	assert_thread(THREAD_REMOTE);
	if (pid) {
		nodes_move(j->nodes, pid, n, page, j->from, j->to, &j->sum);
	} else if (client_is_leaving(c)) {
		j->sum.absent += n;
	} else if (n) {
		j->sum.failed += n; /* a forked child that has not identified itself */
		j->sum.error = -ESRCH;
	}
}

/* False: there was no further address space. */
static bool next_space(struct migration_job *j)
{
	assert_thread(THREAD_REMOTE);
	if (j->only) {
		if (j->client)
			client_put(j->client);
		else
			client_ref(j->only);
		j->client = j->client ? NULL : j->only;
	} else {
		j->client = client_next(j->s, j->client);
	}
	return j->client != NULL;
}

static bool step_spaces(struct migration_job *j)
{
	assert_thread(THREAD_REMOTE);
	if (j->leaf < j->nr_leaves) {
		move_leaf(j, j->leaves[j->leaf++]);
		return true;
	}
	plat_free(j->leaves);
	j->leaves = NULL;
	j->leaf = j->nr_leaves = 0;
	if (!next_space(j))
		return false;
	if (!j->client->unmanaged) {
		struct bases b = { 0 };

		if (note_leaves(j->client->host.mm, &b)) {
			j->leaves = b.base;
			j->nr_leaves = b.n;
		} else {
			j->sum.error = -ENOMEM;
			j->sum.failed += (uint64_t)a64_load(&j->client->host.mm->rss);
		}
	}
	return true;
}

/* ---- shared memory ---- */

/* Lock the page @index if it is present. @first: wait for the lock. 1: locked and referenced; 0:
 * absent; -EAGAIN: not now. */
static int take_shared(struct migration_job *j, uint64_t index, bool first, struct page **out)
{
	uint32_t entry;
	struct page *p = filemap_lookup(j->as, index, &entry);

	assert_thread(THREAD_REMOTE);
	if (!p) {
		j->sum.absent += entry != 0;
		return 0;
	}
	if (first) {
		page_lock(p);
	} else if (!page_trylock(p)) {
		page_put(&j->s->engine, p);
		return -EAGAIN;
	}
	*out = p;
	if (page_file_mapping(p) == j->as && p->index == index && page_test(p, PG_uptodate))
		return 1;
	page_unlock(&j->s->engine, p);
	page_put(&j->s->engine, p);
	j->sum.absent++;
	return 0;
}

/* Where the content of a locked page is: its frame, or @here in the window; NULL: nowhere. */
static void *shared_place(struct migration_job *j, const struct page *p, void *here)
{
	void *home = home_data(&j->s->mmu.home, p->pfn);

	if (home)
		return home;
	return madvise(here, PAGE_SIZE, MADV_POPULATE_READ) == 0 ? here : NULL;
}

static void move_window(struct migration_job *j, char *window, uint64_t start, uint64_t end)
{
	struct page *page[WINDOW_PAGES];
	void *place[WINDOW_PAGES];
	unsigned n = 0, found = 0;

	assert_thread(THREAD_REMOTE);
	VM_ASSERT(start < end);
	for (uint64_t i = start; (i = filemap_next(j->as, i, end)) < end; i++) {
		int got = take_shared(j, i, n == 0, &page[n]);

		if (got < 0) {
			end = i;
			break;
		}
		if (!got)
			continue;
		place[found] = shared_place(j, page[n++], window + (i - start) * PAGE_SIZE);
		if (place[found]) {
			found++;
		} else {
			j->sum.failed++;
			j->sum.error = -ENOMEM;
		}
	}
	j->index = end;
	nodes_move(j->nodes, 0, found, place, j->from, j->to, &j->sum);
	for (unsigned i = 0; i < n; i++) {
		page_unlock(&j->s->engine, page[i]);
		page_put(&j->s->engine, page[i]);
	}
}

/* The next area of shared memory of the one process, from j->va on: sets j->as, referenced, and its
 * range of pages. */
static void next_area(struct migration_job *j)
{
	struct mm *mm = j->only->host.mm;
	const struct vma *v;

	rw_rdlock(&mm->mmap_lock);
	while (!j->as && (v = vma_next(mm, j->va))) {
		j->va = v->end;
		if (!v->file || !v->file->host)
			continue;
		file_get(v->file);
		j->as = v->file;
		j->index = v->pgoff;
		j->index_end = v->pgoff + ((v->end - v->start) >> PAGE_SHIFT);
	}
	rw_rdunlock(&mm->mmap_lock);
}

static bool next_object(struct migration_job *j)
{
	struct address_space *old = j->as;

	if (j->only) {
		j->as = NULL;
		if (old)
			file_put(old);
		next_area(j);
	} else {
		j->as = host_shared_next(&j->s->mmu, old);
		j->index = 0;
		j->index_end = FILE_PAGES_MAX;
	}
	return j->as != NULL;
}

static bool step_objects(struct migration_job *j)
{
	uint64_t end;
	char *window;

	assert_thread(THREAD_REMOTE);
	if (j->as)
		j->index = filemap_next(j->as, j->index, j->index_end);
	if (!j->as || j->index >= j->index_end)
		return next_object(j);
	end = j->index_end - j->index < WINDOW_PAGES ? j->index_end : j->index + WINDOW_PAGES;
	window = mmap(NULL, (end - j->index) * PAGE_SIZE, PROT_READ, MAP_SHARED,
		      host_shared_fd(j->as), (off_t)(j->index * PAGE_SIZE));
	if (window == MAP_FAILED) {
		j->sum.failed++;
		j->sum.error = -errno;
		j->index = end;
		return true;
	}
	end -= j->index; /* pages, from here on */
	move_window(j, window, j->index, j->index + end);
	(void)munmap(window, end * PAGE_SIZE);
	return true;
}

/* ---- frames ---- */

static bool step_frames(struct migration_job *j)
{
	const struct home *h = &j->s->mmu.home;
	void *place[NODES_BATCH];
	unsigned n = 0;
	uint32_t stop;

	assert_thread(THREAD_REMOTE);
	if (j->only || j->pfn >= h->nr_pfns)
		return false;
	stop = h->nr_pfns - j->pfn < FRAMES_A_STEP ? h->nr_pfns : j->pfn + FRAMES_A_STEP;
	for (; j->pfn < stop && n < NODES_BATCH; j->pfn++) {
		place[n] = home_data(h, j->pfn);
		n += place[n] != NULL;
	}
	nodes_move(j->nodes, 0, n, place, j->from, j->to, &j->sum);
	return true;
}

/* ---- the job ---- */

/* Pages in memory now, according to the books of what is to be moved. */
static uint64_t job_total(struct migration_job *j)
{
	struct address_space *as = NULL;
	struct client *c = NULL;
	int64_t n = 0;

	assert_thread(THREAD_REMOTE);
	if (j->only)
		return (uint64_t)a64_load(&j->only->host.mm->rss);
	while ((c = client_next(j->s, c)))
		n += a64_load(&c->host.mm->rss) - a64_load(&c->host.mm->rss_shared);
	while ((as = host_shared_next(&j->s->mmu, as))) {
		spin_lock(&as->lock);
		n += as->nr_cached;
		spin_unlock(&as->lock);
	}
	return n > 0 ? (uint64_t)n : 0;
}

void migration_begin(struct migration_job *j, struct supervisor *s, const struct nodes *nodes,
		     struct client *only, unsigned from, unsigned to)
{
	assert_thread(THREAD_REMOTE);
	*j = (struct migration_job){ .s = s, .nodes = nodes, .only = only, .from = from, .to = to };
	j->total = job_total(j);
}

bool migration_step(struct migration_job *j)
{
	static bool (*const stage[])(struct migration_job * j) = { step_spaces, step_objects,
								   step_frames };
	struct nodes_moved before = j->sum;

	assert_thread(THREAD_REMOTE);
	if (!stage[j->stage](j))
		j->stage++;
	if (j->sum.moved != before.moved)
		stat_add(j->s->group, STAT_PGMIGRATE_SUCCESS,
			 (int64_t)(j->sum.moved - before.moved));
	if (j->sum.failed != before.failed)
		stat_add(j->s->group, STAT_PGMIGRATE_FAIL,
			 (int64_t)(j->sum.failed - before.failed));
	return j->stage < sizeof(stage) / sizeof(stage[0]);
}

void migration_end(struct migration_job *j)
{
	assert_thread(THREAD_REMOTE);
	plat_free(j->leaves);
	if (j->as)
		file_put(j->as);
	if (j->client)
		client_put(j->client);
	if (j->only)
		client_put(j->only);
}
