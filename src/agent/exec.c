/* agent/exec.c - before exec: tells the supervisor, which must make room, and hides the agent from
 * programs that cannot load it.
 *
 * Before its HELLO a program touches memory that nobody manages, and an unmanageable program never
 * says HELLO: the supervisor would find it at the next walk of the process tree. Told before, the
 * supervisor sees it from its first page on.
 *
 * A loader that cannot load us (32 bits, another root without us) would say so on the program's
 * standard error. So the program file is examined as seen from here: root, mount namespace and
 * working directory are already its own. Such a program gets an environment without us; what it
 * starts is not managed either. If the loader can load us and the environment lacks us, env.c adds
 * us.
 *
 * Only libc's own functions are redirected (hook.c), through which all the others go; the symbols
 * are not replaced, so that other libraries' wrappers are still called. Also runs in vfork
 * children, on their parents' memory and on small stacks (signal handlers' of 8 KiB): it writes
 * only the stack, and uses no more of it than the environment at hand needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/sys.h"
#include "agent/user/user.h"
#include "serve/process/target.h"

#define PATH_BYTES 4096 /* at most */
/* Maximum stack for an environment; a larger one stays as it is. posix_spawn's child has 32 KiB. */
#define COPY_BYTES (16u << 10)

static long read_file(const char *path, void *buf, size_t n, size_t at)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	long fd = sys_call4(SYS_openat, AT_FDCWD, path, flags, 0), got;

	AGENT_ASSERT(n > 0);
	if (fd < 0)
		return fd;
	got = sys_call4(SYS_pread64, fd, buf, n, at);
	sys_close((int)fd);
	return got;
}

static void announce(enum target target, bool take)
{
	struct msg_call call = {
		.op = CALL_EXEC,
		.arg = target == TARGET_STATIC            ? EXEC_STATIC
		       : !take || target == TARGET_SILENT ? EXEC_SILENT
							  : 0,
	};
	struct msg_call_reply reply;
	int fd;

	(void)channel_ask(&call, &reply, &fd);
	if (fd >= 0)
		sys_close(fd);
}

/* @path[@n] is part of a list. */
static __attribute__((noinline)) bool can_read(const char *path, size_t n)
{
	char *copy;

	if (!n || n >= ENV_PATH_BYTES)
		return false;
	copy = __builtin_alloca(n + 1);
	memcpy(copy, path, n);
	copy[n] = '\0';
	return !sys_call3(SYS_faccessat, AT_FDCWD, copy, R_OK);
}

/* Does our file exist where LD_PRELOAD says, or would say? */
static bool is_there(char *const *env)
{
	const size_t name = strlen(TARGET_PRELOAD "=");
	const char *found = env_agent(), *listed;
	size_t n = strlen(found), length;

	for (; env && *env; env++) {
		listed = strncmp(*env, TARGET_PRELOAD "=", name)
				 ? NULL
				 : target_find(*env + name, &length);
		if (listed) {
			found = listed;
			n = length;
		}
	}
	return can_read(found, n);
}

struct exec {
	int dir, flags;
	bool at; /* execveat */
	const char *path;
	const char *file; /* the program, as seen from here */
};

static long execute(const struct exec *x, char *const *argv, char *const *env)
{
	long err = x->at ? sys_call5(SYS_execveat, x->dir, x->path, argv, env, x->flags)
			 : sys_call3(SYS_execve, x->path, argv, env),
	     fd;

	/* A memfd that was managed is open for writing as the kernel counts, and as it does not
	 * where it was left alone. */
	fd = err == -ETXTBSY && memfd_any() ? memfd_copy(x->file) : -1;
	if (fd < 0)
		return err;
	err = sys_call5(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
	sys_close((int)fd);
	return err;
}

/* With an environment with us, or without. */
static __attribute__((noinline)) long execute_in(const struct exec *x, char *const *argv,
						 char *const *env, bool with)
{
	size_t size, room = env_room(env, &size);
	char **copy, *line;

	if (room * sizeof *copy + size > COPY_BYTES)
		return execute(x, argv, env);
	copy = __builtin_alloca(room * sizeof *copy);
	line = __builtin_alloca(size);
	if (!(with ? env_with_us : env_without_us)(env, copy, room, line, size))
		return execute(x, argv, env);
	return execute(x, argv, copy);
}

/* @x->file is set. */
static long prepared(const struct exec *x, char *const *argv, char *const *env)
{
	const char *path = x->file;
	enum target target;
	bool listed, complete, take;

	/* Most failures come from a search through $PATH. */
	if (!agent_managed() || sys_call3(SYS_faccessat, AT_FDCWD, path, X_OK))
		return execute(x, argv, env);
	target = target_of(path, read_file);
	take = (target == TARGET_TAKES || target == TARGET_SILENT) && is_there(env);
	announce(target, take);
	complete = env_has_us(env, &listed);
	if (target == TARGET_STATIC || (take ? complete || !env_agent()[0] : !listed))
		return execute(x, argv, env);
	return execute_in(x, argv, env, take);
}

int hook_execve(const char *path, char *const *argv, char *const *env)
{
	const struct exec x = { .path = path, .file = path };
	struct user_hold hold = { 0 };
	long err;

	if (agent_managed() && agent->user_mode)
		user_hold_exec(&hold, path, argv, env);
	err = prepared(&x, argv, env);
	user_drop(&hold);
	errno = (int)-err;
	return -1;
}

#define BELOW_BYTES 32 /* more than PATH has */

/* "/proc/self/fd/DIR/PATH", to @out. False: it does not fit. */
static bool below(int dir, const char *path, char *out, size_t size)
{
	static const char fds[] = "/proc/self/fd/";
	char back[12];
	size_t n = sizeof fds - 1, len = strlen(path);
	int i = 0;

	AGENT_ASSERT(size > 0);
	if (dir < 0 || len + sizeof fds + sizeof back > size)
		return false;
	memcpy(out, fds, n);
	do
		back[i++] = (char)('0' + dir % 10);
	while (dir /= 10);
	while (i)
		out[n++] = back[--i];
	if (len)
		out[n++] = '/';
	memcpy(out + n, path, len + 1);
	return true;
}

static __attribute__((noinline)) long prepared_below(const struct exec *x, char *const *argv,
						     char *const *env)
{
	size_t size = strlen(x->path) + BELOW_BYTES;
	struct exec y = *x;
	char *found;

	if (size > PATH_BYTES)
		return execute(x, argv, env);
	found = __builtin_alloca(size);
	y.file = found;
	return below(x->dir, x->path, found, size) ? prepared(&y, argv, env)
						   : execute(x, argv, env);
}

int hook_execveat(int dir, const char *path, char *const *argv, char *const *env, int flags)
{
	const struct exec x = {
		.dir = dir, .flags = flags, .at = true, .path = path, .file = path
	};
	struct user_hold hold = { 0 };
	long err;

	if (agent_managed() && agent->user_mode)
		user_hold_exec(&hold, path, argv, env);
	if (path[0] == '/' || (dir == AT_FDCWD && path[0]))
		err = prepared(&x, argv, env);
	else
		err = prepared_below(&x, argv, env);
	user_drop(&hold);
	errno = (int)-err;
	return -1;
}

int hook_fexecve(int fd, char *const *argv, char *const *env)
{
	if (fd >= 0 && argv && env)
		return hook_execveat(fd, "", argv, env, AT_EMPTY_PATH);
	errno = EINVAL;
	return -1;
}
