/* cli/run_exec.h - why a program could not be executed, in words.
 *
 * The kernel says "no such file" for a script whose interpreter is missing, or a program whose
 * dynamic loader is missing, although the named file exists. So we look for the cause, with the
 * search of execvp(3).
 */
#ifndef UMEMCG_CLI_RUN_EXEC_H
#define UMEMCG_CLI_RUN_EXEC_H

#include <stdbool.h>

#define EXEC_TEXT_MAX 320

/* EXIT_NOT_FOUND or EXIT_CANNOT_RUN. @error: errno of execvp(@name). */
int exec_exit_status(const char *name, int error);
/* Would execvp(@name) execute a program that must not load the agent (serve/process/target.h)? */
bool exec_refuses_agent(const char *name);
/* Is it a program whose memory umemcg cannot manage? */
bool exec_is_unable(const char *name);
/* The end of the sentence "cannot run 'NAME': ". */
const char *exec_why(char text[EXEC_TEXT_MAX], const char *name, int error);

#endif
