/* serve/client/stray.c - children that cannot be followed, for lack of memory or descriptors.
 *
 * Such a child has pages whose content only we have, and no books. It may live as long as it needs
 * none of them. When it misses one it is killed, never served: it would read zeros. If it has a
 * record it is a client marked "dead" (session/fork.c). If not (no memory even for that) it is a
 * stray: we keep its userfaultfd open until we end, because closing it would produce the zeros.
 *
 * The kernel hands out a child's userfaultfd with the event. If we have no free descriptor, the
 * event stays queued and the parent stays in its fork. So we keep a few descriptors in reserve.
 * They are refilled as clients end.
 *
 * Locks: none. A spare is taken by compare-and-swap.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/client/client.h"

#define READ_MAX  16
#define NR_SPARES 16

struct spares {
	atomic32_t fd[NR_SPARES]; /* (A) descriptors; 0: none */
};

int spares_init(struct supervisor *s)
{
	return supervisor_part(&s->spares, sizeof(*s->spares));
}

void stray_add(struct supervisor *s, int uffd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT,
				  .data.u64 = STRAY_KEY | (unsigned int)uffd };

	assert_thread(THREAD_FAULT);
	VM_ASSERT(uffd >= 0);
	(void)epoll_ctl(s->fault_ep, EPOLL_CTL_ADD, uffd, &ev);
	if (s->keeper)
		keeper_add_fd(s->keeper, ev.data.u64, uffd);
}

void stray_serve(struct supervisor *s, int uffd)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT,
				  .data.u64 = STRAY_KEY | (unsigned int)uffd };
	struct uffd_msg m[READ_MAX];
	ssize_t got = read(uffd, m, sizeof(m));

	assert_thread(THREAD_FAULT);
	VM_ASSERT(uffd >= 0);
	for (ssize_t i = 0; i < got / (ssize_t)sizeof(m[0]); i++)
		if (m[i].event == UFFD_EVENT_FORK)
			stray_add(s, (int)m[i].arg.fork.ufd);
		else if (m[i].event == UFFD_EVENT_PAGEFAULT)
			proc_kill_ours((pid_t)m[i].arg.pagefault.feat.ptid);
	(void)epoll_ctl(s->fault_ep, EPOLL_CTL_MOD, uffd, &ev);
}

void spare_fill(struct supervisor *s)
{
	assert_thread(THREAD_WATCHER);
	for (int i = 0; i < NR_SPARES; i++) {
		int fd;

		if (a32_load(&s->spares->fd[i]))
			continue;
		fd = fcntl(s->stop_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return;
		if (!a32_cas(&s->spares->fd[i], 0, (uint32_t)fd))
			close(fd);
	}
}

bool spare_drop(struct supervisor *s)
{
	for (int i = 0; i < NR_SPARES; i++) {
		uint32_t fd = a32_load(&s->spares->fd[i]);

		if (fd && a32_cas(&s->spares->fd[i], fd, 0)) {
			close((int)fd);
			return true;
		}
	}
	return false;
}

void spares_fini(struct supervisor *s)
{
	while (spare_drop(s))
		;
	plat_free(s->spares);
}
