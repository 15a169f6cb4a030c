/* serve/probe.c - can umemcg work on this machine? Tries what has no alternative, and says what to
 * change if it fails.
 *
 * Locks: none; runs before there are threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/client/supervisor.h"
#include "serve/probe.h"
#include "serve/process/process.h"

int problem_set(struct serve_problem *p, int error, const char *fmt, ...)
{
	va_list ap;

	VM_ASSERT(error < 0);
	p->error = error;
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	return error;
}

static bool sysctl_unprivileged(void)
{
	FILE *f = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	int value = 0;

	if (f) {
		if (fscanf(f, "%d", &value) != 1)
			value = 0;
		fclose(f);
	}
	return value == 1;
}

static int not_permitted(struct serve_problem *p)
{
	return problem_set(p, -EPERM,
			   "not permitted to use userfaultfd with fork events: run as root; or "
			   "give umemcg CAP_SYS_PTRACE "
			   "(setcap cap_sys_ptrace+ep umemcg) and set "
			   "vm.unprivileged_userfaultfd=1; or give it CAP_SYS_PTRACE and access "
			   "to /dev/userfaultfd");
}

/* All lookups of clients in /proc use our PID numbering. */
static int check_proc(struct serve_problem *p)
{
	char self[16];
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);

	if (n < 0)
		return problem_set(p, -ENOENT,
				   "there is no /proc, by which umemcg follows the program: mount "
				   "it (mount -t proc proc "
				   "/proc)");
	self[n] = '\0';
	if (strtol(self, NULL, 10) != getpid())
		return problem_set(p, -ESRCH,
				   "/proc is that of another PID namespace: mount this one's "
				   "(mount -t proc proc /proc, "
				   "unshare --mount-proc)");
	return 0;
}

static int refused(struct serve_problem *p, const char *call)
{
	VM_ASSERT(errno > 0);
	return problem_set(p, -errno,
			   "%s(2) is refused here (%s), which umemcg cannot do without: allow it "
			   "in the container's "
			   "seccomp profile",
			   call, strerror(errno));
}

/* Calls on clients that have no alternative: read memory, kill. Tried on ourselves. */
static int check_calls(struct serve_problem *p)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), err = 0;
	char from = 0, to;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	if (pidfd < 0)
		return refused(p, "pidfd_open");
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) != 0)
		err = refused(p, "pidfd_send_signal");
	else if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1)
		err = refused(p, "process_vm_readv");
	close(pidfd);
	return err;
}

/* May we and our clients use userfaultfd with fork events? The clients have none of our
 * capabilities. */
static int check_machine(struct supervisor *s, struct serve_problem *p)
{
	int fd, err;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_SIZE)
		return problem_set(p, -ENOTSUP,
				   "this kernel has pages of %ld bytes: umemcg knows only %lu",
				   sysconf(_SC_PAGESIZE), PAGE_SIZE);
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? -errno : 0;
	if (err == -ENOSYS)
		return problem_set(p, err,
				   "this kernel has no userfaultfd: umemcg needs Linux 5.14 or "
				   "later with CONFIG_USERFAULTFD");
	s->device_fd = device_open(s->config.swap_dir);
	if (fd < 0 && s->device_fd >= 0)
		fd = ioctl(s->device_fd, _IO(0xAA, 0x00), O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? err : uffd_api(fd);
	if (fd >= 0)
		close(fd);
	if (err == -EPERM || err == -EACCES ||
	    (geteuid() != 0 && s->device_fd < 0 && !sysctl_unprivileged()))
		return not_permitted(p);
	if (err)
		return problem_set(p, err, "userfaultfd does not work here: %s", strerror(-err));
	if (s->device_fd < 0 && !sysctl_unprivileged())
		supervisor_notice(s, "programs that change their user (su, PostgreSQL) will be "
				     "measured, but not swapped: there is "
				     "no /dev/userfaultfd here; give it to the container (--device "
				     "/dev/userfaultfd), or set "
				     "vm.unprivileged_userfaultfd=1");
	return 0;
}

int probe_machine(struct supervisor *s, struct serve_problem *p)
{
	int err = check_proc(p);

	assert_thread(THREAD_MAIN);
	VM_ASSERT(s->device_fd == -1 && !s->started);
	if (!err)
		err = check_machine(s, p);
	return err ? err : check_calls(p);
}
