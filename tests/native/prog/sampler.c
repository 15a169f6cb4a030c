/* tests/native/prog/sampler.c - what a program tree under umemcg really holds, seen from outside.
 *
 *     sampler [-1] [-i MS] [-o FILE] [-s FILE] -p PID
 *     sampler [-1] [-i MS] [-o FILE] [-s FILE] -- PROGRAM [ARGUMENT...]
 *
 * Every MS milliseconds (10): the RssAnon of umemcg (process PID, or PROGRAM), and for its clients
 * the sum of the RssAnon of all its descendants but the keeper, and the memory that they share by
 * way of umemcg (the blocks of its memfds). The frames umemcg holds for its clients are in its own
 * RssAnon, with whatever else it has, so "clients + supervisor" is an upper bound of what the group
 * holds; "clients + frames" is what it holds. Which memory is the frames is told by its name
 * (CONFIG_ANON_VMA_NAME), or by what is true of no other: reserved by nothing, never of huge pages,
 * and part of a core. Ends when umemcg ends, or on SIGTERM or SIGINT; then writes, to FILE of
 * -o or to standard output, one "name value" a line:
 *     samples late smeared clients_max_kb supervisor_max_kb sum_max_kb sum_max_ms processes_max
 *     held_max_kb (clients + frames; -1: the frames cannot be told)
 * With PROGRAM the exit code is PROGRAM's. -s keeps each sample: ms, clients, supervisor,
 * processes. -1: pages that processes share since a fork count once (Pss_Anon, which takes longer
 * to read), instead of in each of them.
 *
 * A look that was interrupted so that it took longer than SMEAR_US is no sample (smeared): memory
 * that went from one process to another meanwhile would count in both. A sample is not one instant:
 * the supervisor and its frames are read before and after the clients, and the lesser figure is
 * taken, so that a page which changes sides in between is not counted twice. A process counts from
 * the moment it is listed in its parent's /proc/PID/task/TID/children; one whose parent has died
 * and that was adopted by somebody outside the tree is not seen. A child of vfork lives in its
 * parent's memory until it execs, and is not counted again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEEPER "umemcg-keeper"
#define FRAMES "[anon:umemcg frames]"
#define SHARED "/memfd:umemcg-shared"
/* In 5 ms a tree on two CPUs faults in 2000 pages; few of them go to a process that is not yet
 * read. Reading what is shared takes longer, and is for programs that change less. */
#define SMEAR_US        5000
#define SMEAR_SHARED_US 20000
#define NS_PER_MS       1000000l

static volatile sig_atomic_t stopped;
static bool shared_once;

static struct {
	long samples, late, smeared, clients, supervisor, sum, sum_ms, processes, held;
} most = { .held = -1 };

static void on_signal(int sig)
{
	stopped = sig;
}

/* Read a small file of /proc; false when the process is gone. */
static bool slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	return true;
}

/* The number behind @name in /proc/@pid/@file, in kB; -1: the process is gone or a zombie. */
static long field_kb(pid_t pid, const char *file, const char *name)
{
	char path[64], text[4096], *line;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	if (!slurp(path, text, sizeof(text)))
		return -1;
	line = strstr(text, name);
	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

static long rss_anon_kb(pid_t pid)
{
	return field_kb(pid, "status", "\nRssAnon:");
}

/* The same, with a proportional part of what processes share since a fork. */
static long pss_anon_kb(pid_t pid)
{
	return field_kb(pid, "smaps_rollup", "\nPss_Anon:");
}

/* VmFlags of the frames: MAP_NORESERVE, MADV_NOHUGEPAGE. Threads' stacks are the latter only; a
 * sanitizer's shadow is both, and kept out of cores. */
static bool flags_of_frames(const char *flags)
{
	return strstr(flags, " nr") && strstr(flags, " nh") && !strstr(flags, " dd");
}

/* The home frames of @pid in use, in kB; -1 when they cannot be told from its other memory. */
static long frames_kb(pid_t pid)
{
	char line[256];
	long sum = -1, here = 0;
	bool named = false;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/smaps", pid);
	f = fopen(line, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, FRAMES))
			named = true;
		else if (!strncmp(line, "Anonymous:", 10))
			here = strtol(line + 10, NULL, 10);
		else if (!strncmp(line, "VmFlags:", 8)) {
			if (named || flags_of_frames(line))
				sum = (sum < 0 ? 0 : sum) + here;
			named = false;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

/* What the memfds of @pid hold, in kB. */
static long shared_kb(pid_t pid)
{
	char path[320], target[64];
	struct dirent *e;
	struct stat st;
	long blocks = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (!strncmp(target, SHARED, strlen(SHARED)) && stat(path, &st) == 0)
			blocks += (long)st.st_blocks;
	}
	if (d)
		closedir(d);
	return blocks / 2;
}

static bool is_keeper(pid_t pid)
{
	char path[64], text[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	return slurp(path, text, sizeof(text)) && !strncmp(text, KEEPER, strlen(KEEPER));
}

/* True when it cannot be told: then the sum is too high rather than too low. */
static bool has_own_memory(pid_t pid, pid_t parent)
{
	return syscall(SYS_kcmp, pid, parent, KCMP_VM, 0, 0) != 0;
}

static long tree_kb(pid_t pid, bool top, long *processes);

static long children_kb(const char *path, pid_t parent, bool top, long *processes)
{
	char text[65536], *at = text, *end;
	long sum = 0;

	if (!slurp(path, text, sizeof(text)))
		return 0;
	for (;;) {
		pid_t child = (pid_t)strtol(at, &end, 10);
		long own;

		if (end == at)
			return sum;
		at = end;
		if (top && is_keeper(child))
			continue;
		own = shared_once ? pss_anon_kb(child) : rss_anon_kb(child);
		sum += own > 0 && has_own_memory(child, parent) ? own : 0;
		*processes += own >= 0;
		sum += tree_kb(child, false, processes);
	}
}

/* The sum of all descendants of @pid, without @pid. */
static long tree_kb(pid_t pid, bool top, long *processes)
{
	char path[320];
	struct dirent *e;
	long sum = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return 0;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/children", pid, e->d_name);
		sum += children_kb(path, pid, top, processes);
	}
	closedir(d);
	return sum;
}

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / NS_PER_MS;
}

static long larger(long a, long b)
{
	return a > b ? a : b;
}

/* One sample. False when umemcg is gone. */
static bool sample(pid_t pid, long ms, FILE *series)
{
	long start = now_us();
	long before = rss_anon_kb(pid), frames_before = frames_kb(pid), shared = shared_kb(pid),
	     processes = 0;
	long own = tree_kb(pid, true, &processes), shared_after = shared_kb(pid);
	long clients = own + (shared < shared_after ? shared : shared_after);
	long after = rss_anon_kb(pid), supervisor = before < after ? before : after;
	long frames = frames_before < 0 ? -1 : frames_kb(pid);

	frames = frames < frames_before ? frames : frames_before;
	if (supervisor < 0)
		return false;
	if (now_us() - start > (shared_once ? SMEAR_SHARED_US : SMEAR_US)) {
		most.smeared++;
		return true;
	}
	most.samples++;
	most.clients = larger(most.clients, clients);
	most.supervisor = larger(most.supervisor, supervisor);
	most.processes = larger(most.processes, processes);
	if (frames >= 0)
		most.held = larger(most.held, clients + frames);
	if (clients + supervisor > most.sum) {
		most.sum = clients + supervisor;
		most.sum_ms = ms;
	}
	if (series)
		fprintf(series, "%ld\t%ld\t%ld\t%ld\n", ms, clients, supervisor, processes);
	return true;
}

/* Is @pid, our child or not, over? Our child's exit code goes to *@code. */
static bool ended(pid_t pid, bool child, int *code)
{
	int status;

	if (!child)
		return kill(pid, 0) < 0 && errno == ESRCH;
	if (waitpid(pid, &status, WNOHANG) != pid)
		return false;
	*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

static void watch(pid_t pid, bool child, long interval_ms, FILE *series, int *code)
{
	long start_ms = now_ms(), next_ms = start_ms;

	bool over;

	while (!(over = ended(pid, child, code)) && !stopped &&
	       sample(pid, now_ms() - start_ms, series)) {
		long wait_ms;

		next_ms += interval_ms;
		wait_ms = next_ms - now_ms();
		if (wait_ms < 0) {
			most.late++;
			next_ms = now_ms();
			continue;
		}
		nanosleep(&(struct timespec){ wait_ms / 1000, wait_ms % 1000 * NS_PER_MS }, NULL);
	}
	if (!child || over)
		return;
	/* It may be a zombie already, of which there is no sample, but an exit code. */
	if (stopped)
		kill(pid, stopped);
	while (!ended(pid, child, code))
		nanosleep(&(struct timespec){ 0, 10 * NS_PER_MS }, NULL);
}

static void print_most(FILE *f)
{
	fprintf(f, "samples %ld\nlate %ld\nsmeared %ld\n", most.samples, most.late, most.smeared);
	fprintf(f, "clients_max_kb %ld\nsupervisor_max_kb %ld\n", most.clients, most.supervisor);
	fprintf(f, "sum_max_kb %ld\nsum_max_ms %ld\nprocesses_max %ld\nheld_max_kb %ld\n", most.sum,
		most.sum_ms, most.processes, most.held);
}

static FILE *must_create(const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f) {
		perror(path);
		exit(125);
	}
	return f;
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (pid < 0) {
		perror("sampler: fork");
		exit(125);
	}
	return pid;
}

static int usage(void)
{
	fprintf(stderr, "usage: sampler [-1] [-i MS] [-o FILE] [-s FILE] -p PID | -- PROGRAM "
			"[ARGUMENT...]\n");
	return 125;
}

int main(int argc, char **argv)
{
	FILE *out = stdout, *series = NULL;
	long interval_ms = 10;
	int opt, code = 0;
	pid_t pid = 0;
	bool child;

	while ((opt = getopt(argc, argv, "+1i:o:s:p:")) != -1) {
		if (opt == '1')
			shared_once = true;
		else if (opt == 'i')
			interval_ms = strtol(optarg, NULL, 10);
		else if (opt == 'o')
			out = must_create(optarg);
		else if (opt == 's')
			series = must_create(optarg);
		else if (opt == 'p')
			pid = (pid_t)strtol(optarg, NULL, 10);
		else
			return usage();
	}
	child = pid == 0;
	if (interval_ms < 1 || pid < 0 || child == (optind == argc))
		return usage();
	if (child)
		pid = start(argv + optind);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	watch(pid, child, interval_ms, series, &code);
	if (series && fclose(series))
		perror("sampler");
	print_most(out);
	return fflush(out) ? 125 : code;
}
