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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "mm/swap.h"
#include "mm/zswap.h"
#include "mmu/host/memfd.h"
#include "mmu/host/uffd.h"
#include "plat/native/registered.h"
#include "serve/account/account.h"
#include "serve/channel/channel.h"
#include "serve/client/lineage.h"
#include "serve/fault/fault.h"
#include "serve/find/find.h"
#include "serve/limits.h"
#include "serve/oom.h"
#include "serve/probe.h"
#include "serve/process/process.h"
#include "serve/process/target.h"
#include "serve/remote/remote.h"
#include "serve/session/session.h"
#include "serve/shared/shared.h"
#include "serve/view.h"
#include "serve/watch/watch.h"

#define FRAME_BYTES (sizeof(struct page) + 16)
#define ZSWAP_SHARE 4  /* of the limit, which compressed pages may have */
#define SLOT_BYTES  96 /* of the tables in struct swap_device */
/* control, follow, lineage, find, 6 askers, watcher, settler, finder, remote, files, view, 2 exec,
 * 2 kswapd, 2 ahead, 2 more workers than CPUs, liburcu's, the store's */
#define OTHER_THREADS      31
#define THREAD_STACK_GUESS (8ull << 20)  /* if 'ulimit -s' is no number */
#define SPACE_SPARE        (32ull << 20) /* heap, clients */

static void engine_notice(void *arg, const char *text)
{
	supervisor_notice(arg, "%s", text);
}

/* Sets the agent's path for LD_PRELOAD. */
static int use_agent(struct supervisor *s, const char *path, struct serve_problem *p)
{
	if (access(path, R_OK) != 0 || !realpath(path, s->agent_path))
		return problem_set(p, -errno, "cannot read the agent library %s: %s",
				   TEXT_NAME(path), strerror(errno));
	if (strpbrk(s->agent_path, " :"))
		return problem_set(p, -EINVAL,
				   "the agent library %s has a space or a colon in its name, and "
				   "LD_PRELOAD would "
				   "take it apart: install umemcg in another place",
				   TEXT_NAME(s->agent_path));
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
	return problem_set(
		p, -ENOENT,
		"libumemcg-agent.so is neither in %s nor in %s: is umemcg installed completely?",
		TEXT_NAME(dir), UMEMCG_LIBDIR);
}

static struct store *open_store(struct supervisor *s, struct serve_problem *p)
{
	const struct serve_config *c = &s->config;
	struct store *store;
	int err;

	store = store_file_open(c->swap_dir, (uint64_t)c->swap_size / PAGE_SIZE, c->swap_direct,
				c->engine, &err);
	if (!store)
		problem_set(p, err, "cannot make a swap file in %s: %s", TEXT_NAME(c->swap_dir),
			    strerror(-err));
	return store;
}

static int64_t limit_pages(int64_t bytes)
{
	VM_ASSERT(bytes >= 0 || bytes == SERVE_UNLIMITED);
	return bytes == SERVE_UNLIMITED ? PAGE_COUNTER_MAX : bytes / (int64_t)PAGE_SIZE;
}

/* Records for what the limit allows plus a transient excess; without a limit, for all of
 * memory. */
static uint32_t frames_for(int64_t max)
{
	struct sysinfo si;
	uint64_t all;

	VM_ASSERT(max >= 0);
	(void)sysinfo(&si);
	all = (uint64_t)si.totalram * si.mem_unit / PAGE_SIZE;
	if (max < PAGE_COUNTER_MAX && (uint64_t)max * 2 + 65536 < all)
		return (uint32_t)max * 2 + 65536;
	return (uint32_t)(all + 65536);
}

/* The share of the limit that compressed pages may have. Without a file behind them: all of it. */
static int64_t zswap_pages(const struct supervisor *s)
{
	int64_t max = limit_pages(s->config.memory_max);

	if (s->config.zswap_max >= 0)
		return limit_pages(s->config.zswap_max);
	if (!s->config.tier_file || max >= PAGE_COUNTER_MAX)
		return PAGE_COUNTER_MAX;
	return max / ZSWAP_SHARE;
}

static int make_group(struct supervisor *s, struct serve_problem *p)
{
	char name[32];
	int err;

	VM_ASSERT(!s->group);
	snprintf(name, sizeof(name), "run-%d", (int)getpid());
	s->group = group_create(&s->engine, NULL,
				s->config.group_name ? s->config.group_name : name, &err);
	if (!s->group)
		return problem_set(p, err, "cannot make the group: %s", strerror(-err));
	bounds_init(&s->bounds, s->group,
		    (int64_t[BOUNDS_NR]){
			    [CTL_HIGH] = limit_pages(s->config.memory_high),
			    [CTL_MAX] = limit_pages(s->config.memory_max),
			    [CTL_MEMSW_MAX] = limit_pages(s->config.memsw_max),
			    [CTL_SWAP_MAX] = limit_pages(s->config.swap_max),
			    [CTL_ZSWAP_MAX] = zswap_pages(s),
		    });
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
	uint32_t frames = frames_for(PAGE_COUNTER_MAX);
	struct store *store = NULL;
	char text[LIMITS_TEXT_MAX];
	uint64_t looked_ns = 0;
	int err;

	assert_thread(THREAD_MAIN);
	/* The limit may be raised later (memory.max). Where address space is short, not by much. */
	if (!limits_have_room(space_for(&s->config, frames), text))
		frames = frames_for(limit_pages(s->config.memory_max));
	if (!limits_have_room(space_for(&s->config, frames), text))
		return problem_set(p, -ENOMEM, "%s", text);
	if (s->config.swap_size >= (int64_t)PAGE_SIZE) {
		store = open_store(s, p);
		if (!store)
			return p->error;
	}
	err = mmu_host_init(&s->mmu, &s->engine, frames, &serve_transport);
	if (err) {
		store_destroy(store);
		return problem_set(p, err, "out of memory");
	}
	s->engine.notice = engine_notice;
	s->engine.notice_arg = s;
	err = engine_init(&s->engine, &s->mmu.mmu, store, frames);
	huge_look(s, &looked_ns);
	if (!err && s->engine.swap)
		err = make_secret(s->engine.swap);
	if (!err && s->engine.swap && s->config.codec)
		err = zswap_enable(&s->engine, s->config.codec, s->config.tier_file);
	if (err == -EIO)
		return problem_set(p, err, "no random numbers for the checksums of swapped pages");
	return err ? problem_set(p, err, "out of memory") : make_group(s, p);
}

static int make_socket(struct supervisor *s, struct serve_problem *p)
{
	char hint[LIMITS_TEXT_MAX];
	uint64_t r[2];
	int err;

	VM_ASSERT(s->control_ep == -1 && s->fault_ep == -1 && s->stop_fd == -1);
	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		return problem_set(p, -EIO, "no random numbers for a socket name");
	snprintf(s->socket_name, sizeof(s->socket_name), "umemcg-%016" PRIx64 "%016" PRIx64, r[0],
		 r[1]);
	err = control_open(s);
	if (err)
		return problem_set(p, err, "cannot listen for clients: %s%s", strerror(-err),
				   limits_hint(err, hint));
	s->control_ep = epoll_create1(EPOLL_CLOEXEC);
	s->fault_ep = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->control_ep < 0 || s->fault_ep < 0 || s->stop_fd < 0)
		return problem_set(p, -errno, "cannot make an epoll descriptor: %s%s",
				   strerror(errno), limits_hint(-errno, hint));
	return 0;
}

/* Every room's own structure. A failed start ends the process, which frees what was made so far. */
static int make_rooms(struct supervisor *s, struct serve_problem *p)
{
	static int (*const init[])(struct supervisor * s) = {
		notice_init,   census_init,  spares_init,  lineage_init, segments_init, pipes_init,
		memfds_init,   control_init, calls_init,   follow_init,  find_init,     fault_init,
		spinners_init, watch_init,   answers_init, copies_init,  view_alloc,
	};
	int err = 0;

	spin_init_urgent(&s->names_lock, RANK_LEAF);
	roster_init(s);
	wake_init(s);
	for (size_t i = 0; !err && i < sizeof(init) / sizeof(init[0]); i++)
		err = init[i](s);
	return err ? problem_set(p, err, "out of memory") : 0;
}

struct supervisor *supervisor_create(const struct serve_config *config,
				     struct serve_problem *problem)
{
	struct supervisor *s = plat_alloc(sizeof(*s));
	struct stat ns;

	if (!s) {
		problem_set(problem, -ENOMEM, "out of memory");
		return NULL;
	}
	s->config = *config;
	s->control_ep = s->fault_ep = s->stop_fd = s->device_fd = -1;
	s->pid_namespace = stat("/proc/self/ns/pid", &ns) == 0 ? ns.st_ino : 0;
	plat_thread_enter();
	if (make_rooms(s, problem) == 0 && probe_machine(s, problem) == 0 &&
	    find_agent(s, problem) == 0 && make_engine(s, problem) == 0 &&
	    make_socket(s, problem) == 0 && view_init(s, problem) == 0)
		return s;
	return NULL;
}

void supervisor_set_keeper(struct supervisor *s, struct keeper *k)
{
	const char *dir = control_door_dir(s);
	char file[DOOR_DIR_MAX + sizeof(DOOR_FILE)];

	assert_thread(THREAD_MAIN);
	VM_ASSERT(!s->started && k->pid > 0);
	s->keeper = k;
	snprintf(file, sizeof(file), "%s/" DOOR_FILE, dir);
	if (dir[0])
		keeper_remove(k, file);
}

int supervisor_start(struct supervisor *s, struct serve_problem *problem)
{
	unsigned workers = s->config.workers ? s->config.workers : (unsigned)get_nprocs() + 2;
	int err = engine_start(&s->engine);
	char hint[LIMITS_TEXT_MAX];

	assert_thread(THREAD_MAIN);
	VM_ASSERT(!s->started && s->group);
	if (!err)
		err = follow_start(s);
	if (!err)
		err = control_start(s);
	if (!err)
		err = find_start(s);
	if (!err)
		err = watch_start(s);
	if (!err)
		err = calls_start(s);
	if (!err)
		err = fault_start(s, workers);
	if (!err)
		err = answers_start(s);
	if (!err)
		err = view_start(s);
	if (!err && !s->config.no_spin)
		err = spinners_start(s);
	if (!err)
		err = rcu_prepare();
	s->started = s->ready = !err;
	return err ? problem_set(problem, err, "cannot start threads: %s%s", strerror(-err),
				 limits_hint(err, hint))
		   : 0;
}

void supervisor_child_env(const struct supervisor *s, bool load)
{
	const char *before = getenv(TARGET_PRELOAD);
	char *others = before ? strdup(before) : NULL, *value = NULL;

	VM_ASSERT(s->started && s->agent_path[0] && s->socket_name[0]);
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
	view_child_env((struct supervisor *)s);
	control_hand_down(s);
}

void supervisor_watch_root(struct supervisor *s, pid_t pid, const char *unable)
{
	assert_thread(THREAD_MAIN);
	VM_ASSERT(pid > 0);
	lineage_add(s, pid);
	a32_store(&s->root_pid, (uint32_t)pid);
	starting_root(s, pid, unable);
}

unsigned supervisor_left(const struct supervisor *s)
{
	assert_thread(THREAD_MAIN);
	return tree_count(s->keeper ? s->keeper->pid : 0);
}

void supervisor_stop(struct supervisor *s)
{
	unsigned left;
	uint64_t one = 1;
	struct client *c = NULL;

	assert_thread(THREAD_MAIN);
	if (!s->started)
		return;
	left = tree_kill(s->keeper ? s->keeper->pid : 0);
	if (left)
		supervisor_notice(s, "%u of its processes do not end although they were killed",
				  left);
	while ((c = client_next(s, c)))
		if (c->sock < 0)
			client_end(c);
	a32_store(&s->stopping, 1);
	(void)!write(s->stop_fd, &one, sizeof(one));
	watch_wake(s);
	waitq_wake(&s->engine.progress);
	spinners_stop(s);
	control_join(s);
	watch_join_watcher(s);
	follow_stop(s); /* control thread and watcher query it until they end */
	watch_join(s);
	find_stop(s);
	answers_stop(s);
	view_stop(s);
	calls_stop(s);
	fault_stop(s);
	while ((c = client_next(s, NULL))) {
		client_end(c);
		client_put(c);
	}
	pipes_fini(s);
	segments_fini(s);
	memfds_fini(s);
	engine_stop(&s->engine);
	/* Uncharge what was charged ahead and not taken. */
	(void)stock_drain_tree(s->group);
	s->started = false;
}

/* What rooms allocated and no longer use: all threads have ended. */
static void free_rooms(struct supervisor *s)
{
	void *const part[] = {
		s->follow, s->fault,  s->spinners, s->watch, s->finder,
		s->kinds,  s->search, s->answers,  s->view,
	};

	VM_ASSERT(!s->started);
	spares_fini(s);
	control_close(s);
	census_fini(s);
	lineage_fini(s);
	notice_fini(s);
	copies_fini(s);
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		plat_free(part[i]);
}

void supervisor_destroy(struct supervisor *s)
{
	/* After a failed start, threads still use what would be freed here. Before a start, liburcu
	 * would create its thread only to wait for it, or abort if it cannot. The end of the
	 * process frees everything. */
	assert_thread(THREAD_MAIN);
	if (!s || !s->ready)
		return;
	supervisor_stop(s);
	if (s->group) {
		(void)group_remove(&s->engine, s->group);
		memcg_put(s->group);
	}
	engine_fini(&s->engine);
	mmu_host_fini(&s->mmu);
	close(s->control_ep);
	close(s->fault_ep);
	close(s->stop_fd);
	if (s->device_fd >= 0)
		close(s->device_fd);
	free_rooms(s);
	plat_free(s);
	plat_thread_exit();
}
