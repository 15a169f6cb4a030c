/* tests/native/prog/splices.c - splices [MIB]
 *
 * What is stored to memory after vmsplice its reader sees, however much memory was needed
 * meanwhile: through a pipe, passed on by tee and splice to other pipes and to a socket, by a
 * child of a fork. The same memory goes out and comes back right when the pipes are through with
 * it. Direct I/O by registered buffers of io_uring and asynchronous I/O are in odirect.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "prog.h"

#define PIPED 16ul /* pages: what a pipe holds */

static unsigned long mib;
static size_t n;

static void put(int fd, char *from, size_t pages)
{
	struct iovec v[2] = { { from, PAGE }, { from + PAGE, (pages - 1) * PAGE } };

	EXPECT(vmsplice(fd, v, 2, 0) == (ssize_t)(pages * PAGE));
}

/* @pages with ids from @id on, of @version. */
static void get(int fd, size_t pages, uint64_t id, uint64_t version, const char *how)
{
	static char got[PIPED * PAGE];
	size_t have = 0;

	while (have < pages * PAGE) {
		ssize_t k = read(fd, got + have, pages * PAGE - have);

		EXPECT(k > 0);
		have += (size_t)k;
	}
	for (size_t i = 0; i < pages; i++)
		if (!page_is(got + i * PAGE, id + i, version))
			fail("page %lu %s: %s", (unsigned long)(id + i), how,
			     page_is(got + i * PAGE, id + i, version - 1) ? "the change is missing"
									  : "wrong");
}

static void change(char *area, size_t first, size_t pages, uint64_t version)
{
	for (size_t i = first; i < first + pages; i++)
		page_change(area + i * PAGE, i, version);
}

/* Put in, everything else used, changed, taken out: all over the area, which is far more than may
 * be held. */
static void through_a_pipe(char *area)
{
	int f[2];

	EXPECT(pipe(f) == 0);
	for (size_t i = 0; i + PIPED <= n; i += 8 * PIPED) {
		put(f[1], area + i * PAGE, PIPED);
		press(mib);
		change(area, i, PIPED, 1);
		get(f[0], PIPED, i, 1, "through a pipe");
		change(area, i, PIPED, 0);
	}
	press(mib);
	area_check(area, n, 0, 0, "after it went through a pipe");
	EXPECT(close(f[0]) == 0 && close(f[1]) == 0);
}

/* The reader is always one behind. */
static void never_empty(char *area)
{
	const size_t some = PIPED / 4;
	int f[2];

	EXPECT(pipe(f) == 0);
	put(f[1], area, some);
	for (size_t i = some; i < 8 * PIPED; i += some) {
		put(f[1], area + i * PAGE, some);
		press(mib / 2);
		change(area, i - some, 2 * some, 1);
		get(f[0], some, i - some, 1, "in a pipe that is never empty");
	}
	get(f[0], some, 8 * PIPED - some, 1, "at the end");
	change(area, 0, 8 * PIPED, 0);
	EXPECT(close(f[0]) == 0 && close(f[1]) == 0);
}

static void passed_on(char *area)
{
	int a[2], b[2], c[2], s[2];
	size_t bytes = PIPED / 2 * PAGE;

	EXPECT(pipe(a) == 0 && pipe(b) == 0 && pipe(c) == 0 &&
	       socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
	put(a[1], area, PIPED / 2);
	EXPECT(tee(a[0], b[1], bytes, 0) == (ssize_t)bytes);
	get(a[0], PIPED / 2, 0, 0, "that was passed on");
	press(mib);
	change(area, 0, PIPED / 2, 1);
	EXPECT(splice(b[0], NULL, c[1], NULL, bytes, 0) == (ssize_t)bytes);
	press(mib);
	change(area, 0, PIPED / 2, 2);
	get(c[0], PIPED / 2, 0, 2, "by tee and splice");
	put(a[1], area, PIPED / 2);
	EXPECT(syscall(SYS_splice, a[0], NULL, s[1], NULL, bytes, 0L) == (ssize_t)bytes);
	press(mib);
	get(s[0], PIPED / 2, 0, 2, "through a socket");
	change(area, 0, PIPED / 2, 0);
	for (int i = 0; i < 2; i++)
		EXPECT(close(a[i]) == 0 && close(b[i]) == 0 && close(c[i]) == 0 &&
		       close(s[i]) == 0);
}

/* The writer has closed its end; the reader learns that it is the end. */
static void from_a_child(char *area)
{
	static char rest[PAGE];
	int f[2], status, gate[2];
	pid_t pid;

	EXPECT(pipe(f) == 0 && pipe(gate) == 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		change(area, 0, n, 1);
		put(f[1], area, PIPED);
		EXPECT(close(f[0]) == 0 && close(f[1]) == 0);
		press(mib);
		change(area, 0, PIPED, 2);
		EXPECT(write(gate[1], "", 1) == 1);
		press(mib);
		area_check(area + PIPED * PAGE, n - PIPED, PIPED, 1, "of the child");
		_exit(0);
	}
	EXPECT(close(f[1]) == 0 && read(gate[0], rest, 1) == 1);
	get(f[0], PIPED, 0, 2, "from a child");
	EXPECT(read(f[0], rest, sizeof(rest)) == 0);
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	area_check(area, n, 0, 0, "of the parent");
	EXPECT(close(f[0]) == 0 && close(gate[0]) == 0 && close(gate[1]) == 0);
}

/* As the kernel does it: full, closed, nothing, no pipe. */
static void results(char *area)
{
	struct iovec v = { area, 4 * PIPED * PAGE }, none = { area, 0 };
	int f[2], fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	EXPECT(pipe(f) == 0 && fd >= 0);
	EXPECT(vmsplice(f[1], &none, 1, 0) == 0);
	EXPECT(vmsplice(f[1], &v, 1, 0) == (ssize_t)(PIPED * PAGE));
	errno = 0;
	EXPECT(vmsplice(f[1], &v, 1, SPLICE_F_NONBLOCK) == -1 && errno == EAGAIN);
	get(f[0], PIPED, 0, 0, "of a long call");
	errno = 0;
	EXPECT(vmsplice(fd, &v, 1, 0) == -1 && errno == EBADF);
	errno = 0;
	EXPECT(vmsplice(-1, &v, 1, 0) == -1 && errno == EBADF);
	put(f[1], area, 2);
	v = (struct iovec){ area + 3 * PAGE, 2 * PAGE };
	EXPECT(vmsplice(f[0], &v, 1, 0) == (ssize_t)(2 * PAGE));
	EXPECT(page_is(area + 3 * PAGE, 0, 0) && page_is(area + 4 * PAGE, 1, 0));
	page_fill(area + 3 * PAGE, 3, 0);
	page_fill(area + 4 * PAGE, 4, 0);
	EXPECT(close(f[0]) == 0 && close(f[1]) == 0 && close(fd) == 0);
}

int main(int argc, char **argv)
{
	char *area;

	mib = arg_number(argc, argv, 1, 32);
	n = mib * PAGES_PER_MIB;
	area = map_bytes(n * PAGE);
	area_fill(area, n, 0, 0);
	results(area);
	through_a_pipe(area);
	never_empty(area);
	passed_on(area);
	from_a_child(area);
	area_check(area, n, 0, 0, "at the end");
	return ok("%zu pages, in and out of pipes", n);
}
