/* serve/process/target.h - can the agent be loaded into a program that is about to be executed?
 *
 * A dynamic loader of another kind (32-bit, another machine) complains on the program's standard
 * error about a library that it cannot load, or does not start the program at all. So check before
 * an exec, and leave the agent out of LD_PRELOAD where it is of no use. A program without a loader
 * passes its environment on, so the agent stays in.
 *
 * Pure except for @read: shared by the agent (raw system calls, on the stack of a child of vfork)
 * and the command. Linked into both. Uses about 1.5 KiB of stack.
 */
#ifndef UMEMCG_SERVE_TARGET_H
#define UMEMCG_SERVE_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define TARGET_AGENT   "libumemcg-agent.so"
#define TARGET_PRELOAD "LD_PRELOAD"

enum target {
	TARGET_TAKES,   /* its loader loads the agent; or unknown */
	TARGET_STATIC,  /* it has no loader */
	TARGET_REFUSES, /* its loader complains */
	TARGET_SILENT,  /* its loader loads the agent, which cannot work there: musl's */
};

/* Read at most @n bytes of file @path, from byte @at on, into @buf. Returns their number; negative:
 * error. */
typedef long target_read(const char *path, void *buf, size_t n, size_t at);

/* If @path is a script, its interpreter is what counts. */
enum target target_of(const char *path, target_read *read);

/* Copy the list @value of LD_PRELOAD to @out without the agent. @out has room for all of @value, or
 * is @value. False: the agent was not in it. */
bool target_leave_out(const char *value, char *out);
/* Returns where the agent's path begins in @value, its length in *@n; NULL: it is not in it. */
const char *target_find(const char *value, size_t *n);
/* Copy the agent's path from @value to @out[@size]. False: it is not there, or does not fit. */
bool target_agent(const char *value, char *out, size_t size);

#endif
