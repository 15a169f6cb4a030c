/* tests/native/prog/apart.c - apart HOW MIB
 *
 * A sandbox, as browsers make it. HOW is one of
 *
 *   raw      a child in new user, network and PID namespaces, made by a system call instruction of
 *            its own, closes all descriptors the same way, and executes this program as "inside"
 *   clone    the same with libc's clone, and with all that follows
 *   inside   memory, and a child of a fork
 *   filter   the same under the filter of the next
 *   zygote   enters a user namespace once more, and an empty root directory; looks whether it has
 *            one thread; forks by clone into a PID namespace. The child puts a filter on itself
 *            that kills it for what a sandboxed process may not do, and uses more memory, new and
 *            inherited
 *
 * Every byte is checked.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define STACK_BYTES (64ul << 10)
#define APART       (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID)

static size_t n;
static char *area;

static void await(pid_t pid)
{
	int status;

	EXPECT(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		_exit(77);
	if (status)
		fail("a child ended with status %x", (unsigned int)status);
}

static void use(uint64_t version)
{
	area_fill(area, n, 0, version);
	area_check(area, n, 0, version, "here");
}

static void inside(void)
{
	pid_t pid;

	area = map_bytes(n * PAGE);
	use(1);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		area_check(area, n, 0, 1, "in the child");
		use(2);
		_exit(0);
	}
	await(pid);
	area_check(area, n, 0, 1, "in the parent");
}

/* What a renderer may not do, and what the agent might. */
static void restrict_calls(void)
{
	static const int killed[] = {
		SYS_ioctl,  SYS_socket,           SYS_connect,    SYS_openat, SYS_tkill,
		SYS_execve, SYS_process_vm_readv, SYS_setsockopt, SYS_prctl,  SYS_readlinkat,
	};
	struct sock_filter filter[sizeof(killed) / sizeof(killed[0]) * 2 + 2];
	struct sock_fprog program = { 0, filter };

	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
							     offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < sizeof(killed) / sizeof(killed[0]); i++) {
		filter[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
								     (uint32_t)killed[i], 0, 1);
		filter[program.len++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		cannot_run("seccomp: %s", strerror(errno));
}

static int renderer(void *arg)
{
	char *more;

	(void)arg;
	restrict_calls();
	area_check(area, n, 0, 1, "in the child of clone");
	use(3);
	more = map_bytes(n * PAGE);
	area_fill(more, n, 1ull << 40, 3);
	area_check(more, n, 1ull << 40, 3, "new, in the child of clone");
	area_check(area, n, 0, 3, "old, in the child of clone");
	_exit(0);
}

static void expect_one_thread(int proc)
{
	struct stat st;

	EXPECT(fstatat(proc, "self/task/", &st, 0) == 0);
	EXPECT(st.st_nlink == 3);
}

static void zygote(void)
{
	int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *stack = map_bytes(STACK_BYTES);

	EXPECT(proc >= 0);
	area = map_bytes(n * PAGE);
	use(1);
	expect_one_thread(proc);
	EXPECT(unshare(CLONE_NEWUSER) == 0);
	area_check(area, n, 0, 1, "in the namespace");
	EXPECT(chroot("/proc/self/fdinfo") == 0 && chdir("/") == 0);
	expect_one_thread(proc);
	close(proc);
	for (int i = 0; i < 2; i++) {
		pid_t pid = clone(renderer, stack + STACK_BYTES, CLONE_NEWPID | SIGCHLD, NULL);

		EXPECT(pid > 0);
		await(pid);
	}
	area_check(area, n, 0, 1, "in the zygote");
}

static void map_ids(void)
{
	static const char *const files[] = { "setgroups", "uid_map", "gid_map" };
	static const char *const texts[] = { "deny", "0 0 1", "0 0 1" };
	char path[64];

	for (int i = 0; i < 3; i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		EXPECT(fd >= 0 && write(fd, texts[i], strlen(texts[i])) > 0);
		close(fd);
	}
}

static int leave(void *argv)
{
	char **arg = argv;

	map_ids();
	raw_syscall(SYS_close_range, 3, ~0u, 0);
	execl("/proc/self/exe", arg[0], strcmp(arg[1], "raw") ? "zygote" : "inside", arg[2], NULL);
	fail("exec: %s", strerror(errno));
}

static void outside(char **argv)
{
	static char stack[STACK_BYTES] __attribute__((aligned(16)));
	pid_t pid;

	if (strcmp(argv[1], "raw") == 0) {
		pid = (pid_t)raw_syscall(SYS_clone, APART | SIGCHLD, 0, 0);
		if (!pid)
			leave(argv);
	} else {
		pid = clone(leave, stack + STACK_BYTES, APART | SIGCHLD, argv);
	}
	if (pid < 0)
		cannot_run("no namespaces: %s", strerror(errno));
	await(pid);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		fail("usage: apart raw|clone|inside|filter|zygote MIB");
	n = arg_number(argc, argv, 2, 16) * PAGES_PER_MIB;
	if (strcmp(argv[1], "filter") == 0)
		restrict_calls();
	if (strcmp(argv[1], "inside") == 0 || strcmp(argv[1], "filter") == 0)
		inside();
	else if (strcmp(argv[1], "zygote") == 0)
		zygote();
	else
		outside(argv);
	return ok("%s, %zu pages", argv[1], n);
}
