/* tests/unit/serve/client/state_test.c - the states of a client (serve/client/client.h): which may
 * follow which, and who wins. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/client/client.h"
#include "test.h"

#define ROUNDS 200

static struct client *make(enum client_state state)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	a32_store(&c->state_word, state);
	return c;
}

/* One row per state, as the drawing has it: the states that may follow. */
static const char *const follow[NR_CLIENT_STATES] = {
	/*                          FJSU EIM CE */
	[CLIENT_FORKED] = "-x-- --- xx",    [CLIENT_JOINING] = "-xxx --- -x",
	[CLIENT_SERVED] = "-xx- --- xx",    [CLIENT_UNREADY] = "-xx- --- xx",
	[CLIENT_EXECUTING] = "---- -x- -x", [CLIENT_UNIDENTIFIED] = "---- --x -x",
	[CLIENT_UNMANAGED] = "---- --- -x", [CLIENT_CLOSING] = "-xx- --- xx",
	[CLIENT_ENDED] = "---- --- --",
};

static bool allowed(int from, int to)
{
	return follow[from][to + (to > CLIENT_UNREADY) + (to > CLIENT_UNMANAGED)] == 'x';
}

/* The drawing and the table say the same. */
TEST(every_change_that_the_drawing_has_is_made)
{
	for (int from = 0; from < NR_CLIENT_STATES; from++)
		for (int to = 0; to < NR_CLIENT_STATES; to++) {
			struct client *c = make((enum client_state)from);

			if (allowed(from, to)) {
				assert_int_equal(client_set_state(c, (enum client_state)to), from);
				assert_int_equal(client_state(c), to);
			}
			free(c);
		}
}

#ifdef UMEMCG_DEBUG
/* How a process ends that makes the change: killed by SIGABRT if an assertion fails. */
static int signal_of(int from, int to)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		(void)setrlimit(RLIMIT_CORE, &none);
		(void)close(STDERR_FILENO);
		(void)client_set_state(make((enum client_state)from), (enum client_state)to);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* A change that is not in the drawing is a bug of the caller's. */
TEST(every_other_change_is_refused)
{
	for (int from = 0; from < CLIENT_ENDED; from++)
		for (int to = 0; to < NR_CLIENT_STATES; to++)
			if (!allowed(from, to))
				assert_int_equal(signal_of(from, to), SIGABRT);
}
#endif

/* Whoever comes after the end changes nothing, and is told. */
TEST(the_end_is_final)
{
	for (int to = 0; to < NR_CLIENT_STATES; to++) {
		struct client *c = make(CLIENT_ENDED);

		assert_int_equal(client_set_state(c, (enum client_state)to), CLIENT_ENDED);
		assert_int_equal(client_state(c), CLIENT_ENDED);
		free(c);
	}
}

struct race {
	struct client *c;
	pthread_barrier_t start;
	atomic32_t enders; /* threads that ended it */
};

static void *end(void *arg)
{
	struct race *r = arg;

	pthread_barrier_wait(&r->start);
	if (client_set_state(r->c, CLIENT_ENDED) != CLIENT_ENDED)
		a32_add(&r->enders, 1);
	return NULL;
}

static void *close_it(void *arg)
{
	struct race *r = arg;

	pthread_barrier_wait(&r->start);
	(void)client_set_state(r->c, CLIENT_CLOSING);
	return NULL;
}

/* The winner gives everything back: there is one, whatever else happens at the time. */
TEST(one_of_several_that_end_a_client_wins)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct race r = { .c = make(CLIENT_SERVED) };
		pthread_t thread[4];

		assert_int_equal(pthread_barrier_init(&r.start, NULL, 4), 0);
		for (int t = 0; t < 4; t++)
			assert_int_equal(
				pthread_create(&thread[t], NULL, t < 2 ? end : close_it, &r), 0);
		for (int t = 0; t < 4; t++)
			(void)pthread_join(thread[t], NULL);
		assert_int_equal(a32_load(&r.enders), 1);
		assert_int_equal(client_state(r.c), CLIENT_ENDED);
		(void)pthread_barrier_destroy(&r.start);
		free(r.c);
	}
}
