/* cli/migrate.c - `umemcg migrate`: move pages of a running group, or of one of its processes, to
 * another memory node.
 *
 * The supervisor does the work; this finds it (serve/remote/remote.h), sends the request and
 * reports the result.
 *
 * Locks: none.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "plat/plat.h"
#include "serve/remote/remote.h"

#define EXIT_SOME_LEFT 1
#define SILENT_MS      30000                /* a working supervisor reports far more often */
#define SHOW_AFTER_NS  UINT64_C(1000000000) /* for progress on a terminal */

struct migrate {
	const char *target; /* as given */
	uint32_t pid;       /* 0: target is a group's name */
	long from, to;      /* -1: not given */
	bool verbose, help, version;
	struct remote_run *runs;
	int nr_runs;
	uint64_t start_ns;
	bool shown; /* a progress line is on the terminal */
};

/* ---- the command line ---- */

/* A number of at most nine digits, or -1. */
static long number(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 10 && strspn(text, "0123456789") == len ? strtol(text, NULL, 10)
									: -1;
}

static int take_node(const char *option, const char *text, long *node)
{
	*node = number(text);
	if (*node >= 0)
		return 0;
	return cli_fail(
		"migrate: option %s: '%s' is not the number of a memory node; give 0, 1, ...",
		option, TEXT_NAME(text));
}

static int take_target(struct migrate *m, int argc, char **argv)
{
	if (optind == argc || !*argv[optind])
		return cli_fail("migrate: no PID or GROUP was given; usage: umemcg migrate "
				"PID|GROUP --from N --to M");
	if (optind + 1 < argc)
		return cli_fail("migrate: '%s' is one too many; give one PID or GROUP",
				TEXT_NAME(argv[optind + 1]));
	m->target = argv[optind];
	if (m->target[strspn(m->target, "0123456789")])
		return 0;
	if (number(m->target) <= 0)
		return cli_fail("migrate: '%s' is not the number of a process",
				TEXT_NAME(m->target));
	m->pid = (uint32_t)number(m->target);
	return 0;
}

static int refuse_option(char **argv)
{
	const char *arg = argv[optind - 1];

	if (optopt == 'F' || optopt == 'T')
		return cli_fail("migrate: option --%s needs the number of a memory node",
				optopt == 'F' ? "from" : "to");
	if (strncmp(arg, "--", 2) == 0)
		return cli_fail("migrate: unknown option '%s'; see 'umemcg help migrate'",
				TEXT_NAME(arg));
	return cli_fail("migrate: unknown option '-%c'; see 'umemcg help migrate'", optopt);
}

static int take_options(struct migrate *m, int argc, char **argv)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'F' }, { "to", required_argument, NULL, 'T' },
		{ "verbose", no_argument, NULL, 'v' },    { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },    { NULL, 0, NULL, 0 },
	};
	int val, err = 0;

	opterr = 0;
	optind = 0; /* glibc: reset */
	while (!err && (val = getopt_long(argc, argv, ":vhV", options, NULL)) != -1) {
		if (val == '?' || val == ':')
			return refuse_option(argv);
		if (val == 'F')
			err = take_node("--from", optarg, &m->from);
		else if (val == 'T')
			err = take_node("--to", optarg, &m->to);
		m->verbose |= val == 'v';
		m->help |= val == 'h';
		m->version |= val == 'V';
		if (m->help || m->version)
			return 0;
	}
	if (!err)
		err = take_target(m, argc, argv);
	if (!err && (m->from < 0 || m->to < 0))
		err = cli_fail("migrate: option %s is missing; give the number of the memory node "
			       "the pages %s",
			       m->from < 0 ? "--from" : "--to",
			       m->from < 0 ? "are on" : "shall go to");
	if (!err && m->from == m->to)
		err = cli_fail("migrate: --from and --to are both node %ld; pages move from one "
			       "node to another",
			       m->to);
	return err;
}

/* ---- finding the supervisor ---- */

static unsigned count_state(const struct migrate *m, enum remote_state state)
{
	unsigned n = 0;

	for (int i = 0; i < m->nr_runs; i++)
		n += m->runs[i].state == state;
	return n;
}

/* That run cannot be asked. */
static int unreachable(const struct remote_run *r)
{
	if (r->state == REMOTE_DENIED)
		return cli_fail("migrate: no permission: umemcg run (%d) belongs to another user; "
				"ask as that user "
				"or root",
				(int)r->pid);
	if (r->state == REMOTE_OTHER)
		return cli_fail("migrate: umemcg run (%d) is of another version of umemcg",
				(int)r->pid);
	return cli_fail("migrate: umemcg run (%d) does not answer; is it stopped?", (int)r->pid);
}

/* What the search could not see, to end a sentence. */
static const char *unseen(const struct migrate *m)
{
	if (count_state(m, REMOTE_DENIED))
		return " (runs of other users were not asked)";
	if (count_state(m, REMOTE_SILENT) + count_state(m, REMOTE_OTHER))
		return " (not every run answered)";
	return "";
}

static int no_such_member(const struct migrate *m)
{
	int error = kill((pid_t)m->pid, 0) == 0 ? 0 : errno;

	if (error == ESRCH)
		return cli_fail("migrate: there is no process %s", TEXT_NAME(m->target));
	if (error == EPERM)
		return cli_fail("migrate: no permission: process %s belongs to another user; ask "
				"as that user or "
				"root",
				TEXT_NAME(m->target));
	return cli_fail("migrate: process %s is not a member of any umemcg run%s",
			TEXT_NAME(m->target), unseen(m));
}

/* *@run: the run to ask; m->pid becomes 0 if the whole group is meant. */
static int find_process(struct migrate *m, struct remote_run **run)
{
	for (int i = 0; i < m->nr_runs; i++) {
		struct remote_run *r = &m->runs[i];

		if ((uint32_t)r->pid == m->pid) {
			if (r->state != REMOTE_ANSWERED)
				return unreachable(r);
			m->pid = 0;
			*run = r;
			return 0;
		}
		if (r->state == REMOTE_ANSWERED && r->is.member != REMOTE_STRANGER)
			*run = r;
	}
	if (!*run)
		return no_such_member(m);
	if ((*run)->is.member == REMOTE_MANAGED)
		return 0;
	return cli_fail("migrate: process %s of group %s is not managed, and where its pages are "
			"is not known here; "
			"migratepages(8) moves them",
			TEXT_NAME(m->target), (*run)->is.group);
}

static int no_such_group(const struct migrate *m)
{
	char text[512];
	unsigned n = 0;

	TEXT_ON(t, text);
	for (int i = 0; i < m->nr_runs; i++)
		if (m->runs[i].state == REMOTE_ANSWERED)
			text_printf(&t, "%s%s (%s)", n++ ? ", " : "; there is ",
				    m->runs[i].is.group, m->runs[i].is.program);
	return cli_fail("migrate: no umemcg run has a group '%s'%s%s", TEXT_NAME(m->target),
			n ? text : "", unseen(m));
}

static int find_group(struct migrate *m, struct remote_run **run)
{
	char text[256];
	unsigned n = 0;

	TEXT_ON(t, text);
	for (int i = 0; i < m->nr_runs; i++) {
		struct remote_run *r = &m->runs[i];

		if (r->state != REMOTE_ANSWERED || strcmp(r->is.group, m->target) != 0)
			continue;
		text_printf(&t, "%s%d", n++ ? ", " : "", (int)r->pid);
		*run = r;
	}
	if (n > 1)
		return cli_fail("migrate: %u runs have a group '%s'; give the PID of one: %s", n,
				TEXT_NAME(m->target), text);
	return n ? 0 : no_such_group(m);
}

static int find_run(struct migrate *m, struct remote_run **run)
{
	m->nr_runs = remote_find(m->pid, &m->runs);
	if (m->nr_runs < 0) {
		int error = -m->nr_runs;

		m->nr_runs = 0;
		return cli_fail("migrate: cannot look for running umemcg: %s", strerror(error));
	}
	return m->pid ? find_process(m, run) : find_group(m, run);
}

/* ---- the result ---- */

static int missing_node(const struct migrate *m, const struct remote_moved *r)
{
	long node = m->from;
	char text[256];

	TEXT_ON(t, text);
	for (uint32_t i = 0; i < r->nr_nodes && i < REMOTE_NODES_MAX; i++) {
		text_printf(&t, "%s%" PRIu32, i ? ", " : "", r->node[i]);
		if (r->node[i] == (uint32_t)node)
			node = m->to;
	}
	return cli_fail("migrate: there is no memory node %ld; there are %s", node, text);
}

/* Nothing was started. */
static int refused(const struct migrate *m, const struct remote_moved *r)
{
	switch (-r->error) {
	case ENODEV:
		cli_fail("migrate: this machine has one memory node: all pages are on it, and stay "
			 "where they are");
		return EXIT_SOME_LEFT;
	case ENXIO:
		return missing_node(m, r);
	case ENOTSUP:
		return cli_fail("migrate: this umemcg was built without libnuma, and cannot move "
				"pages between memory "
				"nodes");
	case EBUSY:
		return cli_fail("migrate: another migration of '%s' is under way",
				TEXT_NAME(m->target));
	case ESRCH:
		return cli_fail("migrate: process %s has just ended", TEXT_NAME(m->target));
	default:
		return cli_fail("migrate: umemcg run cannot do that: %s", strerror(-r->error));
	}
}

static void show_progress(struct migrate *m, const struct remote_moved *r)
{
	if (!isatty(STDERR_FILENO) || (!m->verbose && plat_now_ns() - m->start_ns < SHOW_AFTER_NS))
		return;
	m->shown = true;
	fprintf(stderr, "\r\033[Kmoved %" PRIu64 " of %" PRIu64 " pages", r->moved, r->total);
}

static void clear_progress(struct migrate *m)
{
	if (m->shown)
		fputs("\r\033[K", stderr);
	m->shown = false;
}

static int say_result(const struct migrate *m, const struct remote_moved *r)
{
	char text[512];

	TEXT_ON(t, text);
	text_printf(&t,
		    "moved %" PRIu64 " pages (%" PRIu64 " failed, %" PRIu64 " were not resident)\n",
		    r->moved, r->failed, r->absent);
	if (m->verbose)
		text_printf(&t, "  %" PRIu64 " were on other nodes than %ld; %.3f s\n",
			    r->elsewhere, m->from, (double)(plat_now_ns() - m->start_ns) / 1e9);
	if (cli_print(text) != 0)
		return EXIT_OURS;
	if (!r->failed)
		return 0;
	if (r->shared)
		cli_fail("migrate: %" PRIu64
			 " pages are mapped by several processes; to move them umemcg run needs "
			 "CAP_SYS_NICE",
			 r->shared);
	if (r->failed > r->shared)
		cli_fail("migrate: %" PRIu64 " pages stay where they are: %s",
			 r->failed - r->shared,
			 r->why == -EBUSY || r->why == -EAGAIN
				 ? "in use for I/O, or by the kernel; try again"
				 : strerror(-r->why));
	return EXIT_SOME_LEFT;
}

static int migrate(struct migrate *m, const struct remote_run *run)
{
	struct remote_migrate ask = {
		.h = { REMOTE_MAGIC, REMOTE_MIGRATE },
		.pid = m->pid,
		.from = (uint32_t)m->from,
		.to = (uint32_t)m->to,
	};
	struct remote_moved r;
	int type, err = remote_send(run->fd, &ask, sizeof(ask));

	if (err)
		return cli_fail("migrate: umemcg run (%d) cannot be told: %s", (int)run->pid,
				strerror(-err));
	while ((type = remote_recv(run->fd, &r, sizeof(r), REMOTE_PROGRESS, REMOTE_DONE,
				   SILENT_MS)) == REMOTE_PROGRESS)
		show_progress(m, &r);
	clear_progress(m);
	if (type == REMOTE_DONE)
		return r.error ? refused(m, &r) : say_result(m, &r);
	if (type == 0)
		return cli_fail("migrate: umemcg run (%d) ended before all was moved",
				(int)run->pid);
	if (type == -ETIMEDOUT)
		return cli_fail("migrate: umemcg run (%d) does not answer any more; is it stopped?",
				(int)run->pid);
	return cli_fail("migrate: umemcg run (%d) does not understand: it is of another version",
			(int)run->pid);
}

static int migrate_main(int argc, char **argv)
{
	struct migrate m = { .from = -1, .to = -1 };
	struct remote_run *run = NULL;
	int status = take_options(&m, argc, argv);

	if (status)
		return status;
	if (m.help)
		return cli_print(migrate_command.help);
	if (m.version)
		return cli_print("umemcg " UMEMCG_VERSION "\n");
	m.start_ns = plat_now_ns();
	status = find_run(&m, &run);
	if (!status)
		status = migrate(&m, run);
	remote_found_free(m.runs, m.nr_runs);
	return status;
}

static const char help[] =
	"usage: umemcg migrate PID|GROUP --from N --to M [OPTIONS]\n"
	"\n"
	"Moves pages of a running group from memory node N to node M, while it works. Its limits,\n"
	"charges and content stay as they are.\n"
	"\n"
	"what to move:\n"
	"  PID             of umemcg run: the whole group, with what umemcg holds for it;\n"
	"                  of a process in it: its memory, and the shared memory that it maps\n"
	"  GROUP           the whole group, as umemcg run --name called it; run-PID when it did "
	"not\n"
	"      --from N    only pages that are on this node\n"
	"      --to M      where they go\n"
	"\n"
	"  -v, --verbose   how many pages were elsewhere, and how long it took\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n"
	"\n"
	"exit status: 0 all were moved; 1 some could not be moved, or the machine has one node "
	"only;\n"
	"125 wrong use, no such process or group, no permission, or umemcg itself failed.\n";

const struct command migrate_command = {
	.name = "migrate",
	.summary = "move a running group's pages to another memory node",
	.help = help,
	.main = migrate_main,
};
