/* cli/files.c - `umemcg ls`, `umemcg get` and `umemcg set`: the running groups, and their control
 * files.
 *
 * The files are the kernel's (ctl/ctl.h); the supervisor of the run reads and writes them.
 *
 * Locks: none.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/running.h"
#include "ctl/ctl.h"
#include "plat/plat.h"

#define ANSWER_MS  30000             /* a write that reclaims takes seconds */
#define RETRY_NS   (20 * 1000000ull) /* another write is under way */
#define RETRIES    1000
#define GONE_LOOKS 10
#define EXIT_OTHER 1 /* some file could not be read or written */

struct files {
	struct running target;
	const struct command *command;
	enum ctl_view view;
	bool help, version, header;
};

/* ---- the command line ---- */

static int take_options(struct files *f, int argc, char **argv)
{
	static const struct option options[] = {
		{ "v1", no_argument, NULL, '1' },
		{ "no-header", no_argument, NULL, 'H' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *name = f->command->name;
	bool lists = f->command == &ls_command;
	int val;

	opterr = 0;
	optind = 0; /* glibc: reset */
	while ((val = getopt_long(argc, argv, ":hV", options, NULL)) != -1) {
		if (val == '?' || val == ':' || (val == '1' && lists) || (val == 'H' && !lists))
			return cli_fail("%s: unknown option '%s'; see 'umemcg help %s'", name,
					TEXT_NAME(argv[optind - 1]), name);
		if (val == '1')
			f->view = CTL_V1;
		f->header &= val != 'H';
		f->help |= val == 'h';
		f->version |= val == 'V';
	}
	return 0;
}

/* *@done: nothing is left to do, with the status returned. */
static int begin(struct files *f, const struct command *command, int argc, char **argv, bool *done)
{
	int status;

	*f = (struct files){ .target = { .command = command->name },
			     .command = command,
			     .header = true };
	status = take_options(f, argc, argv);
	*done = status || f->help || f->version;
	if (status)
		return status;
	if (f->help)
		return cli_print(command->help);
	return f->version ? cli_print("umemcg " UMEMCG_VERSION "\n") : 0;
}

/* ---- asking ---- */

/* One exchange. The answer's length, or EXIT_OURS negated after a message; *@out filled. */
static int ask(const struct files *f, const struct remote_run *run, uint32_t type,
	       struct remote_ask *m, struct remote_file *out)
{
	const char *name = f->command->name;
	int got;

	m->h = (struct remote_head){ REMOTE_MAGIC, type };
	m->view = f->view;
	got = remote_send(run->fd, m, sizeof(*m));
	if (!got)
		got = remote_recv(run->fd, out, sizeof(*out), REMOTE_FILE, REMOTE_FILE, ANSWER_MS);
	if (got == REMOTE_FILE)
		return 0;
	if (got == 0)
		return cli_fail("%s: umemcg run (%d) has just ended", name, (int)run->pid);
	if (got == -ETIMEDOUT)
		return cli_fail("%s: umemcg run (%d) does not answer; is it stopped?", name,
				(int)run->pid);
	if (got == REMOTE_REFUSED || got == -EPROTO)
		return cli_fail("%s: umemcg run (%d) does not understand: it is of another version",
				name, (int)run->pid);
	return cli_fail("%s: umemcg run (%d) cannot be asked: %s", name, (int)run->pid,
			strerror(-got));
}

/* The whole of file @name ("": the list) into @out, of CTL_TEXT_MAX bytes. 0 and *@error, what the
 * run says; or EXIT_OURS after a message. */
static int read_file(const struct files *f, const struct remote_run *run, const char *name,
		     struct text *out, int *error)
{
	struct remote_ask m = { 0 };
	struct remote_file part;

	*error = -ENOENT;
	if (strlen(name) >= sizeof(m.name))
		return 0;
	strcpy(m.name, name);
	do {
		int status = ask(f, run, REMOTE_READ, &m, &part);

		if (status)
			return status;
		*error = part.error;
		if (part.error)
			return 0;
		if (part.length > sizeof(part.text))
			return cli_fail("%s: umemcg run (%d) sends nonsense", f->command->name,
					(int)run->pid);
		text_printf(out, "%.*s", (int)part.length, part.text);
		m.offset += part.length;
	} while (part.more && part.length);
	return 0;
}

/* ---- reasons ---- */

static int no_such_file(const struct files *f, const char *name)
{
	const char *command = f->command->name;
	bool v1 = f->view == CTL_V1;

	if (ctl_find(v1 ? CTL_V2 : CTL_V1, name))
		return cli_fail("%s: '%s' is a name of version %d; %s --v1", command, name,
				v1 ? 2 : 1, v1 ? "leave out" : "give");
	return cli_fail("%s: there is no file '%s'; 'umemcg get%s %s' shows all", command,
			TEXT_NAME(name), v1 ? " --v1" : "", TEXT_NAME(f->target.text));
}

static int failed(const struct files *f, const char *name, const char *value, int error)
{
	const struct ctl_file *file = ctl_find(f->view, name);
	const char *command = f->command->name;

	if (error == -ENOENT || !file)
		return no_such_file(f, name);
	if (error == -EACCES)
		return cli_fail("%s: %s can only be %s", command, name, value ? "read" : "written");
	if (error == -EINVAL && value && f->view == CTL_V1 && file->arg >= CTL_MAX &&
	    ctl_parse_pages(value, "-1", &(int64_t){ 0 }) == 0)
		return cli_fail("%s: %s: %s is refused: memory may not have more than "
				"memory+swap (memory.memsw.limit_in_bytes)",
				command, name, TEXT_NAME(value));
	if (error == -EINVAL && value)
		return cli_fail("%s: %s: '%s' is not accepted; give %s", command, name,
				TEXT_NAME(value), file->accepts);
	if (error == -EBUSY)
		return cli_fail("%s: %s: more is in use than %s, and cannot be swapped out; the "
				"limit stays as it was",
				command, name, TEXT_NAME(value ? value : ""));
	if (error == -EAGAIN)
		return cli_fail("%s: %s: less than %s could be reclaimed", command, name,
				TEXT_NAME(value ? value : ""));
	return cli_fail("%s: %s: %s", command, name, strerror(-error));
}

/* ---- get ---- */

/* All files that can be read, as "NAME:" and their text indented, or after it if it is a word. */
static int get_all(const struct files *f, char *buf, char *list)
{
	char *line, *rest = list;

	while ((line = strsep(&rest, "\n"))) {
		char *mode = strchr(line, ' '), *row, *rows = buf;
		struct text text;
		int error, status;

		if (!mode || mode[1] != 'r')
			continue;
		*mode = '\0';
		text_init(&text, buf, CTL_TEXT_MAX);
		status = read_file(f, f->target.run, line, &text, &error);
		if (status || error)
			return status ? status : failed(f, line, NULL, error);
		if (text.len && strchr(buf, '\n') == buf + text.len - 1 && !strchr(buf, ' ')) {
			printf("%s: %s", line, buf);
			continue;
		}
		printf("%s:\n", line);
		while ((row = strsep(&rows, "\n")))
			if (*row)
				printf("  %s\n", row);
	}
	return 0;
}

static int get_some(const struct files *f, char *buf, char **names)
{
	int status = 0;

	for (char **name = names; *name; name++) {
		struct text text;
		int error, err;

		text_init(&text, buf, CTL_TEXT_MAX);
		err = **name ? read_file(f, f->target.run, *name, &text, &error)
			     : cli_fail("get: the name of a file is empty");
		if (err)
			return err;
		if (error) {
			(void)failed(f, *name, NULL, error);
			status = EXIT_OTHER;
			continue;
		}
		fputs(buf, stdout);
	}
	return status;
}

static int get(const struct files *f, char **names)
{
	char *buf = malloc(CTL_TEXT_MAX), *list = malloc(CTL_TEXT_MAX);
	int error, status;
	struct text text;

	if (!buf || !list) {
		status = cli_fail("get: out of memory");
	} else if (*names) {
		status = get_some(f, buf, names);
	} else {
		text_init(&text, list, CTL_TEXT_MAX);
		status = read_file(f, f->target.run, "", &text, &error);
		if (!status)
			status = error ? failed(f, "", NULL, error) : get_all(f, buf, list);
	}
	free(buf);
	free(list);
	if (fflush(stdout) != 0)
		return cli_fail("get: cannot write to standard output: %s", strerror(errno));
	return status;
}

static int get_main(int argc, char **argv)
{
	struct files f;
	bool done;
	int status = begin(&f, &get_command, argc, argv, &done);

	if (done)
		return status;
	if (optind == argc || !*argv[optind])
		return cli_fail("get: no PID or GROUP was given; 'umemcg ls' lists them");
	status = running_take(&f.target, argv[optind]);
	if (status)
		return status;
	status = running_find(&f.target, true);
	if (!status)
		status = get(&f, argv + optind + 1);
	running_done(&f.target);
	return status;
}

/* ---- set ---- */

/* "FILE=VALUE". */
static int set_one(const struct files *f, const char *word)
{
	const char *value = strchr(word, '=');
	struct remote_ask m = { 0 };
	struct remote_file out = { 0 };
	size_t len = (size_t)(value - word);
	int status;

	if (len >= sizeof(m.name) || strlen(value + 1) >= sizeof(m.value))
		return len >= sizeof(m.name)
			       ? no_such_file(f, word)
			       : cli_fail("set: a value has at most %zu characters, and '%s' more",
					  sizeof(m.value) - 1, TEXT_NAME(value + 1));
	memcpy(m.name, word, len);
	strcpy(m.value, value + 1);
	for (int i = 0; i < RETRIES; i++) {
		status = ask(f, f->target.run, REMOTE_WRITE, &m, &out);
		if (status || out.error != -EINPROGRESS)
			break;
		plat_sleep_ns(RETRY_NS);
	}
	if (status)
		return status;
	if (!out.error)
		return 0;
	(void)failed(f, m.name, m.value, out.error);
	return EXIT_OTHER;
}

static int set_main(int argc, char **argv)
{
	struct files f;
	bool done;
	int status = begin(&f, &set_command, argc, argv, &done);

	if (done)
		return status;
	if (optind + 1 >= argc)
		return cli_fail("set: give PID or GROUP and FILE=VALUE, as in 'umemcg set build "
				"memory.max=128M'");
	for (int i = optind + 1; i < argc; i++)
		if (!strchr(argv[i], '=') || *argv[i] == '=')
			return cli_fail("set: '%s' is not FILE=VALUE, as in memory.max=128M",
					TEXT_NAME(argv[i]));
	status = running_take(&f.target, argv[optind]);
	if (status)
		return status;
	status = running_find(&f.target, true);
	for (int i = optind + 1; !status && i < argc; i++)
		status = set_one(&f, argv[i]);
	running_done(&f.target);
	return status;
}

/* ---- ls ---- */

static const char *const ls_columns[] = { "memory.current", "memory.max", "memory.swap.current",
					  "memory.swap.max" };
#define LS_COLUMNS (sizeof(ls_columns) / sizeof(ls_columns[0]))

/* A file that is one number, or "max", for people. 0, or EXIT_OURS after a message. */
static int amount(const struct files *f, const struct remote_run *run, const char *name,
		  char text[SIZE_TEXT_MAX])
{
	char buf[CTL_VALUE_MAX];
	int64_t bytes;
	int error, status;

	TEXT_ON(out, buf);
	status = read_file(f, run, name, &out, &error);
	if (!status && !error && size_parse(buf, &bytes) == 0)
		(void)size_format(text, bytes);
	return status;
}

static int list_run(const struct files *f, const struct remote_run *run)
{
	char text[LS_COLUMNS][SIZE_TEXT_MAX] = { "-", "-", "-", "-" };
	char group[4 * REMOTE_TEXT_MAX], program[4 * REMOTE_TEXT_MAX];
	int status = 0;

	for (unsigned i = 0; !status && i < LS_COLUMNS; i++)
		status = amount(f, run, ls_columns[i], text[i]);
	(void)text_plain(group, sizeof(group), run->is.group);
	(void)text_plain(program, sizeof(program), run->is.program);
	printf("%-8d %-18s %-15s %10s %10s %10s %10s\n", (int)run->pid, group, program, text[0],
	       text[1], text[2], text[3]);
	return status;
}

/* It closed the connection without an answer, as a run does that ends. */
static bool is_gone(const struct remote_run *run)
{
	for (int i = 0; i < GONE_LOOKS; i++) {
		if (kill(run->pid, 0) != 0 && errno == ESRCH)
			return true;
		plat_sleep_ns(RETRY_NS);
	}
	return false;
}

static int ls_main(int argc, char **argv)
{
	struct running *t;
	struct files f;
	bool done;
	int status = begin(&f, &ls_command, argc, argv, &done);

	if (done)
		return status;
	if (optind < argc)
		return cli_fail("ls: it takes no argument, and was given '%s'",
				TEXT_NAME(argv[optind]));
	t = &f.target;
	t->nr_runs = remote_find(0, &t->runs);
	if (t->nr_runs < 0)
		return cli_fail("ls: cannot look for running umemcg: %s", strerror(-t->nr_runs));
	if (f.header)
		printf("%-8s %-18s %-15s %10s %10s %10s %10s\n", "PID", "GROUP", "PROGRAM",
		       "MEMORY", "MAX", "SWAP", "SWAP MAX");
	for (int i = 0; i < t->nr_runs; i++) {
		if (t->runs[i].state == REMOTE_ANSWERED)
			status |= list_run(&f, &t->runs[i]) ? EXIT_OTHER : 0;
		else if (t->runs[i].state != REMOTE_DENIED && !is_gone(&t->runs[i]))
			status |= running_unreachable(t, &t->runs[i]) ? EXIT_OTHER : 0;
	}
	running_done(t);
	if (fflush(stdout) != 0)
		return cli_fail("ls: cannot write to standard output: %s", strerror(errno));
	return status;
}

/* ---- the commands ---- */

static const char ls_help[] =
	"usage: umemcg ls [OPTIONS]\n"
	"\n"
	"Lists the running groups of this user (root: of everybody): the PID of umemcg run, the\n"
	"group's name, the program, and what it uses of which limit.\n"
	"\n"
	"      --no-header the rows alone\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n"
	"\n"
	"exit status: 0; 1 some run does not answer, or is of another version; 125 wrong use, or\n"
	"umemcg itself failed.\n";

static const char get_help[] =
	"usage: umemcg get PID|GROUP [FILE...] [OPTIONS]\n"
	"\n"
	"Prints control files of a running group, under the kernel's names and in its formats;\n"
	"without FILE, all of them with their names.\n"
	"\n"
	"  PID             of umemcg run, or of a process in the group\n"
	"  GROUP           as umemcg run --name called it; run-PID when it did not\n"
	"  FILE            memory.current, memory.stat, cgroup.procs, ...\n"
	"      --v1        the names of version 1: memory.usage_in_bytes, ...\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n"
	"\n"
	"exit status: 0; 1 a file could not be read; 125 wrong use, no such process or group, no\n"
	"permission, or umemcg itself failed.\n";

static const char set_help[] =
	"usage: umemcg set PID|GROUP FILE=VALUE... [OPTIONS]\n"
	"\n"
	"Writes control files of a running group, in order, under the kernel's names.\n"
	"\n"
	"  PID             of umemcg run, or of a process in the group: the whole group is meant\n"
	"  GROUP           as umemcg run --name called it; run-PID when it did not\n"
	"  FILE=VALUE      memory.max=128M     the limit; what does not fit is swapped out, or "
	"killed\n"
	"                  memory.high=96M     reclaim from here on, and kill nobody\n"
	"                  memory.low=32M      protection from reclaim\n"
	"                  memory.swap.max=1G  at most the size of the run's swap file\n"
	"                  memory.reclaim=16M  swap this much out now\n"
	"                  cgroup.kill=1       end all processes\n"
	"      --v1        the names of version 1: memory.limit_in_bytes, ...\n"
	"  -h, --help      this text\n"
	"  -V, --version   the version\n"
	"\n"
	"exit status: 0; 1 a value was refused; 125 wrong use, no such process or group, no\n"
	"permission, or umemcg itself failed.\n";

const struct command ls_command = {
	.name = "ls",
	.summary = "list the running groups",
	.help = ls_help,
	.main = ls_main,
};

const struct command get_command = {
	.name = "get",
	.summary = "print control files of a running group",
	.help = get_help,
	.main = get_main,
};

const struct command set_command = {
	.name = "set",
	.summary = "change limits of a running group",
	.help = set_help,
	.main = set_main,
};
