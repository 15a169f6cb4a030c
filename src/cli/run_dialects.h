/* cli/run_dialects.h - what people bring from docker run, systemd-run and others: options that mean
 * the same here are understood; for the rest, the sentence says what umemcg has instead.
 *
 * Pure. On false @problem holds one line.
 */
#ifndef UMEMCG_CLI_RUN_DIALECTS_H
#define UMEMCG_CLI_RUN_DIALECTS_H

#include "cli/run_options.h"

/* systemd-run's -p KEY=VALUE: MemoryMax, MemoryHigh and MemorySwapMax. */
bool dialect_property(struct run_options *o, const char *text, char problem[OPTIONS_PROBLEM_MAX]);
/* docker's --memory-swap: memory and swap together, in all; -1 is no limit of swap. Last of all
 * options: it needs the memory limit. */
bool dialect_memory_swap(struct run_options *o, const char *text,
			 char problem[OPTIONS_PROBLEM_MAX]);
/* The answer to "--@name" (@len bytes), as the rest of a sentence; NULL: none. */
const char *dialect_hint(const char *name, size_t len);
/* The same for "-@letter"; never NULL. */
const char *dialect_letter(int letter);
/* What to do about a limit that is missing before the program @argv (which may be none), and
 * may be in it, or be it. */
const char *dialect_order(char *const *argv);

#endif
