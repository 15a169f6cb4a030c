/* tests/agent/entry_calls.h - groups of system calls whose results are the same, line by line, with
 * and without the agent's entry (entry_test.sh). A group prints what it saw, and nothing that
 * differs between two runs.
 */
#ifndef UMEMCG_TESTS_ENTRY_CALLS_H
#define UMEMCG_TESTS_ENTRY_CALLS_H

#include <stdbool.h>

/* Print a line, unless this is a round to warm up in. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
/* The result of a call as libc returns it, and errno. */
void say_result(const char *what, long result);
/* How a child ended. */
void say_end(const char *what, int pid);

void plain_calls(void);
void bad_pointers(void);
void registers(void);
void actions(void);
void masks(void);
void frames(void);
void faults(void);
void stacks(void);
void waits(void);
void threads_run(void);
void cancelled(void);
void storm(void);
void processes(void);
void executes(void);

#endif
