/* plat/sim/op.c - which operations depend on each other, and when an operation is enabled.
 * EXHAUSTED rests on this table; tests/check/explorer_test.c compares it with a search that uses
 * none.
 *
 * Two operations depend if they touch a common bit of one object and are neither both reads nor
 * both additions whose result is unused. Read-locking and read-unlocking are additions to the
 * lock's count. Entering and leaving an RCU section are additions to the set of readers; the start
 * of a grace period reads that set. Its end comes after the sections it waits for, whatever new
 * ones begin.
 *
 * A drain of a store buffer is what its store would be without one. It depends on no operation of
 * its own task (tso.h).
 */
#include "plat/sim/tso.h"

static const struct {
	const char *name;
	enum op_class class;
	bool may_block;
	bool drains; /* needs an empty store buffer: tso.h */
} kinds[NR_OP_KINDS] = {
	/* clang-format off */
	[OP_NONE]       = { "-",               CLASS_NONE,  false, false },
	[OP_READ]       = { "read",            CLASS_READ,  false, false },
	[OP_WRITE]      = { "write",           CLASS_WRITE, false, true },
	[OP_ADD]        = { "add",             CLASS_ADD,   false, true },
	[OP_LOCK]       = { "lock",            CLASS_WRITE, true, true },
	[OP_UNLOCK]     = { "unlock",          CLASS_WRITE, false, true },
	[OP_TRYLOCK]    = { "trylock",         CLASS_WRITE, false, true },
	[OP_RDLOCK]     = { "lock shared",     CLASS_ADD,   true, true },
	[OP_RDUNLOCK]   = { "unlock shared",   CLASS_ADD,   false, true },
	[OP_TRYRD]      = { "trylock shared",  CLASS_WRITE, false, true },
	[OP_AWAIT]      = { "wait",            CLASS_READ,  true, false },
	[OP_RCU_LOCK]   = { "rcu_read_lock",   CLASS_ADD,   false, false },
	[OP_RCU_UNLOCK] = { "rcu_read_unlock", CLASS_ADD,   false, false },
	[OP_GP_START]   = { "grace period starts", CLASS_READ, false, true },
	[OP_GP_END]     = { "grace period ends",   CLASS_READ, true, false },
	[OP_SLEEP]      = { "sleep",           CLASS_NONE,  true, true },
	[OP_FENCE]      = { "fence",           CLASS_NONE,  false, true },
	[OP_PUT]        = { "buffer",          CLASS_NONE,  false, false },
	/* clang-format on */
};

const char *op_name(enum op_kind kind)
{
	return kinds[kind].name;
}

enum op_class op_class(const struct sim_op *op)
{
	return kinds[op->kind].class;
}

/* Injected faults are no operations of the program. */
bool op_drains(const struct sim_op *op)
{
	return kinds[op->kind].drains && !(op->obj >= OBJ_MISC && op->obj < OBJ_SECTIONS);
}

bool op_may_block(const struct sim_op *op)
{
	return kinds[op->kind].may_block;
}

unsigned op_fault;

/* Errors of a wrong table; tests/check/explorer_test.c must notice each. */
static bool overlooked(const struct sim_op *a, const struct sim_op *b)
{
	enum op_class ca = kinds[a->kind].class, cb = kinds[b->kind].class;

	switch (op_fault) {
	case OP_FAULT_READ_WRITE:
		return a->kind == OP_READ && b->kind == OP_WRITE;
	case OP_FAULT_ADD_READ:
		return a->kind == OP_ADD && b->kind == OP_READ;
	case OP_FAULT_ADD_WRITE:
		return ca == CLASS_ADD && b->kind == OP_WRITE;
	case OP_FAULT_TRYLOCK:
		return a->kind == OP_TRYLOCK && (b->kind == OP_LOCK || b->kind == OP_UNLOCK);
	case OP_FAULT_SHARED:
		return a->kind == OP_RDLOCK && b->kind == OP_LOCK;
	case OP_FAULT_AWAIT:
		return a->kind == OP_AWAIT && cb != CLASS_READ;
	case OP_FAULT_PERIOD:
		return a->kind == OP_GP_START && b->kind == OP_RCU_LOCK;
	case OP_FAULT_MASK:
		return a->mask != b->mask;
	default:
		return false;
	}
}

/* Does grace period @a wait for the section that @b ends? Later sections of the same task do not
 * matter. */
static bool ends_section(const struct sim_op *a, const struct sim_op *b)
{
	return a->kind == OP_GP_END && b->kind == OP_RCU_UNLOCK &&
	       rcu_gp_waits_for((unsigned)a->arg, (unsigned)__builtin_ctzll(b->mask),
				(unsigned)b->arg);
}

bool op_dependent(const struct sim_op *a, const struct sim_op *b)
{
	enum op_class ca = kinds[a->kind].class, cb = kinds[b->kind].class;

	if (a->obj != b->obj || !(a->mask & b->mask) || ca == CLASS_NONE || cb == CLASS_NONE)
		return false;
	if (a->drain != b->drain && a->by == b->by)
		return false;
	if (ca == cb && ca != CLASS_WRITE)
		return false;
	if (a->kind == OP_GP_END || b->kind == OP_GP_END)
		return ends_section(a, b) || ends_section(b, a);
	return !op_fault || !(overlooked(a, b) || overlooked(b, a));
}

bool op_covers(const struct sim_op *e, const struct sim_op *op)
{
	/* A drain is not ordered with its own task's reads before it. */
	if (e->drain && op_fault != OP_FAULT_DRAIN_COVERS)
		return false;
	return kinds[e->kind].class == CLASS_WRITE && !(op->mask & ~e->mask);
}

bool op_enabled_at(const struct sim_op *op, uint64_t value)
{
	switch (op->kind) {
	case OP_LOCK:
		return (value & op->mask) == 0;
	case OP_RDLOCK:
		return !(value & SIM_WRITER);
	case OP_AWAIT:
		return ((value & op->mask) == op->arg) != op->arg_not;
	case OP_GP_END:
		return rcu_gp_over((unsigned)op->arg);
	case OP_SLEEP:
		return false;
	default:
		return true;
	}
}

/* Also for freed objects: the mistake is reported when the operation is done. */
__attribute__((no_sanitize_address)) uint64_t op_value(const struct sim_op *op)
{
	const void *p;

	if (!op->width) {
		unsigned t = op->obj - OBJ_TASK(0);

		return op->obj >= OBJ_TASK(0) && t < sim_nr_tasks &&
		       !sim_tasks[t].alive; /* it has ended */
	}
	p = sim_object_address(op->obj);
	return op->width == 4 ? *(const uint32_t *)p : *(const uint64_t *)p;
}

/* As task @t sees it. */
static uint64_t value_for(int t, const struct sim_op *op)
{
	return op->width && tso_pending(t) ? tso_value(t, op) : op_value(op);
}

bool sim_task_enabled(int t)
{
	const struct sim_task *k = &sim_tasks[t];

	if (!k->alive || k->next.kind == OP_NONE)
		return false;
	if (k->next.drains && tso_pending(t) && tso_fault != TSO_FAULT_NO_FENCE)
		return false;
	if (k->timed_out || !kinds[k->next.kind].may_block)
		return true;
	return op_enabled_at(&k->next, value_for(t, &k->next));
}
