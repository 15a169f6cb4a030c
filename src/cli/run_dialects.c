/* cli/run_dialects.c - see run_dialects.h.
 *
 * Locks: none.
 */
#include "cli/run_dialects.h"

#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_values.h"
#include "plat/plat.h"

bool dialect_property(struct run_options *o, const char *text, char problem[OPTIONS_PROBLEM_MAX])
{
	static const char max[] = "MemoryMax=", high[] = "MemoryHigh=", swap[] = "MemorySwapMax=";
	struct serve_config *c = &o->config;

	if (strncmp(text, max, sizeof(max) - 1) == 0)
		return value_bytes("--property MemoryMax", text + sizeof(max) - 1, SERVE_MEMORY_MIN,
				   &c->memory_max, problem);
	if (strncmp(text, high, sizeof(high) - 1) == 0)
		return value_bytes("--property MemoryHigh", text + sizeof(high) - 1, 0,
				   &c->memory_high, problem);
	if (strncmp(text, swap, sizeof(swap) - 1) != 0)
		return options_fail(problem,
				    "option --property: '%s' is not known; accepted are "
				    "MemoryMax=SIZE, MemoryHigh=SIZE and MemorySwapMax=SIZE, as "
				    "umemcg limits nothing but memory",
				    TEXT_NAME(text));
	o->swap_given = true;
	o->swap_given_as = text + sizeof(swap) - 1;
	return value_swap("--property MemorySwapMax", o->swap_given_as, &c->swap_max, problem);
}

bool dialect_memory_swap(struct run_options *o, const char *text, char problem[OPTIONS_PROBLEM_MAX])
{
	struct serve_config *c = &o->config;
	char memory[SIZE_TEXT_MAX];
	int64_t all;

	if (o->swap_given)
		return options_fail(problem, "options --memory-swap and --swap-max exclude each "
					     "other; --swap-max counts swap alone");
	if (strcmp(text, "-1") == 0)
		all = SERVE_UNLIMITED;
	else if (!value_bytes("--memory-swap", text, 0, &all, problem))
		return false;
	if (all < c->memory_max)
		return options_fail(problem,
				    "option --memory-swap: '%s' is below the memory limit of %s; "
				    "it counts memory and swap together; --swap-max counts swap "
				    "alone",
				    TEXT_NAME(text), size_format(memory, c->memory_max));
	o->swap_given = true;
	o->swap_given_as = text;
	c->swap_max = all == SERVE_UNLIMITED ? SERVE_UNLIMITED : all - c->memory_max;
	if (c->swap_max > SWAP_FILE_MAX)
		c->swap_max = SERVE_UNLIMITED;
	return true;
}

const char *dialect_hint(const char *name, size_t len)
{
	static const char size[] = "the memory limit is -m SIZE",
			  only[] = "umemcg limits nothing but memory",
			  scope[] = "umemcg needs no service manager, so leave it out",
			  swap[] = "the size of swap is --swap-max SIZE, its directory --swap DIR";
	static const struct {
		const char *name, *hint;
	} table[] = {
		{ "mem", size },
		{ "ram", size },
		{ "limit", size },
		{ "max-memory", size },
		{ "memory-limit", size },
		{ "limit-memory", size },
		{ "mem-limit", size },
		{ "memory-limit-in-bytes", size },
		{ "memory.max", size },
		{ "memory.high", "reclaim begins at --memory-high SIZE" },
		{ "memory.swap.max", swap },
		{ "memory-reservation", "reclaim begins at --memory-high SIZE" },
		{ "memory-low", "one group has nobody to be protected from, so leave it out" },
		{ "memory-min", "one group has nobody to be protected from, so leave it out" },
		{ "memory-swappiness", "--swap-max 0 is for no swap at all" },
		{ "swappiness", "--swap-max 0 is for no swap at all" },
		{ "memory-swap-max", swap },
		{ "swap-size", swap },
		{ "swap-file", swap },
		{ "swap-dir", swap },
		{ "oom-kill-disable", "a program that needs more than memory and swap is killed" },
		{ "oom-score-adj", "the program may write its own to /proc/self/oom_score_adj" },
		{ "shm-size", "shared memory counts like the rest of -m" },
		{ "cpus", only },
		{ "cpu-shares", only },
		{ "cpuset-cpus", only },
		{ "pids-limit", only },
		{ "ulimit", "use ulimit in a shell, or prlimit(1)" },
		{ "timeout", "use timeout(1): umemcg run ... -- timeout 60 PROGRAM" },
		{ "env", "use env(1): umemcg run ... -- env NAME=VALUE PROGRAM" },
		{ "user", "umemcg keeps the user who calls it, so leave it out" },
		{ "rm", "nothing is left behind, so leave it out" },
		{ "scope", scope },
		{ "slice", scope },
		{ "unit", "a name is given by --name NAME" },
		{ "wait", scope },
		{ "pipe", scope },
		{ "pty", scope },
		{ "collect", scope },
		{ "silent", "--quiet leaves out notices" },
		{ "debug", "-v shows what happens" },
		{ "json", "--report json prints a report in JSON" },
		{ "output", "--report-file FILE keeps the report" },
		{ "log-file", "--report-file FILE keeps the report" },
		{ "stats", "--report text prints a report" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strlen(table[i].name) == len && strncmp(table[i].name, name, len) == 0)
			return table[i].hint;
	return NULL;
}

const char *dialect_letter(int letter)
{
	switch (letter) {
	case 'i':
	case 't':
		return "the program has this terminal anyway, so leave it out";
	case 'd':
		return "umemcg stays with its program; end the line with & for the background";
	case 'M':
	case 'l':
		return "the memory limit is -m SIZE";
	case 'c':
		return "umemcg limits nothing but memory";
	default:
		return "see 'umemcg help run'";
	}
}

const char *dialect_order(char *const *argv)
{
	int64_t bytes;

	VM_ASSERT(argv);
	if (argv[0] && size_parse(argv[0], &bytes) == 0)
		return "a limit alone is no program: give -m in front of it, for example -m 64M";
	for (int i = 1; argv[0] && argv[i]; i++)
		if (strncmp(argv[i], "-m", 2) == 0 || strncmp(argv[i], "--memory", 8) == 0)
			return "what comes after the program is the program's: give -m before it";
	return "give the limit of the program's memory, for example -m 64M, or max";
}
