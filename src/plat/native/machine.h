/* plat/native/machine.h - the native machine: C11 atomics, pthread, futex, liburcu.
 * The contract, with every function's meaning, is plat/plat.h; include that, not this. */
#ifndef UMEMCG_PLAT_NATIVE_MACHINE_H
#define UMEMCG_PLAT_NATIVE_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PLAT_NR_CPUS 8
#define PLAT_CHUNK   1024
#define PLAT_SLAB    32768

/* ---- atomics -------------------------------------------------------------------------- */

typedef struct {
	_Atomic(uint32_t) v_;
} atomic32_t;
typedef struct {
	_Atomic(int64_t) v_;
} atomic64_t;
typedef struct {
	_Atomic(void *) v_;
} atomicptr_t;

static inline uint32_t a32_load(const atomic32_t *p)
{
	return atomic_load(&((atomic32_t *)p)->v_);
}
static inline void a32_store(atomic32_t *p, uint32_t v)
{
	atomic_store(&p->v_, v);
}
static inline uint32_t a32_add(atomic32_t *p, int32_t d)
{
	return atomic_fetch_add(&p->v_, (uint32_t)d) + (uint32_t)d;
}
static inline uint32_t a32_or(atomic32_t *p, uint32_t m)
{
	return atomic_fetch_or(&p->v_, m);
}
static inline uint32_t a32_and(atomic32_t *p, uint32_t m)
{
	return atomic_fetch_and(&p->v_, m);
}
static inline uint32_t a32_xchg(atomic32_t *p, uint32_t v)
{
	return atomic_exchange(&p->v_, v);
}
static inline bool a32_cas(atomic32_t *p, uint32_t old, uint32_t new_)
{
	return atomic_compare_exchange_strong(&p->v_, &old, new_);
}
static inline bool a32_inc_not_zero(atomic32_t *p)
{
	uint32_t v = a32_load(p);

	while (v != 0)
		if (atomic_compare_exchange_weak(&p->v_, &v, v + 1))
			return true;
	return false;
}

static inline int64_t a64_load(const atomic64_t *p)
{
	return atomic_load(&((atomic64_t *)p)->v_);
}
static inline void a64_store(atomic64_t *p, int64_t v)
{
	atomic_store(&p->v_, v);
}
static inline int64_t a64_add(atomic64_t *p, int64_t d)
{
	return atomic_fetch_add(&p->v_, d) + d;
}
static inline int64_t a64_or(atomic64_t *p, int64_t m)
{
	return atomic_fetch_or(&p->v_, m);
}
static inline int64_t a64_and(atomic64_t *p, int64_t m)
{
	return atomic_fetch_and(&p->v_, m);
}
static inline int64_t a64_xchg(atomic64_t *p, int64_t v)
{
	return atomic_exchange(&p->v_, v);
}
static inline bool a64_cas(atomic64_t *p, int64_t old, int64_t new_)
{
	return atomic_compare_exchange_strong(&p->v_, &old, new_);
}
static inline void a64_add_relaxed(atomic64_t *p, int64_t d)
{
	atomic_fetch_add_explicit(&p->v_, d, memory_order_relaxed);
}
static inline int64_t a64_load_relaxed(const atomic64_t *p)
{
	return atomic_load_explicit(&((atomic64_t *)p)->v_, memory_order_relaxed);
}

static inline uint32_t a32_peek(const atomic32_t *p)
{
	return atomic_load_explicit(&((atomic32_t *)p)->v_, memory_order_relaxed);
}
static inline bool a32_test(const atomic32_t *p, uint32_t m)
{
	return a32_load(p) & m;
}
static inline void a32_acc(atomic32_t *p, int32_t d)
{
	a32_add(p, d);
}
static inline void a64_acc(atomic64_t *p, int64_t d)
{
	a64_add(p, d);
}
#define a32_get(p, n)                                                                              \
	do {                                                                                       \
		uint32_t ref = a32_add(p, n);                                                      \
		VM_BUG_ON((n) <= 0 || ref <= (uint32_t)(n));                                       \
	} while (0)
#define a64_sub(p, n)                                                                              \
	do {                                                                                       \
		int64_t usage = a64_add(p, -(n));                                                  \
		VM_BUG_ON(usage < 0);                                                              \
	} while (0)

static inline void *aptr_load(const atomicptr_t *p)
{
	return atomic_load(&((atomicptr_t *)p)->v_);
}
static inline void aptr_store(atomicptr_t *p, void *v)
{
	atomic_store(&p->v_, v);
}
static inline void *aptr_xchg(atomicptr_t *p, void *v)
{
	return atomic_exchange(&p->v_, v);
}
static inline bool aptr_cas(atomicptr_t *p, void *old, void *new_)
{
	return atomic_compare_exchange_strong(&p->v_, &old, new_);
}

/* ---- locks ---------------------------------------------------------------------------- */

struct spinlock {
	pthread_mutex_t m;
	enum lock_rank rank;
};

struct rwsem {
	pthread_rwlock_t rw;
	enum lock_rank rank;
};

#ifdef UMEMCG_DEBUG
/* native/lockdep.c: the stack of held locks of this thread. */
void lockdep_acquire(const void *lock, enum lock_rank rank, bool try_);
void lockdep_release(const void *lock, enum lock_rank rank);
/* Stop, with the name and the place of @lock, unless this thread holds it. */
void lockdep_check_held(const void *lock, const char *name, const char *file, int line);
#define lockdep_assert_held(l) lockdep_check_held((l), #l, __FILE__, __LINE__)
#else
static inline void lockdep_acquire(const void *lock, enum lock_rank rank, bool try_)
{
	(void)lock, (void)rank, (void)try_;
}
static inline void lockdep_release(const void *lock, enum lock_rank rank)
{
	(void)lock, (void)rank;
}
#define lockdep_assert_held(l) ((void)(l))
#endif

static inline void spin_init(struct spinlock *l, enum lock_rank rank)
{
	pthread_mutex_init(&l->m, NULL);
	l->rank = rank;
}
/* For a lock that a real-time thread also takes: the holder inherits the priority of waiters. Not
 * for the engine: other machines lack it. */
static inline void spin_init_urgent(struct spinlock *l, enum lock_rank rank)
{
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	(void)pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&l->m, &a);
	pthread_mutexattr_destroy(&a);
	l->rank = rank;
}
static inline void spin_fini(struct spinlock *l)
{
	pthread_mutex_destroy(&l->m);
}
static inline void spin_lock(struct spinlock *l)
{
	lockdep_acquire(l, l->rank, false);
	pthread_mutex_lock(&l->m);
}
static inline bool spin_trylock(struct spinlock *l)
{
	if (pthread_mutex_trylock(&l->m) != 0)
		return false;
	lockdep_acquire(l, l->rank, true);
	return true;
}
static inline void spin_unlock(struct spinlock *l)
{
	lockdep_release(l, l->rank);
	pthread_mutex_unlock(&l->m);
}

void rw_init(struct rwsem *l, enum lock_rank rank);
void rw_fini(struct rwsem *l);
static inline void rw_rdlock(struct rwsem *l)
{
	lockdep_acquire(l, l->rank, false);
	pthread_rwlock_rdlock(&l->rw);
}
static inline bool rw_tryrdlock(struct rwsem *l)
{
	if (pthread_rwlock_tryrdlock(&l->rw) != 0)
		return false;
	lockdep_acquire(l, l->rank, true);
	return true;
}
static inline void rw_rdunlock(struct rwsem *l)
{
	lockdep_release(l, l->rank);
	pthread_rwlock_unlock(&l->rw);
}
static inline void rw_wrlock(struct rwsem *l)
{
	lockdep_acquire(l, l->rank, false);
	pthread_rwlock_wrlock(&l->rw);
}
static inline bool rw_trywrlock(struct rwsem *l)
{
	if (pthread_rwlock_trywrlock(&l->rw) != 0)
		return false;
	lockdep_acquire(l, l->rank, true);
	return true;
}
static inline void rw_wrunlock(struct rwsem *l)
{
	lockdep_release(l, l->rank);
	pthread_rwlock_unlock(&l->rw);
}

/* futex.c: the slow paths */
void bit_lock_slow(atomic32_t *word, uint32_t bit, uint32_t waiters);
void bit_wait(atomic32_t *word, uint32_t bit, uint32_t waiters);
void futex_wake_all(atomic32_t *word);

static inline bool bit_trylock(atomic32_t *word, uint32_t bit, enum lock_rank rank)
{
	if (a32_or(word, bit) & bit)
		return false;
	lockdep_acquire(word, rank, true);
	return true;
}
static inline void bit_lock(atomic32_t *word, uint32_t bit, uint32_t waiters, enum lock_rank rank)
{
	lockdep_acquire(word, rank, false);
	if (a32_or(word, bit) & bit)
		bit_lock_slow(word, bit, waiters);
}
static inline void bit_clear_wake(atomic32_t *word, uint32_t bit, uint32_t waiters)
{
	if (a32_and(word, ~(bit | waiters)) & waiters)
		futex_wake_all(word);
}
static inline void bit_unlock(atomic32_t *word, uint32_t bit, uint32_t waiters, enum lock_rank rank)
{
	lockdep_release(word, rank);
	bit_clear_wake(word, bit, waiters);
}

/* ---- waits ---------------------------------------------------------------------------- */

struct waitq {
	atomic32_t seq; /* bumped by every wake */
	atomic32_t sleepers;
};

void waitq_init(struct waitq *q);
static inline uint32_t waitq_prepare(struct waitq *q)
{
	return a32_load(&q->seq);
}
bool waitq_sleep(struct waitq *q, uint32_t ticket, int64_t timeout_ns);
void waitq_wake(struct waitq *q);

/* ---- RCU ------------------------------------------------------------------------------ */

struct plat_rcu_head {
	struct {
		void *next;
		void (*f)(void *);
	} opaque_; /* liburcu's rcu_head lives here */
	void (*fn)(struct plat_rcu_head *);
};

void rcu_rd_lock(void);
void rcu_rd_unlock(void);
void rcu_synchronize(void);
void rcu_defer(struct plat_rcu_head *head, void (*fn)(struct plat_rcu_head *));
void rcu_flush(void);

/* ---- threads and time ----------------------------------------------------------------- */

struct plat_thread {
	pthread_t t;
	void (*fn)(void *);
	void *arg;
	char name[16];
};

int plat_thread_start(struct plat_thread *t, const char *name, void (*fn)(void *), void *arg);
void plat_thread_join(struct plat_thread *t);
void plat_thread_enter(void);
void plat_thread_exit(void);

extern _Thread_local unsigned plat_cpu_slot_; /* set when the thread enters */
static inline unsigned plat_cpu(void)
{
	return plat_cpu_slot_;
}

void plat_yield(void);
uint64_t plat_now_ns(void);
void plat_sleep_ns(uint64_t ns);

/* ---- memory, faults, checks ------------------------------------------------------------ */

static inline void plat_copy(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
}
static inline void plat_copy_soon(void *dst, const void *src, size_t n)
{
	const size_t line = 64;

	for (size_t i = 0; i < n; i += line) {
		__builtin_prefetch((const char *)src + i, 0, 2);
		__builtin_prefetch((char *)dst + i, 1, 2);
	}
}

void *plat_alloc(size_t n);
void plat_free(void *p);
void *plat_alloc_big(size_t n);
void plat_free_big(void *p, size_t n);

void fault_arm(enum fault_kind kind, unsigned long nth);
bool fault_hit(enum fault_kind kind); /* true: this call is the one that must fail */

_Noreturn void plat_bug(const char *what, const char *file, int line);
#define VM_BUG_ON(cond)                                                                            \
	do {                                                                                       \
		if (__builtin_expect(!!(cond), 0))                                                 \
			plat_bug(#cond, __FILE__, __LINE__);                                       \
	} while (0)

#ifdef UMEMCG_DEBUG
#define VM_ASSERT(cond) VM_BUG_ON(!(cond))
#else
#define VM_ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#define recheck(cond) (cond)
#define sync_step(step)                                                                            \
	do {                                                                                       \
		step;                                                                              \
	} while (0)
#define bug_on(id)      0
#define bug_follows(id) 0

#endif
