/* cli/main.c - the umemcg program: one table of commands.
 *
 * Locks: none; each command creates its own threads.
 */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

static const struct command *const commands[] = {
	&run_command, &doctor_command,  &ls_command,    &get_command,
	&set_command, &migrate_command, &check_command,
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	char names[256] = "";

	for (size_t i = 0; i < NR_COMMANDS; i++) {
		strncat(names, i ? ", " : "", sizeof(names) - strlen(names) - 1);
		strncat(names, commands[i]->name, sizeof(names) - strlen(names) - 1);
	}
	return cli_fail("unknown command '%s'; the commands are: %s, help", TEXT_NAME(name), names);
}

static int print_help(void)
{
	char text[2048] = "usage: umemcg COMMAND [ARGUMENTS]\n"
			  "       umemcg help COMMAND\n"
			  "       umemcg --help | --version\n"
			  "\n"
			  "Gives programs a memory limit and swap of their own.\n"
			  "\n"
			  "commands:\n";
	size_t at = strlen(text);

	for (size_t i = 0; i < NR_COMMANDS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "  %-8s %s\n",
				       commands[i]->name, commands[i]->summary);
	return cli_print(text);
}

static int help_command(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2)
		return print_help();
	if (argc > 2)
		return cli_fail("help takes one command, not %d", argc - 1);
	if (strcmp(argv[1], "help") == 0)
		return print_help();
	command = find_command(argv[1]);
	return command ? cli_print(command->help) : unknown_command(argv[1]);
}

/* Is the first word the option @name or @letter? *@status: 0, or EXIT_OURS after a message if
 * arguments follow. */
static bool is_alone(char **argv, const char *name, const char *letter, int *status)
{
	if (strcmp(argv[1], name) != 0 && strcmp(argv[1], letter) != 0)
		return false;
	*status = 0;
	if (argv[2])
		*status = cli_fail("option %s stands alone, and was given '%s' besides; try "
				   "'umemcg --help'",
				   name, TEXT_NAME(argv[2]));
	return true;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int status;

	if (argc < 2)
		return cli_fail("no command given; try 'umemcg --help'");
	if (is_alone(argv, "--help", "-h", &status))
		return status ? status : print_help();
	if (is_alone(argv, "--version", "-V", &status))
		return status ? status : cli_print("umemcg " UMEMCG_VERSION "\n");
	if (strcmp(argv[1], "help") == 0)
		return help_command(argc - 1, argv + 1);
	if (argv[1][0] == '-')
		return cli_fail(
			"unknown option '%s'; options come after a command, as in 'umemcg run -m "
			"64M PROGRAM'",
			TEXT_NAME(argv[1]));
	command = find_command(argv[1]);
	return command ? command->main(argc - 1, argv + 1) : unknown_command(argv[1]);
}
