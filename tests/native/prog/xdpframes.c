/* tests/native/prog/xdpframes.c - xdpframes [PRESSURE MIB]
 *
 * Frames of sockets for XDP in memory that was pushed out, that is out in its middle only, and that
 * was never touched; private and shared. The kernel takes them, their content stays, and it is the
 * same memory for both from then on; what is not mapped, and what is misaligned, it refuses as
 * ever. 77 where there are no such sockets.
 */
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "prog.h"

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#define PAGES 256

static unsigned long mib;
static uint64_t next_id = 1;

static int xdp_socket(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		cannot_run("there are no sockets for XDP: %s", strerror(errno));
	return fd;
}

static int give_frames(int fd, void *at, size_t bytes, bool raw)
{
	struct xdp_umem_reg reg = { .addr = (uintptr_t)at, .len = bytes, .chunk_size = PAGE };

	return raw ? (int)syscall(SYS_setsockopt, fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg))
		   : setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof(reg));
}

static char *map(int flags)
{
	void *p = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	return p;
}

/* @touch: every so many pages are touched again before. 0: they were never touched at all. */
static void frames(int flags, size_t touch, bool raw)
{
	uint64_t id = next_id;
	char *area = map(flags);
	int fd = xdp_socket();

	next_id += PAGES;
	if (touch)
		area_fill(area, PAGES, id, 0);
	press(mib);
	for (size_t i = 0; touch && i < PAGES; i += touch)
		EXPECT(page_is(area + i * PAGE, id + i, 0));
	if (give_frames(fd, area, PAGES * PAGE, raw) != 0)
		fail("frames were refused: %s", strerror(errno));
	if (!touch)
		area_check_zero(area, PAGES, "that was never touched");
	else
		area_check(area, PAGES, id, 0, "of frames");
	area_fill(area, PAGES, id, 1);
	press(mib);
	area_check(area, PAGES, id, 1, "of frames, changed");
	EXPECT(close(fd) == 0);
	press(mib);
	area_check(area, PAGES, id, 1, "that were frames");
	EXPECT(munmap(area, PAGES * PAGE) == 0);
}

static void refused(void)
{
	char *area = map(MAP_PRIVATE);
	int fd = xdp_socket();

	errno = 0;
	EXPECT(give_frames(fd, area + 8, PAGES * PAGE - 8, false) == -1 && errno == EINVAL);
	EXPECT(munmap(area + 7 * PAGE, PAGE) == 0);
	EXPECT(give_frames(fd, area, PAGES * PAGE, false) == -1);
	errno = 0;
	EXPECT(setsockopt(fd, SOL_XDP, XDP_UMEM_REG, (void *)8, sizeof(struct xdp_umem_reg)) ==
		       -1 &&
	       errno == EFAULT);
	EXPECT(close(fd) == 0);
}

int main(int argc, char **argv)
{
	mib = arg_number(argc, argv, 1, 24);
	frames(MAP_PRIVATE, PAGES, false);
	frames(MAP_PRIVATE, 5, true);
	frames(MAP_PRIVATE, 0, false);
	frames(MAP_SHARED, PAGES, false);
	frames(MAP_SHARED, 5, true);
	refused();
	return ok("%d frames, five times", PAGES);
}
