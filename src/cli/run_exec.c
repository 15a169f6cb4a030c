/* cli/run_exec.c - why a program could not be executed. See run_exec.h.
 *
 * Locks: none. Also called between fork and exec, where there is one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/run_exec.h"
#include "serve/process/target.h"

#define PATH_DEFAULT    "/bin:/usr/bin" /* default of execvp if $PATH is unset */
#define INTERPRETER_MAX 256             /* the kernel reads no more of a script's first line */

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The file that execvp tried. False: none. */
static bool find_program(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH");

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return is_program(path);
	}
	for (dirs = dirs ? dirs : PATH_DEFAULT;; dirs++) {
		int len = (int)strcspn(dirs, ":");

		snprintf(path, PATH_MAX, "%.*s%s%s", len, dirs, len ? "/" : "", name);
		if (is_program(path))
			return true;
		dirs += len;
		if (!*dirs)
			return false;
	}
}

/* The interpreter named after #!; false: not a script. */
static bool interpreter_of(const char *path, char interpreter[INTERPRETER_MAX])
{
	char line[INTERPRETER_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	const char *start;

	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = '\0';
	if (strncmp(line, "#!", 2) != 0)
		return false;
	start = line + 2 + strspn(line + 2, " \t");
	snprintf(interpreter, INTERPRETER_MAX, "%.*s", (int)strcspn(start, " \t\n"), start);
	return true;
}

static long read_file(const char *path, void *buf, size_t n, size_t at)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t got = fd < 0 ? -1 : pread(fd, buf, n, (off_t)at);

	if (fd >= 0)
		close(fd);
	return got;
}

bool exec_refuses_agent(const char *name)
{
	char path[PATH_MAX];

	return find_program(name, path) && target_of(path, read_file) == TARGET_REFUSES;
}

bool exec_is_unable(const char *name)
{
	char path[PATH_MAX];

	return find_program(name, path) && target_of(path, read_file) != TARGET_TAKES;
}

int exec_exit_status(const char *name, int error)
{
	char path[PATH_MAX];

	return error == ENOENT && !find_program(name, path) ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

const char *exec_why(char text[EXEC_TEXT_MAX], const char *name, int error)
{
	struct stat st;
	char path[PATH_MAX], interpreter[INTERPRETER_MAX];

	if (error == EACCES && stat(name, &st) == 0 && S_ISDIR(st.st_mode))
		snprintf(text, EXEC_TEXT_MAX, "it is a directory");
	else if (error != ENOENT || !find_program(name, path))
		snprintf(text, EXEC_TEXT_MAX, "%s", strerror(error));
	else if (interpreter_of(path, interpreter))
		snprintf(text, EXEC_TEXT_MAX, "its interpreter '%s' does not exist", interpreter);
	else
		snprintf(text, EXEC_TEXT_MAX, "its dynamic loader does not exist");
	return text;
}
