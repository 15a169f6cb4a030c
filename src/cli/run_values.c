/* cli/run_values.c - see run_values.h.
 *
 * Locks: none.
 */
#include "cli/run_values.h"
#include "serve/place.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"
#include "plat/codec.h"

#define NR_LETTERS      52 /* in both cases */
#define GROUP_NAME_MAX  63
#define SWAP_FILE_LEAST STORE_PAGE_SIZE /* minimum of any swap file */

bool options_fail(char problem[OPTIONS_PROBLEM_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem, OPTIONS_PROBLEM_MAX, format, args);
	va_end(args);
	return false;
}

static int64_t machine_memory(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static bool is_number(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

static bool too_small(const char *option, const char *text, char *problem)
{
	if (is_number(text) && text[strspn(text, "0")])
		return options_fail(problem,
				    "option %s: '%s' is that many bytes, which is too small; with "
				    "a unit it is %sM; the least is %dM, and max is accepted",
				    option, TEXT_NAME(text), TEXT_NAME(text),
				    SERVE_MEMORY_MIN >> 20);
	return options_fail(problem,
			    "option %s: '%s' is too small; the least is %dM, and max is accepted",
			    option, TEXT_NAME(text), SERVE_MEMORY_MIN >> 20);
}

bool value_bytes(const char *option, const char *text, int64_t least, int64_t *bytes,
		 char problem[OPTIONS_PROBLEM_MAX])
{
	int64_t n;
	int err = strchr(text, '%') ? size_parse_percent(text, machine_memory(), &n)
				    : size_parse(text, &n);

	if (err == -ERANGE && strchr(text, '%'))
		return options_fail(problem,
				    "option %s: '%s' is out of range; give 1%% to 100%% of the "
				    "machine's memory",
				    option, TEXT_NAME(text));
	if (err == -ERANGE)
		return options_fail(problem,
				    "option %s: '%s' is too large; the most is 2^63 - 1 bytes, or "
				    "max",
				    option, TEXT_NAME(text));
	if (err)
		return options_fail(problem,
				    "option %s: '%s' is not a size; give bytes, a number with K, "
				    "M, G or T (64M, 1.5GiB), a part of the machine's memory "
				    "(50%%), or max",
				    option, TEXT_NAME(text));
	if (n < least)
		return too_small(option, text, problem);
	*bytes = n;
	return true;
}

bool value_swap(const char *option, const char *text, int64_t *bytes,
		char problem[OPTIONS_PROBLEM_MAX])
{
	if (!value_bytes(option, text, 0, bytes, problem))
		return false;
	/* Probably a number without its unit letter; less than a page would mean no swap at all. */
	if (*bytes > 0 && *bytes < SWAP_FILE_LEAST)
		return options_fail(problem,
				    "option %s: '%s' is too small; the least is %ldK, and "
				    "0 is none",
				    option, TEXT_NAME(text), (long)SWAP_FILE_LEAST >> 10);
	if (*bytes == SERVE_UNLIMITED || *bytes <= SWAP_FILE_MAX)
		return true;
	return options_fail(problem,
			    "option %s: '%s' is too large; the most is %dT, or max for what the "
			    "swap directory has free",
			    option, TEXT_NAME(text), (int)(SWAP_FILE_MAX >> 40));
}

bool value_report(const char *text, enum report_format *format, char problem[OPTIONS_PROBLEM_MAX])
{
	if (strcmp(text, "text") == 0)
		*format = REPORT_TEXT;
	else if (strcmp(text, "json") == 0)
		*format = REPORT_JSON;
	else
		return options_fail(problem,
				    "option --report: '%s' is not a format; accepted are text and "
				    "json",
				    TEXT_NAME(text));
	return true;
}

bool value_tier(const char *text, const struct codec **codec, bool *file,
		char problem[OPTIONS_PROBLEM_MAX])
{
	static const struct {
		const char *text, *codec;
		bool file;
	} tiers[] = {
		{ "file", NULL, true },        { "lz4", "lz4", false },
		{ "zstd", "zstd", false },     { "lz4+file", "lz4", true },
		{ "zstd+file", "zstd", true },
	};

	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
		if (strcmp(text, tiers[i].text) != 0)
			continue;
		*file = tiers[i].file;
		*codec = tiers[i].codec ? codec_native(tiers[i].codec) : NULL;
		if (!tiers[i].codec || *codec)
			return true;
		return options_fail(problem, "option --swap-tier: this umemcg was built without %s",
				    tiers[i].codec);
	}
	return options_fail(problem,
			    "option --swap-tier: '%s' is not a tier; accepted are file, lz4, zstd, "
			    "lz4+file and zstd+file",
			    TEXT_NAME(text));
}

bool value_mode(const char *text, enum serve_mode *mode, char problem[OPTIONS_PROBLEM_MAX])
{
	return serve_mode_parse(text, mode) ||
	       options_fail(problem,
			    "option --mode: '%s' is not a mode; accepted are auto, kernel-fork, "
			    "kernel and user",
			    TEXT_NAME(text));
}

bool value_path(const char *option, const char *text, const char *kind, const char **path,
		char problem[OPTIONS_PROBLEM_MAX])
{
	if (!*text)
		return options_fail(problem, "option %s: '' is not a name; give the name of a %s",
				    option, kind);
	*path = text;
	return true;
}

/* A name must not look like a pid or an option. */
bool value_name(const char *text, const char **name, char problem[OPTIONS_PROBLEM_MAX])
{
	static const char all[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(text);

	if (len == 0 || len > GROUP_NAME_MAX || strspn(text, all) != len ||
	    strchr(all + NR_LETTERS, *text))
		return options_fail(problem,
				    "option --name: '%s' is not a name; give a letter, then "
				    "letters, digits, '.', '_' or '-', at most %d in all",
				    TEXT_NAME(text), GROUP_NAME_MAX);
	*name = text;
	return true;
}

bool value_view(const char *text, unsigned *view, char problem[OPTIONS_PROBLEM_MAX])
{
	static const struct {
		const char *name;
		unsigned view;
	} views[] = {
		{ "none", 0 },
		{ "cgroup", SERVE_VIEW_CGROUP },
		{ "proc", SERVE_VIEW_PROC },
		{ "all", SERVE_VIEW_MOUNTS },
		{ "env", SERVE_VIEW_ENV },
	};

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
		if (strcmp(text, views[i].name) == 0) {
			*view = views[i].view;
			return true;
		}
	}
	return options_fail(problem,
			    "option --view: '%s' is no view; give none, cgroup, proc, all or env",
			    TEXT_NAME(text));
}

bool value_view_total(const char *text, bool *with_swap, char problem[OPTIONS_PROBLEM_MAX])
{
	*with_swap = strcmp(text, "max+swap") == 0;
	if (*with_swap || strcmp(text, "max") == 0)
		return true;
	return options_fail(problem, "option --view-total: '%s' is no total; give max or max+swap",
			    TEXT_NAME(text));
}
