/* cli/check_help.h - text of umemcg help check, for the command and for the checker, which are
 * separate programs.
 */
#ifndef UMEMCG_CLI_CHECK_HELP_H
#define UMEMCG_CLI_CHECK_HELP_H

#define CHECK_HELP                                                                                 \
	"usage: umemcg check [OPTIONS] [SCENARIO...]\n"                                            \
	"       umemcg check --bug BUG [SCENARIO] | --replay STRING\n"                             \
	"       umemcg check --list | --list-bugs | --bench\n"                                     \
	"\n"                                                                                       \
	"Runs the engine's own code on a simulated machine through every order in which the "      \
	"tasks\n"                                                                                  \
	"of small scenarios can take turns. Without SCENARIO, all of them.\n"                      \
	"\n"                                                                                       \
	"what to run:\n"                                                                           \
	"  --quick               only what CI runs: the scenarios that take seconds\n"             \
	"  --bug BUG             switch a known bug on and draw a schedule that shows it; in\n"    \
	"                        SCENARIO, or in the one that --list-bugs names\n"                 \
	"  --replay STRING       run one schedule again, as a drawing names it\n"                  \
	"  --list                the scenarios: name, tab, what races with what\n"                 \
	"  --list-bugs           the known bugs: name, tab, source, tab, scenario\n"               \
	"  --bench               executions a second of the smallest scenarios\n"                  \
	"\n"                                                                                       \
	"how to search (default: all orders, EXHAUSTED):\n"                                        \
	"  --preemptions K       only orders with at most K preemptions: BOUNDED(K)\n"             \
	"  --random N            N orders by random priorities: RANDOM(N, SEED)\n"                 \
	"  --seed S              for --random; default 1\n"                                        \
	"  --budget N            give up after N executions a scenario\n"                          \
	"  --jobs N              processes that share the search; default 1\n"                     \
	"  --memory-model sc|tso tso: with the store buffers of x86; default sc\n"                 \
	"\n"                                                                                       \
	"what to print:\n"                                                                         \
	"  --json                results for a program\n"                                          \
	"  --format text|html    drawings; html is a page of its own; default text\n"              \
	"  --full                draw every step, also those no other task can notice\n"           \
	"  --color auto|always|never\n"                                                            \
	"\n"                                                                                       \
	"  -h, --help            this text\n"                                                      \
	"  -V, --version         the version, and whether drawings have functions and lines\n"     \
	"\n"                                                                                       \
	"exit status: 0 nothing was found, 1 a violation was found, 2 the budget ran out,\n"       \
	"125 wrong use. Ctrl-C ends the search; what was done is printed, the status is 130\n"

#endif
