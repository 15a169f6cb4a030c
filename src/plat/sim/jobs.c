/* plat/sim/jobs.c - sharing a search. The parent hands out the untried choice nearest to the root
 * of its stack: it forks a child, which tries everything below that choice and reports its counts,
 * its first failure and the choices it found necessary at the nodes above; the parent tries those.
 *
 * A node stays on the parent's stack until every choice handed out at or below it has been
 * reported, so a report always finds the nodes that it adds to.
 *
 * Locks: none; each child shares only a pipe with the parent.
 */
#include "plat/sim/jobs.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plat/sim/dpor.h"

#define CHILDREN_MAX 63

static struct child {
	pid_t pid; /* 0: unused */
	int pipe;
	unsigned depth; /* the node whose choice it tries */
} children[CHILDREN_MAX];
static unsigned nr_children, running;
static struct explore *search_of;
static void (*search)(struct explore *x, int pipe);
static void (*take)(struct explore *x, const struct explore *from);
static struct explore received;

void jobs_begin(unsigned n, struct explore *x, void (*search_)(struct explore *x, int pipe),
		void (*take_)(struct explore *x, const struct explore *from))
{
	nr_children = n < CHILDREN_MAX ? n : CHILDREN_MAX;
	running = 0;
	memset(children, 0, sizeof(children));
	search_of = x;
	search = search_;
	take = take_;
}

static void put(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t k = write(fd, at, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			_exit(1);
		at += k;
		n -= (size_t)k;
	}
}

static bool get(int fd, void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t k = read(fd, at, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		at += k;
		n -= (size_t)k;
	}
	return true;
}

void jobs_report(int pipe, const struct explore *x)
{
	put(pipe, x, sizeof(*x));
	for (unsigned d = 0; d < dpor_floor; d++)
		put(pipe, &dpor_nodes[d].backtrack, sizeof(uint32_t));
}

static void lost(const struct child *c)
{
	fprintf(stderr, "umemcg check: process %d of the search ended without a result\n",
		(int)c->pid);
	jobs_end();
	exit(125);
}

static void collect(struct child *c)
{
	if (!get(c->pipe, &received, sizeof(received)))
		lost(c);
	for (unsigned d = 0; d <= c->depth; d++) {
		uint32_t backtrack;

		if (!get(c->pipe, &backtrack, sizeof(backtrack)))
			lost(c);
		dpor_nodes[d].backtrack |= backtrack;
	}
	close(c->pipe);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
	running--;
	dpor_nodes[c->depth].given_away--;
	take(search_of, &received);
}

/* Collect finished children; if @block, wait for one. */
static void collect_ready(bool block)
{
	struct pollfd p[CHILDREN_MAX];
	struct child *who[CHILDREN_MAX];
	nfds_t n = 0;

	for (unsigned i = 0; i < nr_children; i++)
		if (children[i].pid) {
			p[n] = (struct pollfd){ .fd = children[i].pipe, .events = POLLIN };
			who[n++] = &children[i];
		}
	while (n && poll(p, n, block ? -1 : 0) < 0 && errno == EINTR)
		;
	for (nfds_t i = 0; i < n; i++)
		if (p[i].revents)
			collect(who[i]);
}

/* The node nearest to the root with a choice to hand out; -1: none. The last node's choice is the
 * parent's own next one. */
static int node_to_share(void)
{
	for (unsigned d = 0; d + 1 < dpor_len; d++)
		if (dpor_choices(d) & ~(1u << dpor_nodes[d].chosen))
			return (int)d;
	return -1;
}

static void give_away(struct child *c, unsigned d)
{
	struct dpor_node *n = &dpor_nodes[d];
	unsigned t = (unsigned)__builtin_ctz(dpor_choices(d) & ~(1u << n->chosen));
	pid_t pid, parent = getpid();
	int fds[2];

	if (pipe(fds) < 0)
		return;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* Die with the parent: there would be no reader for the results. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		close(fds[0]);
		/* The current choice counts as tried: the parent will finish it. */
		n->done |= 1u << n->chosen;
		n->chosen = (uint8_t)t;
		dpor_len = dpor_floor = d + 1;
		for (unsigned i = 0; i <= d; i++)
			dpor_nodes[i].given_away = 0;
		search(search_of, fds[1]);
		_exit(1);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return;
	}
	n->done |= 1u << t;
	n->given_away++;
	*c = (struct child){ pid, fds[0], d };
	running++;
}

void jobs_share(void)
{
	if (running)
		collect_ready(false);
	for (unsigned i = 0; i < nr_children; i++) {
		int d;

		if (children[i].pid)
			continue;
		d = node_to_share();
		if (d < 0)
			return;
		give_away(&children[i], (unsigned)d);
	}
}

bool jobs_next(void)
{
	while (!dpor_next()) {
		if (!running)
			return false;
		collect_ready(true);
		if ((search_of->stats.failures && !search_of->keep_going) || explore_stop)
			return false;
	}
	return true;
}

void jobs_end(void)
{
	for (unsigned i = 0; i < nr_children; i++) {
		struct child *c = &children[i];

		if (!c->pid)
			continue;
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		close(c->pipe);
		c->pid = 0;
	}
	running = 0;
}
