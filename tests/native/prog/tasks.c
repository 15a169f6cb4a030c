/* tests/native/prog/tasks.c - tasks
 *
 * How many threads a process finds that it has, by the links of /proc/self/task: one, two with
 * another, one again; and one in a child. Sandboxes refuse to start with more.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "prog.h"

#define OTHERS 2 /* "." and ".." */

static void expect_threads(nlink_t n)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), task;
	struct stat by_at, by_path, by_link, by_fd;

	EXPECT(proc >= 0 && fstatat(proc, "self/task/", &by_at, 0) == 0);
	task = openat(proc, "self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	EXPECT(task >= 0 && fstat(task, &by_fd) == 0);
	EXPECT(stat("/proc/self/task", &by_path) == 0 && lstat("/proc/self/task", &by_link) == 0);
	EXPECT(by_at.st_nlink == n + OTHERS);
	EXPECT(by_path.st_nlink == n + OTHERS);
	EXPECT(by_link.st_nlink == n + OTHERS);
	EXPECT(by_fd.st_nlink == n + OTHERS);
	close(task);
	close(proc);
}

static void *wait_for_end(void *lock)
{
	EXPECT(pthread_mutex_lock(lock) == 0);
	return NULL;
}

static void in_child(void)
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0);
	if (!pid) {
		expect_threads(1);
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_t thread;

	expect_threads(1);
	EXPECT(pthread_mutex_lock(&lock) == 0);
	EXPECT(pthread_create(&thread, NULL, wait_for_end, &lock) == 0);
	expect_threads(2);
	EXPECT(pthread_mutex_unlock(&lock) == 0);
	EXPECT(pthread_join(thread, NULL) == 0);
	/* The kernel lists a thread a little longer than one can wait for. */
	for (int i = 0; i < 60000; i++) {
		struct stat st;

		if (stat("/proc/self/task", &st) == 0 && st.st_nlink == 1 + OTHERS)
			break;
		usleep(1000);
	}
	expect_threads(1);
	in_child();
	return ok("threads are counted");
}
