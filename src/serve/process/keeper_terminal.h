/* serve/process/keeper_terminal.h - what the supervisor has changed on its terminal, and the keeper
 * is to undo. The keeper's alone.
 */
#ifndef UMEMCG_SERVE_KEEPER_TERMINAL_H
#define UMEMCG_SERVE_KEEPER_TERMINAL_H

#include <stdint.h>

#include "serve/process/keeper.h"

struct keeper_terminal {
	int fd;                     /* -1: nothing */
	uint16_t rows;              /* of it */
	uint16_t rows_now;          /* as the supervisor set it */
	char text[KEEPER_TEXT_MAX]; /* restores it */
};

/* @sizes: rows, and rows_now in the upper half. Takes @fd. */
void terminal_set(struct keeper_terminal *t, int fd, uint64_t sizes,
		  const char text[KEEPER_TEXT_MAX]);
void terminal_restore(const struct keeper_terminal *t);

#endif
