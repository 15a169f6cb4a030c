/* serve/supervisor.c - setup and teardown of the supervisor. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "mm/swap.h"
#include "mmu/host/uffd.h"
#include "plat/native/registered.h"
#include "serve/watch/finder.h"
#include "serve/internal.h"
#include "serve/limits.h"
#include "serve/process/target.h"

#define FRAME_BYTES     (sizeof(struct page) + 16)
#define SLOT_BYTES      56              /* of the tables in struct swap_device */
/* control, follow, lineage, find, 6 askers, watcher, settler, finder, remote, 2 exec, 2 kswapd, 2
 * ahead, 2 more workers than CPUs, liburcu's, the store's */
#define OTHER_THREADS   29
#define THREAD_STACK_GUESS (8ull << 20) /* if 'ulimit -s' is no number */
#define SPACE_SPARE     (32ull << 20)   /* heap, clients */
#define NOTICE_EVERY_NS 20000000ull     /* at most fifty notices per second, */
#define NOTICE_BURST    32              /* ... and a burst of this many */
#define NOTICE_SAME_NS  5000000000ull   /* the same sentence again */

static int fail(struct serve_problem *p, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct serve_problem *p, int error, const char *fmt, ...)
{
	va_list ap;

	p->error = error;
	va_start(ap, fmt);
	vsnprintf(p->text, sizeof(p->text), fmt, ap);
	va_end(ap);
	return error;
}

/* Is there room for one more notice? Room is refilled over time. names_lock held. */
static bool notice_room(struct supervisor *s, uint64_t now)
{
	uint64_t base = now > NOTICE_BURST * NOTICE_EVERY_NS ? now - NOTICE_BURST * NOTICE_EVERY_NS : 0;

	if (s->notices_ns < base)
		s->notices_ns = base;
	if (s->notices_ns + NOTICE_EVERY_NS > now)
		return false;
	s->notices_ns += NOTICE_EVERY_NS;
	return true;
}

/* Repeats a sentence only after a while, and bounds the rate of all. *@left_out: number suppressed
 * before this one. names_lock held. */
static bool notice_due(struct supervisor *s, const char *text, unsigned *left_out)
{
	uint64_t now = plat_now_ns();

	*left_out = 0;
	if (s->last_notice_ns && strcmp(text, s->last_notice) == 0 && now - s->last_notice_ns < NOTICE_SAME_NS)
		return false;
	if (!notice_room(s, now)) {
		s->left_out++;
		return false;
	}
	*left_out = s->left_out;
	s->left_out = 0;
	s->last_notice_ns = now;
	snprintf(s->last_notice, sizeof(s->last_notice), "%s", text);
	return true;
}

void supervisor_notice(struct supervisor *s, const char *fmt, ...)
{
	char text[SERVE_TEXT_MAX], lost[64];
	unsigned left_out;
	bool due;
	va_list ap;

	if (!s->config.notice)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	spin_lock(&s->names_lock);
	due = notice_due(s, text, &left_out);
	spin_unlock(&s->names_lock);
	snprintf(lost, sizeof(lost), "%u messages were left out: too many at once", left_out);
	if (left_out)
		s->config.notice(s->config.notice_arg, lost);
	if (due)
		s->config.notice(s->config.notice_arg, text);
}

static void engine_notice(void *arg, const char *text)
{
	supervisor_notice(arg, "%s", text);
}

static bool sysctl_unprivileged(void)
{
	FILE *f = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	int value = 0;

	if (f) {
		if (fscanf(f, "%d", &value) != 1)
			value = 0;
		fclose(f);
	}
	return value == 1;
}

static int not_permitted(struct serve_problem *p)
{
	return fail(p, -EPERM, "not permitted to use userfaultfd with fork events: run as root; or give umemcg CAP_SYS_PTRACE "
		    "(setcap cap_sys_ptrace+ep umemcg) and set vm.unprivileged_userfaultfd=1; or give it CAP_SYS_PTRACE and access "
		    "to /dev/userfaultfd");
}

/* All lookups of clients in /proc use our PID numbering. */
static int check_proc(struct serve_problem *p)
{
	char self[16];
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);

	if (n < 0)
		return fail(p, -ENOENT, "there is no /proc, by which umemcg follows the program: mount it (mount -t proc proc "
			    "/proc)");
	self[n] = '\0';
	if (strtol(self, NULL, 10) != getpid())
		return fail(p, -ESRCH, "/proc is that of another PID namespace: mount this one's (mount -t proc proc /proc, "
			    "unshare --mount-proc)");
	return 0;
}

static int refused(struct serve_problem *p, const char *call)
{
	return fail(p, -errno, "%s(2) is refused here (%s), which umemcg cannot do without: allow it in the container's "
		    "seccomp profile", call, strerror(errno));
}

/* Calls on clients that have no alternative: read memory, kill. Tried on ourselves. */
static int check_calls(struct serve_problem *p)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), err = 0;
	char from = 0, to;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	if (pidfd < 0)
		return refused(p, "pidfd_open");
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) != 0)
		err = refused(p, "pidfd_send_signal");
	else if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1)
		err = refused(p, "process_vm_readv");
	close(pidfd);
	return err;
}

/* May we and our clients use userfaultfd with fork events? The clients have none of our
 * capabilities. */
static int check_machine(struct supervisor *s, struct serve_problem *p)
{
	int fd, err;

	if (sysconf(_SC_PAGESIZE) != (long)PAGE_SIZE)
		return fail(p, -ENOTSUP, "this kernel has pages of %ld bytes: umemcg knows only %lu",
			    sysconf(_SC_PAGESIZE), PAGE_SIZE);
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? -errno : 0;
	if (err == -ENOSYS)
		return fail(p, err, "this kernel has no userfaultfd: umemcg needs Linux 5.14 or later with CONFIG_USERFAULTFD");
	s->device_fd = device_open(s->config.swap_dir);
	if (fd < 0 && s->device_fd >= 0)
		fd = ioctl(s->device_fd, _IO(0xAA, 0x00), O_CLOEXEC | O_NONBLOCK);
	err = fd < 0 ? err : uffd_api(fd);
	if (fd >= 0)
		close(fd);
	if (err == -EPERM || err == -EACCES || (geteuid() != 0 && s->device_fd < 0 && !sysctl_unprivileged()))
		return not_permitted(p);
	if (err)
		return fail(p, err, "userfaultfd does not work here: %s", strerror(-err));
	if (s->device_fd < 0 && !sysctl_unprivileged())
		supervisor_notice(s, "programs that change their user (su, PostgreSQL) will be measured, but not swapped: there is "
				  "no /dev/userfaultfd here; give it to the container (--device /dev/userfaultfd), or set "
				  "vm.unprivileged_userfaultfd=1");
	return 0;
}

/* Sets the agent's path for LD_PRELOAD. */
static int use_agent(struct supervisor *s, const char *path, struct serve_problem *p)
{
	if (access(path, R_OK) != 0 || !realpath(path, s->agent_path))
		return fail(p, -errno, "cannot read the agent library %s: %s", TEXT_NAME(path), strerror(errno));
	if (strpbrk(s->agent_path, " :"))
		return fail(p, -EINVAL, "the agent library %s has a space or a colon in its name, and LD_PRELOAD would "
			    "take it apart: install umemcg in another place", TEXT_NAME(s->agent_path));
	return 0;
}

/* Looks beside the program (not installed), below its prefix (wherever that was moved), then in the
 * build's prefix. */
static int find_agent(struct supervisor *s, struct serve_problem *p)
{
	static const char *const below[] = { "", "/../" UMEMCG_LIBDIR_NAME };
	char dir[3800] = "", path[4096];
	char *slash;
	ssize_t n;

	if (s->config.agent_path)
		return use_agent(s, s->config.agent_path, p);
	n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	dir[n > 0 ? n : 0] = '\0';
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		snprintf(path, sizeof(path), "%s%s/libumemcg-agent.so", dir, below[i]);
		if (access(path, R_OK) == 0)
			return use_agent(s, path, p);
	}
	if (access(UMEMCG_LIBDIR "/libumemcg-agent.so", R_OK) == 0)
		return use_agent(s, UMEMCG_LIBDIR "/libumemcg-agent.so", p);
	return fail(p, -ENOENT, "libumemcg-agent.so is neither in %s nor in %s: is umemcg installed completely?", TEXT_NAME(dir),
		    UMEMCG_LIBDIR);
}

static struct store *open_store(struct supervisor *s, struct serve_problem *p)
{
	const struct serve_config *c = &s->config;
	struct store *store;
	int err;

	store = store_file_open(c->swap_dir, (uint64_t)c->swap_size / PAGE_SIZE, c->swap_direct, c->engine, &err);
	if (!store)
		fail(p, err, "cannot make a swap file in %s: %s", TEXT_NAME(c->swap_dir), strerror(-err));
	return store;
}

static int64_t limit_pages(int64_t bytes)
{
	return bytes == SERVE_UNLIMITED ? PAGE_COUNTER_MAX : bytes / (int64_t)PAGE_SIZE;
}

/* Records for what the limit allows plus a transient excess; without a limit, for all of memory. */
static uint32_t frames_for(int64_t max)
{
	struct sysinfo si;
	uint64_t all;

	(void)sysinfo(&si);
	all = (uint64_t)si.totalram * si.mem_unit / PAGE_SIZE;
	if (max < PAGE_COUNTER_MAX && (uint64_t)max * 2 + 65536 < all)
		return (uint32_t)max * 2 + 65536;
	return (uint32_t)(all + 65536);
}

static int make_group(struct supervisor *s, struct serve_problem *p)
{
	char name[32];
	int err;

	snprintf(name, sizeof(name), "run-%d", (int)getpid());
	s->group = group_create(&s->engine, NULL, s->config.group_name ? s->config.group_name : name, &err);
	if (!s->group)
		return fail(p, err, "cannot make the group: %s", strerror(-err));
	s->max = limit_pages(s->config.memory_max);
	s->memsw_max = limit_pages(s->config.memsw_max);
	page_counter_force_max(&s->group->memory, s->max);
	page_counter_force_max(&s->group->memsw, s->memsw_max);
	page_counter_force_max(&s->group->swap, limit_pages(s->config.swap_max));
	s->high = limit_pages(s->config.memory_high);
	a64_store(&s->group->memory.high, s->high);
	return 0;
}

/* Address space for page buffers, tables and thread stacks. Most of it is never touched. */
static uint64_t space_for(const struct serve_config *c, uint32_t frames)
{
	uint64_t stack = THREAD_STACK_GUESS, slots = (uint64_t)c->swap_size / PAGE_SIZE;
	struct rlimit r;

	if (getrlimit(RLIMIT_STACK, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
		stack = r.rlim_cur;
	return frames * (PAGE_SIZE + FRAME_BYTES) + slots * SLOT_BYTES + SPACE_SPARE +
	       stack * (NR_CALL_THREADS + OTHER_THREADS + 2 * (uint64_t)get_nprocs());
}

static int make_secret(struct swap_device *d)
{
	uint8_t secret[SWAP_SECRET_BYTES];

	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		return -EIO;
	swap_set_secret(d, secret);
	return 0;
}

static int make_engine(struct supervisor *s, struct serve_problem *p)
{
	uint32_t frames = frames_for(limit_pages(s->config.memory_max));
	struct store *store = NULL;
	char text[LIMITS_TEXT_MAX];
	int err;

	if (!limits_have_room(space_for(&s->config, frames), text))
		return fail(p, -ENOMEM, "%s", text);
	if (s->config.swap_size >= (int64_t)PAGE_SIZE) {
		store = open_store(s, p);
		if (!store)
			return p->error;
	}
	err = mmu_host_init(&s->mmu, &s->engine, frames, &serve_transport);
	if (err) {
		store_destroy(store);
		return fail(p, err, "out of memory");
	}
	s->engine.notice = engine_notice;
	s->engine.notice_arg = s;
	err = engine_init(&s->engine, &s->mmu.mmu, store, frames);
	huge_look(s);
	if (!err && s->engine.swap)
		err = make_secret(s->engine.swap);
	if (err == -EIO)
		return fail(p, err, "no random numbers for the checksums of swapped pages");
	return err ? fail(p, err, "out of memory") : make_group(s, p);
}

static int make_socket(struct supervisor *s, struct serve_problem *p)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char hint[LIMITS_TEXT_MAX];
	uint64_t r[2];

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return fail(p, -EIO, "no random numbers for a socket name");
	snprintf(s->socket_name, sizeof(s->socket_name), "umemcg-%016" PRIx64 "%016" PRIx64, r[0], r[1]);
	memcpy(a.sun_path + 1, s->socket_name, strlen(s->socket_name));
	s->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->listen_fd < 0 ||
	    bind(s->listen_fd, (struct sockaddr *)&a,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(s->socket_name))) != 0 ||
	    listen(s->listen_fd, 1024) != 0)
		return fail(p, -errno, "cannot listen for clients: %s%s", strerror(errno), limits_hint(-errno, hint));
	s->control_ep = epoll_create1(EPOLL_CLOEXEC);
	s->fault_ep = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->control_ep < 0 || s->fault_ep < 0 || s->stop_fd < 0)
		return fail(p, -errno, "cannot make an epoll descriptor: %s%s", strerror(errno),
			    limits_hint(-errno, hint));
	door_open(s);
	return 0;
}

struct supervisor *supervisor_create(const struct serve_config *config, struct serve_problem *problem)
{
	struct supervisor *s = plat_alloc(sizeof(*s));
	struct stat ns;

	if (!s) {
		fail(problem, -ENOMEM, "out of memory");
		return NULL;
	}
	s->config = *config;
	s->door_fd = s->door_file = -1;
	s->remote.listen_fd = s->listen_fd = s->control_ep = s->fault_ep = s->stop_fd = s->device_fd = -1;
	spin_init_urgent(&s->clients_lock, RANK_LEAF);
	call_queue_init(&s->calls, s);
	call_queue_init(&s->execs, s);
	spin_init_urgent(&s->names_lock, RANK_LEAF);
	segments_init(&s->segments);
	pipes_init(&s->pipes);
	lineage_init(s);
	find_init(s);
	census_begin(s);
	s->pid_namespace = stat("/proc/self/ns/pid", &ns) == 0 ? ns.st_ino : 0;
	list_init(&s->clients);
	list_init(&s->conns);
	list_init(&s->closing);
	waitq_init(&s->warm_wait);
	waitq_init(&s->watch_wait);
	waitq_init(&s->settle_wait);
	waitq_init(&s->find_wait);
	waitq_init(&s->find_done);
	plat_thread_enter();
	if (check_proc(problem) == 0 && check_machine(s, problem) == 0 && check_calls(problem) == 0 &&
	    find_agent(s, problem) == 0 && make_engine(s, problem) == 0 && make_socket(s, problem) == 0)
		return s;
	/* A failed start ends the process, which frees what was made so far. */
	return NULL;
}

void supervisor_set_keeper(struct supervisor *s, struct keeper *k)
{
	s->keeper = k;
}

static int watch_fds(struct supervisor *s)
{
	struct epoll_event listen_ev = { .events = EPOLLIN, .data.ptr = &s->listen_conn };
	struct epoll_event door_ev = { .events = EPOLLIN, .data.ptr = &s->door_conn };
	struct epoll_event stop_ev = { .events = EPOLLIN, .data.ptr = &s->stop_conn };
	struct epoll_event fault_stop = { .events = EPOLLIN, .data.u64 = 0 };

	s->listen_conn = (struct conn){ .kind = CONN_LISTEN, .fd = s->listen_fd };
	s->door_conn = (struct conn){ .kind = CONN_LISTEN, .fd = s->door_fd };
	s->stop_conn = (struct conn){ .kind = CONN_STOP, .fd = s->stop_fd };
	if (epoll_ctl(s->control_ep, EPOLL_CTL_ADD, s->listen_fd, &listen_ev) != 0 ||
	    (s->door_fd >= 0 && epoll_ctl(s->control_ep, EPOLL_CTL_ADD, s->door_fd, &door_ev) != 0) ||
	    epoll_ctl(s->control_ep, EPOLL_CTL_ADD, s->stop_fd, &stop_ev) != 0 ||
	    epoll_ctl(s->fault_ep, EPOLL_CTL_ADD, s->stop_fd, &fault_stop) != 0)
		return -errno;
	return 0;
}

int supervisor_start(struct supervisor *s, struct serve_problem *problem)
{
	unsigned workers = s->config.workers ? s->config.workers : (unsigned)get_nprocs() + 2;
	int err = watch_fds(s);
	char hint[LIMITS_TEXT_MAX];

	if (workers > NR_WORKERS_MAX)
		workers = NR_WORKERS_MAX;
	if (!err)
		err = engine_start(&s->engine);
	if (!err)
		err = follow_start(s);
	if (!err)
		err = plat_thread_start(&s->control, "umemcg-control", control_main, s);
	if (!err)
		err = lineage_start(s);
	if (!err)
		err = find_start(s);
	if (!err)
		err = plat_thread_start(&s->watcher, "umemcg-watcher", watcher_main, s);
	if (!err)
		err = plat_thread_start(&s->settler, "umemcg-settler", settler_main, s);
	if (!err)
		err = plat_thread_start(&s->finder, "umemcg-finder", finder_main, s);
	for (unsigned i = 0; !err && i < NR_CALL_THREADS; i++)
		err = plat_thread_start(&s->call_thread[i], "umemcg-call", call_main, &s->calls);
	for (unsigned i = 0; !err && i < NR_EXEC_THREADS; i++)
		err = plat_thread_start(&s->exec_thread[i], "umemcg-exec", call_main, &s->execs);
	for (unsigned i = 0; !err && i < workers; i++) {
		err = plat_thread_start(&s->worker[i], "umemcg-fault", worker_main, s);
		s->nr_workers += !err;
	}
	if (!err)
		err = answers_start(s);
	if (!err && !s->config.no_warm)
		err = warm_start(s);
	if (!err)
		err = rcu_prepare();
	s->started = !err;
	s->ready = !err;
	return err ? fail(problem, err, "cannot start threads: %s%s", strerror(-err), limits_hint(err, hint)) : 0;
}

void supervisor_child_env(const struct supervisor *s, bool load)
{
	const char *before = getenv(TARGET_PRELOAD);
	char *others = before ? strdup(before) : NULL, *value = NULL;

	/* Leave out the agent of an outer umemcg: two would say HELLO to us. */
	if (others)
		target_leave_out(others, others);
	if (others && *others && asprintf(&value, "%s:%s", s->agent_path, others) < 0)
		value = NULL;
	if (load)
		setenv(TARGET_PRELOAD, value ? value : s->agent_path, 1);
	free(others);
	free(value);
	setenv(PROTO_ENV, s->socket_name, 1);
	door_hand_down(s);
}

void supervisor_watch_root(struct supervisor *s, pid_t pid, const char *unable)
{
	lineage_add(s, pid);
	a32_store(&s->root_pid, (uint32_t)pid);
	starting_root(s, pid, unable);
}

void supervisor_stop(struct supervisor *s)
{
	uint64_t one = 1;
	struct client *c = NULL;

	if (!s->started)
		return;
	tree_kill(s);
	while ((c = client_next(s, c)))
		if (c->sock < 0)
			client_end(c);
	a32_store(&s->stopping, 1);
	(void)!write(s->stop_fd, &one, sizeof(one));
	waitq_wake(&s->calls.wait);
	waitq_wake(&s->execs.wait);
	waitq_wake(&s->watch_wait);
	waitq_wake(&s->settle_wait);
	waitq_wake(&s->find_wait);
	waitq_wake(&s->find_done);
	waitq_wake(&s->engine.progress);
	warm_stop(s);
	plat_thread_join(&s->control);
	plat_thread_join(&s->watcher);
	follow_stop(s);                /* control thread and watcher query it until they end */
	plat_thread_join(&s->settler);
	plat_thread_join(&s->finder);
	find_stop(s);
	lineage_stop(s);
	answers_stop(s);
	for (unsigned i = 0; i < NR_CALL_THREADS; i++)
		plat_thread_join(&s->call_thread[i]);
	for (unsigned i = 0; i < NR_EXEC_THREADS; i++)
		plat_thread_join(&s->exec_thread[i]);
	for (unsigned i = 0; i < s->nr_workers; i++)
		plat_thread_join(&s->worker[i]);
	while ((c = client_next(s, NULL))) {
		client_end(c);
		client_put(c);
	}
	pipes_fini(&s->pipes);
	segments_fini(&s->segments);
	engine_stop(&s->engine);
	/* Uncharge what was charged ahead and not taken. */
	(void)stock_drain_tree(s->group);
	s->started = false;
}

void supervisor_destroy(struct supervisor *s)
{
	/* After a failed start, threads still use what would be freed here. Before a start, liburcu
	 * would create its thread only to wait for it, or abort if it cannot. The end of the
	 * process frees everything. */
	if (!s || !s->ready)
		return;
	supervisor_stop(s);
	if (s->group) {
		(void)group_remove(&s->engine, s->group);
		memcg_put(s->group);
	}
	engine_fini(&s->engine);
	mmu_host_fini(&s->mmu);
	spare_close(s);
	close(s->listen_fd);
	door_close(s);
	close(s->control_ep);
	close(s->fault_ep);
	close(s->stop_fd);
	if (s->device_fd >= 0)
		close(s->device_fd);
	plat_free(s);
	plat_thread_exit();
}
