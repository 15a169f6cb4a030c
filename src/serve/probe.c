/* serve/probe.c - looks at what this place permits. Tries what can be tried; place.c decides.
 *
 * Locks: none; runs before there are threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/connector.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mmu/host/uffd.h"
#include "serve/client/supervisor.h"
#include "serve/place.h"
#include "serve/probe.h"
#include "serve/process/process.h"

#define CAP_SYS_PTRACE_BIT 19
#define USER_MODE_ONLY     1 /* UFFD_USER_MODE_ONLY; newer than the oldest headers */

/* The number in a file of the kernel's, after @name if that is not NULL; PLACE_UNKNOWN. */
static int64_t number_in(const char *path, const char *name, int base)
{
	char buf[4096];
	const char *at = buf;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return PLACE_UNKNOWN;
	buf[n] = '\0';
	if (name) {
		at = strstr(buf, name);
		if (!at)
			return PLACE_UNKNOWN;
		at += strlen(name);
	}
	return (int64_t)strtoull(at, NULL, base);
}

/* All lookups of clients in /proc use our PID numbering. */
static int look_at_proc(void)
{
	char self[16];
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);

	if (n < 0)
		return -ENOENT;
	self[n] = '\0';
	return strtol(self, NULL, 10) == getpid() ? 0 : -ESRCH;
}

/* Calls on clients that have no alternative: read memory, kill. Tried on ourselves. */
static void look_at_calls(struct place *p)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	char from = 0, to;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	p->pidfd_err = pidfd < 0 ? -errno : 0;
	if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) != 0)
		p->signal_err = -errno;
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1)
		p->readv_err = -errno;
	if (pidfd >= 0)
		close(pidfd);
}

static int make_uffd(int device, int flags)
{
	int fd = device >= 0 ? ioctl(device, _IO(0xAA, 0x00), O_CLOEXEC | O_NONBLOCK)
			     : (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);

	return fd < 0 ? -errno : fd;
}

/* A descriptor whose events were refused is of no more use: each try has its own. */
static int try_api(int device, bool forks)
{
	int fd = make_uffd(device, 0), err = fd < 0 ? fd : uffd_api(fd, forks);

	if (fd >= 0)
		close(fd);
	return err;
}

static int error_of(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void look_at_uffd(struct place *p, const char *swap_dir, int *device_fd)
{
	int device;

	p->uffd_err = error_of(make_uffd(-1, 0));
	p->uffd_user_err = error_of(make_uffd(-1, USER_MODE_ONLY));
	*device_fd = device_open(swap_dir);
	p->device_err = *device_fd >= 0                         ? 0
			: access("/dev/userfaultfd", F_OK) == 0 ? -EACCES
								: -ENOENT;
	/* The descriptor that the programs will have. */
	device = p->uffd_err ? *device_fd : -1;
	p->fork_err = try_api(device, true);
	p->api_err = p->fork_err ? try_api(device, false) : 0;
}

void place_look(struct place *p, const char *swap_dir, int *device_fd)
{
	struct utsname name;
	int64_t caps;

	*p = (struct place){ .page_size = sysconf(_SC_PAGESIZE), .root = geteuid() == 0 };
	if (uname(&name) == 0)
		snprintf(p->kernel, sizeof(p->kernel), "%.31s", name.release);
#if defined(__x86_64__)
	p->fork_possible = true;
#endif
	p->proc_err = look_at_proc();
	p->sysctl = (int)number_in("/proc/sys/vm/unprivileged_userfaultfd", NULL, 10);
	p->yama = (int)number_in("/proc/sys/kernel/yama/ptrace_scope", NULL, 10);
	caps = number_in("/proc/self/status", "\nCapEff:", 16);
	p->capabilities = caps == PLACE_UNKNOWN ? 0 : (uint64_t)caps;
	p->cap_ptrace = p->capabilities >> CAP_SYS_PTRACE_BIT & 1;
	p->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	p->seccomp = (int)number_in("/proc/self/status", "\nSeccomp:", 10);
	look_at_calls(p);
	look_at_uffd(p, swap_dir, device_fd);
}

static int try_ring(void)
{
	struct io_uring_params params = { 0 };

	return error_of((int)syscall(SYS_io_uring_setup, 1, &params) < 0
				? -errno
				: open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static int try_connector(void)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	int fd = socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR), err;

	if (fd < 0)
		return -errno;
	err = bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ? -errno : 0;
	close(fd);
	return err;
}

static int try_realtime(void)
{
	const struct sched_param one = { .sched_priority = 1 };
	struct sched_param was;
	int policy = sched_getscheduler(0), err;

	if (policy < 0 || sched_getparam(0, &was) != 0)
		return -errno;
	err = sched_setscheduler(0, SCHED_RR, &one) != 0 ? -errno : 0;
	if (!err)
		(void)sched_setscheduler(0, policy, &was);
	return err;
}

/* Is there a group of ours with a memory controller that we may configure? */
static bool is_delegated(void)
{
	char line[512] = "", path[768];
	FILE *f = fopen("/proc/self/cgroup", "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = strncmp(line, "0::/", 4) == 0;
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	if (!found)
		return false;
	snprintf(path, sizeof(path), "/sys/fs/cgroup%.500s/cgroup.subtree_control", line + 3);
	if (access(path, W_OK) != 0)
		return false;
	snprintf(path, sizeof(path), "/sys/fs/cgroup%.500s/cgroup.controllers", line + 3);
	f = fopen(path, "re");
	found = f && fgets(line, sizeof(line), f) && strstr(line, "memory");
	if (f)
		fclose(f);
	return found;
}

static const char *file_system(const char *dir, int *err)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {
		{ 0xef53, "ext4" },      { 0x58465342, "xfs" },     { 0x9123683e, "btrfs" },
		{ 0x01021994, "tmpfs" }, { 0x794c7630, "overlay" }, { 0x6969, "nfs" },
		{ 0x2fc12fc1, "zfs" },   { 0x0bd00bd0, "lustre" },  { 0xf2f52010, "f2fs" },
		{ 0x65735546, "fuse" },  { 0x47504653, "gpfs" },
	};
	struct statfs fs;

	*err = statfs(dir, &fs) != 0 ? -errno : access(dir, W_OK | X_OK) != 0 ? -errno : 0;
	for (size_t i = 0; !*err && i < sizeof(known) / sizeof(known[0]); i++)
		if ((unsigned long)fs.f_type == known[i].magic)
			return known[i].name;
	return "other";
}

void place_look_more(struct place_more *m, const char *swap_dir)
{
	struct rlimit r;

	*m = (struct place_more){ .memlock = SERVE_UNLIMITED };
	if (getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
		m->memlock = (int64_t)r.rlim_cur;
	m->io_uring_err = try_ring();
	m->connector_err = try_connector();
	m->realtime_err = try_realtime();
	m->delegated = is_delegated();
	snprintf(m->swap_dir, sizeof(m->swap_dir), "%s", swap_dir);
	snprintf(m->swap_fs, sizeof(m->swap_fs), "%s", file_system(swap_dir, &m->swap_err));
}

int probe_machine(struct supervisor *s, struct serve_problem *p)
{
	struct place place;
	struct place_verdict v;

	assert_thread(THREAD_MAIN);
	VM_ASSERT(s->device_fd == -1 && !s->started);
	place_look(&place, s->config.swap_dir, &s->device_fd);
	place_judge(&place, s->config.mode, &v);
	if (v.mode == SERVE_MODE_NONE) {
		*p = v.problem;
		return p->error;
	}
	s->mode = v.mode;
	/* An ordinary user's programs cannot change their user, unless they are set-user-ID. */
	if (place.root && s->device_fd < 0 && place.sysctl != 1)
		supervisor_notice(s, "programs that change their user (su, PostgreSQL) will be "
				     "measured, but not swapped: there is "
				     "no /dev/userfaultfd here; give it to the container (--device "
				     "/dev/userfaultfd), or set "
				     "vm.unprivileged_userfaultfd=1");
	return 0;
}
