/* agent/evict.c - moves pages of the program to the helper's staging area, with UFFDIO_MOVE or
 * mremap. Runs in the helper, under maplock (I2 of helper.c). */
#include "agent/evict.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "agent/sys.h"
#include "agent/user/user.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Linux 5.13; also newer than those headers */
struct continue_args {
	uint64_t start, len, mode;
	int64_t mapped;
};
#define CONTINUE_IOCTL _IOWR(UFFDIO, 0x07, struct continue_args)

/* Linux 5.7 */
#define REMAP_DONTUNMAP 4

#define LOCK_TRIES  64
#define AGAIN_TRIES 8

/* Are these pages of one registered mapping, as all managed ones are? A program that maps memory
 * with its own system call instructions, and ld.so, which does so too, may have mapped something
 * else there since the supervisor asked: that content is not ours to move. The kernel checks the
 * registration first, and then refuses private memory (EINVAL): nothing happens. In shared memory
 * it may map a page that already exists. EAGAIN: the mappings are changing. 0 or -errno. */
static long registered(const struct helper *h, uint64_t src, uint64_t n)
{
	struct continue_args c = { .start = src,
				   .len = n * agent_page,
				   .mode = 1 /* do not wake */ };
	long err = sys_ioctl(h->setup.uffd, CONTINUE_IOCTL, &c);

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(n > 0 && src % agent_page == 0);
	if (err == -EAGAIN)
		return c.mapped > 0 ? 0 : err;
	return err == -ENOENT ? err : 0;
}

/* Move up to @n pages; returns the number moved, or -errno for the first page. */
static long move(struct helper *h, uint64_t src, unsigned int slot, uint64_t n)
{
	struct move_args m = {
		.dst = (uintptr_t)h->setup.staging + slot * agent_page,
		.src = src,
		.len = n * agent_page,
		.mode = MOVE_MODE_DONTWAKE,
	};
	long err;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(slot + n <= EVICT_PAGES_MAX);
	if (h->setup.staging_uffd < 0)
		return -EINVAL; /* before Linux 6.8: everything goes by mremap */
	err = sys_ioctl(h->setup.staging_uffd, MOVE_IOCTL, &m);
	if (!err)
		return (long)n;
	return m.moved > 0 ? (long)((uint64_t)m.moved / agent_page) : err;
}

long evict_renew_staging(const struct helper *h, unsigned int slot, uint64_t n)
{
	char *start = h->setup.staging + slot * agent_page;
	const size_t len = n * agent_page;
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)start, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	long err = sys_mmap(start, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);

	AGENT_ASSERT(slot + n <= EVICT_PAGES_MAX);
	if (err < 0)
		return err;
	/* Pages do not move between a locked mapping and an unlocked one. */
	if (__atomic_load_n(&agent->lock_future, __ATOMIC_RELAXED))
		sys_call2(SYS_munlock, start, len);
	sys_madvise(start, len, MADV_DONTFORK);
	sys_madvise(start, len, MADV_NOHUGEPAGE);
	return h->setup.staging_uffd < 0 ? 0
					 : sys_ioctl(h->setup.staging_uffd, UFFDIO_REGISTER, &reg);
}

/* UFFDIO_MOVE (Linux 6.8) takes pages of writable mappings only. Others (read-only, no access) go
 * by mremap, which leaves the mapping in place, empty and registered, and never makes it writable,
 * even briefly. The remapped range is unregistered from the program's userfaultfd, so that a page
 * that was missing reads as zeros, and made readable. 0 or -errno.
 *
 * By now the range may be shared memory, which mremap would take too. Its pages are not the
 * program's own: reading a hole would fill it for every user. Only private anonymous mappings can
 * be wiped on fork. What is refused leaves the staging area at once; the pages remain in their
 * object. */
static long remap(struct helper *h, uint64_t src, unsigned int slot, uint64_t n)
{
	char *dst = h->setup.staging + slot * agent_page;
	struct uffdio_range range = { .start = (uintptr_t)dst, .len = n * agent_page };
	long got = sys_call5(SYS_mremap, src, range.len, range.len,
			     MREMAP_MAYMOVE | MREMAP_FIXED | REMAP_DONTUNMAP, dst);
	long err;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(slot + n <= EVICT_PAGES_MAX);
	if (got != (long)(uintptr_t)dst)
		return got < 0 ? got : -EINVAL;
	sys_ioctl(h->setup.uffd, UFFDIO_UNREGISTER, &range);
	if (sys_madvise(dst, range.len, MADV_WIPEONFORK) < 0) {
		if (evict_renew_staging(h, slot, n) < 0)
			helper_die();
		return -EINVAL;
	}
	h->remapped = true;
	sys_madvise(dst, range.len, MADV_DONTFORK);
	err = sys_call3(SYS_mprotect, dst, range.len, PROT_READ | PROT_WRITE);
	huge_split(dst, range.len);
	return err;
}

/* Find why the single page at @src was not moved; retry once where that can help. */
static uint8_t move_failed(struct helper *h, uint64_t src, unsigned int slot, long err)
{
	int i;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(err < 0);
	/* Shared with a forked child, or pinned: copying the page resolves only the former. */
	if (err == -EBUSY) {
		huge_split((void *)src, agent_page);
		if (!sys_madvise((void *)src, agent_page, MADV_POPULATE_WRITE))
			err = move(h, src, slot, 1);
	}
	/* EINTR: the process is being stopped or continued. */
	for (i = 0; (err == -EAGAIN || err == -EINTR) && i < AGAIN_TRIES; i++) {
		sys_call0(SYS_sched_yield);
		err = move(h, src, slot, 1);
	}
	switch (err) {
	case 1:
		return EVICT_MOVED;
	case -ENOENT:
		return EVICT_GONE;
	case -EBUSY:
		return EVICT_PINNED;
	case -EAGAIN:
	case -EINTR:
	case -ENOMEM:
		return EVICT_BUSY;
	default:
		return EVICT_REFUSED;
	}
}

/* Move one range. Both ways refuse a range that spans mappings of different kinds as a whole, so
 * ask for half until the part before the seam goes through. */
static void evict_range(struct helper *h, uint64_t src, unsigned int slot, uint64_t npages)
{
	uint8_t *status = h->reply.status + slot;
	uint64_t i = 0, n = npages;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(npages > 0 && slot + npages <= EVICT_PAGES_MAX);
	while (i < npages) {
		long moved = registered(h, src + i * agent_page, n);

		if (moved == -ENOENT && n > 1) {
			n /= 2;
			continue;
		}
		if (moved) {
			status[i++] = EVICT_BUSY;
			n = npages - i;
			continue;
		}
		moved = move(h, src + i * agent_page, slot + (unsigned int)i, n);
		if (moved > 0) {
			for (; moved; moved--)
				status[i++] = EVICT_MOVED;
		} else if (moved == -EINVAL &&
			   !remap(h, src + i * agent_page, slot + (unsigned int)i, n)) {
			for (; n; n--)
				status[i++] = EVICT_MOVED;
		} else if (moved == -EINVAL && n > 1) {
			n /= 2;
			continue;
		} else {
			status[i] =
				move_failed(h, src + i * agent_page, slot + (unsigned int)i, moved);
			i++;
		}
		n = npages - i;
	}
}

/* How many of the @n pages from @start no system call is about to touch, up to the first one that
 * is. */
static uint64_t unpublished(uint64_t start, uint64_t n)
{
	if (!agent->user_mode || !n)
		return n;
	return (user_movable(start, start + n * agent_page) - start) / agent_page;
}

void evict_movable(struct helper *h, uint64_t src, unsigned int slot, uint64_t npages)
{
	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(slot + npages <= EVICT_PAGES_MAX);
	while (npages) {
		uint64_t n = unpublished(src, hold_movable(src, thread_movable(src, npages)));

		if (n) {
			evict_range(h, src, slot, n);
		} else {
			h->reply.status[slot] = EVICT_PINNED;
			n = 1;
		}
		if (agent->user_mode)
			user_moved();
		src += n * agent_page;
		slot += (unsigned int)n;
		npages -= n;
	}
}

bool lock_for_moving(void)
{
	int i;

	AGENT_ASSERT(sys_signals_blocked());
	for (i = 0; i < LOCK_TRIES; i++) {
		if (maplock_trylock()) {
			if (!__atomic_load_n(&agent->forking, __ATOMIC_ACQUIRE))
				return true;
			maplock_unlock();
		}
		sys_call0(SYS_sched_yield);
	}
	if (maplock_inherit()) {
		if (!__atomic_load_n(&agent->forking, __ATOMIC_ACQUIRE))
			return true;
		maplock_unlock();
	}
	return false;
}
