/* cli/running.c - which run do "PID" and "GROUP" mean? See running.h.
 *
 * Locks: none.
 */
#include "cli/running.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

long running_number(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 10 && strspn(text, "0123456789") == len ? strtol(text, NULL, 10)
									: -1;
}

int running_take(struct running *t, const char *text)
{
	t->text = text;
	if (text[strspn(text, "0123456789")])
		return 0;
	if (running_number(text) <= 0)
		return cli_fail("%s: '%s' is not the number of a process", t->command,
				TEXT_NAME(text));
	t->pid = (uint32_t)running_number(text);
	return 0;
}

static unsigned count_state(const struct running *t, enum remote_state state)
{
	unsigned n = 0;

	for (int i = 0; i < t->nr_runs; i++)
		n += t->runs[i].state == state;
	return n;
}

int running_unreachable(const struct running *t, const struct remote_run *r)
{
	if (r->state == REMOTE_DENIED)
		return cli_fail("%s: no permission: umemcg run (%d) belongs to another user; ask "
				"as that user or root",
				t->command, (int)r->pid);
	if (r->state == REMOTE_OTHER)
		return cli_fail("%s: umemcg run (%d) is of another version of umemcg", t->command,
				(int)r->pid);
	return cli_fail("%s: umemcg run (%d) does not answer; is it stopped?", t->command,
			(int)r->pid);
}

/* What the search could not see, to end a sentence. */
static const char *unseen(const struct running *t)
{
	if (count_state(t, REMOTE_DENIED))
		return " (runs of other users were not asked)";
	if (count_state(t, REMOTE_SILENT) + count_state(t, REMOTE_OTHER))
		return " (not every run answered)";
	return "";
}

static int no_such_member(const struct running *t)
{
	int error = kill((pid_t)t->pid, 0) == 0 ? 0 : errno;

	if (error == ESRCH)
		return cli_fail("%s: there is no process %s", t->command, TEXT_NAME(t->text));
	if (error == EPERM)
		return cli_fail("%s: no permission: process %s belongs to another user; ask as "
				"that user or root",
				t->command, TEXT_NAME(t->text));
	return cli_fail("%s: process %s is not a member of any umemcg run%s", t->command,
			TEXT_NAME(t->text), unseen(t));
}

/* t->pid becomes 0 if the whole group is meant. */
static int find_process(struct running *t, bool any_member)
{
	for (int i = 0; i < t->nr_runs; i++) {
		struct remote_run *r = &t->runs[i];

		if ((uint32_t)r->pid == t->pid) {
			if (r->state != REMOTE_ANSWERED)
				return running_unreachable(t, r);
			t->pid = 0;
			t->run = r;
			return 0;
		}
		if (r->state == REMOTE_ANSWERED && r->is.member != REMOTE_STRANGER)
			t->run = r;
	}
	if (!t->run)
		return no_such_member(t);
	if (any_member || t->run->is.member == REMOTE_MANAGED)
		return 0;
	return cli_fail("%s: process %s of group %s is not managed, and where its pages are is "
			"not known here; migratepages(8) moves them",
			t->command, TEXT_NAME(t->text), t->run->is.group);
}

static int no_such_group(const struct running *t)
{
	char names[512];
	unsigned n = 0;

	TEXT_ON(text, names);
	for (int i = 0; i < t->nr_runs; i++)
		if (t->runs[i].state == REMOTE_ANSWERED)
			text_printf(&text, "%s%s (%s)", n++ ? ", " : "; there is ",
				    t->runs[i].is.group, t->runs[i].is.program);
	return cli_fail("%s: no umemcg run has a group '%s'%s%s", t->command, TEXT_NAME(t->text),
			n ? names : "", unseen(t));
}

static int find_group(struct running *t)
{
	char pids[256];
	unsigned n = 0;

	TEXT_ON(text, pids);
	for (int i = 0; i < t->nr_runs; i++) {
		struct remote_run *r = &t->runs[i];

		if (r->state != REMOTE_ANSWERED || strcmp(r->is.group, t->text) != 0)
			continue;
		text_printf(&text, "%s%d", n++ ? ", " : "", (int)r->pid);
		t->run = r;
	}
	if (n > 1)
		return cli_fail("%s: %u runs have a group '%s'; give the PID of one: %s",
				t->command, n, TEXT_NAME(t->text), pids);
	return n ? 0 : no_such_group(t);
}

int running_find(struct running *t, bool any_member)
{
	t->nr_runs = remote_find(t->pid, &t->runs);
	if (t->nr_runs < 0) {
		int error = -t->nr_runs;

		t->nr_runs = 0;
		return cli_fail("%s: cannot look for running umemcg: %s", t->command,
				strerror(error));
	}
	return t->pid ? find_process(t, any_member) : find_group(t);
}

void running_done(struct running *t)
{
	remote_found_free(t->runs, t->nr_runs);
}
