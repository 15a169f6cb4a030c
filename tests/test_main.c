/* tests/test_main.c - main() of every test program: runs the tests that registered themselves.
 *
 * Locks: none; tests register before main and run one after the other.
 */
#include <sys/resource.h>
#include <sys/wait.h>
#include <stdlib.h>
#include <unistd.h>

#include "plat/plat.h"
#include "test.h"

#define TESTS_MAX 512

static struct CMUnitTest tests[TESTS_MAX];
static size_t nr_tests;

void test_register(const char *name, void (*fn)(void **state))
{
	if (nr_tests == TESTS_MAX) {
		fprintf(stderr, "more than %d tests in one program\n", TESTS_MAX);
		abort();
	}
	tests[nr_tests++] = (struct CMUnitTest){ .name = name, .test_func = fn };
}

void test_pause(void)
{
	plat_sleep_ns(1000000);
}

static _Noreturn void child_main(void (*fn)(void), int err_fd)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	dup2(err_fd, STDERR_FILENO);
	signal(SIGABRT, SIG_DFL);
	fn();
	_exit(0);
}

int test_in_child(void (*fn)(void), char *err, size_t err_size)
{
	size_t len = 0;
	ssize_t n;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child_main(fn, fds[1]);
	close(fds[1]);
	while (len < err_size - 1 && (n = read(fds[0], err + len, err_size - 1 - len)) > 0)
		len += (size_t)n;
	err[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

void test_expect_abort(void (*fn)(void), const char *expect)
{
	char err[2048];
	int status = test_in_child(fn, err, sizeof(err));

	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("expected an abort, got status 0x%x; it said: %s", status, err);
	if (!strstr(err, expect))
		fail_msg("expected \"%s\", it said: %s", expect, err);
}

/* Keep only the tests whose names contain @filter. */
static void select_tests(const char *filter)
{
	size_t kept = 0;

	for (size_t i = 0; i < nr_tests; i++)
		if (strstr(tests[i].name, filter))
			tests[kept++] = tests[i];
	nr_tests = kept;
}

int main(int argc, char **argv)
{
	int failed;

	/* A test that crashes must not take the results before it with it. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		select_tests(argv[1]);
	plat_thread_enter();
	failed = _cmocka_run_group_tests(program_invocation_short_name, tests, nr_tests, NULL, NULL);
	plat_thread_exit();
	return failed == 0 ? 0 : 1;
}
