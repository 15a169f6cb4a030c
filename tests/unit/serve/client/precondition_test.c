/* tests/unit/serve/client/precondition_test.c - what functions of the supervisor require is
 * asserted in debug builds: the thread, a reference, a lock. Each is met once and violated once. */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/account/account.h"
#include "test.h"

#ifdef UMEMCG_DEBUG
static struct client *make(void)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	spin_init(&c->host.batch_lock, RANK_HOST_BATCH);
	return c;
}

/* How a child that calls @fn ends: the signal that killed it, or 0. */
static int signal_of(void (*fn)(struct client *c), struct client *c)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		(void)setrlimit(RLIMIT_CORE, &none);
		(void)close(STDERR_FILENO);
		fn(c);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void look(struct client *c)
{
	(void)measure_hot(c, plat_now_ns());
}

static void look_as_watcher(struct client *c)
{
	thread_begin(THREAD_WATCHER);
	look(c);
}

static void look_as_finder(struct client *c)
{
	thread_begin(THREAD_FINDER);
	look(c);
}

/* What belongs to one thread is not called by another. */
TEST(a_function_of_another_thread_is_refused)
{
	struct client *c = make();

	assert_int_equal(signal_of(look_as_watcher, c), 0);
	assert_int_equal(signal_of(look_as_finder, c), SIGABRT);
	assert_int_equal(signal_of(look, c), SIGABRT);
	free(c);
}

/* A client may be freed while nobody has a reference. */
TEST(a_client_without_a_reference_is_refused)
{
	struct client *c = make();

	assert_int_equal(signal_of(client_ref, c), SIGABRT);
	a32_store(&c->ref, 1);
	assert_int_equal(signal_of(client_ref, c), 0);
	free(c);
}

static void ask(struct client *c)
{
	(void)huge_unwanted(c);
}

static void ask_locked(struct client *c)
{
	spin_lock(&c->host.batch_lock);
	(void)huge_unwanted(c);
	spin_unlock(&c->host.batch_lock);
}

/* A member that a lock protects is not touched without it. */
TEST(a_lock_that_is_not_held_is_noticed)
{
	struct client *c = make();

	assert_int_equal(signal_of(ask, c), SIGABRT);
	assert_int_equal(signal_of(ask_locked, c), 0);
	free(c);
}
#else
TEST(release_builds_assert_nothing)
{
	skip();
}
#endif
