/* cli/run_exec.h - why a program could not be executed, in words.
 *
 * The kernel says "no such file" of a script whose interpreter is missing, and of a program whose dynamic loader is: the
 * file that was named is there. So that is looked up, as execvp(3) does.
 */
#ifndef UMEMCG_CLI_RUN_EXEC_H
#define UMEMCG_CLI_RUN_EXEC_H

#include <stdbool.h>

#define EXEC_TEXT_MAX 320

/* EXIT_NOT_FOUND or EXIT_CANNOT_RUN. @error: of execvp(@name). */
int exec_exit_status(const char *name, int error);
/* Is the program that execvp(@name) executes one that the agent must not be loaded into (serve/target.h)? */
bool exec_refuses_agent(const char *name);
/* Is it one of which umemcg cannot manage the memory? */
bool exec_is_unable(const char *name);
/* The end of the sentence "cannot run 'NAME': ". */
const char *exec_why(char text[EXEC_TEXT_MAX], const char *name, int error);

#endif
