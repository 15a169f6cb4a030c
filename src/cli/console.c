/* cli/console.c - notices and the status line. See console.h.
 *
 * Locks: console->lock guards only the queue and is never held while writing.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/console.h"
#include "serve/process/proc.h"

int console_init(struct console *c, bool want_status, bool quiet)
{
	*c = (struct console){ .live = want_status &&
				       status_row_possible(STDERR_FILENO, getenv("TERM")),
			       .quiet = quiet };
	status_row_init(&c->row, STDERR_FILENO, NULL);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->event_fd < 0)
		return -errno;
	pthread_mutex_init(&c->lock, NULL);
	return 0;
}

void console_fini(struct console *c)
{
	console_clear(c);
	console_flush(c);
	close(c->event_fd);
	pthread_mutex_destroy(&c->lock);
}

void console_notice(void *console, const char *text)
{
	struct console *c = console;

	if (c->quiet)
		return;
	pthread_mutex_lock(&c->lock);
	if (c->nr < CONSOLE_NOTICES)
		snprintf(c->notice[c->nr++], CONSOLE_TEXT_MAX, "%s", text);
	else
		c->lost++;
	pthread_mutex_unlock(&c->lock);
	eventfd_write(c->event_fd, 1);
}

static bool writable(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) != 0; /* true on an error, too: the write will not block */
}

/* The oldest notice; after the last one, how many were lost. False: nothing to say. */
static bool take_notice(struct console *c, char *text)
{
	bool any;

	pthread_mutex_lock(&c->lock);
	any = c->nr > 0 || c->lost > 0;
	if (c->nr > 0) {
		memcpy(text, c->notice[0], CONSOLE_TEXT_MAX);
		memmove(c->notice[0], c->notice[1], --c->nr * sizeof(c->notice[0]));
	} else if (any) {
		snprintf(text, CONSOLE_TEXT_MAX, "%u more messages were dropped", c->lost);
		c->lost = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return any;
}

static void flush(struct console *c, bool wait)
{
	char text[CONSOLE_TEXT_MAX];
	eventfd_t ignored;

	eventfd_read(c->event_fd, &ignored);
	while (wait || !(c->stuck = !writable())) {
		if (!take_notice(c, text))
			return;
		cli_fail("%s", text);
	}
}

void console_flush(struct console *c)
{
	flush(c, true);
}

void console_try_flush(struct console *c)
{
	flush(c, false);
}

/* Editors, pagers and other full-screen programs read key by key: they own the whole screen. */
static bool has_the_screen(void)
{
	struct termios t;

	return tcgetattr(STDERR_FILENO, &t) == 0 && !(t.c_lflag & ICANON);
}

/* Does the terminal belong to our group, or to one that an interactive shell below us has made? */
static bool is_foreground(void)
{
	const pid_t group = tcgetpgrp(STDERR_FILENO);
	pid_t pid = group;

	if (group == getpgrp())
		return true;
	while (pid > 1 && pid != getpid())
		pid = proc_parent(pid);
	return pid == getpid();
}

void console_set_keeper(struct console *c, struct keeper *keeper)
{
	c->row.keeper = keeper;
}

void console_status(struct console *c, const char *text)
{
	if (!c->live || !is_foreground())
		return;
	if (has_the_screen())
		status_row_leave(&c->row);
	else
		status_row_show(&c->row, text);
}

void console_clear(struct console *c)
{
	status_row_release(&c->row);
}
