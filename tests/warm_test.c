/* tests/warm_test.c - the threads that keep CPUs awake (serve/warm.c). */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/internal.h"
#include "test.h"

#define MS 1000000ull

static unsigned joined, joined_idle;

/* Threads that warm at the lowest priority. */
static unsigned idle_warmers(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d))) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", e->d_name);
		f = fopen(path, "r");
		if (f && fgets(name, sizeof(name), f) && strcmp(name, "umemcg-warm\n") == 0)
			n += sched_getscheduler((pid_t)strtol(e->d_name, NULL, 10)) == SCHED_IDLE;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

/* In the place of libc's: who waits for a thread sees here what is waited for. */
int pthread_join(pthread_t thread, void **value)
{
	int (*libc_join)(pthread_t, void **) = (int (*)(pthread_t, void **))dlsym(RTLD_NEXT, "pthread_join");

	joined++;
	joined_idle += idle_warmers() > 0;
	return libc_join(thread, value);
}

/* On a busy machine nobody waits for a thread that gets a CPU last of all. */
TEST(warmers_end_as_ordinary_threads)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	cpu_set_t set;
	unsigned cpus;

	assert_non_null(s);
	if (geteuid() != 0) {
		free(s);
		skip();
	}
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	cpus = (unsigned)CPU_COUNT(&set);
	waitq_init(&s->warm_wait);
	assert_int_equal(warm_start(s), 0);
	while (idle_warmers() < (cpus < NR_WARMERS_MAX ? cpus : NR_WARMERS_MAX))
		plat_sleep_ns(MS);
	a32_store(&s->stopping, 1);
	warm_stop(s);
	assert_true(joined > 0);
	assert_int_equal(joined_idle, 0);
	free(s);
}
