/* agent/raw.c - system calls made through syscall(2) instead of libc's function for them.
 *
 * Programs with a runtime of their own (SBCL, for one) map their heap so. A call that changes
 * mappings, or that the agent handles for another reason, goes the way of the function of that
 * name; every other call is made as libc makes it.
 *
 * I1  A call that is not ours uses no stack: a program may have a thread made by clone(2) return on
 *     a stack of its own. So both other ways out are tail calls to functions that are not inlined.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/hooks.h"
#include "agent/user/user.h"

/* Not in the oldest libc that this is built with. */
extern int pidfd_getfd(int pidfd, int fd, unsigned int flags);

static __attribute__((noinline)) long failed(long err)
{
	errno = (int)-err;
	return -1;
}

static bool is_ours(long nr)
{
	switch (nr) {
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mremap:
	case SYS_brk:
	case SYS_madvise:
#ifdef SYS_process_madvise
	case SYS_process_madvise:
#endif
	case SYS_remap_file_pages:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_mlockall:
	case SYS_munlock:
	case SYS_munlockall:
	case SYS_close:
	case SYS_close_range:
#ifdef SYS_dup2
	case SYS_dup2:
#endif
	case SYS_dup3:
	case SYS_vmsplice:
	case SYS_tee:
	case SYS_set_tid_address:
	case SYS_set_robust_list:
	case SYS_setsockopt:
	case SYS_io_uring_register:
	case SYS_ptrace:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_execve:
	case SYS_execveat:
	case SYS_shmget:
	case SYS_shmat:
	case SYS_shmdt:
	case SYS_shmctl:
	case SYS_getppid:
	case SYS_unshare:
	case SYS_setns:
	case SYS_prctl:
	case SYS_seccomp:
	case SYS_memfd_create:
		return true;
	default:
		return false;
	}
}

static __attribute__((noinline)) long other(long nr, long a, long b, long c, long d, long e)
{
	switch (nr) {
	case SYS_close:
		return close((int)a);
	case SYS_close_range:
		return close_range((unsigned int)a, (unsigned int)b, (int)c);
#ifdef SYS_dup2
	case SYS_dup2:
		return dup2((int)a, (int)b);
#endif
	case SYS_dup3:
		return dup3((int)a, (int)b, (int)c);
	case SYS_vmsplice:
		return vmsplice((int)a, (const struct iovec *)b, (size_t)c, (unsigned int)d);
	case SYS_tee:
		return tee((int)a, (int)b, (size_t)c, (unsigned int)d);
	case SYS_set_tid_address:
		return hook_set_tid_address(a);
	case SYS_set_robust_list:
		return hook_set_robust_list(a, b);
	case SYS_io_uring_register:
		pin_registered((unsigned long)b, (const void *)c, (unsigned long)d);
		return hook_result(sys_call4(nr, a, b, c, d));
	case SYS_ptrace:
		return hook_ptrace(a, b, c, d);
	case SYS_pread64:
		return pread64((int)a, (void *)b, (size_t)c, d);
	case SYS_pwrite64:
		return pwrite64((int)a, (const void *)b, (size_t)c, d);
	case SYS_setsockopt:
		return setsockopt((int)a, (int)b, (int)c, (const void *)d, (socklen_t)e);
	case SYS_shmget:
		return shmget((key_t)a, (size_t)b, (int)c);
	case SYS_shmat:
		return (long)shmat((int)a, (const void *)b, (int)c);
	case SYS_getppid:
		return hook_getppid();
	case SYS_unshare:
		return hook_unshare((int)a);
	case SYS_setns:
		return hook_setns((int)a, (int)b);
	case SYS_prctl:
		return hook_result(hook_prctl(a, b, c, d, e));
	case SYS_seccomp:
		return hook_result(hook_seccomp(a, b, c));
	case SYS_memfd_create:
		return memfd_create((const char *)a, (unsigned int)b);
	case SYS_shmdt:
		return shmdt((const void *)a);
	default:
		return shmctl((int)a, (int)b, (struct shmid_ds *)c);
	}
}

static __attribute__((noinline)) long ours(long nr, long a, long b, long c, long d, long e)
{
	void *const at = (void *)a;

	switch (nr) {
	case SYS_munmap:
		return hook_munmap(at, (size_t)b);
	case SYS_mremap:
		return (long)hook_mremap(at, (size_t)b, (size_t)c, (int)d, (void *)e);
	case SYS_brk:
		return (long)maps_brk(at);
	case SYS_madvise:
		return hook_madvise(at, (size_t)b, (int)c);
#ifdef SYS_process_madvise
	case SYS_process_madvise:
		return hook_process_madvise((int)a, (const struct iovec *)b, (size_t)c, (int)d,
					    (unsigned int)e);
#endif
	case SYS_remap_file_pages:
		return hook_remap_file_pages(at, (size_t)b, (int)c, (size_t)d, (int)e);
	case SYS_mlock:
		return hook_mlock(at, (size_t)b);
	case SYS_mlock2:
		return hook_mlock2(at, (size_t)b, (unsigned int)c);
	case SYS_mlockall:
		return hook_mlockall((int)a);
	case SYS_munlock:
		return hook_munlock(at, (size_t)b);
	case SYS_munlockall:
		return hook_munlockall();
	case SYS_execve:
		return hook_execve((const char *)a, (char *const *)b, (char *const *)c);
	case SYS_execveat:
		return hook_execveat((int)a, (const char *)b, (char *const *)c, (char *const *)d,
				     (int)e);
	default:
		return other(nr, a, b, c, d, e);
	}
}

/* Calls on descriptors that pass one on, or that we answer, where a memfd may be behind it
 * (memfd.c). False: none of them. */
static bool on_memfd_named(long nr, long a, long b, long c, long d, long *ret)
{
	switch (nr) {
	case SYS_ftruncate:
		*ret = ftruncate((int)a, b);
		return true;
	case SYS_fallocate:
		*ret = fallocate((int)a, (int)b, c, d);
		return true;
	case SYS_fcntl:
		*ret = fcntl((int)a, (int)b, c);
		return true;
	case SYS_sendfile:
		*ret = sendfile((int)a, (int)b, (off_t *)c, (size_t)d);
		return true;
	case SYS_sendmsg:
		*ret = sendmsg((int)a, (const struct msghdr *)b, (int)c);
		return true;
	case SYS_sendmmsg:
		*ret = sendmmsg((int)a, (struct mmsghdr *)b, (unsigned int)c, (int)d);
		return true;
	case SYS_dup:
		*ret = dup((int)a);
		return true;
#ifdef SYS_dup2
	case SYS_dup2:
		*ret = dup2((int)a, (int)b);
		return true;
#endif
	case SYS_dup3:
		*ret = dup3((int)a, (int)b, (int)c);
		return true;
	default:
		return false;
	}
}

static __attribute__((noinline)) long on_memfd(long nr, long a, long b, long c, long d, long e,
					       long f)
{
	const int fd = (int)a;
	long ret;

	if (on_memfd_named(nr, a, b, c, d, &ret))
		return ret;
	if (nr == SYS_mmap)
		return (long)hook_mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f);
	if (nr == SYS_copy_file_range)
		return copy_file_range((int)a, (off64_t *)b, (int)c, (off64_t *)d, (size_t)e,
				       (unsigned int)f);
	if (nr == SYS_splice)
		return splice((int)a, (void *)b, (int)c, (void *)d, (size_t)e, (unsigned int)f);
	if (nr == SYS_pread64)
		return pread64((int)a, (void *)b, (size_t)c, d);
	if (nr == SYS_pwrite64)
		return pwrite64((int)a, (const void *)b, (size_t)c, d);
	ret = hook_result(sys_call6(nr, a, b, c, d, e, f));
	return ret == -1 && memfd_again(&fd, 1) ? hook_result(sys_call6(nr, a, b, c, d, e, f))
						: ret;
}

static bool is_on_descriptor(long nr)
{
	switch (nr) {
	case SYS_read:
	case SYS_write:
	case SYS_readv:
	case SYS_writev:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_ftruncate:
	case SYS_fallocate:
	case SYS_lseek:
	case SYS_fcntl:
	case SYS_sendfile:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_copy_file_range:
	case SYS_splice:
	case SYS_mmap:
	case SYS_dup:
#ifdef SYS_dup2
	case SYS_dup2:
#endif
	case SYS_dup3:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_syncfs:
	case SYS_fadvise64:
	case SYS_readahead:
	case SYS_sync_file_range:
	case SYS_flock:
	case SYS_ioctl:
	case SYS_fchmod:
	case SYS_fchown:
	case SYS_fsetxattr:
	case SYS_fgetxattr:
	case SYS_flistxattr:
	case SYS_fremovexattr:
		return true;
	default:
		return false;
	}
}

#if defined(__x86_64__)
/* In mode user all go one way (user/entry.h), which makes them as the program's own instruction
 * would: a result that is no error needs no stack. */
long raw_by_entry(long nr, long a, long b, long c, long d, long e, long f);
__attribute__((used)) long raw_failed(long err);
long raw_failed(long err)
{
	return failed(err);
}

__asm__(".text\n"
	".hidden raw_by_entry\n.globl raw_by_entry\n.type raw_by_entry, @function\n"
	"raw_by_entry:\n\t"
	".cfi_startproc\n\t"
	"mov %rdi, %rax\n\t"
	"mov %rsi, %rdi\n\t"
	"mov %rdx, %rsi\n\t"
	"mov %rcx, %rdx\n\t"
	"mov %r8, %r10\n\t"
	"mov %r9, %r8\n\t"
	"mov 8(%rsp), %r9\n\t"
	"lea 1f(%rip), %rcx\n\t"
	"jmp user_entry\n"
	"1:\n\t"
	"cmp $-4095, %rax\n\t"
	"jae 2f\n\t"
	"ret\n"
	"2:\n\t"
	"mov %rax, %rdi\n\t"
	"jmp raw_failed\n\t"
	".cfi_endproc\n"
	".size raw_by_entry, . - raw_by_entry\n");
#else
static long raw_by_entry(long nr, long a, long b, long c, long d, long e, long f)
{
	return failed(-ENOSYS);
}
#endif

/* Takes as many arguments as there may be: those that were not passed are not used. @f would lie in
 * the caller's frame, so it is read where it is known to exist, or as libc does, and never passed
 * on by way of the stack. */
__attribute__((optimize("omit-frame-pointer"))) long hook_syscall(long nr, long a, long b, long c,
								  long d, long e, long f)
{
	long ret;

	if (user_active())
		return raw_by_entry(nr, a, b, c, d, e, f);
	if (nr == SYS_futex && futex_changes((int)b) && agent_managed())
		return hook_futex(a, b, c, d, e, f);
	if ((nr == SYS_clone || nr == SYS_clone3) && agent_managed())
		return hook_clone(nr, a, b, c, d, e);
#ifdef SYS_fork
	if (nr == SYS_fork && agent_managed())
		return hook_clone(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
	if (memfd_any() && is_on_descriptor(nr))
		return on_memfd(nr, a, b, c, d, e, f);
#ifdef SYS_pidfd_getfd
	if (nr == SYS_pidfd_getfd)
		return pidfd_getfd((int)a, (int)b, (unsigned int)c);
#endif
	if (nr == SYS_splice && agent_managed())
		return splice((int)a, (void *)b, (int)c, (void *)d, (size_t)e, (unsigned int)f);
	if (is_ours(nr) && agent_managed())
		return nr == SYS_mmap
			       ? (long)hook_mmap((void *)a, (size_t)b, (int)c, (int)d, (int)e, f)
			       : ours(nr, a, b, c, d, e);
	ret = sys_call6(nr, a, b, c, d, e, f);
	return (unsigned long)ret > -4096ul ? failed(ret) : ret;
}

AGENT_EXPORT extern __typeof__(syscall) syscall __attribute__((alias("hook_syscall")));
