/* tests/unit/plat/store_file_test.c - failures that only a file has: a full disk, a short file, a
 * directory that cannot be used. On every file engine; one this system does not have is skipped
 * with a message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_engines.h"

/* The file was cut in the middle of slot 10: a read there is short, a read past it finds
 * nothing. */
static void short_file(struct store *s)
{
	static const uint64_t slots[2][6] = { { 8, 9, 10, 11, 12, 13 }, { 0, 9, 10, 5, 12, 2 } };
	struct job *job = job_create();

	job_begin(job, true);
	for (unsigned i = 0; i < 32; i++)
		job_add(job, i);
	write_and_read_back(s, job, 4);
	assert_int_equal(ftruncate(store_file(s)->fd, 10 * PAGE + 100), 0);
	for (unsigned shape = 0; shape < 2; shape++) {
		job_begin(job, false);
		for (unsigned i = 0; i < 6; i++)
			job_add(job, slots[shape][i]);
		job_run(s, job);
		for (unsigned i = 0; i < 6; i++) {
			assert_int_equal(job->b.io[i].error, slots[shape][i] < 10 ? 0 : -EIO);
			assert_true(job->b.io[i].error || io_holds(job, i, 4));
		}
	}
	job_destroy(job);
}

TEST(a_read_behind_the_end_of_the_file_is_an_error)
{
	for_each_file_engine(short_file);
}

/* A file system of @pages pages that lives as long as the store. NULL: not allowed here. */
static struct store *open_tiny(enum store_engine engine, unsigned pages)
{
	char dir[] = "/tmp/store_test_XXXXXX", options[32];
	struct store *s;

	snprintf(options, sizeof(options), "size=%u", pages * PAGE);
	assert_non_null(mkdtemp(dir));
	if (mount("none", dir, "tmpfs", 0, options) < 0) {
		rmdir(dir);
		return NULL;
	}
	s = open_file(engine, dir);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return s;
}

/* 20 of 64 slots fit: 20 writes succeed and read back correctly, 44 are refused. */
static void fill_tiny(struct store *s, unsigned stride)
{
	struct job *job = job_create();
	unsigned fit = 0;

	job_begin(job, true);
	for (unsigned i = 0; i < 64; i++)
		job_add(job, stride * i);
	job_fill(job, 5);
	job_run(s, job);
	for (unsigned i = 0; i < 64; i++) {
		fit += !job->b.io[i].error;
		assert_true(!job->b.io[i].error || job->b.io[i].error == -ENOSPC);
		if (stride == 1)
			assert_int_equal(job->b.io[i].error, i < 20 ? 0 : -ENOSPC);
		job->b.io[i].data = job->b.io[i].error ? NULL : job->b.io[i].data;
	}
	assert_int_equal(fit, 20);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t slot = stride * i;
		struct job *back = job_create();

		if (job->b.io[i].data) {
			job_begin(back, false);
			job_add(back, slot);
			job_run(s, back);
			expect_no_errors(back);
			expect_data(back, 5);
		}
		job_destroy(back);
	}
	job_destroy(job);
}

TEST(a_full_disk_fails_the_slots_that_did_not_fit)
{
	static const enum store_engine engines[] = { STORE_IO_URING, STORE_THREADS };

	if (geteuid() != 0)
		TEST_SKIP("mounting a small file system needs root");
	for (unsigned i = 0; i < 4; i++) {
		struct store *s = open_tiny(engines[i % 2], 20);

		if (!s) {
			print_message("# skipped: no io_uring, or mount is not allowed\n");
			continue;
		}
		fill_tiny(s, i < 2 ? 1 : 2);
		store_destroy(s);
	}
}

static int open_error(const char *dir, uint64_t nr_slots)
{
	int err = 0;

	assert_null(store_file_open(dir, nr_slots, false, STORE_AUTO, &err));
	return err;
}

TEST(a_directory_that_cannot_be_used_says_why)
{
	char path[5000];

	assert_int_equal(open_error("/nonexistent/dir", 8), -ENOENT);
	assert_int_equal(open_error("/dev/null", 8), -ENOTDIR);
	assert_int_equal(open_error(work_dir(), UINT64_MAX), -EFBIG);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(store_file_mkstemp(path), -ENAMETOOLONG);
	assert_int_equal(store_file_mkstemp("/nonexistent"), -ENOENT);
}

/* As an unprivileged user, in a child: the parent keeps its identity. */
TEST(a_directory_that_may_not_be_written_is_refused)
{
	char dir[] = "/tmp/store_test_XXXXXX";
	int status;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0500), 0);
	pid = fork();
	if (!pid) {
		int err = 0;

		if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(store_file_open(dir, 8, false, STORE_AUTO, &err) || err != -EACCES);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(dir);
	assert_int_equal(status, 0);
}

/* Both ways to an unnamed file: private, and gone from the directory. */
TEST(the_file_has_no_name_and_is_private)
{
	struct store *s = open_file(STORE_THREADS, work_dir());
	int fds[2] = { store_file(s)->fd, store_file_mkstemp(work_dir()) };

	for (unsigned i = 0; i < 2; i++) {
		struct stat st;

		assert_int_equal(fstat(fds[i], &st), 0);
		assert_int_equal(st.st_nlink, 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	close(fds[1]);
	store_destroy(s);
}

/* Memory runs out at every allocation of open: an error each time, nothing leaked, then it
 * works. */
TEST(an_allocation_that_fails_fails_the_open)
{
	for (unsigned i = 0; i < 2; i++) {
		enum store_engine engine = i ? STORE_IO_URING : STORE_THREADS;
		struct store *s = NULL;
		unsigned nth = 0;
		int err = 0;

		while (!s && err != -ENOSYS && nth < 20) {
			fault_arm(FAULT_ALLOC, ++nth);
			s = store_file_open(work_dir(), 8, false, engine, &err);
			assert_true(s || err == -ENOMEM || err == -ENOSYS);
		}
		assert_true(s || err == -ENOSYS);
		/* Consume the rest of the last one. */
		while (err != -ENOSYS && nth--)
			plat_free(plat_alloc(1));
		store_destroy(s);
	}
}
