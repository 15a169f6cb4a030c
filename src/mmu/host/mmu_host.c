/* mmu/host/mmu_host.c - the MMU operations over userfaultfd, except withdrawal (withdraw.c). */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mm/page.h"
#include "mmu/host/host.h"
#include "mmu/host/shared.h"
#include "mmu/host/uffd.h"
#include "mmu/host/withdraw.h"

static struct mmu_host *host(struct mmu *mmu)
{
	return (struct mmu_host *)mmu;
}

static void *host_data(struct mmu *mmu, struct page *page)
{
	return home_data(&host(mmu)->home, page->pfn);
}

static int host_bring_frames(struct mmu *mmu, struct page **pages, unsigned n)
{
	uint32_t pfns[MMU_BATCH_MAX];

	VM_BUG_ON(n > MMU_BATCH_MAX);
	for (unsigned i = 0; i < n; i++)
		pfns[i] = pages[i]->pfn;
	return home_take(&host(mmu)->home, pfns, n);
}

static void host_drop_frame(struct mmu *mmu, struct page *page)
{
	home_drop(&host(mmu)->home, page->pfn);
}

static int map_zero(struct mmu_host *h, struct host_client *c, uint64_t va, unsigned n)
{
	unsigned done = 0;

	VM_ASSERT(n > 0 && va % PAGE_SIZE == 0);
	while (done < n) {
		unsigned k = n - done < HOST_ZERO_PAGES ? n - done : HOST_ZERO_PAGES;
		int got = uffd_copy(c->uffd, va + done * PAGE_SIZE, h->zeros, k);

		if (got < 0)
			return done ? (int)done : got;
		done += (unsigned)got;
		if ((unsigned)got < k)
			break;
	}
	return (int)done;
}

/* How many pages from @i on are contiguous in home frames. */
static unsigned contiguous(struct mmu_host *h, struct page **pages, unsigned i, unsigned n)
{
	const char *first = home_data(&h->home, pages[i]->pfn);
	unsigned k = 1;

	VM_ASSERT(i < n);
	while (i + k < n && home_data(&h->home, pages[i + k]->pfn) == first + k * PAGE_SIZE)
		k++;
	return k;
}

/* Copy home pages into the client; copied pages release their frames. */
static int map_home(struct mmu_host *h, struct host_client *c, uint64_t va, struct page **pages,
		    unsigned n)
{
	unsigned done = 0;
	int err = 0;

	VM_ASSERT(n > 0 && va % PAGE_SIZE == 0);
	while (done < n && !err) {
		unsigned k = contiguous(h, pages, done, n);
		int got = uffd_copy(c->uffd, va + done * PAGE_SIZE,
				    home_data(&h->home, pages[done]->pfn), k);

		if (got < 0)
			err = got;
		else if ((unsigned)got < k)
			err = -EAGAIN;
		done += got > 0 ? (unsigned)got : 0;
	}
	for (unsigned i = 0; i < done; i++)
		home_drop(&h->home, pages[i]->pfn);
	return done ? (int)done : err;
}

/* Map pages of an object that are all at home. If something is in the way, map one alone: that path
 * handles it. */
static int map_shared(struct mmu_host *h, struct host_client *c, uint64_t va, struct page **pages,
		      unsigned n)
{
	int done = map_home(h, c, va, pages, n);

	return done == -EEXIST ? host_shared_map(h, c, va, pages[0]) : done;
}

static int host_map(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n,
		    bool zero)
{
	struct mmu_host *h = host(mmu);
	struct host_client *c = mm->host;

	VM_ASSERT(n > 0);
	if (a32_load(&c->dead))
		return -ESRCH;
	if (a32_load(&c->frozen))
		return -EAGAIN;
	if (host_fill_covers(c, va))
		return -EBUSY;
	if (!page_is_anon(pages[0]))
		return n > 1 ? map_shared(h, c, va, pages, n) : host_shared_map(h, c, va, pages[0]);
	return zero ? map_zero(h, c, va, n) : map_home(h, c, va, pages, n);
}

/* The client's own kernel has flushed before we learn of a change. */
static void host_flush(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages)
{
	(void)mmu, (void)mm, (void)va, (void)npages;
}

static void host_signal(struct host_client *c, int sig)
{
	if (c->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0);
}

static void host_poison(struct mmu *mmu, struct mm *mm, uint64_t va)
{
	struct host_client *c = mm->host;

	VM_ASSERT(va % PAGE_SIZE == 0);
	(void)mmu;
	/* Kernels before 6.6 cannot poison a single page: kill the process, as it must not read
	 * zeros. */
	if (uffd_poison(c->uffd, va) != 0)
		host_signal(c, SIGKILL);
	(void)uffd_wake(c->uffd, va, 1);
}

static void host_wake(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages)
{
	struct host_client *c = mm->host;

	(void)mmu;
	(void)uffd_wake(c->uffd, va, npages);
}

static bool host_search(struct mmu *mmu, bool wait)
{
	return host(mmu)->transport->search(host(mmu), wait);
}

static void host_kill(struct mmu *mmu, struct mm *mm)
{
	/* Tell the transport before the kill: the report of the group's usage must be taken before
	 * the victim's memory is released. It leaves slower work until after the kill. */
	host(mmu)->transport->killed(mm->host);
	host_signal(mm->host, SIGKILL);
}

/* An empty place whose entry says present. Either the page was withdrawn and is at home; or it is
 * on its way to us, then wait for the outcome; or the client's kernel dropped it, then its content
 * is zeros. */
static int host_refresh(struct mmu *mmu, struct mm *mm, uint64_t va, struct page *page)
{
	struct mmu_host *h = host(mmu);
	struct host_client *c = mm->host;
	int late;

	VM_ASSERT(a32_peek(&page->flags) & PG_locked);
	if (a32_load(&c->dead))
		return -ESRCH;
	if (a32_load(&c->frozen))
		return -EAGAIN;
	if (!page_is_anon(page))
		return host_shared_map(h, c, va, page);
	if (a32_load(&c->asking))
		return -EAGAIN;
	late = host_is_late(h, c, va, page);
	if (late)
		return late;
	if (home_data(&h->home, page->pfn))
		return map_home(h, c, va, &page, 1);
	/* Zeros, unless its area is filled from a file: the engine knows. */
	return a32_load(&mm->has_backing) ? -ENODATA : map_zero(h, c, va, 1);
}

static void host_blocking(struct mmu *mmu, struct mm *mm)
{
	host(mmu)->transport->blocking(mm->host);
}

static void host_release(struct mmu *mmu, struct mm *mm)
{
	host(mmu)->transport->release(mm->host);
}

static const struct mmu_ops host_ops = {
	.name = "host",
	.shares = false,
	.withdraws = true,
	.data = host_data,
	.bring_frames = host_bring_frames,
	.drop_frame = host_drop_frame,
	.map = host_map,
	.refresh = host_refresh,
	.fill = host_fill,
	.fill_holds = host_fill_holds,
	.fill_end = host_fill_end,
	.withdraw = host_withdraw,
	.flush = host_flush,
	.poison = host_poison,
	.wake = host_wake,
	.blocking = host_blocking,
	.release = host_release,
	.release_file = host_shared_release,
	.search = host_search,
	.kill = host_kill,
};

int mmu_host_init(struct mmu_host *h, struct engine *e, uint32_t max_frames,
		  const struct host_transport *t)
{
	void *zeros = mmap(NULL, HOST_ZERO_PAGES * PAGE_SIZE, PROT_READ,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (zeros == MAP_FAILED)
		return -errno;
	h->mmu.ops = &host_ops;
	h->engine = e;
	h->transport = t;
	h->zeros = zeros;
	e->may_back = true;
	host_shared_init(h);
	/* Everything may have to come home (a failing disk): as many frames as pages. Only used
	 * ones cost memory. */
	return home_init(&h->home, max_frames, max_frames + FRAME_CHUNK);
}

void mmu_host_fini(struct mmu_host *h)
{
	host_shared_fini(h);
	home_fini(&h->home);
	munmap((void *)(uintptr_t)h->zeros, HOST_ZERO_PAGES * PAGE_SIZE);
}

void host_client_init(struct host_client *c, struct mm *mm, int uffd)
{
	memset(c, 0, sizeof(*c));
	c->mm = mm;
	c->uffd = uffd;
	c->pidfd = -1;
	c->pagemap_fd = c->mem_fd = -1;
	list_init(&c->holds);
	spin_init(&c->batch_lock, RANK_HOST_BATCH);
	spin_init(&c->fill_lock, RANK_HOST_FILL);
}
