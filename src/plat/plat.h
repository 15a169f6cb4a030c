/* plat/plat.h - the machine contract: everything the engine may ask of the machine.
 *
 * One engine, two machines. native/ is threads, futexes and liburcu; the simulated machine (check
 * build) is coroutines under an explorer. The build chooses: PLAT_MACHINE is the machine's header,
 * and implements what is listed here and nothing more.
 *
 * Every access to shared state goes through this file. A field shared by several threads is
 * declared atomic32_t, atomic64_t or atomicptr_t: structures, so an access without its accessor
 * does not compile. A field under a lock is plain and names its lock.
 *
 * Atomics. Sequentially consistent unless the name says _relaxed. @p is a pointer to the field.
 *   a32_load(p) a32_store(p,v) a32_add(p,d)->new a32_or(p,m)->old a32_and(p,m)->old
 *   a32_xchg(p,v)->old a32_cas(p,old,new)->bool         and the same with a64_ and aptr_ (no
 *   arithmetic on pointers). a64_add_relaxed(p,d), a64_load_relaxed(p): statistics only.
 *   a32_inc_not_zero(p)->bool: take a reference unless the last one is gone.
 *   a32_acc(p,d) a64_acc(p,d): add, where the sum is not used: two of them commute.
 *   a32_get(p,n): a32_acc of references, at least one exists. a64_sub(p,n): a64_acc(p,-n), which
 *   never goes below 0. Both stop the program if that does not hold.
 *   a32_test(p,m)->bool: is one of the bits @m set? Looks at no other bit. Likewise only the bits
 *   @m of what a32_or returns, and the bits ~@m of what a32_and returns, may be used.
 *
 * Locks. Ranks come from lockorder.def; debug builds keep a stack of held locks per thread and stop
 * at the first violation.
 *   spin_init(l, rank) spin_lock(l) spin_trylock(l) spin_unlock(l) spin_fini(l)    struct spinlock
 *   rw_init(l, rank) rw_rdlock(l) rw_tryrdlock(l) rw_rdunlock(l) rw_wrlock(l) rw_trywrlock(l)
 *   rw_wrunlock(l) rw_fini(l)                                                      struct rwsem
 *   bit_trylock(word, bit, rank) bit_lock(word, bit, waiters, rank)
 *   bit_unlock(word, bit, waiters, rank): a lock inside an atomic32_t; the bit @waiters says that a
 *   thread sleeps. bit_wait(word, bit, waiters): sleep until @bit is clear.
 *   bit_clear_wake(word, bit, waiters): clear @bit, wake its waiters.
 *
 * Waits. struct waitq is an event count; the three steps are separate so that a lost wake-up is
 *   detectable:
 *   waitq_init(q) t = waitq_prepare(q); (check the condition); waitq_sleep(q, t, timeout_ns)
 *   returns true when woken, false on time-out (timeout_ns < 0: none). waitq_wake(q) wakes all.
 *
 * RCU. rcu_rd_lock() rcu_rd_unlock() rcu_synchronize() rcu_defer(head, fn) rcu_flush():
 *   wait for every deferred call made so far. Threads made by plat_thread_start are registered.
 *   A thread made otherwise calls plat_thread_enter()/plat_thread_exit().
 *
 * Threads. plat_thread_start(t, name, fn, arg) -> 0 or -errno; plat_thread_join(t);
 *   plat_cpu(): 0 .. PLAT_NR_CPUS-1, the per-CPU slot of this thread: a hint, never exclusive.
 *   plat_yield(). plat_now_ns(): monotonic. plat_sleep_ns(n).
 *
 * Memory. plat_alloc(n) (zeroed, NULL when out of memory), plat_free(p), plat_alloc_big(n): zeroed,
 *   page aligned, backed lazily; plat_free_big(p, n).
 *   plat_copy(dst, src, n): copy content that a program may change concurrently (a page, a swap
 *   slot). plat_copy_soon(dst, src, n): a hint that this copy follows shortly.
 *   fault_arm(kind, nth): the nth call from now of that kind fails once (tests); kinds FAULT_ALLOC,
 *   FAULT_READ, FAULT_WRITE.
 *
 * Checks. VM_BUG_ON(cond): an invariant of the engine; always on, prints the place and aborts.
 *   VM_ASSERT(cond): a precondition on the caller. Checked in debug builds and the check build,
 *   free in a release.
 *   lockdep_assert_held(l): likewise, that this thread holds @l.
 *   a32_peek(p): a read for VM_ASSERT alone; the simulated machine does not count it as an
 *   operation.
 *   recheck(cond), sync_step(step): mark synchronisation that is neither a lock nor RCU: a check
 *   needed only because something may have changed since the previous one; a flag, or a check, that
 *   notifies others or finds their notification. `make mutate` leaves each out in turn (@cond then
 *   counts as true) and tests whether a scenario notices.
 *   bug_on(ID): a named historical bug is enabled, and here the engine goes wrong; the constant 0
 *   outside the check build. bug_follows(ID): the same, at a place that only follows suit, such as
 *   not releasing what was not taken.
 */
#ifndef UMEMCG_PLAT_H
#define UMEMCG_PLAT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lock_rank {
#define LOCK_RANK(name, nesting) RANK_##name,
#include "plat/lockorder.def"
#undef LOCK_RANK
	NR_LOCK_RANKS
};

enum fault_kind { FAULT_ALLOC, FAULT_READ, FAULT_WRITE, NR_FAULT_KINDS };

/* The machine is chosen by the build: plat/native/machine.h or plat/sim/machine.h. It also defines
 * sizes: PLAT_NR_CPUS, per-CPU slots; PLAT_CHUNK, page records created at once;
 * PLAT_SLAB, bytes of a slab of compressed pages, a multiple of the page. */
#include PLAT_MACHINE

#endif
