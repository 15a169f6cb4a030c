/* cli/message.c - the text that commands print about themselves. See cli.h.
 *
 * Locks: none; one write a message, so that messages of several processes do not mix.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

void cli_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
}

int cli_fail(const char *format, ...)
{
	char text[1024] = "umemcg: ";
	size_t at = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + at, sizeof(text) - at - 1, format, args);
	va_end(args);
	cli_clean(text);
	strcat(text, "\n");
	/* Nobody is left to tell when standard error cannot be written. */
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		errno = 0;
	return EXIT_OURS;
}

int cli_print(const char *text)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) == EOF)
		return cli_fail("cannot write to standard output: %s", strerror(errno));
	return 0;
}
