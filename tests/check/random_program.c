/* tests/check/random_program.c - see random_program.h. */
#include "random_program.h"

#include <stdlib.h>

#include "base/list.h"
#include "plat/sim/c11.h"

struct program prog;
struct shared *mem;
char *content;

static uint64_t seed_state;
static bool weak_stores;

struct deferred {
	struct plat_rcu_head head;
	uint8_t value;
};

struct local {
	bool got[NR_CODES][LOCKS];
	uint32_t ticket;
	struct plat_thread child;
};

/* ---- generation ---- */

static uint64_t rnd(void)
{
	uint64_t z = seed_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned below(unsigned n)
{
	return (unsigned)(rnd() % n);
}

static void emit(unsigned t, enum code code, unsigned obj, unsigned value)
{
	prog.code[t][prog.nr_code[t]++] =
		(struct instr){ (uint8_t)code, (uint8_t)obj, (uint8_t)value };
}

static void emit_atomic(unsigned t)
{
	static const enum code weak[] = { C_STORE_RELEASE, C_STORE_RELEASE, C_LOAD, C_FENCE };
	enum code code = (enum code)below(C_LOCK);

	if (weak_stores && below(3))
		code = weak[below(sizeof(weak) / sizeof(weak[0]))];
	emit(t, code, below(VARS), 1 + below(3));
}

/* Sections are closed in the order a program would: every lock taken is given back. */
static void generate_section(unsigned t)
{
	static const enum code open[] = { C_LOCK,   C_TRYLOCK,  C_RDLOCK,  C_TRYRD,
					  C_WRLOCK, C_BIT_LOCK, C_RCU_LOCK };
	static const enum code close[] = { C_UNLOCK,   C_UNLOCK,     C_RDUNLOCK,  C_RDUNLOCK,
					   C_WRUNLOCK, C_BIT_UNLOCK, C_RCU_UNLOCK };
	unsigned k = below(sizeof(open) / sizeof(open[0])), obj = below(LOCKS);

	emit(t, open[k], obj, 0);
	if (below(4))
		emit_atomic(t);
	emit(t, close[k], obj, 0);
}

static void generate_task(unsigned t, unsigned len, bool may_spawn)
{
	while (prog.nr_code[t] < len) {
		switch (below(12)) {
		case 0 ... 4:
			emit_atomic(t);
			break;
		case 5 ... 7:
			generate_section(t);
			break;
		case 8:
			emit(t, C_WAKE, 0, 0);
			break;
		case 9:
			emit(t, C_PREPARE, 0, 0);
			emit(t, below(2) ? C_SLEEP_TIMED : C_SLEEP, 0, 0);
			break;
		case 10:
			if (may_spawn && below(2)) {
				emit(t, C_SPAWN, 0, 0);
				emit(t, C_JOIN, 0, 0);
				may_spawn = false;
			} else {
				emit(t, below(2) ? C_SYNCHRONIZE : C_DEFER, 0, 1 + below(3));
			}
			break;
		default:
			emit(t,
			     below(3) == 0 ? C_BIT_WAIT
			     : below(2)    ? C_COPY
					   : C_TIME,
			     below(LOCKS), below(2));
		}
	}
}

void program_generate(uint64_t seed, bool weak)
{
	unsigned total;

	memset(&prog, 0, sizeof(prog));
	seed_state = seed;
	weak_stores = weak;
	prog.nr_tasks = 2 + below(TASKS_MAX - 1);
	total = prog.nr_tasks == 2 ? 5 : prog.nr_tasks == 3 ? 3 : 2;
	for (unsigned t = 0; t < prog.nr_tasks; t++)
		generate_task(t, 1 + below(total), t == 0);
	generate_task(TASKS_MAX, 1, false);
	if (below(4) == 0) { /* twins */
		memcpy(prog.code[1], prog.code[0], sizeof(prog.code[0]));
		prog.nr_code[1] = prog.nr_code[0];
		prog.group[0] = prog.group[1] = 1;
	}
}

/* ---- execution ---- */

static void run_task(void *arg);

static void note(uint64_t v)
{
	unsigned t = (unsigned)sim_current;

	if (mem->nr_log[t] < LOG_MAX)
		mem->log[t][mem->nr_log[t]++] = v;
}

static void deferred_call(struct plat_rcu_head *head)
{
	struct deferred *d = container_of(head, struct deferred, head);

	note(a32_add(&mem->var[d->value % VARS], d->value));
}

static void run_atomic(const struct instr *i)
{
	atomic32_t *v = &mem->var[i->obj % VARS];

	switch (i->code) {
	case C_LOAD:
		note(a32_load(v));
		break;
	case C_STORE:
		a32_store(v, i->value);
		break;
	case C_ADD:
		note(a32_add(v, i->value));
		break;
	case C_ACC:
		a32_acc(v, i->value);
		break;
	case C_CAS:
		note(a32_cas(v, i->value - 1u, i->value));
		break;
	case C_INC_NOT_ZERO:
		note(a32_inc_not_zero(v));
		break;
	case C_OR:
		note(a32_or(v, i->value));
		break;
	case C_AND:
		note(a32_and(v, ~(uint32_t)i->value));
		break;
	case C_STORE_RELEASE:
		c11_store(v, 4, i->value, C11_RELEASE, (void *)(uintptr_t)i);
		break;
	case C_FENCE:
		c11_fence(C11_SEQ_CST, (void *)(uintptr_t)i);
		break;
	case C_TEST:
		note(a32_test(v, i->value));
		break;
	default:
		note(a32_xchg(v, i->value));
		break;
	}
}

static void run_lock(const struct instr *i, struct local *l)
{
	struct spinlock *s = &mem->lock[i->obj % LOCKS];
	struct rwsem *rw = &mem->rw[i->obj % LOCKS];
	bool *got = &l->got[0][i->obj % LOCKS], *gotrd = &l->got[1][i->obj % LOCKS];

	switch (i->code) {
	case C_LOCK:
		spin_lock(s);
		*got = true;
		break;
	case C_TRYLOCK:
		note(*got = spin_trylock(s));
		break;
	case C_UNLOCK:
		if (*got)
			spin_unlock(s);
		break;
	case C_RDLOCK:
		rw_rdlock(rw);
		*gotrd = true;
		break;
	case C_TRYRD:
		note(*gotrd = rw_tryrdlock(rw));
		break;
	case C_RDUNLOCK:
		if (*gotrd)
			rw_rdunlock(rw);
		break;
	case C_WRLOCK:
		rw_wrlock(rw);
		break;
	case C_WRUNLOCK:
		rw_wrunlock(rw);
		break;
	case C_BIT_LOCK:
		bit_lock(&mem->var[0], 1u << (8 + i->obj), 0, RANK_PAGE);
		break;
	case C_BIT_UNLOCK:
		bit_unlock(&mem->var[0], 1u << (8 + i->obj), 0, RANK_PAGE);
		break;
	default:
		bit_wait(&mem->var[0], i->value ? 1u << (8 + i->obj) : 1u, 0);
		break;
	}
}

static void run_other(const struct instr *i, struct local *l)
{
	uint64_t word;
	unsigned t = (unsigned)sim_current;
	struct deferred *d;

	switch (i->code) {
	case C_PREPARE:
		l->ticket = waitq_prepare(&mem->wait);
		break;
	case C_SLEEP:
		note(waitq_sleep(&mem->wait, l->ticket, -1));
		break;
	case C_SLEEP_TIMED:
		note(waitq_sleep(&mem->wait, l->ticket, 100));
		break;
	case C_WAKE:
		waitq_wake(&mem->wait);
		break;
	case C_RCU_LOCK:
		rcu_rd_lock();
		break;
	case C_RCU_UNLOCK:
		rcu_rd_unlock();
		break;
	case C_SYNCHRONIZE:
		rcu_synchronize();
		break;
	case C_DEFER:
		d = plat_alloc(sizeof(*d)); /* one may be pending only once */
		d->value = i->value;
		rcu_defer(&d->head, deferred_call);
		break;
	case C_SPAWN:
		plat_thread_start(&l->child, "child", run_task, (void *)(uintptr_t)TASKS_MAX);
		break;
	case C_JOIN:
		plat_thread_join(&l->child);
		break;
	case C_COPY:
		/* The number of a task that was spawned depends on the schedule. */
		word = sim_tasks[t].parent >= 0 ? 9 : prog.group[t] ? 7 : t + 1;
		if (i->value)
			plat_copy(content + 8 * i->obj, &word, 8);
		else
			plat_copy(&word, content, 8);
		note(word);
		break;
	default:
		note(plat_now_ns());
		break;
	}
}

static void run_task(void *arg)
{
	unsigned t = (unsigned)(uintptr_t)arg;
	struct local l;

	memset(&l, 0, sizeof(l));
	for (unsigned k = 0; k < prog.nr_code[t]; k++) {
		const struct instr *i = &prog.code[t][k];

		if (i->code < C_LOCK)
			run_atomic(i);
		else if (i->code < C_PREPARE)
			run_lock(i, &l);
		else
			run_other(i, &l);
	}
}

void program_setup(void *arg)
{
	(void)arg;
	mem = plat_alloc(sizeof(*mem));
	content = plat_alloc(4096);
	for (unsigned i = 0; i < LOCKS; i++) {
		spin_init(&mem->lock[i], RANK_PTE);
		rw_init(&mem->rw[i], RANK_MMAP);
	}
	waitq_init(&mem->wait);
	for (unsigned t = 0; t < prog.nr_tasks; t++)
		sim_task("task", run_task, (void *)(uintptr_t)t, t, prog.group[t]);
}
