/* cli/running.h - which run do "PID" and "GROUP" mean? For the commands that talk to running ones.
 *
 * Messages name the command; each is one sentence.
 */
#ifndef UMEMCG_CLI_RUNNING_H
#define UMEMCG_CLI_RUNNING_H

#include "serve/remote/remote.h"

struct running {
	const char *command; /* for messages */
	const char *text;    /* as given: PID or GROUP */
	uint32_t pid;        /* 0: a group's name, or the PID of a umemcg run: the whole group */
	struct remote_run *runs;
	int nr_runs;
	struct remote_run *run; /* of @runs: the one to ask, connected */
};

/* A number of at most nine digits, or -1. */
long running_number(const char *text);
/* Take argument @text. 0, or EXIT_OURS after a message. */
int running_take(struct running *t, const char *text);
/* Find the run; 0 and @t->run, or EXIT_OURS after a message. @any_member: a process that is not
 * managed will do, too. running_done is due in each case. */
int running_find(struct running *t, bool any_member);
void running_done(struct running *t);
/* That run cannot be asked. Returns EXIT_OURS after a message. */
int running_unreachable(const struct running *t, const struct remote_run *r);

#endif
