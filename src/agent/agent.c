/* agent/agent.c - the agent's life: it starts with the program, follows forks, ends with exec.
 *
 * Typical sequence: constructor -> attach(0): connect, userfaultfd, region, helper, HELLO, READY ->
 * the hooks act. fork: fork_prepare (CALL_FORK) -> fork_parent / fork_child -> attach(cookie). A
 * failure before READY undoes everything, and the process runs unmanaged.
 *
 * State that a forked child needs is static (copied); state that must not survive a fork is in
 * *agent (wiped).
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/fork.h"
#include "agent/sys.h"

/* Weak: another libc (musl) has none, and would not load us. There the agent does nothing and is in
 * nobody's way: what the program starts may be managed again. pthread_atfork is made of it. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
			     void *dso) __attribute__((weak));
extern void *__dso_handle __attribute__((visibility("hidden")));

#define READY_TIMEOUT_MS 10000

struct agent *agent;
unsigned long agent_page;

static bool debug, hooked;
bool agent_no_move;
static bool give_up; /* after exec, behave as if READY did not come in time (tests) */
static uint64_t own_start, own_end;       /* this library's writable segments */
static uint64_t thread_start, thread_end; /* libc's record of the first thread */

/* One attempt to become managed. */
struct attempt {
	struct helper_setup fd;
	int device;
	bool helper, can_move;
};

void agent_debug(const char *what, long value)
{
	char text[128], digits[20];
	unsigned long v = value < 0 ? -(unsigned long)value : (unsigned long)value;
	size_t n = 0, d = 0;

	if (!debug)
		return;
	for (; *what && n < 90; what++)
		text[n++] = *what;
	text[n++] = ' ';
	if (value < 0)
		text[n++] = '-';
	do
		digits[d++] = (char)('0' + v % 10);
	while (v /= 10);
	while (d)
		text[n++] = digits[--d];
	text[n++] = '\n';
	sys_call3(SYS_write, 2, text, n);
}

/* Copy @fd to a number that programs seldom reach; the caller closes @fd. */
int agent_high_fd(int fd)
{
	static const short from[] = { 989, 500, 236, 52, 20 };
	long high = -EMFILE;
	size_t i;

	AGENT_ASSERT(fd >= 0);
	for (i = 0; i < sizeof from / sizeof from[0] && high < 0; i++)
		high = sys_fcntl(fd, F_DUPFD_CLOEXEC, from[i]);
	return (int)high;
}

static size_t fixed_bytes(void)
{
	return FIXED_PAGES * agent_page;
}

/* The size of the region after the fixed pages. */
static size_t rest_bytes(void)
{
	return HELPER_BYTES + THREAD_BYTES + HOLD_BYTES + EVICT_PAGES_MAX * agent_page;
}

char *agent_helper_area(void)
{
	AGENT_ASSERT(agent);
	return (char *)agent + fixed_bytes();
}

char *agent_staging(void)
{
	return agent_helper_area() + HELPER_BYTES + THREAD_BYTES + HOLD_BYTES;
}

/* Undo what mlockall did to the region. Pages move only between two mappings that are both locked
 * or both unlocked, and moves of the program's locked pages must be refused. */
void agent_unlock_region(void)
{
	AGENT_ASSERT(agent);
	AGENT_ASSERT(!maplock_is_mine());
	sys_call2(SYS_munlock, agent, fixed_bytes() + rest_bytes());
	huge_unlock();
	standby_unlock();
}

long agent_area(size_t bytes)
{
	long at = sys_mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   0),
	     err;

	AGENT_ASSERT(bytes > 0 && bytes % agent_page == 0);
	if (at < 0)
		return at;
	sys_madvise((void *)at, bytes, MADV_DONTFORK);
	/* Locked if mlockall asked for future mappings: nothing could move there, or be dropped. */
	sys_call2(SYS_munlock, at, bytes);
	err = sys_call3(SYS_mprotect, at, bytes, PROT_READ | PROT_WRITE);
	if (err < 0)
		sys_munmap((void *)at, bytes);
	return err < 0 ? err : at;
}

/* Reserve the region, the fixed pages first. In a forked child these already exist, wiped, and only
 * the rest is mapped again. Nothing else can have taken its place: we run before fork returns. */
static int region_make(bool child)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	size_t rest = rest_bytes();
	long at;

	AGENT_ASSERT(child == !!agent);
	if (child) {
		at = sys_mmap(agent_helper_area(), rest, prot, flags | MAP_FIXED_NOREPLACE, -1, 0);
		if (at < 0)
			return (int)at;
		if ((char *)at != agent_helper_area()) {
			sys_munmap((void *)at, rest);
			return -EEXIST;
		}
	} else {
		at = sys_mmap(NULL, fixed_bytes() + rest, prot, flags, -1, 0);
		if (at < 0)
			return (int)at;
		agent = (struct agent *)at;
		if (sys_madvise(agent, fixed_bytes(), MADV_WIPEONFORK) < 0) {
			sys_munmap(agent, fixed_bytes() + rest);
			agent = NULL;
			return -EINVAL;
		}
	}
	sys_madvise(agent_helper_area(), rest, MADV_DONTFORK);
	sys_madvise(agent_helper_area(), rest, MADV_NOHUGEPAGE);
	return 0;
}

/* Unmap all but the fixed pages: another thread may be about to look at them. */
static void region_drop(void)
{
	sys_munmap(agent_helper_area(), rest_bytes());
}

/* A forked child gets its main userfaultfd from the kernel, through the supervisor, unless it was
 * forked as fork.c does. */
static int make_descriptors(struct attempt *a, uint64_t cookie, const struct own_fork *f)
{
	int fd = agent_make_uffd(-1);

	if (fd == -EPERM) {
		a->device = agent_get_device(a->fd.channel, cookie);
		if (a->device < 0 && !agent_user_only)
			return a->device;
		fd = agent_make_uffd(a->device);
	}
	if (fd < 0)
		return fd;
	if (cookie && !f)
		sys_close(fd);
	else
		a->fd.uffd = fd;
	a->fd.staging_uffd = agent_staging_uffd(a->fd.staging, a->device);
	if (a->device >= 0)
		sys_close(a->device);
	a->device = -1;
	return 0;
}

static int say_hello(const struct attempt *a, uint64_t cookie)
{
	struct msg_hello hello = {
		.helper_tid = agent->helper.tid,
		.fork_cookie = cookie,
		.staging = (uintptr_t)a->fd.staging,
		.private_start = { (uintptr_t)agent, own_start, thread_start },
		.private_end = { (uintptr_t)agent + fixed_bytes() + rest_bytes(), own_end,
				 thread_end },
	};

	msg_init(&hello.h, MSG_HELLO, 2);
	if (a->can_move)
		hello.flags |= HELLO_CAN_MOVE;
	if (hooked)
		hello.flags |= HELLO_HOOKED;
	return channel_send(a->fd.channel, &hello, sizeof hello, a->fd.uffd);
}

/* Only peek at READY; the helper takes it. Keeps our copy of the userfaultfd at a high number. */
static int await_ready(const struct attempt *a)
{
	struct msg_ready ready;
	int n, uffd, high;

	n = channel_recv_timed(a->fd.channel, &ready, sizeof ready, MSG_PEEK, &uffd,
			       READY_TIMEOUT_MS);
	if (n >= 0 && give_up && a->fd.uffd >= 0)
		n = -ETIMEDOUT;
	if (n < 0)
		return n;
	if (n != sizeof ready || !msg_is(&ready.h, MSG_READY) || ready.error > 0)
		ready.error = -EPROTO;
	if (!ready.error && uffd < 0 && a->fd.uffd < 0)
		ready.error = -EPROTO;
	if (!ready.error) {
		high = agent_high_fd(uffd >= 0 ? uffd : a->fd.uffd);
		agent->uffd = high < 0 ? -1 : high;
		agent->mode = ready.register_mode;
		agent->kernel_memfd = ready.kernel_memfd != 0;
		agent->own_forks = ready.own_forks != 0;
		agent->user_mode = ready.user_mode != 0;
		parent_set(&ready);
		agent->pid = (int32_t)sys_getpid();
	}
	if (uffd >= 0)
		sys_close(uffd);
	/* Its children would read zeros. */
	if (!ready.error && ready.own_forks && !fork_site_return)
		return -ENOSYS;
	if (!ready.error && ready.user_mode && !user_active())
		return user_start();
	return ready.error;
}

static void close_all(struct attempt *a)
{
	const int fds[] = { a->fd.channel, a->fd.uffd, a->fd.staging_uffd, a->device };
	size_t i;

	for (i = 0; i < sizeof fds / sizeof fds[0]; i++) {
		if (fds[i] >= 0)
			sys_close(fds[i]);
	}
}

static int attach_steps(struct attempt *a, uint64_t cookie, struct own_fork *f)
{
	int err;

	a->fd.state = &agent->helper;
	a->fd.staging = agent_staging();
	err = make_descriptors(a, cookie, f);
	if (err < 0)
		return err;
	if (!cookie)
		hooked = hook_install();
	err = helper_start(agent_helper_area(), &a->fd);
	if (err < 0)
		return err;
	a->helper = true;
	/* The helper has its own table. Ours may have no room for the other descriptor that READY
	 * carries. */
	a->can_move = a->fd.staging_uffd >= 0;
	if (a->can_move)
		sys_close(a->fd.staging_uffd);
	a->fd.staging_uffd = -1;
	err = say_hello(a, cookie);
	if (err >= 0)
		err = await_ready(a);
	if (!err && f)
		fork_child_guard(f);
	return err;
}

int agent_attach(uint64_t cookie, struct own_fork *f)
{
	struct attempt a = { .fd = { .channel = -1, .uffd = -1, .staging_uffd = -1 },
			     .device = -1 };
	int err;

	a.fd.channel = channel_connect();
	if (a.fd.channel < 0)
		return a.fd.channel;
	err = region_make(cookie != 0);
	if (!err) {
		err = attach_steps(&a, cookie, f);
		if (a.helper)
			helper_order(&agent->helper, err ? HELPER_LEAVE : HELPER_GO);
		if (err)
			region_drop();
		else
			__atomic_store_n(&agent->managed, 1, __ATOMIC_RELEASE);
	}
	close_all(&a);
	return err;
}

static int find_own(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t here = (uintptr_t)&agent, start, end;
	int i;

	(void)size;
	(void)arg;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_W))
			continue;
		start = (info->dlpi_addr + p->p_vaddr) & ~(agent_page - 1);
		end = (info->dlpi_addr + p->p_vaddr + p->p_memsz + agent_page - 1) &
		      ~(agent_page - 1);
		if (here >= start && here < end) {
			own_start = start;
			own_end = end;
			return 1;
		}
	}
	return 0;
}

/* Does valgrind run us? It does not serve system calls on memory it does not know, reports that on
 * the program's standard error, and owns most of the memory itself. */
static bool emulated(void)
{
	const char *list = getenv("LD_PRELOAD");

	return list && strstr(list, "/vgpreload_");
}

__attribute__((constructor)) static void agent_start(void)
{
	const char *name = getenv(PROTO_ENV);
	int saved = errno, err;

	debug = getenv("UMEMCG_AGENT_DEBUG") != NULL;
	agent_no_move = getenv("UMEMCG_AGENT_NO_MOVE") != NULL;
	give_up = getenv("UMEMCG_AGENT_GIVE_UP") != NULL;
	agent_page = getauxval(AT_PAGESZ);
	guard_init();
	origin_init();
	peek_init();
	view_init();
	hide_init();
	if (!name || !__register_atfork || emulated() || !way_set_name(name))
		return;
	way_set_door(getenv(PROTO_DOOR_ENV));
	env_init();
	dl_iterate_phdr(find_own, NULL);
	/* The first thread's record is in memory of the dynamic linker. */
	thread_record(&thread_start, &thread_end);
	err = agent_attach(0, NULL);
	if (err)
		agent_debug("umemcg: not managed:", err);
	else
		__register_atfork(agent_fork_prepare, agent_fork_parent, atfork_child,
				  __dso_handle);
	if (!err) {
		way_keep_door();
		env_hide();
	}
	errno = saved;
}
