/* cli/status_row.h - the last row of a terminal, reserved for a status line.
 *
 * The program's own lines scroll above it: the scrolling region ends one row earlier (DECSTBM), and
 * the terminal's size is set to one row less, so that programs that use the whole screen leave it
 * alone. Both are undone by status_row_release. A keeper undoes them if we are killed.
 *
 * A program that reads key by key (an editor, a pager, a prompt) may be in the middle of a drawing
 * of its own, with a scrolling region and a saved cursor of its own. The caller does not draw then,
 * and calls status_row_leave; when the program lets go, the region is set again.
 *
 * Locks: none; the main thread's.
 */
#ifndef UMEMCG_CLI_STATUS_ROW_H
#define UMEMCG_CLI_STATUS_ROW_H

#include <stdbool.h>
#include <stddef.h>

#define STATUS_ROWS_MIN 4 /* a smaller terminal has no row to spare */

struct keeper;

struct status_row {
	int fd;                /* the terminal */
	struct keeper *keeper; /* NULL: nobody restores the terminal if we are killed */
	unsigned rows;         /* of the whole terminal, while its last row is reserved; else 0 */
	bool lost;             /* a program may have changed the scrolling region */
};

/* Can the terminal at @fd have a status row? @term: $TERM, or NULL. */
bool status_row_possible(int fd, const char *term);
void status_row_init(struct status_row *r, int fd, struct keeper *keeper);
/* Show @text in the reserved row, which is reserved first if it is not. Follows the terminal's
 * size; a terminal that is too small shows nothing. */
void status_row_show(struct status_row *r, const char *text);
/* Write nothing now, but keep the row off the size. */
void status_row_leave(struct status_row *r);
/* Give the row back, empty. */
void status_row_release(struct status_row *r);

#endif
