/* tests/native/prog/shmobjects.c - shmobjects [MIB] [CHILDREN] [SECONDS]
 *
 * Shared memory that is not managed: shm_open, and past libc, by the raw system calls, a memfd and
 * a segment of the kernel's, MIB MiB each. The parent fills the first half of each, CHILDREN
 * children the second, and hold it for SECONDS; so nobody has all of it in its page tables before
 * the end.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define OBJECTS 3

static char *object[OBJECTS];

static char *map_fd(int fd, size_t bytes)
{
	char *p;

	EXPECT(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(p != MAP_FAILED && close(fd) == 0);
	return p;
}

static void make(size_t bytes)
{
	char name[64];
	int id;

	snprintf(name, sizeof(name), "/umemcg-test-%d", (int)getpid());
	object[0] = map_fd(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600), bytes);
	EXPECT(shm_unlink(name) == 0);
	object[1] = map_fd((int)raw_syscall(SYS_memfd_create, (long)"test", 0, 0), bytes);
	id = (int)raw_syscall(SYS_shmget, IPC_PRIVATE, (long)bytes, 0600);
	EXPECT(id >= 0);
	object[2] = (char *)raw_syscall(SYS_shmat, id, 0, 0);
	EXPECT(object[2] != (char *)-1 && raw_syscall(SYS_shmctl, id, IPC_RMID, 0) == 0);
}

int main(int argc, char **argv)
{
	size_t n = arg_number(argc, argv, 1, 8) * PAGES_PER_MIB;
	unsigned children = (unsigned)arg_number(argc, argv, 2, 4);
	unsigned seconds = (unsigned)arg_number(argc, argv, 3, 1);
	int status;

	make(n * PAGE);
	for (unsigned o = 0; o < OBJECTS; o++)
		area_fill(object[o], n / 2, o, 0);
	usleep(400000); /* what is counted by now must not count again with each child */
	for (unsigned i = 0; i < children; i++) {
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (pid)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned o = 0; o < OBJECTS; o++) {
			area_fill(object[o] + n / 2 * PAGE, n / 2, o + n / 2, 0);
			area_check(object[o] + n / 2 * PAGE, n / 2, o + n / 2, 0, "in a child");
		}
		sleep(seconds);
		_exit(0);
	}
	for (unsigned i = 0; i < children; i++)
		EXPECT(wait(&status) > 0 && status == 0);
	for (unsigned o = 0; o < OBJECTS; o++)
		area_check(object[o], n, o, 0, "at the end");
	return ok("%u objects of %zu MiB, %u children", OBJECTS, n / PAGES_PER_MIB, children);
}
