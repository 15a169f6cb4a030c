/* cli/console.c - notices and the status line. See console.h.
 *
 * Locks: console->lock guards the queue only and is never held while writing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/console.h"

#define CLEAR_LINE "\r\033[K"
#define COLUMNS_DEFAULT 80

int console_init(struct console *c, bool want_status)
{
	*c = (struct console){ .live = want_status && isatty(STDERR_FILENO) };
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

	pthread_mutex_lock(&c->lock);
	if (c->nr < CONSOLE_NOTICES)
		snprintf(c->notice[c->nr++], CONSOLE_TEXT_MAX, "%s", text);
	else
		c->lost++;
	pthread_mutex_unlock(&c->lock);
	eventfd_write(c->event_fd, 1);
}

void console_flush(struct console *c)
{
	char text[CONSOLE_TEXT_MAX];
	eventfd_t ignored;
	unsigned lost;

	eventfd_read(c->event_fd, &ignored);
	for (unsigned i = 0;; i++) {
		pthread_mutex_lock(&c->lock);
		lost = c->lost;
		if (i == c->nr) {
			c->nr = c->lost = 0;
			pthread_mutex_unlock(&c->lock);
			break;
		}
		memcpy(text, c->notice[i], sizeof(text));
		pthread_mutex_unlock(&c->lock);
		console_clear(c);
		cli_fail("%s", text);
	}
	if (lost)
		cli_fail("%u more messages were dropped", lost);
}

static void put(const char *text, size_t len)
{
	/* A status line that cannot be written is not worth a message. */
	if (write(STDERR_FILENO, text, len) < 0)
		errno = 0;
}

void console_status(struct console *c, const char *text)
{
	struct winsize size = { 0 };
	char line[256];
	int columns, n;

	if (!c->live || tcgetpgrp(STDERR_FILENO) != getpgrp())
		return;
	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	/* One column less: the cursor must not wrap. */
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
