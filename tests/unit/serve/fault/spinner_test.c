/* tests/unit/serve/fault/spinner_test.c - the threads that keep CPUs awake (serve/fault/spinner.c),
 * and that nobody waits for them when they get no CPU. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/fault/fault.h"
#include "serve/process/keeper.h"
#include "test.h"

#define MS 1000000ull

static unsigned joined, joined_idle;

/* Is thread @tid of ours a spinner, at the lowest priority? All our threads may have that one. */
static bool is_idle_spinner(const char *tid)
{
	char path[300], name[32] = "";
	bool is;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", tid);
	f = fopen(path, "r");
	is = f && fgets(name, sizeof(name), f) && strcmp(name, "umemcg-spin\n") == 0 &&
	     sched_getscheduler((pid_t)strtol(tid, NULL, 10)) == SCHED_IDLE;
	if (f)
		fclose(f);
	return is;
}

static unsigned idle_spinners(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		n += is_idle_spinner(e->d_name);
	if (d)
		closedir(d);
	return n;
}

static unsigned entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Replaces libc's: observes what a joining thread waits for. */
int pthread_join(pthread_t thread, void **value)
{
	int (*libc_join)(pthread_t, void **) =
		(int (*)(pthread_t, void **))dlsym(RTLD_NEXT, "pthread_join");

	joined++;
	joined_idle += idle_spinners() > 0;
	return libc_join(thread, value);
}

static struct supervisor *start_spinners(void)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	cpu_set_t set;
	unsigned cpus;

	assert_non_null(s);
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	cpus = (unsigned)CPU_COUNT(&set);
	assert_int_equal(spinners_init(s), 0);
	assert_int_equal(spinners_start(s), 0);
	while (idle_spinners() < (cpus < NR_SPINNERS_MAX ? cpus : NR_SPINNERS_MAX))
		plat_sleep_ns(MS);
	return s;
}

static void stop_spinners(struct supervisor *s)
{
	a32_store(&s->stopping, 1);
	spinners_stop(s);
	plat_free(s->spinners);
	free(s);
}

/* On a busy machine nobody waits for a thread that gets a CPU last of all. */
TEST(spinners_end_as_ordinary_threads)
{
	if (geteuid() != 0)
		skip();
	joined = joined_idle = 0;
	stop_spinners(start_spinners());
	assert_true(joined > 0);
	assert_int_equal(joined_idle, 0);
}

/* A killed process closes its descriptors with the last thread that has them: a spinner must not be
 * that thread. */
TEST(spinners_have_no_descriptors_of_ours)
{
	struct supervisor *s = start_spinners();
	DIR *d = opendir("/proc/self/task");
	unsigned before = entries("/proc/self/fd"), spinners = 0;
	struct dirent *e;

	assert_non_null(d);
	assert_true(before > 6); /* two that are no files, 0 to 2, and those of the directories */
	while ((e = readdir(d))) {
		char path[300];

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/fd", e->d_name);
		if (!is_idle_spinner(e->d_name))
			continue;
		spinners++;
		assert_true(entries(path) <= 5);
	}
	closedir(d);
	assert_true(spinners > 0);
	stop_spinners(s);
}

/* After the supervisor is killed none of its threads is left to do that. Here it is alive, and has
 * only lost its end of the socket. */
TEST(the_keeper_makes_them_ordinary_threads_when_its_supervisor_dies)
{
	struct supervisor *s;
	struct keeper k;

	if (geteuid() != 0)
		skip();
	assert_int_equal(keeper_start(&k), 0);
	s = start_spinners();
	close(k.sock);
	assert_int_equal(waitpid(k.pid, NULL, 0), k.pid);
	assert_int_equal(idle_spinners(), 0);
	stop_spinners(s);
}
