/* tests/unit/serve/process/pause_test.c - stopped threads are released again, whatever they become
 * in the meantime. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mm/mm_types.h"
#include "plat/plat.h"
#include "serve/process/process.h"
#include "test.h"

#define ROUNDS  140
#define WAIT_MS 60000
#define DELAYS  14 /* from 1 us on, doubled each time, then from the beginning */
#define WORD    100000

#if defined(__SANITIZE_THREAD__)
/* A child of several threads makes a thread here; the sanitizer ends programs for that unless told
 * otherwise. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

static atomic32_t *go;  /* shared with the child */
static char word[WORD]; /* much to copy: until that is done the thread has its old number */

static void *execute(void *arg)
{
	(void)arg;
	a32_store(&go[1], 1);
	while (!a32_load(go))
		(void)getppid();
	execl("/bin/sh", "sh", "-c", "sleep 0.03", word, word, word, word, word, word, word, word,
	      word, word, NULL);
	_exit(2);
}

/* A process whose second thread executes a program on command. */
static pid_t start(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)pthread_create(&thread, NULL, execute, NULL);
	for (;;)
		(void)pause(); /* asleep, and so not stopped itself: nothing else leads to the
				* thread that takes its number */
}

/* It is a child of ours too: its end may have been collected by the wait for a thread's. */
static bool ends(pid_t pid, int *status)
{
	*status = 0;
	for (int i = 0; i < WAIT_MS; i++) {
		pid_t got = waitpid(pid, status, WNOHANG);

		if (got < 0 || (got == pid && !WIFSTOPPED(*status)))
			return true;
		plat_sleep_ns(1000000);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, status, 0);
	return false;
}

/* As in the supervisor, the thread that stops and releases is not the first one, which makes the
 * claims. */
struct rounds {
	unsigned stopped;
	const char *wrong; /* NULL: nothing */
};

static const char *what_is_wrong(const struct pause *p, pid_t pid)
{
	int status;

	if (p->n)
		return "it cannot be let go";
	if (proc_tracer(pid, pid) == gettid())
		return "it was let go, and is followed";
	if (!ends(pid, &status))
		return "it stays where it is";
	return status ? "its program has not run" : NULL;
}

/* Stop it some time after it was told to execute, and release it. */
static void stop_and_let_go(struct rounds *r, unsigned delay_us)
{
	struct pause p = { .n = 0 };
	pid_t pid;

	a32_store(&go[0], 0);
	a32_store(&go[1], 0);
	pid = start();
	if (pid < 0) {
		r->wrong = "fork";
		return;
	}
	for (int i = 0; i < WAIT_MS && !a32_load(&go[1]); i++)
		plat_sleep_ns(1000000);
	if (!a32_load(&go[1])) {
		(void)kill(pid, SIGKILL);
		r->wrong = "it has no second thread";
		return;
	}
	a32_store(go, 1);
	plat_sleep_ns(delay_us * 1000ull);
	pause_process(&p, pid, 0);
	r->stopped += p.n;
	for (int i = 0; i < WAIT_MS && p.n; i++) {
		pause_end(&p);
		if (p.n)
			plat_sleep_ns(100000);
	}
	r->wrong = what_is_wrong(&p, pid);
	if (r->wrong)
		(void)kill(pid, SIGKILL);
}

static void *many_rounds(void *arg)
{
	struct rounds *r = arg;

	for (unsigned i = 0; i < ROUNDS && !r->wrong; i++)
		stop_and_let_go(r, 1u << i % DELAYS);
	return NULL;
}

/* A thread that executes a program takes over the number of its process, and the first thread is
 * gone: no thread may stay stopped under a number that no longer exists. */
TEST(a_thread_that_executes_a_program_is_let_go)
{
	struct rounds r = { .wrong = NULL };
	pthread_t watcher;

	go = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(go != MAP_FAILED);
	memset(word, 'x', WORD - 1);
	assert_int_equal(pthread_create(&watcher, NULL, many_rounds, &r), 0);
	assert_int_equal(pthread_join(watcher, NULL), 0);
	assert_string_equal(r.wrong ? r.wrong : "", "");
	assert_true(r.stopped > 0);
	munmap(go, PAGE_SIZE);
}
