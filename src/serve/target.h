/* serve/target.h - can the agent be loaded into a program that is about to be executed?
 *
 * A dynamic loader of another kind (32 bits, another machine) tells of a library that it cannot
 * load on the program's standard error, or does not start the program at all. So whoever executes a
 * program looks first, and leaves the agent out of LD_PRELOAD where it is of no use. A program
 * without a loader passes its environment on: there it stays in.
 *
 * Pure but for @read: shared by the agent (raw system calls, on the stack of a child of vfork) and
 * the command. Linked into both. Uses about 1.5 KiB of stack.
 */
#ifndef UMEMCG_SERVE_TARGET_H
#define UMEMCG_SERVE_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define TARGET_AGENT   "libumemcg-agent.so"
#define TARGET_PRELOAD "LD_PRELOAD"

enum target {
	TARGET_TAKES,    /* its loader loads the agent; or it cannot be told */
	TARGET_STATIC,   /* it has no loader */
	TARGET_REFUSES,  /* its loader complains */
	TARGET_SILENT,   /* its loader loads the agent, which can do nothing there: musl's */
};

/* At most @n bytes of file @path, from byte @at on, to @buf: how many; negative: none. */
typedef long target_read(const char *path, void *buf, size_t n, size_t at);

/* What is executed is the interpreter, where @path is a script. */
enum target target_of(const char *path, target_read *read);

/* Copy the list @value of LD_PRELOAD to @out, which has room for as much, or is the same, without
 * the agent. False: that was not in it. */
bool target_leave_out(const char *value, char *out);
/* Where the agent's path begins in @value, and its length to *@n; NULL: it is not in it. */
const char *target_find(const char *value, size_t *n);
/* The agent's path in @value, to @out[@size]. False: it is not in it, or does not fit. */
bool target_agent(const char *value, char *out, size_t size);

#endif
