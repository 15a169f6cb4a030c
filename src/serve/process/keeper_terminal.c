/* serve/process/keeper_terminal.c - see keeper_terminal.h.
 *
 * Locks: none.
 */
#include "serve/process/keeper_terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

void terminal_set(struct keeper_terminal *t, int fd, uint64_t sizes,
		  const char text[KEEPER_TEXT_MAX])
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = fd;
	t->rows = (uint16_t)sizes;
	t->rows_now = (uint16_t)(sizes >> 16);
	memcpy(t->text, text, sizeof(t->text));
}

void terminal_restore(const struct keeper_terminal *t)
{
	struct winsize size;

	if (t->fd < 0)
		return;
	if (write(t->fd, t->text, strnlen(t->text, sizeof(t->text))) < 0)
		errno = 0;
	/* Any other size is newer than the supervisor's. */
	if (ioctl(t->fd, TIOCGWINSZ, &size) != 0 || size.ws_row != t->rows_now)
		return;
	size.ws_row = t->rows;
	(void)ioctl(t->fd, TIOCSWINSZ, &size);
}
