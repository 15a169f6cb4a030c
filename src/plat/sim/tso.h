/* plat/sim/tso.h - the store buffers of x86-TSO (Sewell, Sarkar, Owens, Zappa Nardelli, Myreen,
 * CACM 2010).
 *
 * A store that is not sequentially consistent enters the first-in-first-out buffer of its task:
 * OP_PUT, which no other task can notice. A second task, the buffer, writes the oldest store to
 * memory whenever the explorer picks it: the drain is an ordinary operation on the object, with the
 * ordinary dependences. A load finds the task's own stores first. Locked operations (additions,
 * exchanges, sequentially consistent stores), locks and unlocks (atomic exchanges in glibc), fences
 * and system calls that sleep may be done only when the task's buffer is empty.
 *
 * What enters the buffer:
 *   - relaxed and release stores of C11 code (c11.h);
 *   - the end of an RCU read section: liburcu's membarrier flavour ends it with a plain store. Its
 *     beginning takes effect at once: membarrier() of the grace period sees to that;
 *   - a store or an unlock of the engine whose fence is left out (mutant.h).
 *
 * Plain accesses do not. Without a data race no other task reads a plain cell between the store and
 * a later operation of the same task that publishes it; that operation is a buffered store, behind
 * it in the buffer, or locked. So nobody can tell whether the cell was written at once. And with a
 * race: take the first read, in the order of the execution, that would have seen the difference.
 * Up to it both machines did the same, so this machine does it, too, and finds the read unordered
 * with the store: a DATA RACE (clocks.c). A task's plain loads do find its own buffered stores:
 * these are in place in memory while it runs.
 *
 * Content (plat_copy) is not buffered either, although programs store to it in races. The software
 * MMU stores under a lock, and the next operation of that task is its unlock: a drain in between is
 * the same store at a later time, which is explored. The engine's own copies go to pages that
 * nobody else has yet.
 *
 * A drain commutes with every operation of its own task that can be done before it: a load finds
 * the same value in the buffer and in memory. So the two are independent (op.c). What remains are
 * two orders that hold in every schedule: a store's OP_PUT comes before its drain, and all drains
 * before the next operation that needs an empty buffer. The explorer joins their clocks (dpor.c).
 *
 * With sequential consistency (sim_tso false) no buffer has ever anything in it.
 *
 * Locks: none; one thread.
 */
#ifndef UMEMCG_PLAT_SIM_TSO_H
#define UMEMCG_PLAT_SIM_TSO_H

#include "plat/sim/sim.h"

#define TSO_STORES_MAX 24 /* in one buffer; more is a LIVELOCK */

/* The memory model; set between executions. */
extern bool sim_tso;

/* For the test of the buffer: one mistake to make. */
enum tso_fault {
	TSO_FAULT_NONE,
	TSO_FAULT_NO_FORWARDING, /* loads do not look into their own buffer */
	TSO_FAULT_NO_FENCE,      /* fences and locked operations do not wait */
	TSO_FAULT_NOT_FIFO,      /* the newest store drains first */
	TSO_FAULT_NO_BUFFER,     /* stores are written at once */
	NR_TSO_FAULTS
};
extern unsigned tso_fault;

/* Do stores without a fence enter a buffer? */
static inline bool tso_buffers(void)
{
	return sim_tso && tso_fault != TSO_FAULT_NO_BUFFER;
}

void tso_reset(void); /* before an execution */

/* ---- stores of the running task ---- */

/* Announce a store to the word of @op and put it into the buffer: value := ((value & @keep) | @set)
 * + @add. @op has the kind of the drain. @release: what the task did before it is ordered before
 * whoever acquires the drained value. */
void tso_store(struct sim_op op, uint64_t keep, uint64_t set, uint64_t add, bool release);
/* The same for a step of the machine: @call when it drains, with the task, its clock at the store,
 * and @arg. */
typedef void (*tso_step)(int task, const sim_clock *clock, unsigned arg);
void tso_call(struct sim_op op, tso_step call, unsigned arg);

/* ---- views ---- */

/* A task that runs finds its own stores in memory; all others find memory as it is. The scheduler
 * calls these when task @t goes on, and before it stops. */
void tso_show(int t);
void tso_hide(int t);
/* Does the running task see a store of its own at [p, p + width)? */
bool tso_own(const void *p, unsigned width);
/* What task @t, which does not run, would see in @op's object. */
uint64_t tso_value(int t, const struct sim_op *op);
/* Has task @t stores that are not in memory? */
bool tso_pending(int t);
/* The running task frees [p, p + n): its stores there change nothing any more. */
void tso_freed(const void *p, size_t n);

/* ---- the buffers as tasks ---- */

/* The task whose stores @t drains; -1: @t is no buffer. */
static inline int tso_owner(int t)
{
	return sim_tasks[t].owner - 1;
}
/* The buffer of task @t, -1: it has never stored. */
static inline int tso_buffer(int t)
{
	return sim_tasks[t].buffer - 1;
}
/* Buffer @t was picked: write its oldest store to memory. False: a finding. */
bool tso_drain(int t);
/* The event of the OP_PUT of buffer @t's oldest store. */
unsigned tso_put_event(int t);

#endif
