/* mmu/host/shared.c - objects of shared memory: see shared.h. */
#include "mmu/host/shared.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mm/filemap.h"
#include "mm/page.h"
#include "mm/swap_io.h"
#include "mmu/host/uffd.h"

#define PIPE_BYTES   (MMU_BATCH_MAX * PAGE_SIZE)
#define HUGE_SETTING "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

/* ---- taking pages out ---- */

static bool punch(int fd, uint64_t index, uint64_t n)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(index * PAGE_SIZE),
			 (off_t)(n * PAGE_SIZE)) == 0;
}

static bool pipe_fill(const int *pipe, int fd, uint64_t index, unsigned n)
{
	loff_t at = (loff_t)(index * PAGE_SIZE);
	size_t left = n * PAGE_SIZE;

	while (left) {
		ssize_t got = splice(fd, &at, pipe[1], NULL, left, SPLICE_F_NONBLOCK);

		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		left -= got > 0 ? (size_t)got : 0;
	}
	return true;
}

static bool pipe_read(const int *pipe, void *to, size_t bytes)
{
	while (bytes) {
		ssize_t got = read(pipe[0], to, bytes);

		if (got == 0 || (got < 0 && errno != EINTR))
			return false;
		to = (char *)to + (got > 0 ? got : 0);
		bytes -= got > 0 ? (size_t)got : 0;
	}
	return true;
}

static void pipe_drain(const int *pipe)
{
	char junk[PAGE_SIZE];

	while (read(pipe[0], junk, sizeof(junk)) > 0)
		;
}

/* Move the pages [index, index + n) of @fd to @frame[]. False: they stay where they were. */
static bool take_out(const int *pipe, int fd, uint64_t index, unsigned n, void *const *frame)
{
	VM_ASSERT(n > 0);
	if (!pipe_fill(pipe, fd, index, n) || !punch(fd, index, n)) {
		pipe_drain(pipe);
		return false;
	}
	/* From here on the pipe has the only copy. Frames are resident memory, so reading into them
	 * does not fail. */
	for (unsigned i = 0; i < n; i++)
		if (!pipe_read(pipe, frame[i], PAGE_SIZE))
			VM_BUG_ON("a page of shared memory cannot be read from a pipe");
	return true;
}

static int by_index(const void *a, const void *b)
{
	const struct mmu_req *x = *(struct mmu_req *const *)a, *y = *(struct mmu_req *const *)b;
	const struct address_space *f = page_file_mapping(x->page), *g = page_file_mapping(y->page);

	if (f != g)
		return f < g ? -1 : 1;
	return x->page->index < y->page->index ? -1 : x->page->index > y->page->index;
}

/* Withdraw @n adjacent pages of one object. pipe_lock held. */
static void withdraw_run(struct mmu_host *h, struct mmu_req **reqs, unsigned n)
{
	const struct host_shared *o = page_file_mapping(reqs[0]->page)->host;
	uint32_t pfns[MMU_BATCH_MAX];
	void *frame[MMU_BATCH_MAX];
	bool out;

	lockdep_assert_held(&h->pipe_lock);
	VM_ASSERT(n > 0 && n <= h->pipe_pages);
	for (unsigned i = 0; i < n; i++)
		pfns[i] = reqs[i]->page->pfn;
	out = !a32_load(&o->stays) && home_take(&h->home, pfns, n) == 0;
	if (out) {
		for (unsigned i = 0; i < n; i++)
			frame[i] = home_data(&h->home, pfns[i]);
		out = take_out(h->pipe, o->fd, reqs[0]->page->index, n, frame);
		for (unsigned i = 0; !out && i < n; i++)
			home_drop(&h->home, pfns[i]);
	}
	for (unsigned i = 0; i < n; i++)
		reqs[i]->result = out ? MMU_WITHDRAWN : MMU_BUSY;
	a64_add(out ? &h->moved : &h->busy, n);
}

void host_shared_withdraw(struct mmu_host *h, struct mmu_req **reqs, unsigned n)
{
	unsigned away = 0;

	for (unsigned i = 0; i < n; i++) {
		reqs[i]->result = MMU_WITHDRAWN;
		if (!home_data(&h->home, reqs[i]->page->pfn))
			reqs[away++] = reqs[i];
	}
	qsort(reqs, away, sizeof(*reqs), by_index);
	spin_lock(&h->pipe_lock);
	for (unsigned i = 0, k; i < away; i += k) {
		const struct page *p = reqs[i]->page;
		const struct host_shared *o = page_file_mapping(p)->host;

		for (k = 1; i + k < away && k < h->pipe_pages; k++)
			if (page_file_mapping(reqs[i + k]->page) != page_file_mapping(p) ||
			    reqs[i + k]->page->index != p->index + k)
				break;
		withdraw_run(h, reqs + i, k);
		/* The last page of a file that is no whole number of pages cannot be taken. */
		for (unsigned j = i; o->memfd && k > 1 && reqs[i]->result == MMU_BUSY && j < i + k;
		     j++)
			if (reqs[j]->result == MMU_BUSY)
				withdraw_run(h, reqs + j, 1);
	}
	spin_unlock(&h->pipe_lock);
}

void host_shared_settle(struct mmu_host *h)
{
	spin_lock(&h->pipe_lock);
	spin_unlock(&h->pipe_lock);
}

/* ---- putting pages in ---- */

/* 1, or -ENOMEM. It does not make the file longer: what lies behind its end is lost, and zeros. */
static int overwrite(const struct host_shared *o, const struct page *page, const void *content)
{
	const uint64_t at = page->index * PAGE_SIZE;
	uint64_t n = PAGE_SIZE;
	struct stat st;

	if (o->memfd && fstat(o->fd, &st) == 0 && (uint64_t)st.st_size < at + n)
		n = (uint64_t)st.st_size > at ? (uint64_t)st.st_size - at : 0;
	return pwrite(o->fd, content, n, (off_t)at) == (ssize_t)n ? 1 : -ENOMEM;
}

int host_shared_put_back(struct mmu_host *h, const struct host_shared *o, const struct page *page)
{
	const void *content = home_data(&h->home, page->pfn);
	int err;

	lockdep_assert_held(&page->flags);
	if (!content)
		return 0;
	err = overwrite(o, page, content);
	if (err > 0)
		home_drop(&h->home, page->pfn);
	return err < 0 ? err : 0;
}

int host_shared_map(struct mmu_host *h, struct host_client *c, uint64_t va, struct page *page)
{
	const struct host_shared *o = page_file_mapping(page)->host;
	const void *content = home_data(&h->home, page->pfn);
	/* If a page that is away is missing, madvise(MADV_REMOVE) freed it and its content is
	 * zeros. Usually it is present, brought in for another process. */
	int got = uffd_copy(c->uffd, va, content ? content : h->zeros, 1);

	VM_ASSERT(va % PAGE_SIZE == 0);
	/* What is at home is valid, what is not in the books is not; but zeros are never newer. */
	if (got == -EEXIST) {
		got = content && !content_is_zero(content) ? overwrite(o, page, content) : 1;
		(void)uffd_wake(c->uffd, va, 1);
	}
	if (got == 1 && content)
		home_drop(&h->home, page->pfn);
	return got;
}

/* ---- objects ---- */

/* Objects use the lower half of our descriptor numbers: clients need descriptors, too. */
static int highest_descriptor(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < INT_MAX ? (int)(l.rlim_cur / 2)
									 : INT_MAX;
}

static int object_open(struct host_shared *o, uint64_t nr_pages)
{
	int err;

	o->fd = memfd_create("umemcg-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (o->fd < 0)
		return -errno;
	/* A client can open it and must not change its size. */
	if (ftruncate(o->fd, (off_t)(nr_pages * PAGE_SIZE)) == 0 &&
	    fcntl(o->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return 0;
	err = -errno;
	close(o->fd);
	return err;
}

static void object_free(struct host_shared *o)
{
	spin_fini(&o->size_lock);
	spin_fini(&o->grow_lock);
	close(o->fd);
	plat_free(o);
}

static int check_descriptor(struct host_shared *o)
{
	struct stat st;

	if (fstat(o->fd, &st) != 0)
		return -errno;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	return o->fd > highest_descriptor() ? -EMFILE : 0;
}

int host_shared_enter(struct mmu_host *h, uint64_t nr_pages, const struct host_shared *like,
		      struct host_shared **out)
{
	struct host_shared *o = h->pipe_pages ? plat_alloc(sizeof(*o)) : NULL;
	int err;

	VM_ASSERT(like->fd >= 0);
	if (!o) {
		close(like->fd);
		return h->pipe_pages ? -ENOMEM : -EOPNOTSUPP;
	}
	*o = *like;
	spin_init(&o->size_lock, RANK_OBJECT);
	spin_init(&o->grow_lock, RANK_OBJECT_TABLE);
	err = check_descriptor(o);
	if (!err) {
		o->as = file_create(h->engine, NULL, nr_pages);
		err = o->as ? 0 : -ENOMEM;
	}
	if (err) {
		object_free(o);
		return err;
	}
	o->as->host = o;
	spin_lock(&h->objects_lock);
	list_add_tail(&o->link, &h->objects);
	spin_unlock(&h->objects_lock);
	*out = o;
	return 0;
}

/* @like holds the attributes that the maker chooses. */
static int object_create(struct mmu_host *h, uint64_t nr_pages, struct host_shared *like,
			 struct host_shared **out)
{
	int err = h->pipe_pages ? object_open(like, nr_pages) : -EOPNOTSUPP;

	return err ? err : host_shared_enter(h, nr_pages, like, out);
}

int host_shared_create(struct mmu_host *h, uint64_t nr_pages, uint64_t maker, int *fd)
{
	struct host_shared like = { .maker = maker, .fresh = true };
	struct host_shared *o;
	int err = object_create(h, nr_pages, &like, &o);

	VM_ASSERT(nr_pages > 0);
	if (!err)
		*fd = o->fd;
	return err;
}

struct address_space *host_shared_segment(struct mmu_host *h, uint64_t nr_pages, int id, int *err)
{
	struct host_shared like = { .segment = id };
	struct host_shared *o;

	VM_ASSERT(nr_pages > 0 && id != 0);
	*err = object_create(h, nr_pages, &like, &o);
	return *err ? NULL : o->as;
}

struct address_space *host_shared_segment_find(struct mmu_host *h, int id)
{
	struct address_space *as = NULL;

	VM_ASSERT(id != 0);
	spin_lock(&h->objects_lock);
	list_for_each(o, &h->objects, struct host_shared, link)
		if (o->segment == id && file_tryget(o->as))
			as = o->as;
	spin_unlock(&h->objects_lock);
	return as;
}

bool host_shared_segment_lives(struct mmu_host *h, int id)
{
	bool lives = false;

	spin_lock(&h->objects_lock);
	list_for_each(o, &h->objects, const struct host_shared, link)
		lives |= o->segment == id;
	spin_unlock(&h->objects_lock);
	return lives;
}

int host_shared_segment_id(const struct address_space *as)
{
	const struct host_shared *o = as->host;

	return o->segment;
}

int host_shared_fd(const struct address_space *as)
{
	const struct host_shared *o = as->host;

	VM_ASSERT(as->host && a32_peek(&as->refcount) > 0);
	return o->fd;
}

struct address_space *host_shared_find(struct mmu_host *h, uint64_t dev, uint64_t ino)
{
	struct address_space *as = NULL;

	spin_lock(&h->objects_lock);
	list_for_each(o, &h->objects, struct host_shared, link)
		if (!o->gone && o->dev == dev && o->ino == ino && file_tryget(o->as))
			as = o->as;
	spin_unlock(&h->objects_lock);
	return as;
}

void host_shared_adopted(struct mmu_host *h, struct address_space *as)
{
	struct host_shared *o = as->host;
	bool fresh;

	VM_ASSERT(as->host && a32_peek(&as->refcount) > 0);
	spin_lock(&h->objects_lock);
	fresh = o->fresh;
	o->fresh = false;
	spin_unlock(&h->objects_lock);
	if (fresh)
		file_put(as);
}

void host_shared_discard(struct address_space *as, uint64_t first, uint64_t n)
{
	const struct host_shared *o = as->host;

	VM_ASSERT(as->host && a32_peek(&as->refcount) > 0);
	filemap_discard(as, first, n);
	(void)punch(o->fd, first, n);
}

void host_shared_forget(struct mmu_host *h, uint64_t maker)
{
	struct address_space *as;

	do {
		as = NULL;
		spin_lock(&h->objects_lock);
		list_for_each(o, &h->objects, struct host_shared, link)
			if (o->fresh && o->maker == maker) {
				o->fresh = false;
				as = o->as;
				break;
			}
		spin_unlock(&h->objects_lock);
		if (as)
			file_put(as);
	} while (as);
}

struct address_space *host_shared_next(struct mmu_host *h, struct address_space *prev)
{
	struct address_space *next = NULL;
	bool after = !prev;

	VM_ASSERT(!prev || a32_peek(&prev->refcount) > 0);
	spin_lock(&h->objects_lock);
	list_for_each(o, &h->objects, struct host_shared, link) {
		if (after && file_tryget(o->as)) {
			next = o->as;
			break;
		}
		after |= o->as == prev;
	}
	spin_unlock(&h->objects_lock);
	if (prev)
		file_put(prev);
	return next;
}

void host_shared_release(struct mmu *mmu, struct address_space *as)
{
	struct mmu_host *h = (struct mmu_host *)mmu;
	struct host_shared *o = as->host;

	if (!o)
		return;
	spin_lock(&h->objects_lock);
	list_del(&o->link);
	spin_unlock(&h->objects_lock);
	object_free(o);
}

/* ---- does this kernel support it? ---- */

/* A store after the splice must be seen in the pipe, one after the punch must not: the pipe holds
 * the page, not a copy. */
static bool takes_references(const int *pipe, int fd)
{
	char got[PAGE_SIZE], *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bool yes;

	if (p == MAP_FAILED)
		return false;
	p[0] = 1;
	yes = pipe_fill(pipe, fd, 0, 1);
	__atomic_store_n(&p[0], 2, __ATOMIC_SEQ_CST);
	yes = yes && punch(fd, 0, 1);
	__atomic_store_n(&p[0], 3, __ATOMIC_SEQ_CST);
	yes = yes && pipe_read(pipe, got, PAGE_SIZE) && got[0] == 2;
	munmap(p, PAGE_SIZE);
	pipe_drain(pipe);
	return yes;
}

/* A hole in a large page that is referenced elsewhere is zero-filled. */
static bool pages_are_small(void)
{
	char text[256];
	int fd = open(HUGE_SETTING, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd < 0)
		return errno == ENOENT;
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "[never]") || strstr(text, "[deny]");
}

void host_shared_init(struct mmu_host *h)
{
	struct host_shared probe = { .fd = -1 };
	int size;

	spin_init(&h->objects_lock, RANK_LEAF);
	spin_init(&h->begin_lock, RANK_OBJECT);
	spin_init(&h->pipe_lock, RANK_HOST_BATCH);
	list_init(&h->objects);
	list_init(&h->backed);
	h->pipe[0] = h->pipe[1] = -1;
	if (!pages_are_small() || pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return;
	(void)fcntl(h->pipe[1], F_SETPIPE_SZ, (int)PIPE_BYTES);
	size = fcntl(h->pipe[1], F_GETPIPE_SZ);
	if (size >= (int)PAGE_SIZE && object_open(&probe, 1) == 0 &&
	    takes_references(h->pipe, probe.fd))
		h->pipe_pages = (unsigned)size / PAGE_SIZE;
	if (probe.fd >= 0)
		close(probe.fd);
}

void host_shared_fini(struct mmu_host *h)
{
	for (int i = 0; i < 2; i++)
		if (h->pipe[i] >= 0)
			close(h->pipe[i]);
	spin_fini(&h->objects_lock);
	spin_fini(&h->pipe_lock);
}
