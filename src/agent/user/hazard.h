/* agent/user/hazard.h - pages that a system call is about to touch, and the helper must leave.
 *
 * In mode user the kernel does not wait for a page that it touches itself. So each system call
 * publishes the ranges that it will touch, brings their pages in, makes the call, and drops them.
 * The helper says what it is about to move, and leaves what is published. Each side writes, fences,
 * and looks at what the other has written, so at least one of them sees the other:
 *
 *     thread                                  helper
 *     hazard_publish: ranges, fence           hazard_mark: the range, fence
 *     while hazard_marked: wait               hazard_movable: leave what is published
 *     touch each page                         move the rest
 *     the system call                         hazard_unmark
 *     hazard_drop
 *
 * Records. One for each thread of the program; only its thread writes it, the handlers of its
 * signals included: a call that a handler makes puts its ranges above those of the call it has
 * interrupted, and takes them away again. So the ranges are a stack. A handler may also leave by
 * longjmp, or a child of vfork execute a program: then what they published stays until the thread
 * publishes again from further up its stack, or its record is taken anew.
 *
 * I1  What is at or above @n, or in a level at or above @depth, is nobody's: level[i].sp is 0.
 * I2  A range is written while it is at or above @n, and below @reserved.
 *
 * Plain C over the structures passed in, without libc or system calls: the checker runs it too.
 */
#ifndef UMEMCG_AGENT_USER_HAZARD_H
#define UMEMCG_AGENT_USER_HAZARD_H

#include <stdbool.h>
#include <stdint.h>

#define HAZARD_RANGES 48 /* of one thread at a time */
#define HAZARD_CALL   16 /* of one call */
#define HAZARD_LEVELS 8

struct hazard_range {
	uint64_t start, end; /* bytes */
};

/* What one call touches. */
struct hazard_list {
	uint32_t n;
	bool all; /* more than fits: nothing may move */
	struct hazard_range range[HAZARD_CALL];
};

/* How many before the call: what hazard_drop restores. */
struct hazard_level {
	uint64_t sp; /* of the program at the call; 0: nobody's */
	uint32_t n;
	uint32_t all;
};

/* (A) atomic; the rest is its thread's. */
struct hazard_slot {
	uint32_t n;   /* (A) ranges that count */
	uint32_t all; /* (A) calls that want nothing moved */
	uint32_t reserved, depth;
	struct hazard_range range[HAZARD_RANGES]; /* (A) */
	struct hazard_level level[HAZARD_LEVELS];
};

struct hazards {
	uint64_t mark_start, mark_end; /* (A) what the helper is moving; mark_end 0: nothing */
	struct hazard_slot *slot;
};

/* What hazard_publish found, for hazard_drop. */
struct hazard_before {
	uint32_t n, all, reserved, depth;
};

/* ---- the thread ---- */

/* Publish @l for the calling thread's slot @s and fence. @sp: the program's stack pointer at the
 * call; what calls that this stack pointer shows to be over have left is taken away first. */
struct hazard_before hazard_publish(struct hazard_slot *s, uint64_t sp,
				    const struct hazard_list *l);
/* After hazard_publish: is the helper moving any of @l? Then it may not have seen it. */
bool hazard_marked(const struct hazards *h, const struct hazard_list *l);
void hazard_drop(struct hazard_slot *s, const struct hazard_before *before);
/* The slot has a new owner, or none. */
void hazard_reset(struct hazard_slot *s);
/* In the child of a fork: the only thread had @mine, and has @s now. */
void hazard_inherit(struct hazards *h, struct hazard_slot *s, const struct hazard_slot *mine);

/* ---- the helper ---- */

/* [start, end) may be moved from now on: mark and fence. One mark at a time. */
void hazard_mark(struct hazards *h, uint64_t start, uint64_t end);
/* Where the first published byte in the marked [start, end) is, looking at the first @slots
 * records; @end: nothing is published there. */
uint64_t hazard_first(const struct hazards *h, uint32_t slots, uint64_t start, uint64_t end);
void hazard_unmark(struct hazards *h);

#endif
