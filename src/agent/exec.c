/* agent/exec.c - a program is about to be executed: the supervisor is told, for it has room to make.
 *
 * Before its HELLO a program touches memory that nobody manages, and one that cannot be managed says none: it would
 * be met at the next walk of the process tree. Told before, the supervisor sees it from its first page on.
 *
 * Only libc's own execve is redirected (hook.c), by which all the others go; the symbol is not replaced, so that
 * other libraries' wrappers are called as ever. Runs in children of vfork, too, on the memory of their parents:
 * nothing is written.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/sys.h"

/* Has it no dynamic loader, which would load us? The header and the table of an executable are in its first bytes. */
static bool is_static(const char *path)
{
	char head[1024];
	const Elf64_Ehdr *e = (const void *)head;
	long fd = sys_call4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0), got;

	if (fd < 0)
		return false;
	got = sys_call4(SYS_pread64, fd, head, sizeof head, 0);
	sys_close((int)fd);
	if (got < (long)sizeof *e || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	for (unsigned i = 0; i < e->e_phnum; i++) {
		uint64_t at = e->e_phoff + i * sizeof(Elf64_Phdr);
		Elf64_Phdr part;

		if (at > (uint64_t)got - sizeof part)
			return false;
		memcpy(&part, head + at, sizeof part);
		if (part.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void announce(const char *path)
{
	struct msg_call call = { .op = CALL_EXEC, .arg = is_static(path) ? EXEC_STATIC : 0 };
	struct msg_call_reply reply;
	int fd;

	(void)channel_ask(&call, &reply, &fd);
	if (fd >= 0)
		sys_close(fd);
}

int hook_execve(const char *path, char *const *argv, char *const *env)
{
	long err;

	/* Most failures are of a search through $PATH. */
	if (agent_managed() && !sys_call3(SYS_faccessat, AT_FDCWD, path, X_OK))
		announce(path);
	err = sys_call3(SYS_execve, path, argv, env);
	errno = (int)-err;
	return -1;
}
