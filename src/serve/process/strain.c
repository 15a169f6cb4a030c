/* serve/process/strain.c - see strain.h.
 *
 * Locks: none.
 */
#include "serve/process/strain.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/process.h"

#define THREADS_MAX 256

struct look {
	struct strain *out;
	unsigned threads;
};

/* The kernel's name of the function that a thread sleeps in. */
static bool waits_for_page(pid_t pid, pid_t tid)
{
	char file[64], where[64];

	snprintf(file, sizeof(file), "task/%d/wchan", (int)tid);
	return proc_read(pid, file, where, sizeof(where)) && !strcmp(where, "handle_userfault");
}

static void look_at_threads(pid_t pid, struct look *look)
{
	struct dirent *entry;
	DIR *d = proc_tasks(pid);

	while (d && look->threads < THREADS_MAX && (entry = readdir(d))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		look->threads++;
		if (waits_for_page(pid, tid))
			look->out->waiting++;
	}
	if (d)
		closedir(d);
}

/* CPU time in clock ticks, of all its threads. False: it is gone. */
static bool read_ticks(pid_t pid, uint64_t *user, uint64_t *system)
{
	char buf[512], *after;

	if (!proc_read(pid, "stat", buf, sizeof(buf)))
		return false;
	/* The name may hold anything; the fields start after its last parenthesis. */
	after = strrchr(buf, ')');
	return after && sscanf(after + 1,
			       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
			       user, system) == 2;
}

static void look_at(pid_t pid, pid_t parent, void *arg)
{
	const uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct look *look = arg;
	uint64_t user, system;

	(void)parent;
	VM_ASSERT(pid > 0 && hz > 0);
	if (look->threads >= THREADS_MAX || !read_ticks(pid, &user, &system))
		return;
	look->out->user_us += user * 1000000 / hz;
	look->out->system_us += system * 1000000 / hz;
	look_at_threads(pid, look);
}

void strain_look(pid_t top, struct strain *out)
{
	struct look look = { .out = out };

	VM_ASSERT(top > 0);
	*out = (struct strain){ 0 };
	proc_descendants(top, look_at, &look);
}
