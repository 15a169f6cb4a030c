/* tests/native/prog/usercalls_list.c - the calls of usercalls. Each is made by an instruction of
 * this program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "usercalls.h"

static long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#define C(nr, a, b, c, d, e, f)                                                                    \
	call(SYS_##nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static void put(int i, const void *data, size_t n)
{
	memcpy(p[i], data, n);
}

/* ---- what the buffers hold ---- */

static void put_path(void)
{
	put(0, path, sizeof path);
}

static void put_device(void)
{
	put(0, "/dev/null", 10);
	put(1, "/dev/zero/", 11);
}

static void put_vector(void)
{
	struct iovec v[3] = { { p[1], 100 }, { p[2], 9000 }, { p[1] + 5000, 70 } };

	put(0, v, sizeof v);
}

static void put_long_vector(void)
{
	struct iovec v[3] = { { p[1], 100 }, { p[2], 600000 }, { p[1] + 5000, 90000 } };

	put(0, v, sizeof v);
}

static void put_many_vectors(void)
{
	struct iovec v[60];

	for (int i = 0; i < 60; i++)
		v[i] = (struct iovec){ p[1 + i % 2] + i * 4000, 300 };
	put(0, v, sizeof v);
}

static void put_message(void)
{
	struct iovec v[2] = { { p[2], 500 }, { p[2] + 6000, 900 } };
	struct msghdr m = { .msg_iov = (struct iovec *)(p[1]), .msg_iovlen = 2 };

	put(0, &m, sizeof m);
	put(1, v, sizeof v);
}

static void put_messages(void)
{
	struct iovec v[2] = { { p[2], 500 }, { p[2] + 6000, 900 } };
	struct mmsghdr m[2] = { 0 };

	m[0].msg_hdr.msg_iov = (struct iovec *)p[1];
	m[1].msg_hdr.msg_iov = (struct iovec *)p[1] + 1;
	m[0].msg_hdr.msg_iovlen = m[1].msg_hdr.msg_iovlen = 1;
	put(0, m, sizeof m);
	put(1, v, sizeof v);
}

static void put_poll(void)
{
	struct pollfd f[600];

	for (int i = 0; i < 600; i++)
		f[i] = (struct pollfd){ .fd = i % 2 ? pair_fd[0] : event_fd, .events = POLLIN };
	put(0, f, sizeof f);
}

static void put_select(void)
{
	fd_set s;
	struct timeval t = { 0, 1000 };

	FD_ZERO(&s);
	FD_SET(pair_fd[0], &s);
	put(0, &s, sizeof s);
	put(1, &t, sizeof t);
}

static void put_time(void)
{
	struct timespec t = { 0, 1000 };

	put(0, &t, sizeof t);
}

static void put_limit(void)
{
	struct rlimit r = { 200, 400 };

	put(0, &r, sizeof r);
}

static void put_event(void)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 0x1122334455667788 };

	put(0, &e, sizeof e);
}

static void put_name(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/nowhere/at/all" };

	put(0, &a, sizeof a);
}

static void put_size(void)
{
	int n = 4;

	put(1, &n, sizeof n);
}

static void put_lock(void)
{
	struct flock l = { .l_type = F_WRLCK, .l_len = 10 };

	put(0, &l, sizeof l);
}

static void put_argv(void)
{
	char *argv[] = { p[2], p[2] + 6000, NULL };

	put(0, "/var/tmp/there/is/no/such/program", 34);
	put(1, argv, sizeof argv);
	put(2, "one", 4);
	memcpy(p[2] + 6000, "two", 4);
}

/* ---- the calls ---- */

#define RUN(name, result)                                                                          \
	static long name(void)                                                                     \
	{                                                                                          \
		return result;                                                                     \
	}

RUN(c_read, C(read, file_fd, p[0], 9000, 0, 0, 0))
RUN(c_read_long, C(read, file_fd, p[0], 700000, 0, 0, 0))
RUN(c_read_pair, C(read, pair_fd[0], p[0], 700000, 0, 0, 0))
RUN(c_pread, C(pread64, file_fd, p[0], 20000, 5000, 0, 0))
RUN(c_pread_long, C(pread64, file_fd, p[0], 600000, 70000, 0, 0))
RUN(c_write, C(write, file_fd, p[0], 9000, 0, 0, 0))
RUN(c_write_long, C(write, file_fd, p[0], 700000, 0, 0, 0))
RUN(c_write_pipe, C(write, pipe_fd[1], p[0], 9000, 0, 0, 0))
RUN(c_write_full, C(write, pipe_fd[1], p[0], 700000, 0, 0, 0))
RUN(c_pwrite, C(pwrite64, file_fd, p[0], 600000, 100, 0, 0))
RUN(c_readv, C(readv, file_fd, p[0], 3, 0, 0, 0))
RUN(c_writev, C(writev, file_fd, p[0], 3, 0, 0, 0))
RUN(c_readv60, C(readv, file_fd, p[0], 60, 0, 0, 0))
RUN(c_writev60, C(writev, dgram_fd[1], p[0], 60, 0, 0, 0))
RUN(c_preadv, C(preadv, file_fd, p[0], 3, 3000, 0, 0))
RUN(c_pwritev, C(pwritev, file_fd, p[0], 3, 3000, 0, 0))
RUN(c_preadv2, C(preadv2, file_fd, p[0], 3, -1, 0, 0))
RUN(c_bad_count, C(readv, file_fd, p[0], 2000, 0, 0, 0))
RUN(c_getrandom, C(getrandom, p[0], 5000, 0, 0, 0, 0))
RUN(c_getrandom_long, C(getrandom, p[0], 600000, 0, 0, 0, 0))
RUN(c_open, C(openat, AT_FDCWD, p[0], O_RDONLY, 0, 0, 0))
RUN(c_open_old, C(open, p[0], O_RDONLY, 0, 0, 0, 0))
RUN(c_stat, C(stat, p[0], p[1], 0, 0, 0, 0))
RUN(c_fstat, C(fstat, event_fd, p[1], 0, 0, 0, 0))
RUN(c_newfstatat, C(newfstatat, AT_FDCWD, p[0], p[1], 0, 0, 0))
RUN(c_statx, C(statx, AT_FDCWD, p[0], 0, 1, p[1], 0))
RUN(c_statfs, C(fstatfs, pipe_fd[0], p[0], 0, 0, 0, 0))
RUN(c_access, C(access, p[0], R_OK, 0, 0, 0, 0))
RUN(c_readlink, C(readlink, p[0], p[1], 5000, 0, 0, 0))
RUN(c_rename, C(rename, p[0], p[1], 0, 0, 0, 0))
RUN(c_mkdir, C(mkdir, p[0], 0700, 0, 0, 0, 0))
RUN(c_getcwd, C(getcwd, p[0], 6000, 0, 0, 0, 0))
RUN(c_getdents, C(getdents64, dir_fd, p[0], 20000, 0, 0, 0) > 0)
RUN(c_getxattr, C(getxattr, p[0], p[1], p[2], 9000, 0, 0))
RUN(c_listxattr, C(listxattr, p[0], p[1], 9000, 0, 0, 0))
RUN(c_poll, C(poll, p[0], 600, 0, 0, 0, 0))
RUN(c_ppoll, C(ppoll, p[0], 600, p[1], p[2], 8, 0))
RUN(c_select, C(select, 64, p[0], 0, p[2], p[1], 0))
RUN(c_pselect, C(pselect6, 64, p[0], 0, p[2], p[1], 0))
RUN(c_epoll_ctl, C(epoll_ctl, epoll_fd, EPOLL_CTL_ADD, dgram_fd[0], p[0], 0, 0))
RUN(c_epoll_wait, C(epoll_wait, epoll_fd, p[0], 1000, 0, 0, 0))
RUN(c_epoll_pwait, C(epoll_pwait, epoll_fd, p[0], 1000, 0, p[1], 8))
RUN(c_pipe, C(pipe2, p[0], O_CLOEXEC, 0, 0, 0, 0))
RUN(c_socketpair, C(socketpair, AF_UNIX, SOCK_STREAM, 0, p[0], 0, 0))
RUN(c_connect, C(connect, pair_fd[0], p[0], 110, 0, 0, 0))
RUN(c_getsockname, C(getsockname, pair_fd[0], p[0], p[1], 0, 0, 0))
RUN(c_getsockopt, C(getsockopt, pair_fd[0], SOL_SOCKET, SO_TYPE, p[0], p[1], 0))
RUN(c_setsockopt, C(setsockopt, pair_fd[0], SOL_SOCKET, SO_RCVBUF, p[0], 4, 0))
RUN(c_sendto, C(sendto, pair_fd[1], p[0], 9000, 0, 0, 0))
RUN(c_send_datagram, C(sendto, dgram_fd[1], p[0], 9000, 0, 0, 0))
RUN(c_recvfrom, C(recvfrom, pair_fd[0], p[0], 9000, 0, p[1], p[2]))
RUN(c_recv_peek, C(recvfrom, pair_fd[0], p[0], 700000, MSG_PEEK, 0, 0))
RUN(c_sendmsg, C(sendmsg, pair_fd[1], p[0], 0, 0, 0, 0))
RUN(c_recvmsg, C(recvmsg, pair_fd[0], p[0], 0, 0, 0, 0))
RUN(c_sendmmsg, C(sendmmsg, dgram_fd[1], p[0], 2, 0, 0, 0))
RUN(c_recvmmsg, C(recvmmsg, pair_fd[0], p[0], 2, MSG_DONTWAIT, 0, 0))
RUN(c_futex_wait, C(futex, p[1], FUTEX_WAIT, 0, p[0], 0, 0))
RUN(c_futex_differs, C(futex, p[1], FUTEX_WAIT, 7, p[0], 0, 0))
RUN(c_futex_wake, C(futex, p[1], FUTEX_WAKE, 1, 0, 0, 0))
RUN(c_futex_op, C(futex, p[1], FUTEX_WAKE_OP, 1, 1, p[2], FUTEX_OP(FUTEX_OP_ADD, 1, 0, 0)))
RUN(c_futex_pi, C(futex, p[1], FUTEX_TRYLOCK_PI, 0, 0, 0, 0) > -4096)
RUN(c_nanosleep, C(nanosleep, p[0], p[1], 0, 0, 0, 0))
RUN(c_clock_getres, C(clock_getres, CLOCK_MONOTONIC, p[0], 0, 0, 0, 0))
RUN(c_prlimit, C(prlimit64, 0, RLIMIT_CORE, p[0], p[1], 0, 0))
RUN(c_uname, C(uname, p[0], 0, 0, 0, 0, 0))
RUN(c_getgroups, C(getgroups, 1000, p[0], 0, 0, 0, 0))
RUN(c_getaffinity, C(sched_getaffinity, 0, 4096, p[0], 0, 0, 0))
RUN(c_sigpending, C(rt_sigpending, p[0], 8, 0, 0, 0, 0))
RUN(c_sigprocmask, C(rt_sigprocmask, SIG_BLOCK, p[0], p[1], 8, 0, 0))
RUN(c_sigtimedwait, C(rt_sigtimedwait, p[1], p[2], p[0], 8, 0, 0))
RUN(c_sigaction, C(rt_sigaction, SIGUSR2, 0, p[0], 8, 0, 0))
RUN(c_wait, C(wait4, -1, p[0], 0, p[1], 0, 0))
RUN(c_fcntl_lock, C(fcntl, file_fd, F_GETLK, p[0], 0, 0, 0))
RUN(c_ioctl_bytes, C(ioctl, pair_fd[0], FIONREAD, p[0], 0, 0, 0))
RUN(c_ioctl_bad, C(ioctl, file_fd, 0x5413, p[0], 0, 0, 0))
RUN(c_mincore, C(mincore, &file_fd, 1, p[0], 0, 0, 0))
RUN(c_execve, C(execve, p[0], p[1], p[1], 0, 0, 0))
RUN(c_execveat, C(execveat, AT_FDCWD, p[0], p[1], p[1], 0, 0))
RUN(c_prctl_name, C(prctl, 15, p[0], 0, 0, 0, 0))
RUN(c_prctl_get, C(prctl, 16, p[0], 0, 0, 0, 0))
RUN(c_name_to_handle, C(memfd_create, p[0], 0, 0, 0, 0, 0))
RUN(c_sendfile, C(sendfile, pipe_fd[1], file_fd, p[0], 3000, 0, 0))
RUN(c_splice, C(splice, file_fd, p[0], pipe_fd[1], 0, 3000, 0))
RUN(c_copy_range, C(copy_file_range, file_fd, p[0], file_fd, p[1], 100, 0))
RUN(c_eventfd, C(read, event_fd, p[0], 8, 0, 0, 0))
RUN(c_getitimer, C(getitimer, ITIMER_REAL, p[0], 0, 0, 0, 0))
RUN(c_getcpu, C(getcpu, p[0], p[1], 0, 0, 0, 0))
RUN(c_populate, C(madvise, (long)map[0] & -(long)PAGE, BYTES, 23 /* POPULATE_WRITE */, 0, 0, 0))
RUN(c_mlock, C(mlock, map[0], 3 * PAGE, 0, 0, 0, 0))
RUN(c_io_setup, C(io_setup, 10, p[0], 0, 0, 0, 0) ? -1 : 0)
static long c_process_readv(void)
{
	static char byte[8];
	static struct iovec from = { byte, 8 };

	return C(process_vm_readv, getpid(), p[0], 1, &from, 1, 0);
}

const struct test tests[] = {
	{ "read", NULL, c_read, 0 },
	{ "read, long", NULL, c_read_long, 0 },
	{ "read, a socket", NULL, c_read_pair, 0 },
	{ "pread64", NULL, c_pread, 0 },
	{ "pread64, long", NULL, c_pread_long, 0 },
	{ "write", NULL, c_write, 0 },
	{ "write, long", NULL, c_write_long, 0 },
	{ "write, a pipe", NULL, c_write_pipe, 0 },
	{ "write, more than a pipe takes", NULL, c_write_full, 0 },
	{ "pwrite64", NULL, c_pwrite, 0 },
	{ "readv", put_vector, c_readv, 0 },
	{ "writev", put_vector, c_writev, 0 },
	{ "readv, long", put_long_vector, c_readv, 0 },
	{ "writev, long", put_long_vector, c_writev, 0 },
	{ "readv, 60 parts", put_many_vectors, c_readv60, 0 },
	{ "writev, 60 parts of a datagram", put_many_vectors, c_writev60, 0 },
	{ "preadv", put_long_vector, c_preadv, 0 },
	{ "pwritev", put_long_vector, c_pwritev, 0 },
	{ "preadv2", put_long_vector, c_preadv2, 0 },
	{ "readv, too many", put_vector, c_bad_count, 0 },
	{ "getrandom", NULL, c_getrandom, UNKNOWN },
	{ "getrandom, long", NULL, c_getrandom_long, UNKNOWN },
	{ "openat", put_path, c_open, 0 },
	{ "open", put_device, c_open_old, 0 },
	{ "stat", put_device, c_stat, UNKNOWN },
	{ "fstat", NULL, c_fstat, UNKNOWN },
	{ "newfstatat", put_path, c_newfstatat, UNKNOWN },
	{ "statx", put_path, c_statx, UNKNOWN },
	{ "fstatfs", NULL, c_statfs, 0 },
	{ "access", put_path, c_access, 0 },
	{ "readlink", put_path, c_readlink, 0 },
	{ "rename", put_device, c_rename, 0 },
	{ "mkdir", put_path, c_mkdir, 0 },
	{ "getcwd", NULL, c_getcwd, UNKNOWN },
	{ "getdents64", NULL, c_getdents, UNKNOWN },
	{ "getxattr", put_path, c_getxattr, 0 },
	{ "listxattr", put_path, c_listxattr, UNKNOWN },
	{ "poll", put_poll, c_poll, 0 },
	{ "ppoll", put_poll, c_ppoll, 0 },
	{ "select", put_select, c_select, UNKNOWN },
	{ "pselect6", put_select, c_pselect, UNKNOWN },
	{ "epoll_ctl", put_event, c_epoll_ctl, 0 },
	{ "epoll_wait", NULL, c_epoll_wait, 0 },
	{ "epoll_pwait", NULL, c_epoll_pwait, 0 },
	{ "pipe2", NULL, c_pipe, UNKNOWN },
	{ "socketpair", NULL, c_socketpair, UNKNOWN },
	{ "connect", put_name, c_connect, 0 },
	{ "getsockname", put_size, c_getsockname, 0 },
	{ "getsockopt", put_size, c_getsockopt, 0 },
	{ "setsockopt", put_size, c_setsockopt, 0 },
	{ "sendto", NULL, c_sendto, 0 },
	{ "sendto, a datagram", NULL, c_send_datagram, 0 },
	{ "recvfrom", put_size, c_recvfrom, 0 },
	{ "recvfrom, MSG_PEEK", NULL, c_recv_peek, 0 },
	{ "sendmsg", put_message, c_sendmsg, 0 },
	{ "recvmsg", put_message, c_recvmsg, 0 },
	{ "sendmmsg", put_messages, c_sendmmsg, 0 },
	{ "recvmmsg", put_messages, c_recvmmsg, 0 },
	{ "futex, wait", put_time, c_futex_wait, 0 },
	{ "futex, wait for another value", put_time, c_futex_differs, 0 },
	{ "futex, wake", NULL, c_futex_wake, 0 },
	{ "futex, wake and change", NULL, c_futex_op, 0 },
	{ "futex, priority inheritance", NULL, c_futex_pi, UNKNOWN },
	{ "nanosleep", put_time, c_nanosleep, 0 },
	{ "clock_getres", NULL, c_clock_getres, 0 },
	{ "prlimit64", put_limit, c_prlimit, UNKNOWN },
	{ "uname", NULL, c_uname, 0 },
	{ "getgroups", NULL, c_getgroups, 0 },
	{ "sched_getaffinity", NULL, c_getaffinity, 0 },
	{ "rt_sigpending", NULL, c_sigpending, 0 },
	{ "rt_sigprocmask", NULL, c_sigprocmask, 0 },
	{ "rt_sigtimedwait", put_time, c_sigtimedwait, 0 },
	{ "rt_sigaction", NULL, c_sigaction, 0 },
	{ "wait4", NULL, c_wait, 0 },
	{ "fcntl, F_GETLK", put_lock, c_fcntl_lock, 0 },
	{ "ioctl, FIONREAD", NULL, c_ioctl_bytes, 0 },
	{ "ioctl, of another file", NULL, c_ioctl_bad, 0 },
	{ "mincore", NULL, c_mincore, UNKNOWN },
	{ "execve", put_argv, c_execve, 0 },
	{ "execveat", put_argv, c_execveat, 0 },
	{ "prctl, PR_SET_NAME", put_path, c_prctl_name, UNKNOWN },
	{ "prctl, PR_GET_NAME", NULL, c_prctl_get, UNKNOWN },
	{ "memfd_create", put_device, c_name_to_handle, 0 },
	{ "sendfile", NULL, c_sendfile, 0 },
	{ "splice", NULL, c_splice, 0 },
	{ "copy_file_range", put_size, c_copy_range, 0 },
	{ "eventfd", NULL, c_eventfd, 0 },
	{ "getitimer", NULL, c_getitimer, 0 },
	{ "getcpu", NULL, c_getcpu, UNKNOWN },
	{ "madvise, populate", NULL, c_populate, 0 },
	{ "mlock", NULL, c_mlock, 0 },
	{ "io_setup", NULL, c_io_setup, UNKNOWN },
	{ "process_vm_readv", put_vector, c_process_readv, 0 },
};

const size_t nr_tests = sizeof tests / sizeof tests[0];
