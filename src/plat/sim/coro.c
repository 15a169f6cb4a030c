/* plat/sim/coro.c - coroutines: one stack per task, switched by hand.
 *
 * A switch saves the callee-saved registers on the old stack and loads them from the new one:
 * 20 ns, where ucontext makes two system calls. x86-64 and aarch64 have their own code; others use
 * ucontext. The address sanitizer is told of every change of stack.
 */
#include "plat/sim/sim.h"

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

__attribute__((noreturn, used)) static void coro_main(void);

#if defined(__x86_64__) || defined(__aarch64__)

static void *main_sp;

void coro_jump(void **save, void *to);

#if defined(__x86_64__)
__asm__(".text\n.globl coro_jump\n.type coro_jump,@function\ncoro_jump:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n	push %r13\n	push %r14\n	"
	"push %r15\n"
	"	mov %rsp,(%rdi)\n	mov %rsi,%rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbx\n	"
	"pop %rbp\n	ret\n"
	".size coro_jump,.-coro_jump\n");

#define FRAME_BYTES                                                                                \
	64 /* six registers, the return address, and that frame's own return address               \
	    */
#define FRAME_PC 48
#else
__asm__(".text\n.globl coro_jump\n.type coro_jump,@function\ncoro_jump:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp]\n	stp x21, x22, [sp, #16]\n	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n	stp x27, x28, [sp, #64]\n	stp x29, x30, [sp, "
	"#80]\n"
	"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n	str x9, [x0]\n	mov sp, x1\n"
	"	ldp x19, x20, [sp]\n	ldp x21, x22, [sp, #16]\n	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n	ldp x27, x28, [sp, #64]\n	ldp x29, x30, [sp, "
	"#80]\n"
	"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n	ret\n"
	".size coro_jump,.-coro_jump\n");

#define FRAME_BYTES 160
#define FRAME_PC    88 /* x30 */
#endif

static void make(int t, char *stack)
{
	char *s = stack + SIM_STACK_SIZE - FRAME_BYTES;

	memset(s, 0, FRAME_BYTES);
	*(void **)(s + FRAME_PC) = (void *)coro_main;
	sim_tasks[t].sp = s;
}

static void jump(int from, int to)
{
	coro_jump(from < 0 ? &main_sp : &sim_tasks[from].sp, to < 0 ? main_sp : sim_tasks[to].sp);
}

#else
#include <ucontext.h>

static ucontext_t contexts[SIM_TASKS_MAX + 1]; /* the main program's first */

static void make(int t, char *stack)
{
	ucontext_t *c = &contexts[t + 1];

	getcontext(c);
	c->uc_stack.ss_sp = stack;
	c->uc_stack.ss_size = SIM_STACK_SIZE;
	c->uc_link = NULL;
	makecontext(c, coro_main, 0);
}

static void jump(int from, int to)
{
	swapcontext(&contexts[from + 1], &contexts[to + 1]);
}
#endif

#if defined(__SANITIZE_ADDRESS__)
static void *main_fake;
static const void *main_bottom;
static size_t main_size;

static void find_main_stack(void)
{
	pthread_attr_t attr;
	void *bottom;

	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &bottom, &main_size);
	pthread_attr_destroy(&attr);
	main_bottom = bottom;
}

static void switch_begins(int from, int to, bool ending)
{
	void **fake = from < 0 ? &main_fake : &sim_tasks[from].fake_stack;

	if (!main_bottom)
		find_main_stack();
	__sanitizer_start_switch_fiber(ending ? NULL : fake, to < 0 ? main_bottom : arena_stack(to),
				       to < 0 ? main_size : SIM_STACK_SIZE);
}

/* Drop the frames of an execution that ended early. */
static void forget_frames(char *stack)
{
	__asan_unpoison_memory_region(stack, SIM_STACK_SIZE);
}

static void switch_ended(int to)
{
	__sanitizer_finish_switch_fiber(to < 0 ? main_fake : sim_tasks[to].fake_stack, NULL, NULL);
}
#else
static void switch_begins(int from, int to, bool ending)
{
	(void)from, (void)to, (void)ending;
}
static void switch_ended(int to)
{
	(void)to;
}
static void forget_frames(char *stack)
{
	(void)stack;
}
#endif

/* First frame of a task. */
static void coro_main(void)
{
	struct sim_task *t = &sim_tasks[sim_current];

	switch_ended(sim_current);
	t->fn(t->arg);
	sim_point((struct sim_op){ .kind = OP_NONE }); /* never picked again */
	__builtin_trap();
}

void coro_prepare(int t, char *stack)
{
	sim_tasks[t].fake_stack = NULL;
	forget_frames(stack);
	make(t, stack);
}

void coro_switch(int t, bool ending)
{
	int me = sim_current;

	switch_begins(me, t, ending);
	sim_current = t;
	jump(me, t);
	switch_ended(me);
}
