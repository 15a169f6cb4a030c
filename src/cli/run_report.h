/* cli/run_report.h - the report of a run, for people and for programs.
 *
 * Pure: numbers in, text out. JSON keys are the controller's own names; sizes in bytes; "max" means
 * no limit.
 */
#ifndef UMEMCG_CLI_RUN_REPORT_H
#define UMEMCG_CLI_RUN_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "cli/run_options.h"

struct run_result {
	const char *program;
	char *const *argv; /* the program and its arguments, NULL terminated; NULL: none */
	int exit_status;   /* of umemcg run */
	int signal;        /* that ended the program; 0: none did */
	uint64_t elapsed_us;
	uint64_t user_us, system_us; /* CPU time of the processes that have been waited for */
};

/* The caller frees the text. NULL: out of memory. */
char *report_text(const struct serve_snapshot *snap, const struct run_result *result);
char *report_json(const struct serve_snapshot *snap, const struct run_result *result);

#define OOM_TEXT_MAX 1024
/* The root process was OOM killed: limits, usage and the remedy, in one sentence. */
void report_oom(char text[OOM_TEXT_MAX], const struct run_options *o,
		const struct serve_snapshot *snap);

/* run_report_kinds.c: kinds of unmanaged memory. The key in the JSON report; the lines of the text
 * report; the end of the sentence about a kill, starting with a comma, or "" if no sample was
 * taken. @kernel_sysv: that option was given. */
const char *report_kind_key(enum serve_kind kind);
void report_put_kinds(FILE *f, const struct serve_unmanaged *u);
void report_kinds_remedy(char *text, size_t size, const struct serve_unmanaged *u,
			 bool kernel_sysv);

#define STATUS_MAX 160
/* The live status line. @faults_per_s: in the last interval. */
void report_status(char line[STATUS_MAX], const struct serve_snapshot *snap, double faults_per_s);

#endif
