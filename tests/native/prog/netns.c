/* tests/native/prog/netns.c - netns [MIB] [ROUNDS]
 *
 * A process that goes to a network namespace of its own, where names of abstract sockets are
 * others. Memory, and children of forks, are as they were before; so are those of a program that it
 * executes there (netns MIB 0). Before, it joins another process's mount namespace, and finds that
 * nobody keeps its working directory busy.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "prog.h"

static size_t n;

static void check_in_child(char *area, unsigned long round)
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0);
	if (!pid) {
		area_check(area, n, 0, round, "in the child");
		area_fill(area, n, 1ull << 40, round);
		area_check(area, n, 1ull << 40, round, "of the child");
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid);
	if (status)
		fail("a child ended with status %x", (unsigned int)status);
}

/* What nsenter -m does: allowed only to who shares root and working directory with no other thread.
 */
static void join_mounts(void)
{
	char path[64], byte;
	int fds[2], fd;
	pid_t pid;

	EXPECT(pipe(fds) == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		EXPECT(unshare(CLONE_NEWNS) == 0);
		EXPECT(write(fds[1], "", 1) == 1);
		close(fds[1]);
		for (;;)
			pause();
	}
	close(fds[1]);
	EXPECT(read(fds[0], &byte, 1) == 1);
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0 && setns(fd, CLONE_NEWNS) == 0);
	EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	close(fds[0]);
	close(fd);
}

/* A program that began in a mounted directory can unmount it when it has left it. */
static void leave_directory(char **argv)
{
	const char *dir = getenv("TMPDIR");
	char path[256];

	snprintf(path, sizeof(path), "%s/netns.XXXXXX", dir && *dir ? dir : "/var/tmp");
	EXPECT(mkdtemp(path) && mount("netns", path, "tmpfs", 0, NULL) == 0 && chdir(path) == 0);
	execl("/proc/self/exe", argv[0], argv[1], argv[2], path, NULL);
	fail("exec: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	unsigned long rounds = arg_number(argc, argv, 2, 3);
	char *area;

	n = arg_number(argc, argv, 1, 16) * PAGES_PER_MIB;
	if (rounds && unshare(CLONE_NEWNET) != 0)
		cannot_run("no network namespace: %s", strerror(errno));
	if (rounds && argc == 3) {
		join_mounts();
		leave_directory(argv);
	} else if (rounds && argc == 4) {
		EXPECT(chdir("/") == 0 && umount(argv[3]) == 0 && rmdir(argv[3]) == 0);
	}
	area = map_bytes(n * PAGE);
	for (unsigned long i = 0; i < (rounds ? rounds : 1); i++) {
		area_fill(area, n, 0, i);
		check_in_child(area, i);
		area_check(area, n, 0, i, "in the parent");
	}
	if (rounds)
		execl("/proc/self/exe", argv[0], argc > 1 ? argv[1] : "16", "0", NULL);
	return ok("%zu pages", n);
}
