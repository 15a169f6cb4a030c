/* plat/sim/hooks.c - compiler hooks around plain accesses and functions.
 *
 * The engine of the check build is compiled with -fsanitize=thread, and linked with these functions
 * in place of the sanitizer's: every plain load and store of the engine passes here and is checked
 * against the order of locks and atomics (clocks.c) and against freed memory (arena.c). The hooks
 * for function entry and exit maintain the call stack for the drawings.
 */
#include "plat/sim/sim.h"

/* The types are those that the compiler assumes. */
void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void *unused);
void __tsan_read_range(void *p, long n);
void __tsan_write_range(void *p, long n);
void __tsan_vptr_update(void *p, void *v);
void __tsan_vptr_read(void *p);

static inline void plain(const void *p, size_t n, bool write, void *pc)
{
	uintptr_t in_stack;

	if (sim_current < 0) {
		arena_check(p, n, write, NULL, pc);
		return;
	}
	if (__builtin_expect(sim_on_access != NULL, 0))
		sim_on_access();
	in_stack = (uintptr_t)p - (uintptr_t)arena_stack(sim_current);
	if (in_stack < SIM_STACK_SIZE || !arena_object(p))
		return;
	arena_check(p, n, write, NULL, pc);
	clocks_plain(p, n, write, pc);
}

#define ACCESS(n)                                                                                  \
	void __tsan_read##n(void *p);                                                              \
	void __tsan_write##n(void *p);                                                             \
	void __tsan_unaligned_read##n(void *p);                                                    \
	void __tsan_unaligned_write##n(void *p);                                                   \
	void __tsan_read_write##n(void *p);                                                        \
	void __tsan_read##n(void *p)                                                               \
	{                                                                                          \
		plain(p, n, false, __builtin_return_address(0));                                   \
	}                                                                                          \
	void __tsan_write##n(void *p)                                                              \
	{                                                                                          \
		plain(p, n, true, __builtin_return_address(0));                                    \
	}                                                                                          \
	void __tsan_unaligned_read##n(void *p)                                                     \
	{                                                                                          \
		plain(p, n, false, __builtin_return_address(0));                                   \
	}                                                                                          \
	void __tsan_unaligned_write##n(void *p)                                                    \
	{                                                                                          \
		plain(p, n, true, __builtin_return_address(0));                                    \
	}                                                                                          \
	void __tsan_read_write##n(void *p)                                                         \
	{                                                                                          \
		plain(p, n, true, __builtin_return_address(0));                                    \
	}
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_read_range(void *p, long n)
{
	plain(p, (size_t)n, false, __builtin_return_address(0));
}
void __tsan_write_range(void *p, long n)
{
	plain(p, (size_t)n, true, __builtin_return_address(0));
}
void __tsan_init(void) {}
void __tsan_vptr_update(void *p, void *v)
{
	(void)p, (void)v;
}
void __tsan_vptr_read(void *p)
{
	(void)p;
}

void __tsan_func_entry(void *pc)
{
	struct sim_task *t;

	if (sim_current < 0)
		return;
	t = &sim_tasks[sim_current];
	if (t->nr_calls < SIM_CALLS_MAX)
		t->calls[t->nr_calls] = pc;
	t->nr_calls++;
}

void __tsan_func_exit(void *unused)
{
	(void)unused;
	if (sim_current >= 0)
		sim_tasks[sim_current].nr_calls--;
}
