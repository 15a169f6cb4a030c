/* agent/peek.c - debuggers: reading and writing another process's memory where it is swapped out.
 *
 * ptrace(2) and /proc/PID/mem do not wait for a page that userfaultfd must bring: they fail with
 * EIO. process_vm_readv(2) does wait. So a failed access is touched that way, and tried again. Only
 * failures are examined: any other read or write of the program costs no more than a call. The
 * target process need not be managed by the same supervisor, or at all.
 *
 * The same functions read and write memfds (memfd.c).
 *
 * The helper thread is not one of the program's threads. If a debugger attached to it and stopped
 * it like those, it could not return its process's pages, and the debugger itself may be waiting
 * for them; so attaching to it finds no such thread. It is not followed either (helper_start).
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/hooks.h"

#define TOUCH_TRIES 64 /* it may be swapped out again before we are back */
#define PATH_BYTES  PROC_PATH_BYTES

static long (*libc_ptrace)(enum __ptrace_request, ...);
static ssize_t (*libc_read)(int, void *, size_t);
static ssize_t (*libc_write)(int, const void *, size_t);
/* Each calls the next one of its own name: see hide.c. */
static ssize_t (*libc_pread)(int, void *, size_t, off_t);
static ssize_t (*libc_pread64)(int, void *, size_t, off_t);
static ssize_t (*libc_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*libc_pwrite64)(int, const void *, size_t, off_t);
static ssize_t (*libc_preadv)(int, const struct iovec *, int, off_t);
static ssize_t (*libc_preadv64)(int, const struct iovec *, int, off_t);
static ssize_t (*libc_pwritev)(int, const struct iovec *, int, off_t);
static ssize_t (*libc_pwritev64)(int, const struct iovec *, int, off_t);

void peek_init(void)
{
	libc_ptrace = (__typeof__(libc_ptrace))dlsym(RTLD_NEXT, "ptrace");
	libc_pread = (__typeof__(libc_pread))dlsym(RTLD_NEXT, "pread");
	libc_pread64 = (__typeof__(libc_pread))dlsym(RTLD_NEXT, "pread64");
	libc_pwrite = (__typeof__(libc_pwrite))dlsym(RTLD_NEXT, "pwrite");
	libc_pwrite64 = (__typeof__(libc_pwrite))dlsym(RTLD_NEXT, "pwrite64");
	libc_preadv = (__typeof__(libc_preadv))dlsym(RTLD_NEXT, "preadv");
	libc_preadv64 = (__typeof__(libc_preadv))dlsym(RTLD_NEXT, "preadv64");
	libc_pwritev = (__typeof__(libc_preadv))dlsym(RTLD_NEXT, "pwritev");
	libc_pwritev64 = (__typeof__(libc_preadv))dlsym(RTLD_NEXT, "pwritev64");
	libc_write = (__typeof__(libc_write))dlsym(RTLD_NEXT, "write");
	__atomic_store_n(&libc_read, (__typeof__(libc_read))dlsym(RTLD_NEXT, "read"),
			 __ATOMIC_RELEASE);
}

/* Constructors of other libraries may run before ours. */
static inline void peek_ready(void)
{
	if (!__atomic_load_n(&libc_read, __ATOMIC_ACQUIRE))
		peek_init();
}

/* Fault in the page at @at of @pid. False: there is none, or we may not read it. */
static bool touch(pid_t pid, uint64_t at)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { (void *)at, 1 };

	AGENT_ASSERT(pid > 0);
	return sys_call6(SYS_process_vm_readv, pid, (long)&local, 1, (long)&remote, 1, 0) == 1;
}

long proc_number(const char **at)
{
	long n = 0;

	if (**at < '0' || **at > '9')
		return -1;
	for (; **at >= '0' && **at <= '9' && n < INT32_MAX; (*at)++)
		n = 10 * n + (**at - '0');
	return n;
}

/* Write @n in decimal digits and a terminating 0 to @to. */
static void digits(char *to, long n)
{
	char back[20];
	int i = 0;

	AGENT_ASSERT(n >= 0);
	do
		back[i++] = (char)('0' + n % 10);
	while (n /= 10);
	while (i)
		*to++ = back[--i];
	*to = '\0';
}

long proc_path_of(int fd, char *path, size_t size)
{
	char name[PATH_BYTES] = "/proc/self/fd/";
	long n;

	AGENT_ASSERT(size > 1);
	if (fd < 0)
		return 0;
	digits(name + strlen(name), fd);
	n = sys_call4(SYS_readlinkat, -100 /* AT_FDCWD */, name, path, size - 1);
	if (n > 0)
		path[n] = '\0';
	return n;
}

/* The process whose memory the file @fd is: /proc/PID/mem or /proc/PID/task/TID/mem; 0: it is
 * another file. */
static pid_t memory_of(int fd)
{
	char path[PATH_BYTES];
	const char *at = path + strlen("/proc/");
	long pid;

	if (proc_path_of(fd, path, sizeof path) <= 0)
		return 0;
	if (strncmp(path, "/proc/", strlen("/proc/")) != 0 || (pid = proc_number(&at)) <= 0)
		return 0;
	if (!strncmp(at, "/task/", strlen("/task/"))) {
		at += strlen("/task/");
		pid = proc_number(&at);
	}
	return pid > 0 && !strcmp(at, "/mem") ? (pid_t)pid : 0;
}

static long transfer(bool out, int fd, void *buf, size_t n, off_t at)
{
	return sys_call4(out ? SYS_pwrite64 : SYS_pread64, fd, buf, n, at);
}

/* @done bytes of @n at @at went through, or -1 and EIO: continue from there as long as a
 * swapped-out page was the only obstacle. */
static ssize_t carry_on(bool out, int fd, void *buf, size_t n, off_t at, ssize_t done)
{
	size_t sum = done < 0 ? 0 : (size_t)done;
	int saved = errno, tries = TOUCH_TRIES;
	pid_t pid = memory_of(fd);

	while (pid && sum < n && tries && touch(pid, (uint64_t)at + sum)) {
		done = transfer(out, fd, (char *)buf + sum, n - sum, at + (off_t)sum);
		if (done < 0 && done != -EIO)
			break;
		if (done > 0)
			sum += (size_t)done;
		tries = done > 0 ? TOUCH_TRIES : tries - 1;
	}
	errno = saved;
	return sum ? (ssize_t)sum : -1;
}

/* Could a swapped-out page be why it ended here? */
static inline bool cut(ssize_t done, size_t n, off_t at)
{
	if (done < 0)
		return errno == EIO;
	return done > 0 && (size_t)done < n && ((uint64_t)at + (uint64_t)done) % agent_page == 0;
}

static ssize_t peek_in(ssize_t (*next)(int, void *, size_t, off_t), int fd, void *buf, size_t n,
		       off_t at)
{
	ssize_t done;

	done = next(fd, buf, n, at);
	if (done < 0 && memfd_again(&fd, 1))
		done = next(fd, buf, n, at);
	return cut(done, n, at) ? carry_on(false, fd, buf, n, at, done) : done;
}

static ssize_t peek_out(ssize_t (*next)(int, const void *, size_t, off_t), int fd, const void *buf,
			size_t n, off_t at)
{
	ssize_t done;

	done = next(fd, buf, n, at);
	if (done < 0 && memfd_again(&fd, 1))
		done = next(fd, buf, n, at);
	return cut(done, n, at) ? carry_on(true, fd, (void *)(uintptr_t)buf, n, at, done) : done;
}

/* Under both names: the width of off_t decides which of them the headers call pread. */
#define EXPORT(symbol, how, pointer)                                                               \
	AGENT_EXPORT ssize_t export_##symbol(int fd, pointer buf, size_t n,                        \
					     off_t at) __asm__(#symbol);                           \
	ssize_t export_##symbol(int fd, pointer buf, size_t n, off_t at)                           \
	{                                                                                          \
		peek_ready();                                                                      \
		return how(libc_##symbol, fd, buf, n, at);                                         \
	}

EXPORT(pread, peek_in, void *)
EXPORT(pread64, peek_in, void *)
EXPORT(pwrite, peek_out, const void *)
EXPORT(pwrite64, peek_out, const void *)

/* Process the pieces of the call one after the other: it failed at the first, or at a later one. */
static ssize_t carry_on_pieces(bool out, int fd, const struct iovec *piece, int n, off_t at,
			       ssize_t done)
{
	size_t behind = 0;
	ssize_t sum = done < 0 ? 0 : done;

	for (int i = 0; i < n; behind += piece[i++].iov_len) {
		size_t left = behind + piece[i].iov_len, got;

		if (left <= (size_t)sum)
			continue;
		got = (size_t)sum - behind;
		left -= (size_t)sum;
		done = carry_on(out, fd, (char *)piece[i].iov_base + got, left, at + sum, -1);
		sum += done > 0 ? done : 0;
		if (done < (ssize_t)left)
			break;
	}
	return sum > 0 ? sum : -1;
}

static ssize_t peek_pieces(bool out, ssize_t (*next)(int, const struct iovec *, int, off_t), int fd,
			   const struct iovec *piece, int n, off_t at)
{
	ssize_t done;
	size_t all = 0;

	done = next(fd, piece, n, at);
	if (done < 0 && memfd_again(&fd, 1))
		done = next(fd, piece, n, at);
	for (int i = 0; i < n && (done > 0 || errno == EIO); i++)
		all += piece[i].iov_len;
	return all && cut(done, all, at) ? carry_on_pieces(out, fd, piece, n, at, done) : done;
}

#define EXPORT_PIECES(symbol, out)                                                                 \
	AGENT_EXPORT ssize_t export_##symbol(int fd, const struct iovec *piece, int n,             \
					     off_t at) __asm__(#symbol);                           \
	ssize_t export_##symbol(int fd, const struct iovec *piece, int n, off_t at)                \
	{                                                                                          \
		peek_ready();                                                                      \
		return peek_pieces(out, libc_##symbol, fd, piece, n, at);                          \
	}

EXPORT_PIECES(preadv, false)
EXPORT_PIECES(preadv64, false)
EXPORT_PIECES(pwritev, true)
EXPORT_PIECES(pwritev64, true)

/* At the file's own position, which advances by the amount transferred. */
static ssize_t from_position(bool out, int fd, void *buf, size_t n)
{
	int saved = errno;
	off_t at = memory_of(fd) ? sys_call3(SYS_lseek, fd, 0, SEEK_CUR) : 0;
	ssize_t done;

	errno = saved;
	if (at <= 0)
		return -1;
	done = carry_on(out, fd, buf, n, at, -1);
	if (done > 0)
		sys_call3(SYS_lseek, fd, at + done, SEEK_SET);
	return done;
}

AGENT_EXPORT ssize_t read(int fd, void *buf, size_t n)
{
	ssize_t done;

	peek_ready();
	done = libc_read(fd, buf, n);
	if (done < 0 && memfd_again(&fd, 1))
		done = libc_read(fd, buf, n);
	return done < 0 && errno == EIO ? from_position(false, fd, buf, n) : done;
}

AGENT_EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t done;

	peek_ready();
	done = libc_write(fd, buf, n);
	if (done < 0 && memfd_again(&fd, 1))
		done = libc_write(fd, buf, n);
	return done < 0 && errno == EIO ? from_position(true, fd, (void *)(uintptr_t)buf, n) : done;
}

bool helper_is(pid_t tid)
{
	char path[PATH_BYTES] = "/proc/", name[sizeof HELPER_NAME];
	long fd, n;

	if (tid <= 0)
		return false;
	digits(path + strlen(path), tid);
	memcpy(path + strlen(path), "/comm", sizeof "/comm");
	fd = sys_call3(SYS_openat, -100 /* AT_FDCWD */, path, 02000000 /* O_CLOEXEC */);
	if (fd < 0)
		return false;
	n = sys_call3(SYS_read, fd, name, sizeof name);
	sys_close((int)fd);
	return n == (long)sizeof name && !memcmp(name, HELPER_NAME, sizeof name - 1) &&
	       name[sizeof name - 1] == '\n';
}

static bool moves_words(enum __ptrace_request request)
{
	return request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA ||
	       request == PTRACE_POKETEXT || request == PTRACE_POKEDATA;
}

/* As in the raw system call: a word that is read goes to @data. */
long hook_ptrace(long request, long pid, long at, long data)
{
	long ret = sys_call4(SYS_ptrace, request, pid, at, data);

	for (int i = 0;
	     i < TOUCH_TRIES && ret == -EIO && moves_words((enum __ptrace_request)request) &&
	     touch((pid_t)pid, (uint64_t)at) && touch((pid_t)pid, (uint64_t)at + sizeof(long) - 1);
	     i++)
		ret = sys_call4(SYS_ptrace, request, pid, at, data);
	return hook_result(ret);
}

AGENT_EXPORT long ptrace(enum __ptrace_request request, ...)
{
	void *at, *data;
	va_list ap;
	pid_t pid;
	long ret;

	va_start(ap, request);
	pid = va_arg(ap, pid_t);
	at = va_arg(ap, void *);
	data = va_arg(ap, void *);
	va_end(ap);
	peek_ready();
	if ((request == PTRACE_ATTACH || request == PTRACE_SEIZE) && helper_is(pid)) {
		errno = ESRCH;
		return -1;
	}
	ret = libc_ptrace(request, pid, at, data);
	for (int i = 0; i < TOUCH_TRIES && ret == -1 && errno == EIO && moves_words(request) &&
			touch(pid, (uint64_t)at) && touch(pid, (uint64_t)at + sizeof(long) - 1);
	     i++)
		ret = libc_ptrace(request, pid, at, data);
	return ret;
}
