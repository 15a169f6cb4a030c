/* tests/native/prog/usercalls.c - system calls on memory in every state: prints what each returns and
 * leaves, so that two runs can be compared.
 *
 * usercalls           every call of the list with its buffers resident, missing, half missing,
 *                     read-only, unmapped and without access: a line each
 *
 * Missing is what was never touched or has been dropped (MADV_DONTNEED): a hole like a page that is
 * in swap, but one that can be made at will. Calls are made by an instruction of this program's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE       4096ul
#define NR_BUFFERS 3
#define BYTES      (256 * PAGE) /* of a buffer; more than one chunk of a transfer */
#define BEFORE     24           /* bytes of it in its first page */
#define FILE_BYTES (200 * PAGE)

enum state { RESIDENT, MISSING, HALF, READ_ONLY, UNMAPPED, NO_ACCESS, NR_STATES };
static const char *const state_names[] = { "resident",  "missing",  "half",
					   "read-only", "unmapped", "no-access" };

static char *map[NR_BUFFERS], *p[NR_BUFFERS];
static int file_fd, pipe_fd[2], pair_fd[2], dgram_fd[2], event_fd, epoll_fd, dir_fd;
static const char path[] = "usercalls.file"; /* in the working directory */

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

static long c_read(void) { return C(read, file_fd, p[0], 9000, 0, 0, 0); }
static long c_read_long(void) { return C(read, file_fd, p[0], 700000, 0, 0, 0); }
static long c_read_pair(void) { return C(read, pair_fd[0], p[0], 700000, 0, 0, 0); }
static long c_pread(void) { return C(pread64, file_fd, p[0], 20000, 5000, 0, 0); }
static long c_pread_long(void) { return C(pread64, file_fd, p[0], 600000, 70000, 0, 0); }
static long c_write(void) { return C(write, file_fd, p[0], 9000, 0, 0, 0); }
static long c_write_long(void) { return C(write, file_fd, p[0], 700000, 0, 0, 0); }
static long c_write_pipe(void) { return C(write, pipe_fd[1], p[0], 9000, 0, 0, 0); }
static long c_write_full(void) { return C(write, pipe_fd[1], p[0], 700000, 0, 0, 0); }
static long c_pwrite(void) { return C(pwrite64, file_fd, p[0], 600000, 100, 0, 0); }
static long c_readv(void) { return C(readv, file_fd, p[0], 3, 0, 0, 0); }
static long c_writev(void) { return C(writev, file_fd, p[0], 3, 0, 0, 0); }
static long c_readv60(void) { return C(readv, file_fd, p[0], 60, 0, 0, 0); }
static long c_writev60(void) { return C(writev, dgram_fd[1], p[0], 60, 0, 0, 0); }
static long c_preadv(void) { return C(preadv, file_fd, p[0], 3, 3000, 0, 0); }
static long c_pwritev(void) { return C(pwritev, file_fd, p[0], 3, 3000, 0, 0); }
static long c_preadv2(void) { return C(preadv2, file_fd, p[0], 3, -1, 0, 0); }
static long c_bad_count(void) { return C(readv, file_fd, p[0], 2000, 0, 0, 0); }
static long c_getrandom(void) { return C(getrandom, p[0], 5000, 0, 0, 0, 0); }
static long c_getrandom_long(void) { return C(getrandom, p[0], 600000, 0, 0, 0, 0); }
static long c_open(void) { return C(openat, AT_FDCWD, p[0], O_RDONLY, 0, 0, 0); }
static long c_open_old(void) { return C(open, p[0], O_RDONLY, 0, 0, 0, 0); }
static long c_stat(void) { return C(stat, p[0], p[1], 0, 0, 0, 0); }
static long c_fstat(void) { return C(fstat, event_fd, p[1], 0, 0, 0, 0); }
static long c_newfstatat(void) { return C(newfstatat, AT_FDCWD, p[0], p[1], 0, 0, 0); }
static long c_statx(void) { return C(statx, AT_FDCWD, p[0], 0, 1, p[1], 0); }
static long c_statfs(void) { return C(fstatfs, pipe_fd[0], p[0], 0, 0, 0, 0); }
static long c_access(void) { return C(access, p[0], R_OK, 0, 0, 0, 0); }
static long c_readlink(void) { return C(readlink, p[0], p[1], 5000, 0, 0, 0); }
static long c_rename(void) { return C(rename, p[0], p[1], 0, 0, 0, 0); }
static long c_mkdir(void) { return C(mkdir, p[0], 0700, 0, 0, 0, 0); }
static long c_getcwd(void) { return C(getcwd, p[0], 6000, 0, 0, 0, 0); }
static long c_getdents(void) { return C(getdents64, dir_fd, p[0], 20000, 0, 0, 0) > 0; }
static long c_getxattr(void) { return C(getxattr, p[0], p[1], p[2], 9000, 0, 0); }
static long c_listxattr(void) { return C(listxattr, p[0], p[1], 9000, 0, 0, 0); }
static long c_poll(void) { return C(poll, p[0], 600, 0, 0, 0, 0); }
static long c_ppoll(void) { return C(ppoll, p[0], 600, p[1], p[2], 8, 0); }
static long c_select(void) { return C(select, 64, p[0], 0, p[2], p[1], 0); }
static long c_pselect(void) { return C(pselect6, 64, p[0], 0, p[2], p[1], 0); }
static long c_epoll_ctl(void) { return C(epoll_ctl, epoll_fd, EPOLL_CTL_ADD, dgram_fd[0], p[0], 0, 0); }
static long c_epoll_wait(void) { return C(epoll_wait, epoll_fd, p[0], 1000, 0, 0, 0); }
static long c_epoll_pwait(void) { return C(epoll_pwait, epoll_fd, p[0], 1000, 0, p[1], 8); }
static long c_pipe(void) { return C(pipe2, p[0], O_CLOEXEC, 0, 0, 0, 0); }
static long c_socketpair(void) { return C(socketpair, AF_UNIX, SOCK_STREAM, 0, p[0], 0, 0); }
static long c_connect(void) { return C(connect, pair_fd[0], p[0], 110, 0, 0, 0); }
static long c_getsockname(void) { return C(getsockname, pair_fd[0], p[0], p[1], 0, 0, 0); }
static long c_getsockopt(void) { return C(getsockopt, pair_fd[0], SOL_SOCKET, SO_TYPE, p[0], p[1], 0); }
static long c_setsockopt(void) { return C(setsockopt, pair_fd[0], SOL_SOCKET, SO_RCVBUF, p[0], 4, 0); }
static long c_sendto(void) { return C(sendto, pair_fd[1], p[0], 9000, 0, 0, 0); }
static long c_send_datagram(void) { return C(sendto, dgram_fd[1], p[0], 9000, 0, 0, 0); }
static long c_recvfrom(void) { return C(recvfrom, pair_fd[0], p[0], 9000, 0, p[1], p[2]); }
static long c_recv_peek(void) { return C(recvfrom, pair_fd[0], p[0], 700000, MSG_PEEK, 0, 0); }
static long c_sendmsg(void) { return C(sendmsg, pair_fd[1], p[0], 0, 0, 0, 0); }
static long c_recvmsg(void) { return C(recvmsg, pair_fd[0], p[0], 0, 0, 0, 0); }
static long c_sendmmsg(void) { return C(sendmmsg, dgram_fd[1], p[0], 2, 0, 0, 0); }
static long c_recvmmsg(void) { return C(recvmmsg, pair_fd[0], p[0], 2, MSG_DONTWAIT, 0, 0); }
static long c_futex_wait(void) { return C(futex, p[1], FUTEX_WAIT, 0, p[0], 0, 0); }
static long c_futex_differs(void) { return C(futex, p[1], FUTEX_WAIT, 7, p[0], 0, 0); }
static long c_futex_wake(void) { return C(futex, p[1], FUTEX_WAKE, 1, 0, 0, 0); }
static long c_futex_op(void)
{
	return C(futex, p[1], FUTEX_WAKE_OP, 1, 1, p[2], FUTEX_OP(FUTEX_OP_ADD, 1, 0, 0));
}
static long c_futex_pi(void) { return C(futex, p[1], FUTEX_TRYLOCK_PI, 0, 0, 0, 0) > -4096; }
static long c_nanosleep(void) { return C(nanosleep, p[0], p[1], 0, 0, 0, 0); }
static long c_clock_getres(void) { return C(clock_getres, CLOCK_MONOTONIC, p[0], 0, 0, 0, 0); }
static long c_prlimit(void) { return C(prlimit64, 0, RLIMIT_CORE, p[0], p[1], 0, 0); }
static long c_uname(void) { return C(uname, p[0], 0, 0, 0, 0, 0); }
static long c_getgroups(void) { return C(getgroups, 1000, p[0], 0, 0, 0, 0); }
static long c_getaffinity(void) { return C(sched_getaffinity, 0, 4096, p[0], 0, 0, 0); }
static long c_sigpending(void) { return C(rt_sigpending, p[0], 8, 0, 0, 0, 0); }
static long c_sigprocmask(void) { return C(rt_sigprocmask, SIG_BLOCK, p[0], p[1], 8, 0, 0); }
static long c_sigtimedwait(void) { return C(rt_sigtimedwait, p[1], p[2], p[0], 8, 0, 0); }
static long c_sigaction(void) { return C(rt_sigaction, SIGUSR2, 0, p[0], 8, 0, 0); }
static long c_wait(void) { return C(wait4, -1, p[0], 0, p[1], 0, 0); }
static long c_fcntl_lock(void) { return C(fcntl, file_fd, F_GETLK, p[0], 0, 0, 0); }
static long c_ioctl_bytes(void) { return C(ioctl, pair_fd[0], FIONREAD, p[0], 0, 0, 0); }
static long c_ioctl_bad(void) { return C(ioctl, file_fd, 0x5413, p[0], 0, 0, 0); }
static long c_mincore(void) { return C(mincore, &file_fd, 1, p[0], 0, 0, 0); }
static long c_execve(void) { return C(execve, p[0], p[1], p[1], 0, 0, 0); }
static long c_execveat(void) { return C(execveat, AT_FDCWD, p[0], p[1], p[1], 0, 0); }
static long c_prctl_name(void) { return C(prctl, 15, p[0], 0, 0, 0, 0); }
static long c_prctl_get(void) { return C(prctl, 16, p[0], 0, 0, 0, 0); }
static long c_name_to_handle(void) { return C(memfd_create, p[0], 0, 0, 0, 0, 0); }
static long c_sendfile(void) { return C(sendfile, pipe_fd[1], file_fd, p[0], 3000, 0, 0); }
static long c_splice(void) { return C(splice, file_fd, p[0], pipe_fd[1], 0, 3000, 0); }
static long c_copy_range(void) { return C(copy_file_range, file_fd, p[0], file_fd, p[1], 100, 0); }
static long c_eventfd(void) { return C(read, event_fd, p[0], 8, 0, 0, 0); }
static long c_getitimer(void) { return C(getitimer, ITIMER_REAL, p[0], 0, 0, 0, 0); }
static long c_getcpu(void) { return C(getcpu, p[0], p[1], 0, 0, 0, 0); }
static long c_populate(void)
{
	return C(madvise, (long)map[0] & -(long)PAGE, BYTES, 23 /* POPULATE_WRITE */, 0, 0, 0);
}
static long c_mlock(void) { return C(mlock, map[0], 3 * PAGE, 0, 0, 0, 0); }
static long c_io_setup(void) { return C(io_setup, 10, p[0], 0, 0, 0, 0) ? -1 : 0; }
static long c_process_readv(void)
{
	static char byte[8];
	static struct iovec from = { byte, 8 };

	return C(process_vm_readv, getpid(), p[0], 1, &from, 1, 0);
}

#define UNKNOWN 1 /* what it leaves differs from run to run */
#define ONCE    2 /* it changes what later states of it would find */

static const struct test {
	const char *name;
	void (*fill)(void);
	long (*run)(void);
	int flags;
} tests[] = {
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
	{ "epoll_ctl", put_event, c_epoll_ctl, ONCE },
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

/* ---- one test ---- */

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void make_buffers(void)
{
	for (int i = 0; i < NR_BUFFERS; i++) {
		map[i] = mmap((void *)(0x200000000000 + i * 0x10000000l), BYTES + PAGE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		must(map[i] != MAP_FAILED, "mmap");
		p[i] = map[i] + PAGE - BEFORE;
	}
}

static void set_state(enum state s)
{
	for (int i = 0; i < NR_BUFFERS; i++) {
		switch (s) {
		case RESIDENT:
			break;
		case MISSING:
			must(!madvise(map[i], BYTES + PAGE, MADV_DONTNEED), "madvise");
			break;
		case HALF:
			must(!madvise(map[i] + PAGE, BYTES, MADV_DONTNEED), "madvise");
			break;
		case READ_ONLY:
			must(!mprotect(map[i], BYTES + PAGE, PROT_READ), "mprotect");
			break;
		case UNMAPPED:
			must(!munmap(map[i] + PAGE, BYTES), "munmap");
			break;
		default:
			must(!mprotect(map[i] + PAGE, BYTES, PROT_NONE), "mprotect");
		}
	}
}

static void drop_buffers(void)
{
	for (int i = 0; i < NR_BUFFERS; i++)
		munmap(map[i], BYTES + PAGE);
}

static uint64_t sum_of(const char *at, size_t n, uint64_t sum)
{
	while (n--)
		sum = (sum ^ (unsigned char)*at++) * 0x100000001b3;
	return sum;
}

static uint64_t sum_buffers(void)
{
	uint64_t sum = 0xcbf29ce484222325;

	for (int i = 0; i < NR_BUFFERS; i++)
		if (!mprotect(map[i], BYTES + PAGE, PROT_READ))
			sum = sum_of(map[i], BYTES + PAGE, sum);
		else
			sum = sum_of(map[i], PAGE, sum);
	return sum;
}

static void open_all(void)
{
	static char data[FILE_BYTES];
	uint64_t one = 1;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	file_fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(file_fd >= 0 && write(file_fd, data, sizeof data) == sizeof data, path);
	must(lseek(file_fd, 0, SEEK_SET) == 0, "lseek");
	must(!pipe2(pipe_fd, O_NONBLOCK), "pipe");
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair_fd), "socketpair");
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram_fd), "socketpair");
	must(write(pair_fd[1], data, 7000) == 7000, "write");
	event_fd = eventfd(1, EFD_NONBLOCK);
	must(event_fd >= 0 && write(event_fd, &one, 8) == 8, "eventfd");
	epoll_fd = epoll_create1(0);
	must(epoll_fd >= 0 && !epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair_fd[0],
					 &(struct epoll_event){ .events = EPOLLIN }),
	     "epoll");
	dir_fd = open("/", O_RDONLY | O_DIRECTORY);
	must(dir_fd >= 0, "/");
}

/* What went out: the file, and how much waits in the others. */
static uint64_t sum_files(void)
{
	static char back[2 * FILE_BYTES];
	ssize_t n = pread(file_fd, back, sizeof back, 0), m = read(pipe_fd[0], back + FILE_BYTES, 70000);
	uint64_t sum = sum_of(back, n > 0 ? (size_t)n : 0, 1);
	ssize_t k = recv(pair_fd[0], back, sizeof back, MSG_DONTWAIT);
	ssize_t j = recv(dgram_fd[0], back, sizeof back, MSG_DONTWAIT);

	sum = sum_of(back + FILE_BYTES, m > 0 ? (size_t)m : 0, sum);
	return sum ^ (uint64_t)k << 32 ^ (uint64_t)j << 8 ^ (uint64_t)m;
}

static void run_one(const struct test *t, enum state s)
{
	long ret, offset;
	pid_t child;
	int status;

	fflush(stdout);
	child = fork(); /* each finds the same descriptors, signals and limits */
	must(child >= 0, "fork");
	if (child) {
		must(waitpid(child, &status, 0) == child, "waitpid");
		if (status)
			printf("%s: %s: ended with %x\n", t->name, state_names[s], status);
		return;
	}
	open_all();
	make_buffers();
	for (int i = 0; i < NR_BUFFERS; i++)
		memset(map[i], 0x41 + i, BYTES + PAGE);
	if (t->fill) {
		for (int i = 0; i < NR_BUFFERS; i++)
			memset(map[i], 0, 3 * PAGE);
		t->fill();
	}
	set_state(s);
	ret = t->run();
	offset = lseek(file_fd, 0, SEEK_CUR);
	printf("%s: %s: %ld at %ld", t->name, state_names[s], ret, offset);
	if (!(t->flags & UNKNOWN))
		printf(" %016llx", (unsigned long long)sum_buffers());
	printf(" %016llx\n", (unsigned long long)sum_files());
	fflush(stdout);
	drop_buffers();
	_exit(0);
}

int main(void)
{
	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
		for (int s = 0; s < NR_STATES; s++)
			run_one(&tests[i], (enum state)s);
	unlink(path);
	return 0;
}
