/* check/search/symbols.h - code addresses as functions and lines. */
#ifndef UMEMCG_CHECK_SYMBOLS_H
#define UMEMCG_CHECK_SYMBOLS_H

#include <stdbool.h>

struct source_line {
	const char *func, *file;   /* @file from src/ or check/ on */
	int line;
};

/* The functions @pc, a return address, is in: the innermost first, then those it was inlined into. Returns how many;
 * 0 when nothing is known (no libdw, no debug information). */
unsigned symbols_at(const void *pc, struct source_line *lines, unsigned max);
/* Is there anything to look it up in? */
bool symbols_known(void);
/* @file from its src/ or check/ on. */
const char *source_name(const char *file);

#endif
