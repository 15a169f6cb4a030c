/* tests/fake_supervisor.c - serve/serve.h without an engine: the command line can be tested
 * alone, without privileges, and made to report what is hard to bring about.
 *
 * $UMEMCG_FAKE, read at creation: words separated by spaces.
 *   create, start    that step fails
 *   oom              the root process is said to have been killed for lack of memory
 *   disk             the disk under the swap file is said to be full
 *   notice           one notice at start
 *   flood            more notices than the console keeps
 *
 * Locks: none; a fake has no threads.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/serve.h"

struct supervisor {
	struct serve_config config;
	pid_t root;
};

static bool asked_for(const char *word)
{
	const char *fake = getenv("UMEMCG_FAKE");

	return fake && strstr(fake, word);
}

struct supervisor *supervisor_create(const struct serve_config *config,
				     struct serve_problem *problem)
{
	struct supervisor *s = calloc(1, sizeof(*s));

	if (asked_for("create") || !s) {
		problem->error = -EPERM;
		snprintf(problem->text, sizeof(problem->text), "fake: no permission");
		free(s);
		return NULL;
	}
	s->config = *config;
	return s;
}

int supervisor_start(struct supervisor *s, struct serve_problem *problem)
{
	if (asked_for("start")) {
		problem->error = -EAGAIN;
		snprintf(problem->text, sizeof(problem->text), "fake: cannot start");
		return -EAGAIN;
	}
	if (asked_for("notice"))
		s->config.notice(s->config.notice_arg, "fake: something to know");
	for (int i = 0; asked_for("flood") && i < 100; i++)
		s->config.notice(s->config.notice_arg, "fake: again");
	return 0;
}

void supervisor_child_env(const struct supervisor *s, bool load)
{
	(void)s, (void)load;
	setenv("UMEMCG_SOCKET", "fake", 1);
}

void supervisor_set_keeper(struct supervisor *s, struct keeper *k)
{
	(void)s, (void)k;
}

void supervisor_watch_root(struct supervisor *s, pid_t pid, const char *unable)
{
	(void)unable;
	s->root = pid;
}

/* The children of this process, all but the keeper: what is left of the tree, as its subreaper
 * sees it. */
static int kill_children(void)
{
	char path[64], name[32];
	int child, n = 0;
	FILE *f, *comm;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &child) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/comm", child);
		comm = fopen(path, "re");
		if (!comm)
			continue;
		if (fgets(name, sizeof(name), comm) && strcmp(name, "umemcg-keeper\n") != 0) {
			kill(child, SIGKILL);
			n++;
		}
		fclose(comm);
	}
	if (f)
		fclose(f);
	return n;
}

void supervisor_stop(struct supervisor *s)
{
	(void)s;
	/* Killed ones stay as zombies; ten rounds reach their orphans. */
	for (int round = 0; round < 10 && kill_children() > 0; round++)
		usleep(2000);
}

void supervisor_destroy(struct supervisor *s)
{
	free(s);
}

void supervisor_snapshot(struct supervisor *s, struct serve_snapshot *out)
{
	*out = (struct serve_snapshot){
		.memory_current = 0,
		.memory_peak = s->config.memory_max / 2,
		.memory_max = s->config.memory_max,
		.memory_high = s->config.memory_high,
		.swap_max = s->config.swap_max,
		.memsw_max = s->config.memsw_max,
		.metadata_bytes = s->config.swap_size,
		.clients_total = 1,
		.processes_now = 1,
		.unmanaged_total = 1,
		.nr_unmanaged_names = 1,
		.unmanaged_name = { "odd\n\"name\" (7)" },
		.root_oom_killed = asked_for("oom"),
		.oom_memory = s->config.memory_max,
		.swap_disk_full = asked_for("disk"),
		.store_name = s->config.swap_size ? "fake" : "none",
	};
	out->stat[STAT_ANON] = 3;
	out->stat[STAT_PGFAULT] = 5;
	out->event[EVENT_MAX] = 2;
}
