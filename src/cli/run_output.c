/* cli/run_output.c - see run_output.h.
 *
 * Locks: none.
 */
#include "cli/run_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static int open_report(struct run_output *out, const struct run_options *o)
{
	const char *name = o->report_file;

	out->report_fd = -1;
	if (!name)
		return 0;
	/* A copy: ours is given up when the program starts. */
	if (strcmp(name, "-") == 0)
		out->report_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	else
		out->report_fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	if (out->report_fd < 0)
		return cli_fail(
			"run: option --report-file: cannot write '%s': %s; name a file in a "
			"directory that can be written",
			TEXT_NAME(name), strerror(errno));
	out->append = same_file(out->report_fd, STDOUT_FILENO) ||
		      same_file(out->report_fd, STDERR_FILENO);
	return 0;
}

static int open_processes(struct run_options *o)
{
	const char *name = o->processes_file;
	int fd;

	if (!name)
		return 0;
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
	if (fd < 0)
		return cli_fail("run: option --processes: cannot write '%s': %s; name a file in a "
				"directory that can be written",
				TEXT_NAME(name), strerror(errno));
	o->config.processes_fd = fd;
	return 0;
}

int output_open(struct run_output *out, struct run_options *o)
{
	int status = open_report(out, o);

	return status ? status : open_processes(o);
}

void output_report(const struct run_output *out, const struct run_options *o,
		   const struct serve_snapshot *snap, const struct run_result *result)
{
	int fd = out->report_fd >= 0 ? out->report_fd : STDERR_FILENO;
	char *text =
		o->report == REPORT_JSON ? report_json(snap, result) : report_text(snap, result);
	size_t len = text ? strlen(text) : 0, done = 0;
	ssize_t n = 0;

	if (!text) {
		cli_fail("no memory for the report");
		return;
	}
	if (o->report == REPORT_JSON)
		text[len++] = '\n'; /* replaces the final NUL */
	/* The program's last line may lack its newline. JSON may begin with white space, and is the
	 * last thing we write. */
	if (o->report == REPORT_JSON && out->report_fd < 0 && write(fd, "\n", 1) < 0)
		errno = 0;
	/* Pipes and devices refuse truncation; there is nothing to truncate then. */
	if (out->report_fd >= 0 && (out->append ? lseek(fd, 0, SEEK_END) : ftruncate(fd, 0)) != 0)
		errno = 0;
	for (; done < len && n >= 0; done += n > 0 ? (size_t)n : 0)
		n = write(fd, text + done, len - done);
	if (n < 0)
		cli_fail("option --report-file: cannot write '%s': %s",
			 o->report_file ? TEXT_NAME(o->report_file) : "standard error",
			 strerror(errno));
	free(text);
}
