/* check/command/cli.h - the command line of the checker: its options and results. */
#ifndef UMEMCG_CHECK_CLI_H
#define UMEMCG_CHECK_CLI_H

#include <stdio.h>

#include "search/replay.h"

enum {
	EXIT_FINE = 0,
	EXIT_VIOLATION = 1,
	EXIT_BUDGET = 2,
	EXIT_WRONG_USE = 125,
};

enum cli_command {
	CLI_CHECK,
	CLI_BUG,
	CLI_REPLAY,
	CLI_LIST,
	CLI_LIST_BUGS,
	CLI_BENCH,
	CLI_HELP,
	CLI_VERSION
};

struct options {
	enum cli_command command;
	enum explore_mode mode;
	unsigned preemptions;  /* BOUNDED */
	uint64_t random, seed; /* RANDOM */
	uint64_t budget;       /* executions; 0: unlimited, or the bug's own */
	unsigned jobs;
	bool quick, json, html, full, color;
	bool progress; /* a line on the terminal while it runs */
	const struct bug *bug;
	struct replay replay;
	const struct scenario **scenarios; /* to be run, in order; with a bug: one */
	unsigned nr_scenarios;
};

/* 0, or EXIT_WRONG_USE after one line that names the error and what is accepted. */
int options_parse(int argc, char **argv, struct options *o);
int wrong_use(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The result of one scenario. */
struct result {
	const struct scenario *scenario;
	const struct bug *bug;
	enum explore_end end;
	struct explore_stats stats;
	struct sim_failure failure;
	struct schedule schedule; /* of the failure */
};

/* Search @scenario with the options @o. */
void search(const struct options *o, const struct scenario *scenario, const struct bug *bug,
	    struct result *res);
/* "EXHAUSTED", "BOUNDED(2)", ... */
void verdict(const struct options *o, const struct result *res, char *buf, size_t n);
/* "SC" or "TSO". */
const char *memory_model(void);
int exit_of(const struct options *o, const struct result *res);

void table_head(FILE *out);
void table_row(FILE *out, const struct options *o, const struct result *res);
/* Minimise @res's schedule and draw it. */
void draw_failure(FILE *out, const struct options *o, struct result *res);
/* All of them, with the replay strings of the drawings. */
void print_json(FILE *out, const struct options *o, struct result *results, unsigned n);
/* The one schedule of @want; @r NULL: it ends well. */
struct report;
void print_replay_json(FILE *out, const struct replay *want, const struct report *r);

int run_check(const struct options *o);
int run_bug(const struct options *o);
int run_replay(const struct options *o);
int run_bench(const struct options *o);

#endif
