/* agent/uffd.c - makes userfaultfds.
 *
 * Locks: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

#include "agent/agent.h"
#include "agent/sys.h"

#define DEVICE_TIMEOUT_MS 10000
#define FEATURE_MOVE      (1ull << 16) /* Linux 6.8 */

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define USER_MODE_ONLY 1 /* UFFD_USER_MODE_ONLY; newer than the oldest headers */

bool agent_user_only;

int agent_make_uffd(int device)
{
	if (device >= 0)
		return (int)sys_ioctl(device, USERFAULTFD_IOC_NEW,
				      (void *)(long)(O_CLOEXEC | O_NONBLOCK));
	return (int)sys_call1(SYS_userfaultfd,
			      O_CLOEXEC | O_NONBLOCK | (agent_user_only ? USER_MODE_ONLY : 0));
}

/* userfaultfd(2) is refused: ask the supervisor for a device that makes them. */
int agent_get_device(int channel, uint64_t cookie)
{
	struct msg_hello hello = { .flags = HELLO_NEED_DEVICE, .fork_cookie = cookie };
	struct msg_device reply;
	int n, device;

	AGENT_ASSERT(channel >= 0);
	msg_init(&hello.h, MSG_HELLO, 1);
	n = channel_send(channel, &hello, sizeof hello, -1);
	if (n < 0)
		return n;
	n = channel_recv_timed(channel, &reply, sizeof reply, 0, &device, DEVICE_TIMEOUT_MS);
	if (n == sizeof reply && msg_is(&reply.h, MSG_DEVICE) && !reply.error && reply.user_only)
		agent_user_only = true;
	else if (n == sizeof reply && msg_is(&reply.h, MSG_DEVICE) && !reply.error && device >= 0)
		return device;
	if (n >= 0 && device >= 0)
		sys_close(device);
	return -EPERM;
}

/* The second userfaultfd moves pages into the staging area. It has no events, so that dropping
 * staged pages waits for nobody. A touch of an empty staging page fails instead of waiting forever:
 * mlockall touches everything. -1 on a kernel without UFFDIO_MOVE. */
int agent_staging_uffd(char *staging, int device)
{
	struct uffdio_api api = { .api = UFFD_API, .features = FEATURE_MOVE | UFFD_FEATURE_SIGBUS };
	struct uffdio_register r = {
		.range = { .start = (uintptr_t)staging, .len = EVICT_PAGES_MAX * agent_page },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = agent_no_move ? -1 : agent_make_uffd(device);

	AGENT_ASSERT((uintptr_t)staging % agent_page == 0);
	if (fd < 0)
		return -1;
	if (!sys_ioctl(fd, UFFDIO_API, &api) && !sys_ioctl(fd, UFFDIO_REGISTER, &r))
		return fd;
	sys_close(fd);
	return -1;
}
