/* agent/list.c - hides the helper from the thread lists of managed processes.
 *
 * A debugger that attaches to a running process (gdb -p) lists /proc/PID/task repeatedly, until it
 * finds no thread that it is not attached to. It cannot attach to the helper (peek.c,
 * serve/session/follow.c): it would loop forever. Entries that are not numbers cost nothing more;
 * for numbers, check which directory they are in.
 *
 * Caught: readdir(3). A program that reads directories by getdents64(2) sees the helper, and is
 * refused when it attaches.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <string.h>

#include "agent/hooks.h"

static struct dirent *(*libc_readdir)(DIR *);
static struct dirent64 *(*libc_readdir64)(DIR *);

static bool is_task_list(int fd)
{
	static const char end[] = "/task";
	char path[PROC_PATH_BYTES];
	long n = proc_path_of(fd, path, sizeof path);

	return n > (long)sizeof end && !memcmp(path, "/proc/", 6) &&
	       !strcmp(path + n - (sizeof end - 1), end);
}

static bool hidden(DIR *d, const char *name)
{
	const char *at = name;
	int saved = errno;
	long tid = proc_number(&at);
	bool yes = tid > 0 && !*at && is_task_list(dirfd(d)) && helper_is((pid_t)tid);

	errno = saved;
	return yes;
}

/* Each calls the next one of its own name: see hide.c. */
#define EXPORT(symbol, type)                                                                       \
	AGENT_EXPORT type *export_##symbol(DIR *d) __asm__(#symbol);                               \
	type *export_##symbol(DIR *d)                                                              \
	{                                                                                          \
		type *entry;                                                                       \
                                                                                                   \
		if (!libc_##symbol)                                                                \
			libc_##symbol = (__typeof__(libc_##symbol))dlsym(RTLD_NEXT, #symbol);      \
		do                                                                                 \
			entry = libc_##symbol(d);                                                  \
		while (entry && entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&              \
		       hidden(d, entry->d_name));                                                  \
		return entry;                                                                      \
	}

EXPORT(readdir, struct dirent)
EXPORT(readdir64, struct dirent64)
