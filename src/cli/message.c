/* cli/message.c - messages of the commands. See cli.h.
 *
 * Locks: none; one write per message, so that messages of several processes do not mix.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"

#define PREFIX      "umemcg: "
#define MESSAGE_MAX 2048 /* bytes: enough for the longest names that TEXT_NAME leaves */

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args)
{
	char text[MESSAGE_MAX], line[4 * MESSAGE_MAX] = PREFIX;

	vsnprintf(text, sizeof(text), format, args);
	(void)text_plain(line + strlen(PREFIX), sizeof(line) - strlen(PREFIX) - 1, text);
	strcat(line, "\n");
	/* If standard error cannot be written, there is no one left to tell. */
	if (write(STDERR_FILENO, line, strlen(line)) < 0)
		errno = 0;
}

void cli_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

int cli_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	return EXIT_OURS;
}

int cli_print(const char *text)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) == EOF)
		return cli_fail("cannot write to standard output: %s", strerror(errno));
	return 0;
}
