/* mmu/host/memfd.c - memfds that a program made: see memfd.h. */
#include "mmu/host/memfd.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "mm/filemap.h"
#include "mm/page.h"

#define TMPFS      0x01021994
#define NONE       UINT64_MAX
#define IDLE_LOOKS 2
#define IDLE_NS    1000000000ull /* between two looks for descriptors */

static uint64_t pages_up(uint64_t bytes)
{
	return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* Our own descriptor of the file, or -errno. */
static int open_file(const struct host_memfd_new *n)
{
	struct statfs fs;
	struct stat st;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)n->pid, n->number);
	/* Look before opening: opening a pipe or a device has effects. */
	if (stat(path, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink)
		return -EOPNOTSUPP;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && st.st_dev == n->dev && st.st_ino == n->ino &&
	    fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS)
		return fd;
	close(fd);
	return -ESTALE;
}

/* A lease is for the only one who has opened the file. If somebody waits for its end the signal is
 * one that is ignored. */
static bool take_lease(int fd)
{
	return fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

/* The descriptor that memfd_create(2) returned is none that was opened. But it had a lock on this
 * byte, which lasts as long as a copy or a mapping of it. */
static bool is_alone(int fd, int64_t byte)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

	return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type == F_UNLCK;
}

static bool is_empty(int fd)
{
	return lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO;
}

/* Drop the reference that stands for descriptors. */
static void unhold(struct mmu_host *h, struct address_space *as)
{
	struct host_shared *o = as->host;
	bool held;

	spin_lock(&h->objects_lock);
	held = o->held;
	o->held = false;
	spin_unlock(&h->objects_lock);
	/* A descriptor that we did not find must not find holes. */
	if (held && !a32_load(&o->stays))
		(void)ftruncate(o->fd, 0);
	if (held)
		file_put(as);
}

void host_memfd_part(struct mmu_host *h, struct address_space *as)
{
	struct host_shared *o = as->host;

	VM_ASSERT(a32_load(&o->stays));
	spin_lock(&h->objects_lock);
	o->gone = true;
	spin_unlock(&h->objects_lock);
	unhold(h, as);
}

/* begin_lock held. */
static int begin(struct mmu_host *h, int fd, const struct host_memfd_new *n)
{
	const struct host_shared like = {
		.memfd = true, .held = true, .fd = fd, .pid = n->pid, .number = n->number
	};
	struct host_shared *o;

	lockdep_assert_held(&h->begin_lock);
	if (take_lease(fd) && is_alone(fd, n->locked) && is_empty(fd) &&
	    fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL)
		return host_shared_enter(h, 0, &like, &o);
	close(fd);
	return -EOPNOTSUPP;
}

int host_memfd_add(struct mmu_host *h, const struct host_memfd_new *n)
{
	struct address_space *as;
	int err = 0, fd;

	spin_lock(&h->begin_lock);
	as = host_shared_find(h, n->dev, n->ino);
	if (as) {
		file_put(as);
	} else {
		fd = open_file(n);
		err = fd < 0 ? fd : begin(h, fd, n);
	}
	spin_unlock(&h->begin_lock);
	return err;
}

bool host_memfd_is(const struct address_space *as)
{
	const struct host_shared *o = as->host;

	return o && o->memfd;
}

uint64_t host_memfd_ino(const struct address_space *as)
{
	const struct host_shared *o = as->host;

	VM_ASSERT(o && o->memfd);
	return o->ino;
}

int host_memfd_cover(struct address_space *as, uint64_t nr_pages)
{
	struct host_shared *o = as->host;
	int err = 0;

	spin_lock(&o->grow_lock);
	if (as->nr_pages < nr_pages)
		err = filemap_truncate(as, nr_pages);
	spin_unlock(&o->grow_lock);
	return err;
}

/* ---- content that must be in the file ---- */

/* The page @index, locked, referenced and in its file; *@page is NULL if it has no content. 0 or
 * -errno. */
static int hold_page(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t index,
		     struct page **page)
{
	const struct host_shared *o = as->host;
	struct page *p;
	int err;

	*page = NULL;
	while (index < as->nr_pages && filemap_next(as, index, index + 1) == index) {
		err = filemap_get_page(as, index, mm, &p);
		if (err)
			return err;
		page_lock(p);
		if (page_file_mapping(p) == as) {
			err = host_shared_put_back(h, o, p);
			if (!err) {
				*page = p;
				return 0;
			}
		}
		page_unlock(h->engine, p);
		page_put(h->engine, p);
		if (err)
			return err;
	}
	return 0;
}

static void let_go(struct mmu_host *h, struct page *p)
{
	if (!p)
		return;
	page_unlock(h->engine, p);
	page_put(h->engine, p);
}

static int bring_all(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t until_ns)
{
	uint64_t i = 0;

	while ((i = filemap_next(as, i, as->nr_pages)) < as->nr_pages) {
		struct page *p;
		int err = plat_now_ns() < until_ns ? hold_page(h, as, mm, i++, &p) : -ETIME;

		if (err)
			return err;
		let_go(h, p);
	}
	return 0;
}

int host_memfd_bring(struct mmu_host *h, struct address_space *as, struct mm *mm, int64_t most,
		     uint64_t until_ns)
{
	struct host_shared *o = as->host;
	int err = -ENOMEM;

	spin_lock(&o->size_lock);
	if (a32_load(&o->stays)) {
		spin_unlock(&o->size_lock);
		return 1;
	}
	a32_store(&o->stays, 1);
	host_shared_settle(h);
	if ((int64_t)(as->nr_cached + as->nr_swapped) <= most)
		err = bring_all(h, as, mm, until_ns);
	if (err)
		a32_store(&o->stays, 0);
	spin_unlock(&o->size_lock);
	return err;
}

/* ---- the size, and holes; size_lock held ---- */

static bool is_kernels(const struct host_shared *o)
{
	lockdep_assert_held(&o->size_lock);
	return a32_load(&o->stays);
}

/* The page that the kernel clears in part, if byte @at is not at the beginning of one: it must have
 * its content, and keep it until then. */
static int hold_edge(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t at,
		     struct page **page)
{
	*page = NULL;
	return at % PAGE_SIZE ? hold_page(h, as, mm, at >> PAGE_SHIFT, page) : 0;
}

int host_memfd_resize(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t bytes)
{
	struct host_shared *o = as->host;
	struct page *edge = NULL;
	int err;

	spin_lock(&o->size_lock);
	err = is_kernels(o) ? -ENOENT : hold_edge(h, as, mm, bytes, &edge);
	if (!err && ftruncate(o->fd, (off_t)bytes) != 0)
		err = -errno;
	let_go(h, edge);
	/* Nobody reaches a page behind the end: nothing arrives there meanwhile. */
	if (!err)
		filemap_discard(as, pages_up(bytes), NONE);
	spin_unlock(&o->size_lock);
	return err;
}

static int punch_file(const struct host_shared *o, uint64_t at, uint64_t end)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	return at == end || fallocate(o->fd, mode, (off_t)at, (off_t)(end - at)) == 0 ? 0 : -errno;
}

/* Clear [at, end), which is part of one page. */
static int punch_part(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t at,
		      uint64_t end)
{
	struct page *p = NULL;
	int err = at < end ? hold_page(h, as, mm, at >> PAGE_SHIFT, &p) : 0;

	VM_ASSERT(at >= end || (end - 1) >> PAGE_SHIFT == at >> PAGE_SHIFT);
	if (!err && at < end)
		err = punch_file(as->host, at, end);
	let_go(h, p);
	return err;
}

static int punch(struct mmu_host *h, struct address_space *as, struct mm *mm, uint64_t at,
		 uint64_t end)
{
	const uint64_t first = pages_up(at), last = end >> PAGE_SHIFT;
	const uint64_t head = first << PAGE_SHIFT, tail = last << PAGE_SHIFT;
	int err = punch_part(h, as, mm, at, head < end ? head : end);

	if (!err && head <= tail)
		err = punch_part(h, as, mm, tail, end);
	/* The kernel first, which may refuse it; then what is in the books, and once more what came
	 * into the file from there meanwhile. */
	if (!err && first < last)
		err = punch_file(as->host, head, tail);
	if (!err && first < last)
		host_shared_discard(as, first, last - first);
	return err;
}

/* As the kernel, but for the space. */
static int extend(const struct host_shared *o, uint64_t end)
{
	struct stat st;

	if (fstat(o->fd, &st) != 0)
		return -errno;
	return (uint64_t)st.st_size >= end || ftruncate(o->fd, (off_t)end) == 0 ? 0 : -errno;
}

int host_memfd_allocate(struct mmu_host *h, struct address_space *as, struct mm *mm, int mode,
			uint64_t at, uint64_t bytes)
{
	struct host_shared *o = as->host;
	int err;

	if (!bytes || (int64_t)at < 0 || (int64_t)bytes < 0)
		return -EINVAL;
	if ((int64_t)(at + bytes) < 0)
		return -EFBIG;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE) || mode == FALLOC_FL_PUNCH_HOLE)
		return -EOPNOTSUPP;
	spin_lock(&o->size_lock);
	if (is_kernels(o))
		err = -ENOENT;
	else if (mode & FALLOC_FL_PUNCH_HOLE)
		err = punch(h, as, mm, at, at + bytes);
	else
		err = mode & FALLOC_FL_KEEP_SIZE ? 0 : extend(o, at + bytes);
	spin_unlock(&o->size_lock);
	return err;
}

/* ---- who waits for it ---- */

bool host_memfd_asked(const struct address_space *as)
{
	const struct host_shared *o = as->host;

	return !a32_load(&o->stays) && fcntl(o->fd, F_GETLEASE) != F_WRLCK;
}

void host_memfd_open(struct address_space *as)
{
	const struct host_shared *o = as->host;

	(void)fcntl(o->fd, F_SETLEASE, F_UNLCK);
}

void host_memfd_clear(struct mmu_host *h, struct address_space *as)
{
	struct host_shared *o = as->host;

	spin_lock(&o->size_lock);
	a32_store(&o->stays, 1);
	host_shared_settle(h);
	(void)ftruncate(o->fd, 0);
	filemap_discard(as, 0, NONE);
	spin_unlock(&o->size_lock);
}

/* ---- its end ---- */

static bool is_mapped(struct address_space *as)
{
	bool mapped;

	rw_rdlock(&as->i_mmap_lock);
	mapped = !list_empty(&as->i_mmap);
	rw_rdunlock(&as->i_mmap_lock);
	return mapped;
}

/* The descriptor that it began with is the likely one. */
static bool is_unused(struct address_space *as)
{
	const struct host_shared *o = as->host;
	char path[64];
	struct stat st;

	if (!o->memfd || is_mapped(as))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)o->pid, o->number);
	return stat(path, &st) != 0 || st.st_dev != o->dev || st.st_ino != o->ino;
}

bool host_memfd_needs(struct mmu_host *h)
{
	struct address_space *as = NULL;

	while ((as = host_shared_next(h, as)))
		if (host_memfd_is(as) && (host_memfd_asked(as) || is_unused(as))) {
			file_put(as);
			return true;
		}
	return false;
}

void host_memfd_sweep(struct mmu_host *h, bool (*has)(void *arg, uint64_t dev, uint64_t ino),
		      void *arg)
{
	struct address_space *as = NULL;

	while ((as = host_shared_next(h, as))) {
		struct host_shared *o = as->host;

		if (!is_unused(as)) {
			o->idle = 0;
			continue;
		}
		/* A descriptor may be on its way from one process to another while we look. */
		if (plat_now_ns() < o->idle_ns || o->idle++ < IDLE_LOOKS)
			continue;
		if (!has(arg, o->dev, o->ino)) {
			unhold(h, as);
			continue;
		}
		o->idle = 0;
		o->idle_ns = plat_now_ns() + IDLE_NS;
	}
}

void host_memfd_fini(struct mmu_host *h)
{
	struct address_space *as = NULL;

	while ((as = host_shared_next(h, as)))
		unhold(h, as);
}
