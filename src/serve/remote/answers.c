/* serve/remote/answers.c - the supervisor's answers to requests from outside (remote.h), and their
 * thread.
 *
 * The thread "umemcg-remote" holds no lock while it waits. Only supervisor_stop waits for it, and
 * ends the current request after its current step.
 *
 * Locks: none of its own; migrate.c says what a step takes.
 */
#include <stdio.h>
#include <string.h>

#include "serve/process/proc.h"
#include "serve/remote/files.h"
#include "serve/remote/migrate.h"
#include "serve/remote/remote.h"

struct answers {
	struct remote_server server;
	struct migration_job migration;
	struct files_job files;
	struct plat_thread thread;
};

static void answer_who(void *arg, uint32_t pid, struct remote_is *out)
{
	struct supervisor *s = arg;
	struct client *c = pid ? client_by_pid(s, (pid_t)pid) : NULL;

	assert_thread(THREAD_REMOTE);
	snprintf(out->group, sizeof(out->group), "%.63s", s->group->name);
	proc_comm((pid_t)a32_load(&s->root_pid), out->program, sizeof(out->program));
	if (c)
		out->member = c->unmanaged ? REMOTE_NOT_MANAGED : REMOTE_MANAGED;
	else if (pid && !(s->keeper && (pid_t)pid == s->keeper->pid) && proc_is_ours((pid_t)pid))
		out->member = REMOTE_NOT_MANAGED;
	if (c)
		client_put(c);
}

static void tell_moved(const struct migration_job *j, struct remote_moved *out)
{
	out->total = j->total;
	out->moved = j->sum.moved;
	out->failed = j->sum.failed;
	out->elsewhere = j->sum.elsewhere;
	out->absent = j->sum.absent;
	out->shared = j->sum.shared;
	out->why = j->sum.error;
}

static bool answer_migrate(void *arg, const struct remote_migrate *m, struct remote_moved *out)
{
	struct supervisor *s = arg;
	struct client *only = m->pid ? client_by_pid(s, (pid_t)m->pid) : NULL;
	int n = nodes_of_machine.list(out->node, REMOTE_NODES_MAX);

	assert_thread(THREAD_REMOTE);
	out->nr_nodes = n > 0 ? (uint32_t)n : 0;
	if (m->pid && !only)
		out->error = -ESRCH;
	else if (only && only->unmanaged)
		out->error = -EMEDIUMTYPE;
	else
		out->error = nodes_check(out->node, n, m->from, m->to);
	if (out->error) {
		if (only)
			client_put(only);
		return false;
	}
	migration_begin(&s->answers->migration, s, &nodes_of_machine, only, m->from, m->to);
	tell_moved(&s->answers->migration, out);
	return true;
}

static bool answer_step(void *arg, struct remote_moved *out)
{
	struct supervisor *s = arg;
	bool more = migration_step(&s->answers->migration);

	assert_thread(THREAD_REMOTE);
	tell_moved(&s->answers->migration, out);
	return more;
}

static void answer_end(void *arg)
{
	assert_thread(THREAD_REMOTE);
	migration_end(&((struct supervisor *)arg)->answers->migration);
}

static void answer_read(void *arg, const struct remote_ask *m, struct remote_file *out)
{
	assert_thread(THREAD_REMOTE);
	files_read(arg, m, out);
}

static bool answer_write(void *arg, const struct remote_ask *m, struct remote_file *out)
{
	struct supervisor *s = arg;

	assert_thread(THREAD_REMOTE);
	out->error = files_write_begin(&s->answers->files, s, m);
	return !out->error;
}

static bool answer_written(void *arg, struct remote_file *out)
{
	struct supervisor *s = arg;

	assert_thread(THREAD_REMOTE);
	return files_write_wait(&s->answers->files, &out->error);
}

static const struct remote_ops answers = {
	.who = answer_who,
	.migrate = answer_migrate,
	.step = answer_step,
	.end = answer_end,
	.read = answer_read,
	.write = answer_write,
	.written = answer_written,
};

static void answers_main(void *arg)
{
	struct supervisor *s = arg;

	thread_begin(THREAD_REMOTE);
	remote_serve(&s->answers->server, s->stop_fd);
}

int answers_init(struct supervisor *s)
{
	if (supervisor_part(&s->answers, sizeof(*s->answers)))
		return -ENOMEM;
	s->answers->server.listen_fd = -1;
	files_init(&s->answers->files);
	return 0;
}

int answers_start(struct supervisor *s)
{
	int err = remote_listen(&s->answers->server, &answers, s);

	assert_thread(THREAD_MAIN);
	/* Another process that took our name has taken no more than that. */
	if (err) {
		supervisor_notice(s, "other umemcg commands cannot reach this run: %s",
				  strerror(-err));
		return 0;
	}
	err = plat_thread_start(&s->answers->thread, "umemcg-remote", answers_main, s);
	if (err)
		remote_close(&s->answers->server);
	return err;
}

void answers_stop(struct supervisor *s)
{
	if (s->answers->server.listen_fd < 0)
		return;
	plat_thread_join(&s->answers->thread);
	files_write_end(&s->answers->files);
	remote_close(&s->answers->server);
}
