/* cli/run_options.h - the command line of `umemcg run`, as numbers.
 *
 * Parsing is pure except for $TMPDIR and $UMEMCG_OPTIONS: it opens and prints nothing. Checking
 * makes a swap file in the swap directory, one page long, and removes it.
 */
#ifndef UMEMCG_CLI_RUN_OPTIONS_H
#define UMEMCG_CLI_RUN_OPTIONS_H

#include <stdbool.h>

#include "serve/serve.h"

enum report_format { REPORT_NONE, REPORT_TEXT, REPORT_JSON };

/* Why the swap file is smaller than four times the memory, or than max. */
enum swap_bound { SWAP_BOUND_NONE, SWAP_BOUND_DISK, SWAP_BOUND_FILE_SIZE };

#define OPTIONS_PROBLEM_MAX     1024
#define OPTIONS_ENVIRONMENT_MAX 1024
#define OPTIONS_WORDS_MAX       64
#define SWAP_DEFAULT_FACTOR     4             /* default swap.max = this many times memory.max */
#define SWAP_FILE_MIN           (1024 * 1024) /* bytes: room that a swap directory must have */
/* Bytes: the range of slot numbers, and half of ext4's largest file. */
#define SWAP_FILE_MAX (INT64_C(1) << 43)

struct run_options {
	struct serve_config config; /* notice is not set here */
	enum report_format report;
	const char *report_file;    /* NULL: standard error */
	const char *memory_swap;    /* docker's --memory-swap; NULL: not given */
	const char *processes_file; /* NULL: no list of processes */
	const char *swap_dir_from;  /* origin of config.swap_dir: "--swap", "TMPDIR", "default" */
	bool swap_given;            /* --swap-max was given */
	const char *swap_given_as;  /* its value */
	enum swap_bound swap_bound;
	bool verbose, quiet;                       /* not both */
	bool help, version;                        /* if set, nothing else counts */
	char **argv;                               /* PROGRAM ARGS..., NULL terminated */
	char environment[OPTIONS_ENVIRONMENT_MAX]; /* the words of $UMEMCG_OPTIONS */
};

/* argv[0] is "run". @o must stay where it is: its strings may be its own. False: problem
 * holds one line, which names the option, its value and what is accepted. */
bool run_options_parse(int argc, char **argv, struct run_options *o,
		       char problem[OPTIONS_PROBLEM_MAX]);
/* Can a swap file be made in the swap directory, and how large? Completes config.swap_size. False:
 * as above. */
bool run_options_check(struct run_options *o, char problem[OPTIONS_PROBLEM_MAX]);
/* Is the swap directory on a file system that keeps its files in memory? */
bool run_options_swap_in_memory(const struct run_options *o);

#endif
