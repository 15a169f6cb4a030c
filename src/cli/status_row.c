/* cli/status_row.c - see status_row.h.
 *
 * Every change is one write, so that the program's output does not come between its parts. The
 * cursor is saved and restored around it (DECSC, DECRC), with its attributes.
 *
 * Locks: none; the main thread's.
 */
#include "cli/status_row.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/keeper.h"

#define SAVE            "\0337"
#define RESTORE         "\0338"
#define WHOLE_SCREEN    "\033[r"
#define PLAIN           "\033[m"
#define CLEAR           "\033[2K"
#define COLUMNS_DEFAULT 80
#define SEQUENCE_MAX    96

static void put(int fd, const char *text, size_t len)
{
	/* Failure to write a status line is not worth a message. */
	if (write(fd, text, len) < 0)
		errno = 0;
}

static void put_text(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

bool status_row_possible(int fd, const char *term)
{
	return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

void status_row_init(struct status_row *r, int fd, struct keeper *keeper)
{
	VM_ASSERT(fd >= 0);
	*r = (struct status_row){ .fd = fd, .keeper = keeper };
}

static void set_rows(int fd, unsigned rows)
{
	struct winsize size = { 0 };

	if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == rows)
		return;
	size.ws_row = (unsigned short)rows;
	ioctl(fd, TIOCSWINSZ, &size);
}

/* If the cursor is in the last row, the screen scrolls by one and the cursor goes up with it;
 * elsewhere nothing moves. */
static void set_region(int fd, unsigned rows)
{
	char text[SEQUENCE_MAX];

	VM_ASSERT(rows >= STATUS_ROWS_MIN);
	snprintf(text, sizeof(text),
		 SAVE WHOLE_SCREEN RESTORE "\033D\033[A" SAVE "\033[1;%ur" RESTORE, rows - 1);
	put_text(fd, text);
}

static void restore_text(char text[SEQUENCE_MAX], unsigned rows)
{
	snprintf(text, SEQUENCE_MAX, SAVE WHOLE_SCREEN "\033[%u;1H" PLAIN CLEAR RESTORE, rows);
}

/* Take row @rows off the size, which programs ask for. Nothing is written. */
static void take_row(struct status_row *r, unsigned rows)
{
	char text[SEQUENCE_MAX];

	VM_ASSERT(rows >= STATUS_ROWS_MIN);
	r->rows = rows;
	restore_text(text, rows);
	/* First the keeper: whatever we have done by the time we are killed is undone. */
	if (r->keeper)
		keeper_terminal(r->keeper, r->fd, text, (uint16_t)rows, (uint16_t)(rows - 1));
	set_rows(r->fd, rows - 1);
}

/* Have a row if there is room for one; false: there is none. : the row or the region is not
 * what it was. */
static bool have_row(struct status_row *r, struct winsize *size, bool *changed)
{
	*size = (struct winsize){ 0 };
	ioctl(r->fd, TIOCGWINSZ, size);
	*changed = r->lost;
	if (r->rows && size->ws_row == r->rows - 1)
		return true;
	/* The first time, or the user changed the size. The old line is not erased: terminals
	 * differ in where it is by then; another could be there. (A terminal that shrinks by
	 * exactly one row looks as we left it: our line is then drawn over its last one.) */
	*changed = true;
	r->rows = 0;
	if (size->ws_row < STATUS_ROWS_MIN)
		return false;
	take_row(r, size->ws_row);
	return true;
}

/* How much of @text fits: whole parts, which two spaces part, but at least some of the first. One
 * column stays free, so that the cursor does not wrap. */
static int fitting(const char *text, int columns)
{
	int n = (int)strlen(text);

	if (n < columns)
		return n;
	for (n = columns - 1; n > 1; n--)
		if (strncmp(text + n - 1, "  ", 2) == 0)
			return n - 1;
	return columns - 1;
}

void status_row_show(struct status_row *r, const char *text)
{
	struct winsize size;
	char line[512];
	int columns, n;
	bool changed;

	if (!have_row(r, &size, &changed))
		return;
	if (changed)
		set_region(r->fd, r->rows);
	r->lost = false;
	columns = size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	n = snprintf(line, sizeof(line), SAVE "\033[%u;1H" PLAIN CLEAR "%.*s" RESTORE, r->rows,
		     fitting(text, columns), text);
	put(r->fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void status_row_leave(struct status_row *r)
{
	struct winsize size;
	bool changed;

	(void)have_row(r, &size, &changed);
	r->lost = true;
}

void status_row_release(struct status_row *r)
{
	char text[SEQUENCE_MAX];
	struct winsize size = { 0 };

	if (!r->rows)
		return;
	restore_text(text, r->rows);
	put_text(r->fd, text);
	/* Any other size is newer than ours. */
	if (ioctl(r->fd, TIOCGWINSZ, &size) == 0 && size.ws_row == r->rows - 1)
		set_rows(r->fd, r->rows);
	if (r->keeper)
		keeper_terminal(r->keeper, -1, "", 0, 0);
	r->rows = 0;
}
