/* agent/huge.c - huge pages in managed memory.
 *
 * The supervisor fills missing pages of managed memory, and what it copies arrives in small pages.
 * So the helper touches a huge page in an unmanaged area, where the kernel makes one, and moves it
 * in one piece (UFFDIO_MOVE) to where the program waits for it. The area lives as long as the
 * process, and is empty between two fills.
 *
 * A huge page that was partly removed stays in memory as a whole until the kernel, short of memory,
 * splits it; no counter of the process shows that, and the limit would be exceeded unseen. A move
 * splits it at once. Where a part goes another way - unmapped, discarded, remapped - advice that a
 * part of it is cold splits it.
 *
 * I1  The helper alone touches the area, and never while it is filled for another request.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "agent/agent.h"
#include "agent/sys.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define AGAIN_TRIES 8

/* Huge pages exist, here or in the process that forked us. Inherited, and so not in *agent. */
static uint32_t given;

/* 0 when there is no room for it. */
static uint64_t area(void)
{
	uint64_t at = __atomic_load_n(&agent->huge_area, __ATOMIC_RELAXED);
	long got;

	if (at)
		return at;
	got = agent_area(2 * HUGE_BYTES);
	if ((unsigned long)got > -4096ul)
		return 0;
	at = ((uint64_t)got + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
	sys_madvise((void *)at, HUGE_BYTES, MADV_HUGEPAGE);
	__atomic_store_n(&agent->huge_area, at, __ATOMIC_RELEASE);
	return at;
}

/* A waiter is woken when the supervisor has entered the pages. */
static long move_whole(int uffd, uint64_t start, uint64_t from, int64_t *moved)
{
	struct move_args m;
	long err;
	int i = 0;

	AGENT_ASSERT(maplock_is_held());
	AGENT_ASSERT(start % HUGE_BYTES == 0 && from % HUGE_BYTES == 0);
	do {
		m = (struct move_args){
			.dst = start, .src = from, .len = HUGE_BYTES, .mode = MOVE_MODE_DONTWAKE
		};
		err = sys_ioctl(uffd, MOVE_IOCTL, &m);
	} while (err == -EAGAIN && m.moved <= 0 && i++ < AGAIN_TRIES &&
		 !sys_call0(SYS_sched_yield));
	*moved = m.moved;
	return err;
}

/* Called by the helper: put zeros into the HUGE_BYTES from @start on. */
uint8_t huge_fill(int uffd, uint64_t start)
{
	uint64_t from;
	int64_t moved = 0;
	long err = -EBUSY;

	AGENT_ASSERT(!maplock_is_mine());
	AGENT_ASSERT(uffd >= 0);
	/* The kernel itself fills and locks future mappings. */
	if (__atomic_load_n(&agent->lock_future, __ATOMIC_RELAXED))
		return EVICT_REFUSED;
	from = area();
	if (!from)
		return EVICT_REFUSED;
	if (sys_madvise((void *)from, HUGE_BYTES, MADV_POPULATE_WRITE) == 0 && lock_for_moving()) {
		err = move_whole(uffd, start, from, &moved);
		maplock_unlock_moved();
	}
	if (!err) {
		__atomic_store_n(&given, 1, __ATOMIC_RELAXED);
		return EVICT_MOVED;
	}
	sys_madvise((void *)from, HUGE_BYTES, MADV_DONTNEED_LOCKED);
	if (moved > 0)
		return EVICT_GONE;
	return err == -EAGAIN || err == -EBUSY || err == -ENOMEM ? EVICT_BUSY : EVICT_REFUSED;
}

/* Split the huge pages that lie only partly in this range. */
void huge_split(const void *start, size_t len)
{
	if (__atomic_load_n(&given, __ATOMIC_RELAXED))
		sys_madvise(start, len, MADV_COLD);
}

/* Parts of huge pages are gone with this range: the remaining parts adjoin it. */
void huge_split_edges(const void *start, size_t len)
{
	const uint64_t first = (uint64_t)start & ~(agent_page - 1);
	const uint64_t end = ((uint64_t)start + len + agent_page - 1) & ~(agent_page - 1);

	AGENT_ASSERT(!maplock_is_mine());
	if (first % HUGE_BYTES)
		huge_split((void *)(first - agent_page), agent_page);
	if (end % HUGE_BYTES)
		huge_split((void *)end, agent_page);
}

/* mlockall has filled and locked the area too. */
void huge_unlock(void)
{
	uint64_t at = __atomic_load_n(&agent->huge_area, __ATOMIC_ACQUIRE);

	AGENT_ASSERT(agent);
	AGENT_ASSERT(!maplock_is_mine());
	if (!at)
		return;
	sys_call2(SYS_munlock, at, HUGE_BYTES);
	sys_madvise((void *)at, HUGE_BYTES, MADV_DONTNEED);
}
