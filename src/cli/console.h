/* cli/console.h - standard error while a program runs: notices from any thread, and one live status
 * line.
 *
 * The program owns the terminal; we add whole lines and, on request, reserve its last
 * row (status_row.h).
 * Only the main thread writes: a stopped terminal (Ctrl-S) or a full pipe may hold up messages, but
 * never the threads that serve memory.
 *
 * Locks: (L) lock; the rest belongs to the main thread.
 */
#ifndef UMEMCG_CLI_CONSOLE_H
#define UMEMCG_CLI_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>

#include "cli/status_row.h"

#define CONSOLE_NOTICES  32
#define CONSOLE_TEXT_MAX 512

struct console {
	pthread_mutex_t lock;
	char notice[CONSOLE_NOTICES][CONSOLE_TEXT_MAX]; /* (L) */
	unsigned nr;                                    /* (L) notices not yet written */
	unsigned lost;                                  /* (L) notices dropped for lack of room */
	int event_fd;                                   /* readable when there are notices */
	bool quiet;                                     /* notices are dropped */
	bool live;             /* a status line was requested, on a terminal */
	struct status_row row; /* of that terminal */
	bool stuck;            /* notices wait until standard error accepts them */
};

struct keeper;

/* 0 or -errno. */
int console_init(struct console *c, bool want_status, bool quiet);
void console_fini(struct console *c);
/* Queue one sentence. Any thread; never waits for the terminal. Has the type of
 * serve_config.notice. */
void console_notice(void *console, const char *text);
/* Write all queued notices, however long that takes. */
void console_flush(struct console *c);
/* Write what standard error accepts now; sets @c->stuck if something is left. */
void console_try_flush(struct console *c);
/* From now on the terminal is restored if we are killed. */
void console_set_keeper(struct console *c, struct keeper *keeper);
/* Show @text as the status line. Does nothing unless live and in the terminal's foreground, or
 * while a program reads the terminal key by key. */
void console_status(struct console *c, const char *text);
/* Give the terminal back, whole. */
void console_clear(struct console *c);

#endif
