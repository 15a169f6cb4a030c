/* plat/native/rcu.c - RCU on liburcu, the membarrier flavour: readers cost two plain stores; the
 * thread that waits for them pays the price.
 *
 * Guarantees, as plat/plat.h asks: a reader section that began before rcu_synchronize() was called
 * has ended when it returns; a deferred function runs after every section that began before
 * rcu_defer(). Deferred functions run on liburcu's own thread, one at a time, in the order in which
 * one thread deferred them; they may take locks and defer more, and must not wait for RCU.
 *
 * The thread sanitizer cannot see these orders (liburcu is not instrumented and its readers use no
 * atomic read-modify-write), so we annotate them: each section's end "releases" one address, and
 * the waiter "acquires" it. liburcu's accesses to its own memory are hidden from it.
 *
 * Locks: none of ours.
 */
#include <urcu/urcu-memb.h>

#include "plat/native/registered.h"

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
#define order_release(addr) __tsan_release(addr)
#define order_acquire(addr) __tsan_acquire(addr)
#define liburcu_begin()     __tsan_ignore_thread_begin()
#define liburcu_end()       __tsan_ignore_thread_end()
#else
#define order_release(addr) ((void)(addr))
#define order_acquire(addr) ((void)(addr))
#define liburcu_begin()     ((void)0)
#define liburcu_end()       ((void)0)
#endif

static atomic32_t deferred; /* deferred calls that have not returned */
static char grace_period;   /* its address means "all readers so far are done" */

_Static_assert(sizeof(struct rcu_head) <= sizeof(((struct plat_rcu_head *)0)->opaque_),
	       "liburcu's head must fit into ours");
_Static_assert(_Alignof(struct rcu_head) <= _Alignof(struct plat_rcu_head), "and be aligned");
_Static_assert(offsetof(struct plat_rcu_head, opaque_) == 0, "run_deferred casts one to the other");

void rcu_thread_begin(void)
{
	urcu_memb_register_thread();
}

void rcu_thread_end(void)
{
	VM_BUG_ON(urcu_memb_read_ongoing());
	urcu_memb_unregister_thread();
}

void rcu_rd_lock(void)
{
	VM_BUG_ON(!plat_thread_registered_);
	urcu_memb_read_lock();
}

void rcu_rd_unlock(void)
{
	order_release(&grace_period);
	urcu_memb_read_unlock();
}

void rcu_synchronize(void)
{
	VM_BUG_ON(urcu_memb_read_ongoing());
	urcu_memb_synchronize_rcu();
	order_acquire(&grace_period);
}

static void run_deferred(struct rcu_head *opaque)
{
	struct plat_rcu_head *head = (struct plat_rcu_head *)opaque;

	plat_thread_registered_ = 1; /* liburcu did this for its own thread */
	order_acquire(head);
	order_acquire(&grace_period);
	head->fn(head);
	order_release(&grace_period);
	a32_add(&deferred, -1);
}

void rcu_defer(struct plat_rcu_head *head, void (*fn)(struct plat_rcu_head *))
{
	VM_BUG_ON(!plat_thread_registered_);
	head->fn = fn;
	order_release(head);
	a32_add(&deferred, 1);
	urcu_memb_call_rcu((struct rcu_head *)head, run_deferred);
}

static void nothing(void *arg)
{
	(void)arg;
}

int rcu_prepare(void)
{
	struct plat_thread trial;
	int err = plat_thread_start(&trial, "umemcg-trial", nothing, NULL);

	if (err)
		return err;
	/* Its stack is kept by libc, for the next thread. */
	plat_thread_join(&trial);
	(void)urcu_memb_get_default_call_rcu_data();
	return 0;
}

void rcu_flush(void)
{
	VM_BUG_ON(urcu_memb_read_ongoing());
	/* liburcu's thread sleeps 10 ms before it looks for deferred calls. */
	if (a32_load(&deferred)) {
		liburcu_begin(); /* its hand-over of heap memory is invisible, too */
		urcu_memb_barrier();
		liburcu_end();
	}
	order_acquire(&grace_period);
}
