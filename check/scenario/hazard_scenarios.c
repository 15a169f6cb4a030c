/* check/scenario/hazard_scenarios.c - mode user's hazards (agent/user/hazard.c, that very file): a
 * system call on a page against the helper that moves it out.
 *
 * A page is a word: present or not. A touch in user mode brings a page back; the kernel, inside a
 * call, must find it present. Moving a page is a system call: it needs an empty store buffer.
 *
 * Signals: a task raises one, and the thread takes it before any of its accesses.
 */
#include "agent/user/hazard.h"
#include "plat/sim/c11.h"
#include "plat/sim/sim.h"
#include "scenario/scenario.h"

#define PAGES 3
#define SLOTS 2
#define SIZE  4096u
#define AT(i) (0x10000000ull + (uint64_t)(i)*SIZE)
#define TOP   0x7fff0000ull /* of the thread's stack */
#define FRAME 0x1000ull

/* A process: what a fork copies. */
struct process {
	struct hazards h;
	struct hazard_slot slot[SLOTS];
	atomic32_t present[PAGES];
	atomic32_t served; /* its faults are */
};

static struct world {
	struct process parent, child;
	atomic32_t signal; /* raised */
	bool takes_signals, in_handler;
	void (*handler)(void);
	struct plat_thread forked;
	struct hazard_before before; /* the fork */
} * w;

/* ---- a thread ---- */

static struct hazard_list one_page(unsigned page)
{
	struct hazard_list l = { .n = 1 };

	l.range[0].start = AT(page);
	l.range[0].end = AT(page) + SIZE;
	return l;
}

static void wait_until_unmarked(struct process *p, const struct hazard_list *l)
{
	while (hazard_marked(&p->h, l))
		bit_wait((atomic32_t *)&p->h.mark_end, UINT32_MAX, 0);
}

/* In user mode: a page that is out comes back. */
static void touch(struct process *p, unsigned page)
{
	if (a32_load(&p->present[page]))
		return;
	if (!a32_load(&p->served))
		sim_fail(SIM_WRONG, NULL, 0, "page %u reads as zeros: nobody serves it", page);
	a32_store(&p->present[page], 1);
}

static void kernel_access(struct process *p, unsigned page)
{
	if (!a32_load(&p->present[page]))
		sim_fail(SIM_WRONG, NULL, 0, "EFAULT: page %u is out while the kernel uses it",
			 page);
}

/* A system call on @page that is not over yet; the kernel uses the page at its beginning and its
 * end. */
static struct hazard_before begin_call(struct process *p, unsigned slot, uint64_t sp, unsigned page)
{
	struct hazard_list l = one_page(page);
	struct hazard_before b;

	if (bug_on(HAZARD_AFTER_CHECK)) {
		wait_until_unmarked(p, &l);
		touch(p, page);
		b = hazard_publish(&p->slot[slot], sp, &l);
	} else {
		b = hazard_publish(&p->slot[slot], sp, &l);
		wait_until_unmarked(p, &l);
		touch(p, page);
	}
	kernel_access(p, page);
	kernel_access(p, page);
	return b;
}

static void call(struct process *p, unsigned slot, uint64_t sp, unsigned page)
{
	struct hazard_before b = begin_call(p, slot, sp, page);

	hazard_drop(&p->slot[slot], &b);
}

/* ---- the helper ---- */

static void evict(struct process *p, unsigned page, unsigned n)
{
	uint64_t start = AT(page), end = AT(page + n);

	hazard_mark(&p->h, start, end);
	for (end = hazard_first(&p->h, SLOTS, start, end); start < end; start += SIZE)
		a32_store(&p->present[(start - AT(0)) / SIZE], 0);
	hazard_unmark(&p->h);
}

static void helper_one(void *arg)
{
	(void)arg;
	evict(&w->parent, 0, 1);
}

static void helper_two(void *arg)
{
	(void)arg;
	evict(&w->parent, 0, 2);
}

/* ---- set-up and end ---- */

static void process_init(struct process *p)
{
	p->h.slot = p->slot;
	for (unsigned i = 0; i < PAGES; i++) {
		a32_store(&p->present[i], 1);
		sim_name(&p->present[i], sizeof(p->present[i]), "page %u present", i);
	}
	a32_store(&p->served, 1);
	sim_name(&p->h.mark_start, 8, "mark_start");
	sim_name(&p->h.mark_end, 8, "mark_end");
	for (unsigned i = 0; i < SLOTS; i++) {
		sim_name(&p->slot[i].n, 4, "slot %u.n", i);
		sim_name(&p->slot[i].all, 4, "slot %u.all", i);
		sim_name(&p->slot[i].reserved, 4, "slot %u.reserved", i);
		sim_name(&p->slot[i].depth, 4, "slot %u.depth", i);
		for (unsigned k = 0; k < 3; k++) {
			sim_name(&p->slot[i].range[k].start, 8, "slot %u.range %u.start", i, k);
			sim_name(&p->slot[i].range[k].end, 8, "slot %u.range %u.end", i, k);
		}
	}
}

static void set_up(void)
{
	w = plat_alloc(sizeof(*w));
	process_init(&w->parent);
}

/* Nothing stays published, or marked. */
static void nothing_left(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct hazard_slot *s = &w->parent.slot[i];

		expect_is("ranges published at the end", s->n, 0);
		expect_is("calls that want nothing moved at the end", s->all, 0);
	}
	expect_is("the end of the mark", (int64_t)w->parent.h.mark_end, 0);
}

/* ---- a call against the helper ---- */

static void caller(void *arg)
{
	call(&w->parent, (unsigned)(uintptr_t)arg, TOP, 0);
}

static void call_setup(void)
{
	set_up();
	sim_task("system call", caller, NULL, 0, 0);
	sim_task("helper", helper_one, NULL, 1, 0);
}

DEFINE_SCENARIO(hazard_call_and_evict, "hazard-call-and-evict", call_setup, nothing_left,
		"mode user: a system call publishes a page that the helper is moving out");

static void two_calls_setup(void)
{
	set_up();
	sim_task("system call", caller, NULL, 0, 0);
	sim_task("another thread's", caller, (void *)1, 1, 0);
	sim_task("helper", helper_one, NULL, 1, 0);
}

DEFINE_SCENARIO(hazard_two_calls_and_evict, "hazard-two-calls-and-evict", two_calls_setup,
		nothing_left, "mode user: two threads' system calls on a page, and the helper");

static void caller_again(void *arg)
{
	(void)arg;
	call(&w->parent, 0, TOP, 1);
	call(&w->parent, 0, TOP, 0);
}

static void again_setup(void)
{
	set_up();
	sim_task("two system calls", caller_again, NULL, 0, 0);
	sim_task("helper", helper_two, NULL, 1, 0);
}

DEFINE_SCENARIO(hazard_call_again_and_evict, "hazard-call-again-and-evict", again_setup,
		nothing_left,
		"mode user: a range is written anew while the helper looks at the old one");

/* ---- signals ---- */

/* Before an access of the thread, which is the first task. */
static void signal_point(void)
{
	if (sim_current != 0 || !w->takes_signals || w->in_handler)
		return;
	w->in_handler = true; /* it takes no other one */
	if (a32_load(&w->signal)) {
		w->takes_signals = false;
		w->handler();
	}
	w->in_handler = false;
}

static void raise_signal(void *arg)
{
	(void)arg;
	a32_store(&w->signal, 1);
}

static void call_in_handler(void)
{
	call(&w->parent, 0, TOP - 2 * FRAME, 1);
}

static void interrupted_caller(void *arg)
{
	(void)arg;
	w->takes_signals = true;
	call(&w->parent, 0, TOP - FRAME, 0);
	w->takes_signals = false;
}

static void signal_setup(void)
{
	set_up();
	w->handler = call_in_handler;
	sim_on_access = signal_point;
	sim_task("system call", interrupted_caller, NULL, 0, 0);
	sim_task("signal", raise_signal, NULL, 1, 0);
	sim_task("helper", helper_two, NULL, 1, 0);
}

DEFINE_SCENARIO(
	hazard_signal_and_evict, "hazard-signal-and-evict", signal_setup, nothing_left,
	"mode user: a handler's system call interrupts another one's publishing, or its end");

/* ---- a handler that leaves by longjmp ---- */

static void *jump_to[5];

static void jump_out_of_handler(void)
{
	begin_call(&w->parent, 0, TOP - 2 * FRAME, 1);
	__builtin_longjmp(jump_to, 1);
}

static void __attribute__((noinline)) caller_to_be_left(void)
{
	w->takes_signals = true;
	call(&w->parent, 0, TOP - FRAME, 0);
	w->takes_signals = false;
}

static void __attribute__((noinline)) jump_target(void)
{
	unsigned calls = sim_tasks[sim_current].nr_calls;

	if (__builtin_setjmp(jump_to) == 0)
		caller_to_be_left();
	sim_tasks[sim_current].nr_calls = calls;
	w->takes_signals = w->in_handler = false;
}

static void caller_left_by_longjmp(void *arg)
{
	(void)arg;
	jump_target();
	/* From further up the stack: what was left is taken away first. */
	call(&w->parent, 0, TOP, 2);
}

static void longjmp_setup(void)
{
	set_up();
	w->handler = jump_out_of_handler;
	sim_on_access = signal_point;
	sim_task("system call", caller_left_by_longjmp, NULL, 0, 0);
	sim_task("signal", raise_signal, NULL, 1, 0);
	sim_task("helper", helper_two, NULL, 1, 0);
}

DEFINE_SCENARIO(hazard_longjmp_and_evict, "hazard-longjmp-and-evict", longjmp_setup, nothing_left,
		"mode user: a handler leaves two system calls by longjmp");

/* ---- exec in a child of vfork ---- */

/* The child has its parent's memory, thread record and stack; it drops nothing. */
static void vforker(void *arg)
{
	struct hazard_list l = one_page(0);
	struct hazard_before b;

	(void)arg;
	b = hazard_publish(&w->parent.slot[0], TOP - FRAME, &l); /* for vfork itself */
	wait_until_unmarked(&w->parent, &l);
	begin_call(&w->parent, 0, TOP - 2 * FRAME, 1); /* the child's exec */
	hazard_drop(&w->parent.slot[0], &b);
	call(&w->parent, 0, TOP, 2);
}

/* The same of a vfork that needs no memory: nothing is dropped at its return. */
static void bare_vforker(void *arg)
{
	(void)arg;
	begin_call(&w->parent, 0, TOP - 2 * FRAME, 1);
	call(&w->parent, 0, TOP - FRAME, 2);
}

static void vfork_setup(void)
{
	set_up();
	sim_task("vfork", vforker, NULL, 0, 0);
	sim_task("helper", helper_two, NULL, 1, 0);
}

static void bare_vfork_setup(void)
{
	set_up();
	sim_task("vfork", bare_vforker, NULL, 0, 0);
	sim_task("helper", helper_two, NULL, 1, 0);
}

DEFINE_SCENARIO(hazard_vfork_and_evict, "hazard-vfork-and-evict", vfork_setup, nothing_left,
		"mode user: a child of vfork executes a program and drops nothing");
DEFINE_SCENARIO(hazard_exec_and_evict, "hazard-exec-and-evict", bare_vfork_setup, nothing_left,
		"mode user: the same, of a vfork that published nothing");

/* ---- fork ---- */

/* The kernel copies memory and page table bit by bit, while other threads go on. */
static void copy_process(void)
{
	struct process *p = &w->parent, *c = &w->child;
	void *pc = __builtin_return_address(0);

	c->h.slot = c->slot;
	c->slot[0] = p->slot[0]; /* nobody else writes to it */
	c->h.mark_end = c11_load(&p->h.mark_end, 8, C11_RELAXED, pc);
	c->h.mark_start = c11_load(&p->h.mark_start, 8, C11_RELAXED, pc);
	for (unsigned i = 0; i < PAGES; i++)
		c->present[i] = (atomic32_t){ a32_load(&p->present[i]) };
}

/* From here on its signals are taken. */
static void child_is_free(void)
{
	hazard_inherit(&w->child.h, &w->child.slot[1], &w->child.slot[0]);
	hazard_reset(&w->child.slot[0]);
	if (a32_load(&w->signal))
		call(&w->child, 1, TOP - FRAME, 0); /* the handler's */
}

static void child_main(void *arg)
{
	bool too_early = bug_on(FORK_CHILD_LOCK_RESET);

	(void)arg;
	if (too_early)
		child_is_free();
	a32_store(&w->child.served, 1);
	if (!too_early)
		child_is_free();
	hazard_drop(&w->child.slot[1], &w->before); /* of the fork */
	call(&w->child, 1, TOP, 0);
}

static void forker(void *arg)
{
	struct hazard_list l = one_page(1); /* where the child's number is to be put */

	(void)arg;
	w->before = hazard_publish(&w->parent.slot[0], TOP, &l);
	wait_until_unmarked(&w->parent, &l);
	touch(&w->parent, 1);
	copy_process();
	plat_thread_start(&w->forked, "child", child_main, NULL);
	kernel_access(&w->parent, 1);
	hazard_drop(&w->parent.slot[0], &w->before);
	plat_thread_join(&w->forked);
}

static void fork_end(void)
{
	nothing_left();
	expect_is("the end of the child's mark", (int64_t)w->child.h.mark_end, 0);
	for (unsigned i = 0; i < SLOTS; i++)
		expect_is("ranges published in the child", w->child.slot[i].n, 0);
}

static void fork_setup(void)
{
	set_up();
	sim_task("fork", forker, NULL, 0, 0);
	sim_task("signal", raise_signal, NULL, 1, 0);
	sim_task("helper", helper_one, NULL, 1, 0);
}

DEFINE_SCENARIO(hazard_fork_and_evict, "hazard-fork-and-evict", fork_setup, fork_end,
		"mode user: a fork while the helper moves a page, and a signal for the child");
