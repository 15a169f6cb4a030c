/* serve/channel/door.c - a second way to the supervisor, for processes in other network namespaces.
 *
 * The name of an abstract socket is known in one network namespace only. A program that enters
 * another (unshare -n, ip netns exec, sandboxes) would run unmanaged there, and so would its
 * children. So there is a second socket, bound to a file that is unlinked at once. A descriptor of
 * that file is inherited down the process tree, and connect(2) reaches it as /proc/self/fd/NUMBER.
 * Processes that closed it or see no /proc still have the name.
 *
 * Without it umemcg works as before: a failure here is not an error.
 *
 * Locks: none; runs before there are threads.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "plat/plat.h"
#include "serve/channel/channel.h"

/* Descriptor numbers that programs rarely reach. */
static const int numbers[] = { 988, 499, 235, 51, 19 };

/* Listen on @path, then unlink it: only we have a descriptor of it, *@file. */
static int listen_at(const char *path, int *file)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	VM_ASSERT(strlen(path) < sizeof(a.sun_path));
	if (fd < 0)
		return -1;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
		/* For the program's processes under any user: as with the name, the peer is checked
		 * later. */
		(void)chmod(path, 0666);
		*file = open(path, O_PATH | O_CLOEXEC);
		(void)unlink(path);
		if (*file >= 0 && listen(fd, SOMAXCONN) == 0)
			return fd;
		if (*file >= 0)
			close(*file);
		*file = -1;
	}
	close(fd);
	return -1;
}

void door_open(struct door *d, const char *dir, const char *name)
{
	char path[64];
	/* A directory's path may be longer than a socket address. */
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	d->fd = d->file = -1;
	if (at < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/.%.32s", at, name);
	d->fd = listen_at(path, &d->file);
	close(at);
}

void door_hand_down(const struct door *d)
{
	char number[16];
	int fd = -1;

	VM_ASSERT((d->fd < 0) == (d->file < 0));
	for (size_t i = 0; d->file >= 0 && fd < 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		fd = fcntl(d->file, F_DUPFD, numbers[i]);
	snprintf(number, sizeof(number), "%d", fd);
	if (fd < 0)
		unsetenv(PROTO_DOOR_ENV);
	else
		setenv(PROTO_DOOR_ENV, number, 1);
}

void door_close(struct door *d)
{
	VM_ASSERT((d->fd < 0) == (d->file < 0));
	if (d->fd < 0)
		return;
	close(d->fd);
	close(d->file);
}
