/* cli/run_values.h - the values of `umemcg run`'s options: text in, numbers or one sentence out.
 *
 * Pure, but for percentages: they are of the machine's memory. On false @problem holds one line,
 * which names the option, its value and what is accepted. @option is the option's name there.
 */
#ifndef UMEMCG_CLI_RUN_VALUES_H
#define UMEMCG_CLI_RUN_VALUES_H

#include "cli/run_options.h"

/* Write the sentence. Returns false. */
bool options_fail(char problem[OPTIONS_PROBLEM_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A size of at least @least bytes. */
bool value_bytes(const char *option, const char *text, int64_t least, int64_t *bytes,
		 char problem[OPTIONS_PROBLEM_MAX]);
/* A size that a swap file can have. */
bool value_swap(const char *option, const char *text, int64_t *bytes,
		char problem[OPTIONS_PROBLEM_MAX]);
bool value_report(const char *text, enum report_format *format, char problem[OPTIONS_PROBLEM_MAX]);
/* A mode of umemcg run. */
/* Where swapped pages go. *@codec NULL: to the file only. */
bool value_tier(const char *text, const struct codec **codec, bool *file,
		char problem[OPTIONS_PROBLEM_MAX]);
bool value_mode(const char *text, enum serve_mode *mode, char problem[OPTIONS_PROBLEM_MAX]);
/* Not empty. @kind: "file", "directory". */
bool value_path(const char *option, const char *text, const char *kind, const char **path,
		char problem[OPTIONS_PROBLEM_MAX]);
/* What programs see of their limit: SERVE_VIEW_. */
bool value_view(const char *text, unsigned *view, char problem[OPTIONS_PROBLEM_MAX]);
bool value_view_total(const char *text, bool *with_swap, char problem[OPTIONS_PROBLEM_MAX]);
bool value_name(const char *text, const char **name, char problem[OPTIONS_PROBLEM_MAX]);

#endif
