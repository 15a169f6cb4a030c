/* tests/native/prog/steady.c - steady [-c CHILDREN] [-d DEPTH] [-f] [-l FILE] MIB SECONDS
 *
 * A process that goes on changing and checking MIB MiB for SECONDS (0: until it is killed), in the
 * order of chance. What it finds wrong goes to standard output ("FAILED") and, at once, to FILE. At
 * the end it says how often it went round and how long it had to wait at worst: "max gap N ms".
 *
 * -c: so many children of it do the same, each on its own copy. -d: a chain of forks, each process
 * the child of the one before; all do the same. -f: each process also forks a child now and then
 * which checks everything and ends. FILE also gets one line "start PID" for each process.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "prog.h"

#define BURST         64 /* pages between two looks at the clock */
#define FORK_EVERY_US 200e3

static int log_fd = -1;

static struct {
	char *area;
	size_t n;
	uint16_t *version;
	double until_us;
	bool forks;
} job;

static void log_line(const char *what)
{
	if (log_fd >= 0)
		dprintf(log_fd, "%s %d\n", what, (int)getpid());
}

static void check(size_t i, const char *when)
{
	if (page_is(job.area + i * PAGE, i, job.version[i]))
		return;
	log_line("FAILED");
	fail("pid %d: page %zu of %zu is wrong %s%s", (int)getpid(), i, job.n, when,
	     page_is_zero(job.area + i * PAGE) ? " (zeros)" : "");
}

static void check_all(const char *when)
{
	for (size_t i = 0; i < job.n; i++)
		check(i, when);
}

static void fork_checker(void)
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0);
	if (!pid) {
		check_all("in a short-lived child");
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status && !WIFSIGNALED(status))
		_exit(1);
}

static void work(void)
{
	double last = now_us(), forked = last, gap = 0;
	uint64_t seed = (uint64_t)getpid();
	unsigned long bursts = 0;

	log_line("start");
	while (!job.until_us || last < job.until_us) {
		double now;

		for (int k = 0; k < BURST; k++) {
			size_t i = rnd(&seed) % job.n;

			check(i, "at random");
			if (rnd(&seed) & 1)
				page_change(job.area + i * PAGE, i, ++job.version[i]);
		}
		if (job.forks && last - forked > FORK_EVERY_US) {
			fork_checker();
			forked = now_us();
		}
		now = now_us();
		gap = now - last > gap ? now - last : gap;
		last = now;
		bursts++;
	}
	check_all("at the end");
	log_line("end");
	ok("pid %d: %lu bursts, max gap %.0f ms", (int)getpid(), bursts, gap / 1e3);
}

static int wait_all(void)
{
	int status, bad = 0;

	while (wait(&status) > 0)
		bad |= status;
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned long children = 0, depth = 0;
	int opt;

	while ((opt = getopt(argc, argv, "c:d:fl:")) != -1) {
		if (opt == 'c')
			children = strtoul(optarg, NULL, 10);
		else if (opt == 'd')
			depth = strtoul(optarg, NULL, 10);
		else if (opt == 'f')
			job.forks = true;
		else if (opt == 'l')
			log_fd = open(optarg, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		else
			return 2;
	}
	argc -= optind - 1;
	argv += optind - 1;
	job.n = arg_number(argc, argv, 1, 64) * PAGES_PER_MIB;
	job.until_us = (double)arg_number(argc, argv, 2, 5) * 1e6;
	if (job.until_us)
		job.until_us += now_us();
	job.area = map_bytes(job.n * PAGE);
	job.version = (uint16_t *)map_bytes(job.n * sizeof(*job.version));
	area_fill(job.area, job.n, 0, 0);
	while (children--) {
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (!pid)
			break;
		depth = 0;
	}
	while (depth--) {
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (pid)
			break;
	}
	work();
	return wait_all();
}
