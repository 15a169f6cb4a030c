/* plat/native/store_file.c - a store in an unnamed file: opening, splitting, transferring.
 *
 * The file is sparse: the first write of a slot allocates space, so a full file system shows as
 * -ENOSPC at that slot and nowhere else. Slots never written read as zeros.
 *
 * Single pages are on the fault path and mostly in the page cache, so the submitting thread does
 * any single transfer itself: no ring, no queue, no wake-up.
 *
 * A failed vectored transfer does not tell which slot is at fault. So the ios it leaves open are
 * transferred one by one until one fails, and the rest as a run again.
 *
 * No locks here: a store_file is constant after open, a batch belongs to its submitter.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plat/native/store_native.h"

static off_t slot_offset(uint64_t slot)
{
	return (off_t)(slot * STORE_PAGE_SIZE);
}

/* Transfer one slot, to the end or to an error. */
static int slot_io(int fd, bool write, uint64_t slot, char *data)
{
	size_t done = 0;

	while (done < STORE_PAGE_SIZE) {
		size_t left = STORE_PAGE_SIZE - done;
		off_t at = slot_offset(slot) + (off_t)done;
		ssize_t r = write ? pwrite(fd, data + done, left, at)
				  : pread(fd, data + done, left, at);

		if (r > 0)
			done += (size_t)r;
		else if (r == 0)
			return -EIO;
		else if (errno == EAGAIN)
			sched_yield();
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

unsigned store_run_iov(const struct store_batch *b, struct store_run run, struct iovec *iov)
{
	unsigned nr = 0;

	for (unsigned i = run.first; i < (unsigned)run.first + run.n; i++) {
		char *data = b->io[i].data;

		if (nr && (char *)iov[nr - 1].iov_base + iov[nr - 1].iov_len == data) {
			iov[nr - 1].iov_len += STORE_PAGE_SIZE;
			continue;
		}
		iov[nr].iov_base = data;
		iov[nr++].iov_len = STORE_PAGE_SIZE;
	}
	return nr;
}

/* Drop from @run the slots a transfer of @bytes finished. */
static void run_advance(struct store_run *run, ssize_t bytes)
{
	unsigned slots = bytes > 0 ? (unsigned)(bytes / STORE_PAGE_SIZE) : 0;

	run->first += slots;
	run->n -= slots;
}

void store_run_io(struct store_file *f, struct store_batch *b, struct store_run run)
{
	struct iovec iov[STORE_BATCH_MAX];

	while (run.n) {
		ssize_t r = 0;

		if (run.n > 1) {
			int nr = (int)store_run_iov(b, run, iov);
			off_t at = slot_offset(b->io[run.first].slot);

			r = b->write ? pwritev(f->fd, iov, nr, at) : preadv(f->fd, iov, nr, at);
		}
		if (r >= STORE_PAGE_SIZE) {
			run_advance(&run, r);
			continue;
		}
		b->io[run.first].error =
			slot_io(f->fd, b->write, b->io[run.first].slot, b->io[run.first].data);
		run_advance(&run, STORE_PAGE_SIZE);
	}
}

void store_run_done(struct store_file *f, struct store_batch *b, struct store_run run, ssize_t res)
{
	/* An error can be attributed to a slot only if the run is that slot. */
	if (run.n == 1 && res <= 0 && res != -EINTR && res != -EAGAIN && res != -ECANCELED) {
		b->io[run.first].error = res ? (int)res : -EIO;
		return;
	}
	run_advance(&run, res);
	store_run_io(f, b, run);
}

static unsigned split(struct store_file *f, struct store_batch *b, struct store_run *runs)
{
	enum fault_kind kind = b->write ? FAULT_WRITE : FAULT_READ;
	unsigned nr = 0;
	bool open = false; /* the last run ends at the io before */

	VM_BUG_ON(b->n > STORE_BATCH_MAX);
	for (unsigned i = 0; i < b->n; i++) {
		bool bad = fault_hit(kind) || b->io[i].slot >= f->store.nr_slots;

		b->io[i].error = bad ? -EIO : 0;
		if (bad) {
			open = false;
		} else if (open && b->io[i].slot == b->io[i - 1].slot + 1) {
			runs[nr - 1].n++;
		} else {
			runs[nr++] = (struct store_run){ .first = (uint16_t)i, .n = 1 };
			open = true;
		}
	}
	return nr;
}

unsigned store_begin(struct store_file *f, struct store_batch *b, struct store_run *runs)
{
	unsigned nr = split(f, b, runs);

	/* A write into the page cache is a copy. On most file systems io_uring hands it to a kernel
	 * worker: one wake-up per run, more expensive than the copy. */
	if (nr > 1 && (f->direct || !b->write))
		return nr;
	for (unsigned i = 0; i < nr; i++)
		store_run_io(f, b, runs[i]);
	store_end(b);
	return 0;
}

void store_file_discard(struct store *s, uint64_t first, uint64_t n)
{
	if (first >= s->nr_slots || !n)
		return;
	if (n > s->nr_slots - first)
		n = s->nr_slots - first;
	/* If holes cannot be punched, the next write reuses the space: nothing is lost. */
	(void)!fallocate(store_file(s)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 slot_offset(first), slot_offset(n));
}

void store_file_close(struct store_file *f)
{
	close(f->fd);
	plat_free(f);
}

int store_file_mkstemp(const char *dir)
{
	char path[PATH_MAX];
	int fd, n = snprintf(path, sizeof(path), "%s/umemcg-swap-XXXXXX", dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (unlink(path) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int open_unnamed(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	/* EISDIR: a kernel without O_TMPFILE tries to open the directory itself. */
	if (errno == EOPNOTSUPP || errno == EISDIR)
		return store_file_mkstemp(dir);
	return -errno;
}

static int prepare_file(int fd, uint64_t nr_slots, bool direct)
{
	if (nr_slots > INT64_MAX / STORE_PAGE_SIZE)
		return -EFBIG;
	if (ftruncate(fd, slot_offset(nr_slots)) < 0)
		return -errno;
	if (direct && fcntl(fd, F_SETFL, O_DIRECT) < 0)
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	return 0;
}

static int start_engine(struct store_file *f, enum store_engine engine)
{
	int err = engine == STORE_THREADS ? -ENOSYS : store_uring_init(f);

	if (err && engine != STORE_IO_URING)
		err = store_threads_init(f);
	return err;
}

struct store *store_file_open(const char *dir, uint64_t nr_slots, bool direct,
			      enum store_engine engine, int *err)
{
	struct store_file *f = NULL;
	int fd = open_unnamed(dir);

	if (fd < 0) {
		*err = fd;
		return NULL;
	}
	*err = prepare_file(fd, nr_slots, direct);
	if (!*err) {
		f = plat_alloc(sizeof(*f));
		*err = f ? 0 : -ENOMEM;
	}
	if (!*err) {
		f->fd = fd;
		f->direct = direct;
		f->store.nr_slots = nr_slots;
		f->store.device = direct;
		*err = start_engine(f, engine);
	}
	if (*err) {
		close(fd);
		plat_free(f);
		return NULL;
	}
	return &f->store;
}
