/* check/search/symbols.h - code addresses as functions and lines. */
#ifndef UMEMCG_CHECK_SYMBOLS_H
#define UMEMCG_CHECK_SYMBOLS_H

#include <stdbool.h>

struct source_line {
	const char *func, *file; /* @file: the path from src/ or check/ on */
	int line;
};

/* The functions that contain @pc, a return address: the innermost first, then those it was inlined
 * into. Returns their number; 0 when nothing is known (no libdw, no debug information). */
unsigned symbols_at(const void *pc, struct source_line *lines, unsigned max);
/* Is there debug information to search? */
bool symbols_known(void);
/* The part of @file from src/ or check/ on. */
const char *source_name(const char *file);

#endif
