/* cli/console.c - notices and the status line. See console.h.
 *
 * Locks: console->lock guards only the queue and is never held while writing.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/console.h"

#define CLEAR_LINE      "\r\033[K"
#define COLUMNS_DEFAULT 80

int console_init(struct console *c, bool want_status, bool quiet)
{
	*c = (struct console){ .live = want_status && isatty(STDERR_FILENO), .quiet = quiet };
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
		console_clear(c);
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

static void put(const char *text, size_t len)
{
	/* Failure to write a status line is not worth a message. */
	if (write(STDERR_FILENO, text, len) < 0)
		errno = 0;
}

/* Editors, pagers and other full-screen programs read key by key: they own the whole screen. */
static bool has_the_screen(void)
{
	struct termios t;

	return tcgetattr(STDERR_FILENO, &t) == 0 && !(t.c_lflag & ICANON);
}

void console_status(struct console *c, const char *text)
{
	struct winsize size = { 0 };
	char line[256];
	int columns, n;

	if (!c->live || tcgetpgrp(STDERR_FILENO) != getpgrp())
		return;
	if (has_the_screen()) {
		c->shown = false;
		return;
	}
	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	/* One column less, so that the cursor does not wrap. */
	n = snprintf(line, sizeof(line), CLEAR_LINE "%.*s", columns - 1, text);
	put(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	c->shown = true;
}

void console_clear(struct console *c)
{
	if (c->shown)
		put(CLEAR_LINE, strlen(CLEAR_LINE));
	c->shown = false;
}
