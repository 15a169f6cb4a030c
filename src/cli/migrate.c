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
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/running.h"
#include "plat/plat.h"

#define EXIT_SOME_LEFT 1
#define SILENT_MS      30000                /* a working supervisor reports far more often */
#define SHOW_AFTER_NS  UINT64_C(1000000000) /* for progress on a terminal */

struct migrate {
	struct running target;
	long from, to; /* -1: not given */
	bool verbose, help, version;
	uint64_t start_ns;
	bool shown; /* a progress line is on the terminal */
};

/* ---- the command line ---- */

static int take_node(const char *option, const char *text, long *node)
{
	*node = running_number(text);
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
	return running_take(&m->target, argv[optind]);
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
				TEXT_NAME(m->target.text));
	case ESRCH:
		return cli_fail("migrate: process %s has just ended", TEXT_NAME(m->target.text));
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

static int migrate(struct migrate *m)
{
	const struct remote_run *run = m->target.run;
	struct remote_migrate ask = {
		.h = { REMOTE_MAGIC, REMOTE_MIGRATE },
		.pid = m->target.pid,
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
	struct migrate m = { .target = { .command = "migrate" }, .from = -1, .to = -1 };
	int status = take_options(&m, argc, argv);

	if (status)
		return status;
	if (m.help)
		return cli_print(migrate_command.help);
	if (m.version)
		return cli_print("umemcg " UMEMCG_VERSION "\n");
	m.start_ns = plat_now_ns();
	status = running_find(&m.target, false);
	if (!status)
		status = migrate(&m);
	running_done(&m.target);
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
