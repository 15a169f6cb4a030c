/* serve/view.c - the mounts of the view, and the thread that renews its files. See view.h.
 *
 * Only the main thread enters the mount namespace; the program, and threads that are made later,
 * are in it. Files of the group's own directory are replaced by rename, so no reader sees a part of
 * one. A file that is mounted over another keeps its inode: it is written in one call, and cut to
 * its length after.
 *
 * Locks: none. The view belongs to the main thread until view_start, then to its own.
 */
#include "serve/view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "serve/probe.h"
#include "serve/channel/proto.h"
#include "serve/client/client.h"

#define HOST_MAX  16384 /* bytes of /proc/meminfo */
#define TEXT_MAX  65536 /* of /proc/self/mountinfo, and of any of our files */
#define FILES_MAX 48

struct view_file {
	const struct ctl_file *ctl; /* NULL: of /proc */
	const char *name;
	int fd;     /* written in place; -1: replaced */
	char *last; /* what it has */
};

struct view {
	struct plat_thread thread;
	bool running;
	int dir_fd;  /* L1: the directory; -1: none */
	int host_fd; /* the machine's meminfo; -1: not covered */
	unsigned nr_files;
	struct view_file file[FILES_MAX];
	char text[TEXT_MAX];
};

int view_alloc(struct supervisor *s)
{
	if (!(s->config.view & SERVE_VIEW_MOUNTS))
		return 0;
	if (supervisor_part(&s->view, sizeof(*s->view)))
		return -ENOMEM;
	s->view->dir_fd = s->view->host_fd = -1;
	return 0;
}

/* ---- contents ---- */

static int64_t bytes_of(int64_t pages)
{
	return pages >= PAGE_COUNTER_MAX ? -1 : pages * (int64_t)PAGE_SIZE;
}

static int64_t stat_bytes(struct supervisor *s, enum stat_item item)
{
	int64_t pages = stat_read(s->group, item);

	return pages > 0 ? pages * (int64_t)PAGE_SIZE : 0;
}

static struct view_memory memory_of(struct supervisor *s)
{
	struct view_memory m = {
		.max = bytes_of(bounds_get(&s->bounds, CTL_MAX)),
		.swap_max = bytes_of(bounds_get(&s->bounds, CTL_SWAP_MAX)),
		.limit_shown = s->config.view & SERVE_VIEW_CGROUP,
		.current = bytes_of(page_counter_read(&s->group->memory)),
		.swap = bytes_of(page_counter_read(&s->group->swap)),
		.anon = stat_bytes(s, STAT_ANON) + stat_bytes(s, STAT_UNMANAGED),
		.shmem = stat_bytes(s, STAT_SHMEM),
		.file = stat_bytes(s, STAT_FILE),
		.active_anon = stat_bytes(s, STAT_ACTIVE_ANON),
		.inactive_anon = stat_bytes(s, STAT_INACTIVE_ANON),
	};

	return m;
}

/* Version 1 has no limit of swap alone: what memory and swap may have together shows both. */
static int64_t limit(void *arg, struct mem_cgroup *g, enum ctl_limit which)
{
	struct supervisor *s = arg;
	int64_t pages = PAGE_COUNTER_MAX, swap, max;

	if (g == s->group)
		pages = bounds_get(&s->bounds, which);
	if (g != s->group || which != CTL_MEMSW_MAX)
		return pages;
	swap = bounds_get(&s->bounds, CTL_SWAP_MAX);
	max = bounds_get(&s->bounds, CTL_MAX);
	return swap < PAGE_COUNTER_MAX - max && max + swap < pages ? max + swap : pages;
}

static void put(struct supervisor *s, const struct view_file *f, struct text *out)
{
	static const struct ctl_host host = { .limit = limit };
	struct ctl c = { .e = &s->engine, .memcg = s->group, .host = &host, .arg = s };
	struct view_memory m;
	char text[HOST_MAX];
	ssize_t n;

	if (f->ctl) {
		(void)ctl_read(&c, f->ctl, out);
		return;
	}
	m = memory_of(s);
	if (strcmp(f->name, "swaps") == 0) {
		view_swaps(&m, s->config.view_with_swap, out);
		return;
	}
	n = pread(s->view->host_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	view_meminfo(&m, s->config.view_with_swap, text, out);
}

/* 0 or -errno. */
static int write_in_place(int fd, const struct text *t)
{
	if (pwrite(fd, t->buf, t->len, 0) != (ssize_t)t->len || ftruncate(fd, (off_t)t->len) != 0)
		return -errno;
	return 0;
}

static int replace(int dir_fd, const char *name, const struct text *t)
{
	int fd = openat(dir_fd, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, t->buf, t->len) != (ssize_t)t->len || fchmod(fd, 0444) != 0 ||
	    renameat(dir_fd, ".new", dir_fd, name) != 0)
		err = -errno;
	close(fd);
	return err;
}

/* 0 or -errno. What has not changed is not written. */
static int renew(struct supervisor *s, struct view_file *f)
{
	struct view *v = s->view;
	struct text t;
	int err;

	text_init(&t, v->text, sizeof(v->text));
	put(s, f, &t);
	if (t.cut || (f->last && strcmp(f->last, t.buf) == 0))
		return 0;
	err = f->fd >= 0 ? write_in_place(f->fd, &t) : replace(v->dir_fd, f->name, &t);
	if (err)
		return err;
	free(f->last);
	f->last = strdup(t.buf);
	return 0;
}

static struct view_file *add(struct view *v, const struct ctl_file *ctl, const char *name, int fd)
{
	struct view_file *f = &v->file[v->nr_files];

	VM_BUG_ON(v->nr_files == FILES_MAX);
	v->nr_files++;
	*f = (struct view_file){ .ctl = ctl, .name = name, .fd = fd };
	return f;
}

/* ---- mounting ---- */

/* What a view replaces. The files of processes (cgroup.procs, tasks) stay the kernel's. */
static bool is_ours(const struct ctl_file *f, enum ctl_view names)
{
	return f && f->view == names && f->read && strncmp(f->name, "memory.", 7) == 0;
}

static bool read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t at = 0;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && at < size - 1 && (n = read(fd, buf + at, size - 1 - at)) > 0)
		at += (size_t)n;
	if (fd >= 0)
		close(fd);
	buf[at] = '\0';
	return fd >= 0;
}

/* Show file @name of the directory @from_fd in our tmpfs, too: another controller's. */
static void show_through(struct view *v, int from_fd, const char *name)
{
	char from[64], to[64];
	int fd = openat(from_fd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW), mine;

	mine = openat(v->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd >= 0 && mine >= 0) {
		snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
		snprintf(to, sizeof(to), "/proc/self/fd/%d", mine);
		(void)mount(from, to, NULL, MS_BIND, NULL);
	}
	if (mine >= 0)
		close(mine);
	if (fd >= 0)
		close(fd);
}

static void show_others(struct view *v, int from_fd, enum ctl_view names)
{
	int fd = dup(from_fd);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG && !is_ours(ctl_find(names, entry->d_name), names))
			show_through(v, from_fd, entry->d_name);
	if (dir)
		closedir(dir);
}

/* Layout L1. */
static int mount_directory(struct supervisor *s, const struct view_place *place)
{
	enum ctl_view names = place->v1 ? CTL_V1 : CTL_V2;
	int err = 0, below = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct view *v = s->view;
	unsigned nr;
	const struct ctl_file *files = ctl_files(&nr);

	if (below < 0)
		return -errno;
	if (mount("umemcg", place->path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "mode=755,size=4m") != 0) {
		err = -errno;
		close(below);
		return err;
	}
	v->dir_fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v->dir_fd < 0)
		err = -errno;
	for (unsigned i = 0; !err && i < nr; i++)
		if (is_ours(&files[i], names))
			err = renew(s, add(v, &files[i], files[i].name, -1));
	if (!err)
		show_others(v, below, names);
	close(below);
	return err;
}

/* A file of ours, mounted over @path. It is made in a directory @dir, a tmpfs that goes when it is
 * unmounted: the file stays. */
static int cover(struct supervisor *s, const char *dir, const char *path,
		 const struct ctl_file *ctl, const char *name)
{
	char mine[256];
	int fd, err;

	snprintf(mine, sizeof(mine), "%s/%s", dir, name);
	fd = open(mine, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	err = renew(s, add(s->view, ctl, name, fd));
	if (!err && mount(mine, path, NULL, MS_BIND, NULL) != 0)
		err = -errno;
	return err;
}

/* Layout L2: over those that the kernel has. */
static int cover_files(struct supervisor *s, const char *dir, const struct view_place *place)
{
	enum ctl_view names = place->v1 ? CTL_V1 : CTL_V2;
	unsigned nr, covered = 0;
	const struct ctl_file *files = ctl_files(&nr);

	for (unsigned i = 0; i < nr; i++) {
		char path[sizeof(place->path) + CTL_NAME_MAX + 1];
		int err;

		snprintf(path, sizeof(path), "%s/%s", place->path, files[i].name);
		if (!is_ours(&files[i], names) || access(path, F_OK) != 0)
			continue;
		err = cover(s, dir, path, &files[i], files[i].name);
		if (err)
			return err;
		covered++;
	}
	return covered ? 0 : -ENOENT;
}

static int cover_proc(struct supervisor *s, const char *dir)
{
	int err;

	s->view->host_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (s->view->host_fd < 0)
		return -errno;
	err = cover(s, dir, "/proc/meminfo", NULL, "meminfo");
	return err ? err : cover(s, dir, "/proc/swaps", NULL, "swaps");
}

static int cannot_mount(struct serve_problem *p, int err, const char *what)
{
	return problem_set(p, err, "--view: cannot mount %s: %s; --view=env needs no mount", what,
			   strerror(-err));
}

static int mount_all(struct supervisor *s, const char *dir, struct serve_problem *p)
{
	static char cgroup[TEXT_MAX], mountinfo[4 * TEXT_MAX];
	struct view_place place;
	int err = 0;

	if (s->config.view & SERVE_VIEW_CGROUP) {
		if (!read_text("/proc/self/cgroup", cgroup, sizeof(cgroup)) ||
		    !read_text("/proc/self/mountinfo", mountinfo, sizeof(mountinfo)) ||
		    view_place_find(cgroup, mountinfo, &place) != 0)
			return problem_set(p, -ENOENT,
					   "--view: no mount here shows the memory control group "
					   "of this process; --view=proc does without");
		err = place.whole ? mount_directory(s, &place) : cover_files(s, dir, &place);
		if (err == -ENOENT)
			return problem_set(p, err,
					   "--view: this process is in the root control group, "
					   "which has no limit to show; --view=proc does without");
		if (err)
			return cannot_mount(p, err, place.path);
	}
	if (s->config.view & SERVE_VIEW_PROC)
		err = cover_proc(s, dir);
	return err ? cannot_mount(p, err, "over /proc/meminfo") : 0;
}

int view_init(struct supervisor *s, struct serve_problem *p)
{
	char dir[] = "/tmp/umemcg-view.XXXXXX";
	int err;

	assert_thread(THREAD_MAIN);
	if (!s->view)
		return 0;
	if (unshare(CLONE_NEWNS) != 0)
		return problem_set(p, -errno,
				   "--view: a mount namespace of its own is not permitted (%s); "
				   "run as root, or give --view=env",
				   strerror(errno));
	/* The host's later mounts are seen; ours are not seen there. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
		return cannot_mount(p, -errno, "/");
	if (!mkdtemp(dir))
		return cannot_mount(p, -errno, dir);
	if (mount("umemcg", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=4m") !=
	    0) {
		err = cannot_mount(p, -errno, dir);
	} else {
		err = mount_all(s, dir, p);
		(void)umount2(dir, MNT_DETACH);
	}
	(void)rmdir(dir);
	return err;
}

/* ---- the environment ---- */

static void set_default(const char *name, const char *format, int64_t value)
{
	char text[64];

	snprintf(text, sizeof(text), format, value);
	(void)setenv(name, text, 0);
}

void view_child_env(struct supervisor *s)
{
	int64_t max = bytes_of(bounds_get(&s->bounds, CTL_MAX));

	if (s->config.view & SERVE_VIEW_PROC)
		(void)setenv(PROTO_VIEW_ENV, "proc", 1);
	else
		(void)unsetenv(PROTO_VIEW_ENV);
	if (!(s->config.view & SERVE_VIEW_ENV) || max < 0)
		return;
	set_default("GOMEMLIMIT", "%" PRId64 "B", max / 10 * 9);
	set_default("NODE_OPTIONS", "--max-old-space-size=%" PRId64, (max >> 20) * 3 / 4);
	set_default("JAVA_TOOL_OPTIONS", "-XX:MaxRAM=%" PRId64, max);
	set_default("DOTNET_GCHeapHardLimit", "%" PRIx64, max / 4 * 3);
	set_default("MALLOC_ARENA_MAX", "%" PRId64, 2);
}

/* ---- the thread ---- */

static void view_main(void *arg)
{
	struct supervisor *s = arg;
	struct pollfd p = { .fd = s->stop_fd, .events = POLLIN };

	thread_begin(THREAD_VIEW);
	while (poll(&p, 1, VIEW_TICK_MS) == 0 || !p.revents)
		for (unsigned i = 0; i < s->view->nr_files; i++)
			(void)renew(s, &s->view->file[i]);
}

int view_start(struct supervisor *s)
{
	int err;

	if (!s->view)
		return 0;
	err = plat_thread_start(&s->view->thread, "umemcg-view", view_main, s);
	s->view->running = !err;
	return err;
}

void view_stop(struct supervisor *s)
{
	struct view *v = s->view;

	if (!v)
		return;
	if (v->running)
		plat_thread_join(&v->thread);
	for (unsigned i = 0; i < v->nr_files; i++) {
		free(v->file[i].last);
		if (v->file[i].fd >= 0)
			close(v->file[i].fd);
	}
	if (v->dir_fd >= 0)
		close(v->dir_fd);
	if (v->host_fd >= 0)
		close(v->host_fd);
	v->running = false;
	v->nr_files = 0;
	v->dir_fd = v->host_fd = -1;
}
