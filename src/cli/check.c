/* cli/check.c - umemcg check: executes the checker, a separate program.
 *
 * The checker contains the engine compiled for the simulated machine, which cannot be in one
 * program with the native one. It is found as the agent is: beside the program (not installed),
 * below its prefix (wherever that was moved), in the build's prefix.
 *
 * Locks: none.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/check_help.h"
#include "cli/cli.h"

#define CHECKER "umemcg-check"

static void directory_of_program(char *dir, size_t n)
{
	ssize_t len = readlink("/proc/self/exe", dir, n - 1);
	char *slash;

	dir[len > 0 ? len : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
}

static int check_main(int argc, char **argv)
{
	static const char *const below[] = { "", "/../" UMEMCG_LIBDIR_NAME };
	char dir[3800], path[4096];

	(void)argc;
	directory_of_program(dir, sizeof(dir));
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		snprintf(path, sizeof(path), "%s%s/" CHECKER, dir, below[i]);
		if (access(path, X_OK) != 0)
			continue;
		execv(path, argv);
		return cli_fail("cannot run %s: %s", TEXT_NAME(path), strerror(errno));
	}
	execv(UMEMCG_LIBDIR "/" CHECKER, argv);
	if (errno != ENOENT)
		return cli_fail("cannot run " UMEMCG_LIBDIR "/" CHECKER ": %s", strerror(errno));
	return cli_fail(CHECKER " is neither in %s nor in " UMEMCG_LIBDIR ": is umemcg installed "
				"completely?",
			TEXT_NAME(dir));
}

const struct command check_command = {
	.name = "check",
	.summary = "run the engine through every interleaving of known races",
	.help = CHECK_HELP,
	.main = check_main,
};
