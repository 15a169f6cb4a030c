/* serve/shared/memfd_stubs.c - descriptors of memfds that only name them (agent/memfd.c).
 *
 * When a memfd becomes the kernel's, one process gets our descriptor of it. Others of the program's
 * processes may have stubs of it still, as a fork's child may, and ask for it later. They get the
 * same descriptor, because their stubs were copies of one that had one position. So it is kept as
 * long as anybody has a stub.
 *
 * Lock: memfds.lock, rank LEAF.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mmu/host/memfd.h"
#include "serve/process/proc.h"
#include "serve/shared/memfd.h"
#include "serve/shared/shared.h"

#define GONE_NS (200 * 1000000ull)

struct gone {
	struct list_head link; /* lock */
	uint64_t dev, ino;     /* (C) */
	int fd;                /* (C) */
};

void stubs_init(struct memfds *m)
{
	spin_init(&m->lock, RANK_LEAF);
	list_init(&m->gone);
}

static void gone_free(struct memfds *m, struct gone *g)
{
	spin_lock(&m->lock);
	list_del(&g->link);
	spin_unlock(&m->lock);
	close(g->fd);
	plat_free(g);
}

void stubs_fini(struct memfds *m)
{
	while (!list_empty(&m->gone))
		gone_free(m, list_first(&m->gone, struct gone, link));
	spin_fini(&m->lock);
}

/* ---- who has a descriptor ---- */

struct descriptor {
	uint64_t dev, ino;
	bool stub; /* only a stub */
	bool found;
};

static bool is_stub(pid_t pid, const char *number)
{
	char path[300];
	unsigned int flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid, number);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "pos: %*d flags: %o", &flags) != 1)
		flags = 0;
	fclose(f);
	return flags & O_PATH;
}

static void look_through(pid_t pid, pid_t parent, void *arg)
{
	static const char name[] = "/memfd:";
	struct descriptor *d = arg;
	const struct dirent *e;
	char path[64], target[sizeof(name)];
	struct stat st;
	DIR *dir;

	(void)parent;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = d->found || !proc_there(pid) ? NULL : opendir(path);
	/* The name first: to ask for the status of any other file might wait for its server. */
	while (dir && !d->found && (e = readdir(dir)))
		if (readlinkat(dirfd(dir), e->d_name, target, sizeof(target)) >=
			    (ssize_t)sizeof(name) - 1 &&
		    !strncmp(target, name, sizeof(name) - 1) &&
		    fstatat(dirfd(dir), e->d_name, &st, 0) == 0)
			d->found = st.st_dev == d->dev && st.st_ino == d->ino &&
				   (!d->stub || is_stub(pid, e->d_name));
	if (dir)
		closedir(dir);
}

static bool has_stub(uint64_t dev, uint64_t ino)
{
	struct descriptor d = { .dev = dev, .ino = ino, .stub = true };

	proc_descendants(getpid(), look_through, &d);
	return d.found;
}

/* ---- those that have become the kernel's ---- */

/* A process that has a stub of it may open it from now on. */
static atomic64_t *left(struct memfds *m, uint64_t ino)
{
	return &m->left[ino % LEFT];
}

/* It is kept for them. Without memory or a descriptor for it, each opens it for itself. */
static void gone_add(struct memfds *m, const struct address_space *as)
{
	struct gone *g = plat_alloc(sizeof(*g));
	struct stat st;

	if (!g)
		return;
	*g = (struct gone){ .fd = fcntl(host_shared_fd(as), F_DUPFD_CLOEXEC, 0) };
	if (g->fd < 0 || fstat(g->fd, &st) != 0) {
		if (g->fd >= 0)
			close(g->fd);
		plat_free(g);
		return;
	}
	g->dev = st.st_dev;
	g->ino = st.st_ino;
	spin_lock(&m->lock);
	list_add_tail(&g->link, &m->gone);
	spin_unlock(&m->lock);
}

/* Its descriptor, to be closed; or -1. */
static int gone_find(struct memfds *m, uint64_t dev, uint64_t ino)
{
	int fd = -1;

	spin_lock(&m->lock);
	list_for_each(g, &m->gone, const struct gone, link)
		if (fd < 0 && g->dev == dev && g->ino == ino)
			fd = fcntl(g->fd, F_DUPFD_CLOEXEC, 0);
	spin_unlock(&m->lock);
	return fd;
}

bool stubs_exist(void *arg, uint64_t dev, uint64_t ino)
{
	struct descriptor d = { .dev = dev, .ino = ino };

	(void)arg;
	proc_descendants(getpid(), look_through, &d);
	return d.found;
}

void stubs_drop(struct memfds *m)
{
	struct list_head *at = m->gone.next;

	if (list_empty(&m->gone) || plat_now_ns() - m->gone_ns < GONE_NS)
		return;
	m->gone_ns = plat_now_ns();
	while (at != &m->gone) {
		struct gone *g = list_entry(at, struct gone, link);

		at = at->next;
		if (!has_stub(g->dev, g->ino))
			gone_free(m, g);
	}
}

void stubs_keep(struct memfds *m, const struct address_space *as)
{
	const uint64_t ino = host_memfd_ino(as);

	a64_store(left(m, ino), (int64_t)ino);
	gone_add(m, as);
}

bool stubs_find(struct memfds *m, uint64_t dev, uint64_t ino, int *fd)
{
	*fd = gone_find(m, dev, ino);
	return *fd >= 0 || (uint64_t)a64_load(left(m, ino)) == ino;
}

bool stubs_kept(const struct memfds *m)
{
	return !list_empty(&m->gone);
}
