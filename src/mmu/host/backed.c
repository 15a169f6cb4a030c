/* mmu/host/backed.c - files behind private memory of clients: see backed.h. */
#include "mmu/host/backed.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef STATX_ATTR_DAX
#define STATX_ATTR_DAX 0x00200000
#endif

#define FILES_MAX 1024

struct host_backed {
	struct backing b;
	struct list_head link; /* objects_lock */
	struct mmu_host *h;    /* (C) */
	int fd;                /* (C) */
	uint64_t dev, ino;     /* (C) */
};

static int backed_read(struct backing *b, uint64_t index, void *to, unsigned n)
{
	const struct host_backed *f = (const struct host_backed *)b;
	size_t done = 0, bytes = (size_t)n * PAGE_SIZE, end;

	VM_ASSERT(n > 0);
	while (done < bytes) {
		ssize_t got = pread(f->fd, (char *)to + done, bytes - done,
				    (off_t)(index * PAGE_SIZE + done));

		if (got < 0 && errno == EINTR)
			continue;
		/* Pages read in full are good; the incomplete page is requested again, alone. */
		if (got < 0)
			return done >= PAGE_SIZE ? (int)(done / PAGE_SIZE) : -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	end = (done + PAGE_SIZE - 1) & PAGE_MASK;
	memset((char *)to + done, 0, end - done);
	return done ? (int)(end / PAGE_SIZE) : -ENXIO;
}

static void backed_release(struct backing *b)
{
	struct host_backed *f = (struct host_backed *)b;

	VM_ASSERT(a32_peek(&b->refcount) == 0);
	spin_lock(&f->h->objects_lock);
	list_del(&f->link);
	f->h->nr_backed--;
	spin_unlock(&f->h->objects_lock);
	close(f->fd);
	plat_free(f);
}

static const struct backing_ops backed_ops = { .read = backed_read, .release = backed_release };

/* File systems on this machine's own disks and memory. Others may depend on a network, or on a
 * program that waits for us. */
static bool is_local(int fd)
{
	static const uint32_t local[] = {
		0xef53 /* ext */,          0x58465342 /* xfs */,   0x9123683e /* btrfs */,
		0x01021994 /* tmpfs */,    0x858458f6 /* ramfs */, 0x794c7630 /* overlay */,
		0xf2f52010 /* f2fs */,     0x2fc12fc1 /* zfs */,   0xca451a4e /* bcachefs */,
		0x73717368 /* squashfs */, 0xe0f5e1e2 /* erofs */,
	};
	struct statfs s;

	if (fstatfs(fd, &s) != 0)
		return false;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if ((uint32_t)s.f_type == local[i])
			return true;
	return false;
}

static bool is_dax(int fd)
{
	struct statx x;

	return statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) == 0 &&
	       x.stx_attributes & STATX_ATTR_DAX;
}

/* At most a third of the descriptor numbers: clients and shared memory need some, too. */
static int numbers_max(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < INT_MAX ? (int)(l.rlim_cur / 3)
									 : INT_MAX;
}

/* A descriptor of our own, or -errno. */
static int open_file(pid_t pid, int number, uint64_t dev, uint64_t ino)
{
	struct stat st;
	char path[64];
	int fd, err = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, number);
	if (stat(path, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EOPNOTSUPP;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0 || st.st_dev != dev || st.st_ino != ino)
		err = -ESTALE;
	else if (!S_ISREG(st.st_mode) || !is_local(fd) || is_dax(fd))
		err = -EOPNOTSUPP;
	else if (fd >= numbers_max())
		err = -EMFILE;
	if (err)
		close(fd);
	return err ? err : fd;
}

/* objects_lock held. */
static struct host_backed *find(struct mmu_host *h, uint64_t dev, uint64_t ino)
{
	lockdep_assert_held(&h->objects_lock);
	list_for_each(f, &h->backed, struct host_backed, link)
		if (f->dev == dev && f->ino == ino && a32_inc_not_zero(&f->b.refcount))
			return f;
	return NULL;
}

struct backing *host_backed_open(struct mmu_host *h, pid_t pid, int fd, uint64_t dev, uint64_t ino,
				 int *err)
{
	struct host_backed *f, *mine;

	/* Open it even if we have it already, to check that we may read it and that it is this
	 * file. */
	fd = open_file(pid, fd, dev, ino);
	*err = fd < 0 ? fd : 0;
	if (fd < 0)
		return NULL;
	mine = plat_alloc(sizeof(*mine));
	spin_lock(&h->objects_lock);
	f = find(h, dev, ino);
	if (!f && mine && h->nr_backed < FILES_MAX) {
		f = mine;
		mine = NULL;
		f->h = h;
		f->fd = fd;
		f->dev = dev;
		f->ino = ino;
		f->b.ops = &backed_ops;
		a32_store(&f->b.refcount, 1);
		list_add_tail(&f->link, &h->backed);
		h->nr_backed++;
		fd = -1;
	}
	spin_unlock(&h->objects_lock);
	if (!f)
		*err = mine ? -EMFILE : -ENOMEM;
	plat_free(mine);
	if (fd >= 0)
		close(fd);
	return f ? &f->b : NULL;
}

int host_backed_fd(const struct backing *b)
{
	VM_ASSERT(a32_peek(&b->refcount) > 0);
	return ((const struct host_backed *)b)->fd;
}
