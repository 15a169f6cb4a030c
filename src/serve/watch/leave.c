/* serve/watch/leave.c - processes whose program threads have all ended while the helper remains.
 *
 * libc ends a process by exit_group, which ends the helper too. A program that does not (the exit
 * system call; a system call filter that ends one thread) ends thread by thread, and the helper,
 * also a thread, would keep the process alive: its parent would wait for ever, and a signal to it
 * would stay pending, as no thread takes it. The watcher checks the first thread of each process in
 * turn. When it is a zombie and the helper is the only other thread, the helper is told to leave
 * (MSG_LEAVE) with the first thread's status. No thread can be started then. While other threads of
 * the program run, nothing happens.
 *
 * A helper of standby.c detects this itself, until it is asked for something.
 *
 * Locks: batch_lock, trylock only: a withdrawal may hold it for long, and the watcher comes again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/channel/channel.h"
#include "serve/process/proc.h"
#include "serve/session/session.h"
#include "serve/watch/parts.h"

#define THREADS_LEFT 2 /* first thread and helper */

struct first {
	char state;
	long threads;    /* of the process */
	uint32_t status; /* once it has ended, as in wait(2); 0 if not readable */
};

/* After the name, which may contain anything: the state; field 18 is the number of threads; the
 * last is the exit code. */
static bool parse(const char *stat, struct first *f)
{
	const char *at = strrchr(stat, ')');

	if (!at || sscanf(at + 1,
			  " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld",
			  &f->state, &f->threads) != 2)
		return false;
	f->status = (uint32_t)strtoul(strrchr(at, ' '), NULL, 10);
	return true;
}

static bool look(pid_t pid, struct first *f)
{
	char path[32], text[1024];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return parse(text, f);
}

/* Another helper may have taken its place (standby.c), in a process that lives on: do not tell that
 * one. */
static void tell_to_leave(struct client *c, pid_t helper, uint32_t status)
{
	struct msg_leave m = { .h = { PROTO_MAGIC, MSG_LEAVE, 0 }, .status = status };

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(c->sock >= 0);
	if (!spin_trylock(&c->host.batch_lock))
		return;
	if (c->host.task == helper && msg_send(c->sock, &m, sizeof(m), -1) == 0)
		c->told_to_leave = helper;
	spin_unlock(&c->host.batch_lock);
}

void leave_look(struct client *c)
{
	const pid_t pid = c->host.pid, helper = c->host.task;
	struct first first;

	assert_thread(THREAD_WATCHER);
	VM_ASSERT(!c->unmanaged);
	if (c->sock < 0 || helper == pid || client_is_leaving(c) || !look(pid, &first))
		return;
	follow_look(c, first.state == 't');
	/* Check the helper last: if it is there now it was there before, so it is one of the
	 * two. */
	if (first.state == 'Z' && first.threads == THREADS_LEFT && c->told_to_leave != helper &&
	    proc_has_thread(pid, helper))
		tell_to_leave(c, helper, first.status);
}
