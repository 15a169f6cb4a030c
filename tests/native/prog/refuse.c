/* tests/native/prog/refuse.c - refuse CALL PROGRAM [ARGUMENT...]
 *
 * Run PROGRAM where the system call CALL fails with EPERM, as the profile of a container may have
 * it. ptrace-seize is a part of a call.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "prog.h"

static const struct {
	const char *name;
	unsigned nr;
	unsigned first; /* its first argument; 0: whatever that is */
} calls[] = {
	{ "io_uring_setup", SYS_io_uring_setup, 0 },
	{ "pidfd_open", SYS_pidfd_open, 0 },
	{ "pidfd_send_signal", SYS_pidfd_send_signal, 0 },
	{ "process_vm_readv", SYS_process_vm_readv, 0 },
	{ "ptrace-seize", SYS_ptrace, PTRACE_SEIZE },
};

static size_t call_named(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(calls[i].name, name))
			return i;
	fail("no call %s is known here", name);
}

int main(int argc, char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	size_t which;

	if (argc < 3)
		fail("usage: refuse CALL PROGRAM [ARGUMENT...]");
	which = call_named(argv[1]);
	filter[1].k = calls[which].nr;
	filter[3].k = calls[which].first;
	if (!calls[which].first)
		filter[3] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							 offsetof(struct seccomp_data, args[0]));
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		cannot_run("seccomp: %s", strerror(errno));
	execvp(argv[2], argv + 2);
	fail("%s: %s", argv[2], strerror(errno));
}
