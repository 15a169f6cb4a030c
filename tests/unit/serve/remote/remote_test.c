/* tests/unit/serve/remote/remote_test.c - the control socket (serve/remote/remote.h): its server in
 * a thread, its clients in the test.
 *
 * The server works on a counter of steps. No privileges are needed.
 */
#include <errno.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote_server.h"

#define NOBODY    (1u << 31)  /* not a process either */
#define FOREVER   1000000000u /* steps */
#define WORD_NS   100000000u  /* interval of progress messages: less often than that */
#define ANSWER_MS 60000       /* for prompt answers, however busy the machine is */

/* A socket, and in *@a the address of a run of our PID with this @suffix. The address's length. */
static socklen_t address(struct sockaddr_un *a, const char *suffix, int *fd)
{
	int n;

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, REMOTE_PREFIX "%d%s", (int)getpid(),
		     suffix);
	*fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int dial(void)
{
	struct sockaddr_un a;
	int fd;
	socklen_t len = address(&a, "", &fd);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

/* The answer to WHO. */
static void expect_answer(int fd)
{
	struct remote_who m = { .h = { REMOTE_MAGIC, REMOTE_WHO }, .pid = member };
	struct remote_is r;

	assert_int_equal(remote_send(fd, &m, sizeof(m)), 0);
	assert_int_equal(remote_recv(fd, &r, sizeof(r), REMOTE_IS, REMOTE_IS, ANSWER_MS),
			 REMOTE_IS);
	assert_string_equal(r.group, "job");
	assert_int_equal(r.member, REMOTE_MANAGED);
}

static int ask_migrate(uint32_t pid, uint32_t steps)
{
	struct remote_migrate m = {
		.h = { REMOTE_MAGIC, REMOTE_MIGRATE }, .pid = pid, .from = 0, .to = steps
	};
	int fd = dial();

	assert_int_equal(remote_send(fd, &m, sizeof(m)), 0);
	return fd;
}

/* The final message, after any progress numbers. */
static struct remote_moved last_word(int fd, unsigned *progress)
{
	struct remote_moved r;
	int type;

	*progress = 0;
	while ((type = remote_recv(fd, &r, sizeof(r), REMOTE_PROGRESS, REMOTE_DONE, ANSWER_MS)) ==
	       REMOTE_PROGRESS)
		++*progress;
	assert_int_equal(type, REMOTE_DONE);
	return r;
}

static struct remote_run *ourselves(struct remote_run *runs, int n)
{
	for (int i = 0; i < n; i++)
		if (runs[i].pid == getpid())
			return &runs[i];
	return NULL;
}

/* A listening run is found once, and reports its group and whether the process is a member; an
 * ended one is not found. */
TEST(a_run_is_found_while_it_is_there)
{
	struct remote_run *runs, *us;
	int n, fd;

	up();
	fd = dial();
	expect_answer(fd);
	n = remote_find(member, &runs);
	assert_true(n >= 1);
	us = ourselves(runs, n);
	assert_non_null(us);
	assert_int_equal(us->state, REMOTE_ANSWERED);
	assert_string_equal(us->is.group, "job");
	assert_string_equal(us->is.program, "prog");
	assert_int_equal(us->is.member, REMOTE_MANAGED);
	assert_null(ourselves(us + 1, n - 1 - (int)(us - runs)));
	close(fd);
	remote_found_free(runs, n);
	n = remote_find(NOBODY, &runs);
	us = ourselves(runs, n);
	assert_int_equal(us->is.member, REMOTE_STRANGER);
	remote_found_free(runs, n);
	test_end();
	n = remote_find(member, &runs);
	assert_null(ourselves(runs, n));
	remote_found_free(runs, n);
}

/* Anybody may listen under such a name. A process below the run is a member if the run says so; no
 * other process is. */
TEST(a_run_is_not_believed_to_have_a_process_that_is_not_below_it)
{
	struct remote_run *runs, *us;
	int n;

	up();
	member = (uint32_t)getppid();
	n = remote_find(member, &runs);
	us = ourselves(runs, n);
	assert_non_null(us);
	assert_int_equal(us->state, REMOTE_ANSWERED);
	assert_int_equal(us->is.member, REMOTE_STRANGER);
	remote_found_free(runs, n);
}

/* A name is taken once; it is free again when its owner has closed it. */
TEST(a_name_that_is_taken_is_an_error)
{
	struct remote_server other;

	up();
	assert_int_equal(remote_listen(&other, &fake, &server), -EADDRINUSE);
	remote_serve(&other, stop_fd);
	test_end();
	up();
}

/* A migration proceeds step by step, reports its progress, and at the end its result. */
TEST(long_work_tells_how_far_it_is)
{
	unsigned progress;
	struct remote_moved r;
	uint64_t start;
	int fd;

	up();
	start = plat_now_ns();
	fd = ask_migrate(0, 6000);
	r = last_word(fd, &progress);
	assert_int_equal(r.error, 0);
	assert_int_equal(r.moved, 6000);
	assert_int_equal(r.total, 6000);
	assert_in_range(progress, 1, 1 + (plat_now_ns() - start) / WORD_NS);
	close(fd);
	fd = ask_migrate(7, 1);
	assert_int_equal(last_word(fd, &progress).error, -ESRCH);
	close(fd);
}

/* While one request is in progress, others are answered, and a second migration is refused. */
TEST(others_are_answered_while_it_works)
{
	unsigned progress;
	int worker, fd;

	up();
	worker = ask_migrate(0, FOREVER);
	for (int i = 0; i < 50; i++) {
		fd = dial();
		expect_answer(fd);
		close(fd);
	}
	fd = ask_migrate(member, 1);
	assert_int_equal(last_word(fd, &progress).error, -EBUSY);
	expect_answer(fd);
	close(fd);
	close(worker);
}

/* Work for a client that went away ends; all work ends when the server stops. */
TEST(work_ends_with_who_asked_for_it)
{
	unsigned progress;
	int fd;

	up();
	fd = ask_migrate(0, FOREVER);
	expect_answer(dial());
	close(fd);
	WAIT_UNTIL(a32_load(&ended) == 1);
	fd = ask_migrate(0, 1);
	assert_int_equal(last_word(fd, &progress).error, 0);
	close(fd);
	fd = ask_migrate(0, FOREVER);
	while (a32_load(&begun) != 3)
		plat_sleep_ns(1000 * 1000);
	test_end();
	close(fd);
}

/* The client must be silent while its work is in progress: a message ends both. */
TEST(a_word_while_it_works_ends_it)
{
	struct remote_who m = { .h = { REMOTE_MAGIC, REMOTE_WHO } };
	struct remote_moved r;
	int fd, type;

	up();
	fd = ask_migrate(0, FOREVER);
	(void)remote_send(fd, &m, sizeof(m));
	while ((type = remote_recv(fd, &r, sizeof(r), REMOTE_PROGRESS, REMOTE_DONE, ANSWER_MS)) ==
	       REMOTE_PROGRESS)
		;
	assert_int_equal(type, 0);
	close(fd);
}

/* Garbage of any length closes its connection and harms no other; a well-formed unknown message is
 * refused. */
TEST(nonsense_ends_its_own_connection_only)
{
	struct remote_head unknown = { REMOTE_MAGIC, 77 };
	struct remote_refused no;
	unsigned seed = 1;
	int good;
	char junk[600];

	up();
	good = dial();
	for (int i = 0; i < 400; i++) {
		size_t n = (size_t)rand_r(&seed) % (sizeof(junk) - 8);
		struct remote_head h = { i % 3 ? REMOTE_MAGIC : REMOTE_MAGIC + 1,
					 i % 2 ? REMOTE_WHO : REMOTE_MIGRATE };
		int fd = dial();

		for (size_t k = 0; k < sizeof(junk); k++)
			junk[k] = (char)rand_r(&seed);
		if (i % 5)
			memcpy(junk, &h, sizeof(h));
		/* Must not happen to be a message. */
		if (n == sizeof(struct remote_who) || n == sizeof(struct remote_migrate))
			n++;
		(void)send(fd, junk, n, MSG_NOSIGNAL);
		assert_int_equal(remote_recv(fd, &no, sizeof(no), REMOTE_IS, REMOTE_IS, ANSWER_MS),
				 0);
		close(fd);
	}
	expect_answer(good);
	assert_int_equal(remote_send(good, &unknown, sizeof(unknown)), 0);
	assert_int_equal(remote_recv(good, &no, sizeof(no), 0, 0, ANSWER_MS), REMOTE_REFUSED);
	assert_int_equal(no.error, -ENOSYS);
	expect_answer(good);
	close(good);
}

/* Any number of silent connections: a client that sends is heard at once, and one with work in
 * progress stays. */
TEST(silent_connections_keep_nobody_out)
{
	int silent[4 * REMOTE_CONNS_MAX], fd, worker;

	up();
	worker = ask_migrate(0, FOREVER);
	for (unsigned i = 0; i < 4 * REMOTE_CONNS_MAX; i++) {
		silent[i] = dial();
		if (i % REMOTE_CONNS_MAX)
			continue;
		fd = dial();
		expect_answer(fd);
		close(fd);
	}
	assert_int_equal(a32_load(&begun), 1);
	assert_int_equal(a32_load(&ended), 0);
	for (unsigned i = 0; i < 4 * REMOTE_CONNS_MAX; i++)
		close(silent[i]);
	close(worker);
}

/* A client that asks and does not read holds up nobody; progress is not reported to it again and
 * again, so that there is room for the final message. */
TEST(who_does_not_read_holds_up_nobody)
{
	unsigned progress;
	int deaf, fd;

	up();
	deaf = ask_migrate(0, 30000);
	WAIT_UNTIL(a32_load(&ended) == 1);
	fd = dial();
	expect_answer(fd);
	close(fd);
	assert_int_equal(last_word(deaf, &progress).moved, 30000);
	assert_int_equal(progress, 1);
	close(deaf);
}

/* A connection that is silent for long is closed, so that it does not hold a descriptor of the run
 * forever. */
TEST(a_silent_connection_is_closed)
{
	char byte;
	int fd;

	up();
	fd = dial();
	assert_int_equal(remote_recv(fd, &byte, 1, 0, 0, 3 * REMOTE_SILENT_MS), 0);
	close(fd);
}

/* Another run of the same name space that listens and never answers, like a stopped one. */
static int deaf_run(void)
{
	struct sockaddr_un a;
	int fd;
	socklen_t len = address(&a, ".deaf", &fd);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Both sockets are ours: the one that answered. */
static struct remote_run *who_answered(struct remote_run *runs, int n)
{
	for (struct remote_run *r = runs; r < runs + n; r++)
		if (r->pid == getpid() && r->state == REMOTE_ANSWERED)
			return r;
	return NULL;
}

/* A query by name waits for every run; a run that answered at once must still listen when that is
 * over. */
TEST(an_answer_outlasts_the_wait_for_the_others)
{
	struct remote_migrate m = { .h = { REMOTE_MAGIC, REMOTE_MIGRATE },
				    .pid = member,
				    .to = 10 };
	struct remote_run *runs, *us;
	int n, deaf = deaf_run();
	uint64_t start;

	up();
	start = plat_now_ns();
	n = remote_find(0, &runs);
	assert_true(plat_now_ns() - start >= (uint64_t)REMOTE_FIND_MS * 1000000);
	us = who_answered(runs, n);
	assert_non_null(us);
	/* The server checks for timeouts at least once per second. */
	plat_sleep_ns(1500 * 1000000ull);
	assert_int_equal(remote_send(us->fd, &m, sizeof(m)), 0);
	(void)last_word(us->fd, &(unsigned){ 0 });
	remote_found_free(runs, n);
	close(deaf);
}

/* A process belongs to one run: a query for it does not wait for the others once that run has
 * answered. */
TEST(a_member_is_found_beside_one_that_does_not_answer)
{
	int n, deaf = deaf_run();
	struct remote_run *runs;
	uint64_t start;

	up();
	start = plat_now_ns();
	n = remote_find(member, &runs);
	assert_true(plat_now_ns() - start < (uint64_t)REMOTE_FIND_MS * 1000000);
	assert_non_null(who_answered(runs, n));
	remote_found_free(runs, n);
	close(deaf);
}

/* As another user: how our server looks from there. */
static _Noreturn void look_as_nobody(void)
{
	struct remote_run *runs, *us;
	int n;

	if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
		_exit(100);
	n = remote_find(member, &runs);
	for (us = runs; us < runs + n && us->pid != getppid(); us++)
		;
	_exit(us == runs + n ? 101 : us->is.group[0] ? 102 : (int)us->state);
}

/* Another user is told so and nothing else. */
TEST(another_user_is_refused)
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		TEST_SKIP("needs root to be somebody else");
	begin();
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		look_as_nobody();
	/* It has sent before it is accepted: then its connection is closed with an unread
	 * message. */
	plat_sleep_ns(300 * 1000 * 1000);
	start();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), REMOTE_DENIED);
}
