/* serve/process/device.c - the device that makes userfaultfds for programs that have changed their
 * user.
 *
 * userfaultfd(2) requires CAP_SYS_PTRACE of the program itself, as vm.unprivileged_userfaultfd is 0
 * nearly everywhere; the device only needs to be opened. The supervisor opens it and hands it to
 * its own programs only. A container has no /dev/userfaultfd; a node of our own works as well
 * there, if root may make one and the device controller lets it be opened.
 *
 * Locks: none; runs before there are threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/process/process.h"

#define MISC_MAJOR 10

/* The minor number of the device; -1: the kernel has none. */
static int minor_number(void)
{
	FILE *f = fopen("/proc/misc", "re");
	char name[64];
	int n, found = -1;

	while (f && fscanf(f, "%d %63s", &n, name) == 2)
		if (strcmp(name, "userfaultfd") == 0)
			found = n;
	if (f)
		fclose(f);
	return found;
}

static int open_node_in(const char *dir, int number)
{
	char path[4096];
	int fd;

	VM_ASSERT(number >= 0 && geteuid() == 0);
	if (snprintf(path, sizeof(path), "%s/.umemcg-userfaultfd-%d", dir, (int)getpid()) >=
		    (int)sizeof(path) ||
	    mknod(path, S_IFCHR | 0600, makedev(MISC_MAJOR, (unsigned int)number)) != 0)
		return -1;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	(void)unlink(path);
	return fd;
}

int device_open(const char *dir)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), number;

	VM_ASSERT(proc_single_threaded());
	if (fd >= 0 || geteuid() != 0)
		return fd;
	number = minor_number();
	/* A file system may be mounted without devices; /dev is not. */
	fd = number < 0 ? -1 : open_node_in(dir, number);
	return fd >= 0 || number < 0 ? fd : open_node_in("/dev", number);
}
