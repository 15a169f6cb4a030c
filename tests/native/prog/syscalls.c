/* tests/native/prog/syscalls.c - syscalls [MIB] [ROUNDS]
 *
 * System calls on buffers that are swapped out: the kernel itself takes the faults. Data goes
 * from one area to another through a pipe, a socket and a file; path names, vectors and poll
 * arrays are swapped out as well.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "prog.h"

#define CHUNK (8 * PAGE) /* fits a pipe and a socket, so that one thread can do both ends */

static char *from, *to;
static size_t bytes;

/* @fds[1] is written, @fds[0] read, a chunk at a time. */
static void by_read_and_write(const int *fds)
{
	for (size_t done = 0; done < bytes; done += CHUNK) {
		EXPECT(write(fds[1], from + done, CHUNK) == (ssize_t)CHUNK);
		for (size_t got = 0; got < CHUNK;) {
			ssize_t r = read(fds[0], to + done + got, CHUNK - got);

			EXPECT(r > 0);
			got += (size_t)r;
		}
	}
}

static void by_vectors(const int *fds)
{
	for (size_t done = 0; done < bytes; done += CHUNK) {
		struct iovec out[2] = { { from + done, PAGE + 100 },
					{ from + done + PAGE + 100, CHUNK - PAGE - 100 } };
		struct iovec in[2] = { { to + done, 3 * PAGE - 1 },
				       { to + done + 3 * PAGE - 1, CHUNK - 3 * PAGE + 1 } };

		EXPECT(writev(fds[1], out, 2) == (ssize_t)CHUNK);
		EXPECT(readv(fds[0], in, 2) == (ssize_t)CHUNK);
	}
}

static void by_socket(const int *fds)
{
	for (size_t done = 0; done < bytes; done += CHUNK) {
		EXPECT(send(fds[1], from + done, CHUNK, 0) == (ssize_t)CHUNK);
		EXPECT(recv(fds[0], to + done, CHUNK, MSG_WAITALL) == (ssize_t)CHUNK);
	}
}

static void by_file(const int *fds)
{
	for (size_t done = 0; done < bytes; done += CHUNK)
		EXPECT(pwrite(fds[1], from + done, CHUNK, (off_t)done) == (ssize_t)CHUNK);
	for (size_t done = 0; done < bytes; done += CHUNK)
		EXPECT(pread(fds[0], to + done, CHUNK, (off_t)done) == (ssize_t)CHUNK);
}

static void carry(void (*way)(const int *fds), const int *fds, const char *name, uint64_t version)
{
	size_t n = bytes / PAGE;

	area_fill(from, n, 0, version);
	area_fill(to, n, 1ull << 50, version);
	way(fds);
	area_check(to, n, 0, version, name);
	area_check(from, n, 0, version, name);
}

/* The arguments themselves lie in pages that are out. */
static void small_arguments(const int *pipe_fds)
{
	char *page = map_bytes(4 * PAGE);
	struct stat *st = (struct stat *)(page + PAGE);
	struct pollfd *poll_fds = (struct pollfd *)(page + 2 * PAGE);
	char *cwd = page + 3 * PAGE;

	strcpy(page, "/");
	poll_fds[0] = (struct pollfd){ .fd = pipe_fds[1], .events = POLLOUT };
	press(bytes / MIB);
	EXPECT(stat(page, st) == 0);
	EXPECT(S_ISDIR(st->st_mode));
	EXPECT(poll(poll_fds, 1, 0) == 1 && poll_fds[0].revents == POLLOUT);
	EXPECT(getcwd(cwd, PAGE) == cwd && cwd[0] == '/');
	EXPECT(munmap(page, 4 * PAGE) == 0);
}

int main(int argc, char **argv)
{
	unsigned long mib = arg_number(argc, argv, 1, 16);
	unsigned long rounds = arg_number(argc, argv, 2, 1);
	int pipes[2], sockets[2], file[2], size = 1024 * 1024;

	bytes = mib * MIB;
	from = map_bytes(bytes);
	to = map_bytes(bytes);
	EXPECT(pipe(pipes) == 0);
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
	setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	file[0] = file[1] = memfd_create("syscalls", MFD_CLOEXEC);
	EXPECT(file[0] >= 0);
	for (unsigned long i = 0; i < rounds; i++) {
		carry(by_read_and_write, pipes, "through a pipe", 4 * i);
		carry(by_vectors, pipes, "through a pipe, with vectors", 4 * i + 1);
		carry(by_socket, sockets, "through a socket", 4 * i + 2);
		carry(by_file, file, "through a file", 4 * i + 3);
		small_arguments(pipes);
	}
	return ok("%lu MiB, %lu rounds", mib, rounds);
}
