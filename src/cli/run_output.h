/* cli/run_output.h - the files that `umemcg run` writes for its user: the report and the list of
 * processes. Main thread only.
 */
#ifndef UMEMCG_CLI_RUN_OUTPUT_H
#define UMEMCG_CLI_RUN_OUTPUT_H

#include "cli/run_options.h"
#include "cli/run_report.h"

struct run_output {
	int report_fd; /* -1: standard error */
	bool append;   /* the report file is also the program's output */
};

/* Open the files that @o names; the list's descriptor goes to @o->config. 0, or EXIT_OURS after a
 * message. */
int output_open(struct run_output *out, struct run_options *o);
/* Write the whole report or a message; never changes the program's exit status. */
void output_report(const struct run_output *out, const struct run_options *o,
		   const struct serve_snapshot *snap, const struct run_result *result);

#endif
