/* tests/native/prog/registered.c - registered [PRESSURE MIB]
 *
 * Buffers that are registered with io_uring, in private and in shared memory, by liburing and by
 * syscall(2): pushed out after that, they get what is read into them, and what is stored there is
 * written. A ring of provided buffers in shared memory, too. 77 where there is no io_uring.
 */
#include <fcntl.h>
#include <liburing.h>
#include <sys/syscall.h>

#include "prog.h"

#define PAGES       512
#define HOW_LIBRARY 0
#define HOW_CALL    1
#define HOW_UPDATE  2

static unsigned long mib;

static char *map(int flags, size_t pages)
{
	void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	return p;
}

static void start(struct io_uring *ring)
{
	int err = io_uring_queue_init(4, ring, 0);

	if (err == -ENOSYS || err == -EPERM)
		cannot_run("there is no io_uring: %s", strerror(-err));
	EXPECT(err == 0);
}

static void give(struct io_uring *ring, const struct iovec *buffer, int how)
{
	__u64 tag = 0;

	switch (how) {
	case HOW_LIBRARY:
		EXPECT(io_uring_register_buffers(ring, buffer, 1) == 0);
		break;
	case HOW_CALL:
		EXPECT(syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_BUFFERS,
			       buffer, 1) == 0);
		break;
	default:
		EXPECT(io_uring_register_buffers_sparse(ring, 1) == 0);
		EXPECT(io_uring_register_buffers_update_tag(ring, 0, buffer, &tag, 1) == 1);
		break;
	}
}

static int done(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	EXPECT(io_uring_submit(ring) == 1 && io_uring_wait_cqe(ring, &cqe) == 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static void buffers(int fd, int flags, int how, uint64_t id)
{
	char *area = map(flags, PAGES), *page = map(MAP_PRIVATE, PAGES);
	const struct iovec buffer = { area, PAGES * PAGE };
	struct io_uring ring;

	start(&ring);
	area_fill(area, PAGES, id, 0);
	press(mib);
	give(&ring, &buffer, how);
	for (uint64_t r = 1; r < 3; r++) {
		area_fill(page, PAGES, id, r);
		EXPECT(pwrite(fd, page, PAGES * PAGE, 0) == (ssize_t)(PAGES * PAGE));
		press(mib);
		io_uring_prep_read_fixed(io_uring_get_sqe(&ring), fd, area, PAGES * PAGE, 0, 0);
		EXPECT(done(&ring) == (int)(PAGES * PAGE));
		area_check(area, PAGES, id, r, "that was read into a registered buffer");
		area_fill(area, PAGES, id, r + 10);
		press(mib);
		io_uring_prep_write_fixed(io_uring_get_sqe(&ring), fd, area, PAGES * PAGE, 0, 0);
		EXPECT(done(&ring) == (int)(PAGES * PAGE));
		EXPECT(pread(fd, page, PAGES * PAGE, 0) == (ssize_t)(PAGES * PAGE));
		area_check(page, PAGES, id, r + 10, "that was written from a registered buffer");
	}
	io_uring_queue_exit(&ring);
	press(mib);
	area_check(area, PAGES, id, 12, "of a buffer that was registered");
	EXPECT(munmap(area, PAGES * PAGE) == 0 && munmap(page, PAGES * PAGE) == 0);
}

/* The ring itself is memory that is pinned. */
static void provided(int fd)
{
	struct io_uring_buf_ring *br = (void *)map(MAP_SHARED, 16);
	struct io_uring_buf_reg reg = { .ring_addr = (uintptr_t)br,
					.ring_entries = 4096,
					.bgid = 1 };
	char *area = map(MAP_PRIVATE, 16);
	struct io_uring_sqe *sqe;
	struct io_uring ring;

	start(&ring);
	press(mib);
	if (io_uring_register_buf_ring(&ring, &reg, 0) != 0) {
		io_uring_queue_exit(&ring);
		return; /* Linux 5.19 */
	}
	for (int i = 0; i < 16; i++) {
		press(mib);
		br->bufs[i].addr = (uintptr_t)area + (uintptr_t)i * PAGE;
		br->bufs[i].len = PAGE;
		br->bufs[i].bid = (uint16_t)i;
		__atomic_store_n(&br->tail, (uint16_t)(i + 1), __ATOMIC_RELEASE);
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read(sqe, fd, NULL, PAGE, (uint64_t)i * PAGE);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = 1;
		EXPECT(done(&ring) == (int)PAGE);
	}
	for (uint64_t i = 0; i < 16; i++)
		EXPECT(page_is(area + i * PAGE, 1000 + i, 12));
	io_uring_queue_exit(&ring);
}

int main(int argc, char **argv)
{
	char name[] = "registered-XXXXXX";
	int fd = mkstemp(name);

	mib = arg_number(argc, argv, 1, 24);
	EXPECT(fd >= 0 && unlink(name) == 0);
	buffers(fd, MAP_PRIVATE, HOW_LIBRARY, 1);
	buffers(fd, MAP_SHARED, HOW_LIBRARY, 10000);
	buffers(fd, MAP_SHARED, HOW_UPDATE, 20000);
	buffers(fd, MAP_SHARED, HOW_CALL, 1000);
	provided(fd);
	return ok("%d pages, four times", PAGES);
}
