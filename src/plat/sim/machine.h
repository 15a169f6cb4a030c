/* plat/sim/machine.h - the simulated machine: every operation of the contract (plat/plat.h) is
 * announced to an explorer and done when the explorer says so.
 *
 * Compiled into the check build only. Operation names in drawings come from the source: SIM_SITE
 * keeps file, line, function and the expression the operation was applied to.
 *
 * Outside an execution (set-up and the final checks) nothing is announced: one thread, in order.
 */
#ifndef UMEMCG_PLAT_SIM_MACHINE_H
#define UMEMCG_PLAT_SIM_MACHINE_H

#include <string.h>

#define PLAT_NR_CPUS 2
#define PLAT_CHUNK   8
#define PLAT_SLAB    4096

/* An operation's place and text in the source: @op is its name ("store", "cas"; NULL: its kind says
 * it all), @expr its operand, @arg and @arg2 its other arguments, NULL for none. */
struct sim_site {
	const char *file, *func, *expr;
	int line;
	const char *op, *arg, *arg2;
};

#define SIM_SITE_OP(e, o, a, b)                                                                    \
	({                                                                                         \
		static const struct sim_site site_ = { __FILE__, __func__, e, __LINE__, o, a, b }; \
		&site_;                                                                            \
	})
#define SIM_SITE(e) SIM_SITE_OP(e, NULL, NULL, NULL)

#define SIM_USED __attribute__((warn_unused_result))

typedef struct {
	uint32_t v_;
} atomic32_t;
typedef struct {
	int64_t v_;
} atomic64_t;
typedef struct {
	void *v_;
} atomicptr_t;

typedef const struct sim_site *sim_at;

/* ---- atomics: atomic.c ---- */

SIM_USED uint32_t sim_load32(const atomic32_t *p, uint32_t mask, sim_at at);
void sim_store32(atomic32_t *p, uint32_t v, sim_at at);
SIM_USED uint32_t sim_add32(atomic32_t *p, int32_t d, sim_at at);
void sim_acc32(atomic32_t *p, int32_t d, int32_t least, sim_at at);
void sim_wake(atomic32_t *p, sim_at at);
uint32_t sim_or32(atomic32_t *p, uint32_t m, sim_at at);
uint32_t sim_and32(atomic32_t *p, uint32_t m, sim_at at);
uint32_t sim_xchg32(atomic32_t *p, uint32_t v, sim_at at);
bool sim_cas32(atomic32_t *p, uint32_t old, uint32_t new_, sim_at at);
SIM_USED bool sim_inc_not_zero(atomic32_t *p, sim_at at);
SIM_USED int64_t sim_load64(const atomic64_t *p, bool relaxed, sim_at at);
void sim_store64(atomic64_t *p, int64_t v, sim_at at);
SIM_USED int64_t sim_add64(atomic64_t *p, int64_t d, sim_at at);
void sim_acc64(atomic64_t *p, int64_t d, int64_t least, bool relaxed, sim_at at);
int64_t sim_or64(atomic64_t *p, int64_t m, sim_at at);
int64_t sim_and64(atomic64_t *p, int64_t m, sim_at at);
int64_t sim_xchg64(atomic64_t *p, int64_t v, sim_at at);
bool sim_cas64(atomic64_t *p, int64_t old, int64_t new_, sim_at at);
SIM_USED void *sim_loadptr(const atomicptr_t *p, sim_at at);
void sim_storeptr(atomicptr_t *p, void *v, sim_at at);
void *sim_xchgptr(atomicptr_t *p, void *v, sim_at at);
bool sim_casptr(atomicptr_t *p, void *old, void *new_, sim_at at);

uint32_t sim_peek32(const atomic32_t *p);
#define a32_peek(p)         sim_peek32(p)
#define a32_load(p)         sim_load32((p), UINT32_MAX, SIM_SITE_OP(#p, "load", NULL, NULL))
#define a32_test(p, m)      ((sim_load32((p), (m), SIM_SITE_OP(#p, "test", #m, NULL)) & (m)) != 0)
#define a32_store(p, v)     sim_store32((p), (v), SIM_SITE_OP(#p, "store", #v, NULL))
#define a32_add(p, d)       sim_add32((p), (d), SIM_SITE_OP(#p, "add", #d, NULL))
#define a32_acc(p, d)       sim_acc32((p), (d), INT32_MIN, SIM_SITE_OP(#p, "add", #d, NULL))
#define a32_get(p, n)       sim_acc32((p), (n), (n) + 1, SIM_SITE_OP(#p, "get", #n, NULL))
#define a32_or(p, m)        sim_or32((p), (m), SIM_SITE_OP(#p, "or", #m, NULL))
#define a32_and(p, m)       sim_and32((p), (m), SIM_SITE_OP(#p, "and", #m, NULL))
#define a32_xchg(p, v)      sim_xchg32((p), (v), SIM_SITE_OP(#p, "xchg", #v, NULL))
#define a32_cas(p, o, n)    sim_cas32((p), (o), (n), SIM_SITE_OP(#p, "cas", #o, #n))
#define a32_inc_not_zero(p) sim_inc_not_zero((p), SIM_SITE_OP(#p, "get unless zero", NULL, NULL))
#define a64_load(p)         sim_load64((p), false, SIM_SITE_OP(#p, "load", NULL, NULL))
#define a64_load_relaxed(p) sim_load64((p), true, SIM_SITE_OP(#p, "load", NULL, NULL))
#define a64_store(p, v)     sim_store64((p), (v), SIM_SITE_OP(#p, "store", #v, NULL))
#define a64_add(p, d)       sim_add64((p), (d), SIM_SITE_OP(#p, "add", #d, NULL))
#define a64_acc(p, d)       sim_acc64((p), (d), INT64_MIN, false, SIM_SITE_OP(#p, "add", #d, NULL))

#define a64_add_relaxed(p, d) sim_acc64((p), (d), INT64_MIN, true, SIM_SITE_OP(#p, "add", #d, NULL))

#define a64_sub(p, n)     sim_acc64((p), -(n), 0, false, SIM_SITE_OP(#p, "sub", #n, NULL))
#define a64_or(p, m)      sim_or64((p), (m), SIM_SITE_OP(#p, "or", #m, NULL))
#define a64_and(p, m)     sim_and64((p), (m), SIM_SITE_OP(#p, "and", #m, NULL))
#define a64_xchg(p, v)    sim_xchg64((p), (v), SIM_SITE_OP(#p, "xchg", #v, NULL))
#define a64_cas(p, o, n)  sim_cas64((p), (o), (n), SIM_SITE_OP(#p, "cas", #o, #n))
#define aptr_load(p)      sim_loadptr((p), SIM_SITE_OP(#p, "load pointer", NULL, NULL))
#define aptr_store(p, v)  sim_storeptr((p), (v), SIM_SITE_OP(#p, "store pointer", #v, NULL))
#define aptr_xchg(p, v)   sim_xchgptr((p), (v), SIM_SITE_OP(#p, "xchg pointer", #v, NULL))
#define aptr_cas(p, o, n) sim_casptr((p), (o), (n), SIM_SITE_OP(#p, "cas pointer", #o, #n))

/* ---- locks: lock.c ---- */

/* state: 0: free; SIM_WRITER: held for writing; else the number of readers. */
#define SIM_WRITER 0x80000000u

struct spinlock {
	uint32_t state;
	enum lock_rank rank;
};

struct rwsem {
	uint32_t state;
	enum lock_rank rank;
};

void sim_lock_init(uint32_t *state, enum lock_rank *where, enum lock_rank rank);
void sim_lock_fini(uint32_t *state);
void sim_lock(uint32_t *state, enum lock_rank rank, sim_at at);
bool sim_trylock(uint32_t *state, enum lock_rank rank, sim_at at);
void sim_unlock(uint32_t *state, enum lock_rank rank, sim_at at);
void sim_rdlock(uint32_t *state, enum lock_rank rank, sim_at at);
bool sim_tryrdlock(uint32_t *state, enum lock_rank rank, sim_at at);
void sim_rdunlock(uint32_t *state, enum lock_rank rank, sim_at at);
bool sim_bit_trylock(atomic32_t *word, uint32_t bit, enum lock_rank rank, sim_at at);
void sim_bit_lock(atomic32_t *word, uint32_t bit, enum lock_rank rank, sim_at at);
void sim_bit_unlock(atomic32_t *word, uint32_t bit, enum lock_rank rank, sim_at at);
void sim_bit_wait(atomic32_t *word, uint32_t bit, sim_at at);
void sim_assert_held(const void *lock, const char *name, const char *file, int line);

#define spin_init(l, r)      sim_lock_init(&(l)->state, &(l)->rank, (r))
#define spin_fini(l)         sim_lock_fini(&(l)->state)
#define spin_lock(l)         sim_lock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define spin_trylock(l)      sim_trylock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define spin_unlock(l)       sim_unlock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define rw_init(l, r)        sim_lock_init(&(l)->state, &(l)->rank, (r))
#define rw_fini(l)           sim_lock_fini(&(l)->state)
#define rw_wrlock(l)         sim_lock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define rw_trywrlock(l)      sim_trylock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define rw_wrunlock(l)       sim_unlock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define rw_rdlock(l)         sim_rdlock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define rw_tryrdlock(l)      sim_tryrdlock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define rw_rdunlock(l)       sim_rdunlock(&(l)->state, (l)->rank, SIM_SITE(#l))
#define bit_trylock(w, b, r) sim_bit_trylock((w), (b), (r), SIM_SITE_OP(#w, "bit", #b, NULL))
#define bit_lock(w, b, waiters, r)                                                                 \
	((void)(waiters), sim_bit_lock((w), (b), (r), SIM_SITE_OP(#w, "bit", #b, NULL)))
#define bit_unlock(w, b, waiters, r)                                                               \
	((void)(waiters), sim_bit_unlock((w), (b), (r), SIM_SITE_OP(#w, "bit", #b, NULL)))
#define bit_wait(w, b, waiters)                                                                    \
	((void)(waiters), sim_bit_wait((w), (b), SIM_SITE_OP(#w, "bit", #b, NULL)))
#define bit_clear_wake(w, b, waiters)                                                              \
	((void)(waiters), (void)sim_and32((w), ~(uint32_t)(b), SIM_SITE_OP(#w, "clear", #b, NULL)))
#define lockdep_assert_held(l) sim_assert_held((l), #l, __FILE__, __LINE__)

/* ---- waits: lock.c ---- */

struct waitq {
	atomic32_t seq;
};

#define waitq_init(q)    ((q)->seq.v_ = 0)
#define waitq_prepare(q) sim_load32(&(q)->seq, UINT32_MAX, SIM_SITE_OP(#q, "prepare", NULL, NULL))
#define waitq_wake(q)    sim_wake(&(q)->seq, SIM_SITE_OP(#q, "wake", NULL, NULL))

#define waitq_sleep(q, t, ns) sim_waitq_sleep((q), (t), (ns), SIM_SITE_OP(#q, "sleep", NULL, NULL))
bool sim_waitq_sleep(struct waitq *q, uint32_t ticket, int64_t timeout_ns, sim_at at);

/* ---- RCU, threads, time: task.c, rcu.c ---- */

struct plat_rcu_head {
	struct plat_rcu_head *next;
	void (*fn)(struct plat_rcu_head *);
};

void sim_rcu_lock(sim_at at);
void sim_rcu_unlock(sim_at at);
void sim_rcu_synchronize(sim_at at);
void sim_rcu_defer(struct plat_rcu_head *head, void (*fn)(struct plat_rcu_head *), sim_at at);
void sim_rcu_flush(sim_at at);

#define rcu_rd_lock()     sim_rcu_lock(SIM_SITE("rcu"))
#define rcu_rd_unlock()   sim_rcu_unlock(SIM_SITE("rcu"))
#define rcu_synchronize() sim_rcu_synchronize(SIM_SITE("rcu"))
#define rcu_defer(h, fn)  sim_rcu_defer((h), (fn), SIM_SITE(#fn))
#define rcu_flush()       sim_rcu_flush(SIM_SITE("rcu"))

struct plat_thread {
	int task;
};

int sim_thread_start(struct plat_thread *t, const char *name, void (*fn)(void *), void *arg,
		     sim_at at);
void sim_thread_join(struct plat_thread *t, sim_at at);
#define plat_thread_start(t, name, fn, arg) sim_thread_start((t), (name), (fn), (arg), SIM_SITE(#t))
#define plat_thread_join(t)                 sim_thread_join((t), SIM_SITE(#t))
static inline void plat_thread_enter(void) {}
static inline void plat_thread_exit(void) {}

unsigned plat_cpu(void);
static inline void plat_yield(void) {}
uint64_t plat_now_ns(void);
void sim_sleep_ns(uint64_t ns, sim_at at);
#define plat_sleep_ns(ns) sim_sleep_ns((ns), SIM_SITE("time"))

/* ---- memory, faults, checks: arena.c ---- */

void *plat_alloc(size_t n);
void plat_free(void *p);
void *plat_alloc_big(size_t n);
void plat_free_big(void *p, size_t n);
void sim_copy(void *dst, const void *src, size_t n, sim_at at_src, sim_at at_dst);
#define plat_copy(dst, src, n)      sim_copy((dst), (src), (n), SIM_SITE(#src), SIM_SITE(#dst))
#define plat_copy_soon(dst, src, n) ((void)(dst), (void)(src), (void)(n))

void fault_arm(enum fault_kind kind, unsigned long nth);
bool fault_hit(enum fault_kind kind);

_Noreturn void plat_bug(const char *what, const char *file, int line);
#define VM_BUG_ON(cond)                                                                            \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			plat_bug(#cond, __FILE__, __LINE__);                                       \
	} while (0)

#define VM_ASSERT(cond) VM_BUG_ON(!(cond))

/* Marks: mutant.c. False: this one is left out. */
bool sim_mark(sim_at at);
#define recheck(cond) (!sim_mark(SIM_SITE_OP(#cond, "recheck", NULL, NULL)) || (cond))
#define sync_step(step)                                                                            \
	do {                                                                                       \
		if (sim_mark(SIM_SITE_OP(#step, "step", NULL, NULL))) {                            \
			step;                                                                      \
		}                                                                                  \
	} while (0)

/* Named bugs: src/plat/bugs.def. sim_bug is the enabled one, 0 for none. */
enum sim_bug_id {
	BUG_NONE_,
#define BUG(id, name, source, scenario, invariant, budget, text) BUG_##id,
#include "plat/bugs.def"
#undef BUG
	NR_SIM_BUGS
};
extern enum sim_bug_id sim_bug;
/* The bug is enabled: true, unless a drawing asks what would happen without it. sim_bug_here: the
 * last answer. */
bool sim_bug_met(void);
extern bool sim_bug_here;
#define bug_on(id)      (__builtin_expect(sim_bug == BUG_##id, 0) && sim_bug_met())
#define bug_follows(id) (__builtin_expect(sim_bug == BUG_##id, 0) && sim_bug_here)

#endif
