/* cli/cli.h - shared by the commands: exit statuses, the table entry of a command, messages.
 *
 * Our own user-facing text goes to standard error and begins with "umemcg". One line per problem:
 * it names the option or the resource, its value, and what would be accepted.
 */
#ifndef UMEMCG_CLI_CLI_H
#define UMEMCG_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* As env(1), nohup(1) and docker run use them. */
enum {
	EXIT_OURS = 125,       /* umemcg itself failed; no program was run */
	EXIT_CANNOT_RUN = 126, /* the program was found but could not be executed */
	EXIT_NOT_FOUND = 127,  /* no such program */
	EXIT_SIGNAL = 128,     /* plus the signal that ended the program */
	EXIT_OOM = 137,        /* the group ran out of memory and swap */
};

struct command {
	const char *name;
	const char *summary;                /* one line of umemcg --help */
	const char *help;                   /* umemcg help NAME */
	int (*main)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command check_command;
extern const struct command doctor_command;
extern const struct command get_command;
extern const struct command ls_command;
extern const struct command migrate_command;
extern const struct command run_command;
extern const struct command set_command;

/* Print one line to standard error: "umemcg: " and the text, with unprintable characters as "\xNN".
 * Pass names of any length as TEXT_NAME. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for an error. Returns EXIT_OURS. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Write @text to standard output. 0, or EXIT_OURS after a message. */
int cli_print(const char *text);

#endif
