/* tests/native/prog/freeze.c - freeze PID THREAD MS
 *
 * Stop one thread of process PID, the one named THREAD, for MS milliseconds; the others run on.
 */
#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "prog.h"

static bool has_name(const char *pid, const char *tid, const char *name)
{
	char path[300], text[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.16s/task/%.16s/comm", pid, tid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, name);
}

static pid_t find_thread(const char *pid, const char *name)
{
	char path[64];
	struct dirent *e;
	pid_t tid = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%.16s/task", pid);
	d = opendir(path);
	EXPECT(d);
	while (!tid && (e = readdir(d)))
		if (has_name(pid, e->d_name, name))
			tid = (pid_t)strtol(e->d_name, NULL, 10);
	closedir(d);
	return tid;
}

int main(int argc, char **argv)
{
	unsigned long ms = arg_number(argc, argv, 3, 1000);
	pid_t tid;
	int status;

	if (argc < 3)
		fail("usage: freeze PID THREAD MS");
	tid = find_thread(argv[1], argv[2]);
	if (!tid)
		fail("process %s has no thread %s", argv[1], argv[2]);
	if (ptrace(PTRACE_SEIZE, tid, 0, 0))
		cannot_run("ptrace: %s", strerror(errno));
	EXPECT(ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0);
	EXPECT(waitpid(tid, &status, __WALL) == tid);
	usleep((useconds_t)(ms * 1000));
	if (WIFSTOPPED(status))
		ptrace(PTRACE_DETACH, tid, 0, 0);
	return ok("%lu ms", ms);
}
