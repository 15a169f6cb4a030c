/* cli/run_swap_dir.c - run_options_check: the swap directory and the size of its file. See
 * run_options.h.
 *
 * Locks: none.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_limits.h"
#include "cli/run_options.h"
#include "cli/run_values.h"

#define SWAP_FILE_LEAST STORE_PAGE_SIZE /* minimum of any swap file */

/* The origin of the swap directory, for messages. */
static const char *swap_dir_origin(const struct run_options *o)
{
	if (strcmp(o->swap_dir_from, "--swap") == 0)
		return "option --swap:";
	return strcmp(o->swap_dir_from, "TMPDIR") == 0 ? "TMPDIR:" : "default";
}

static void end_probe(struct store_batch *b)
{
	(void)b;
}

/* Make a swap file of @bytes and write its first page: nothing less shows whether one can exist. 0
 * or -errno. */
static int probe_swap_file(const struct serve_config *c, int64_t bytes)
{
	void *page = plat_alloc_big(STORE_PAGE_SIZE);
	struct store_batch b = { .write = true, .n = 1, .end_io = end_probe };
	struct store *store;
	int err;

	if (!page)
		return -ENOMEM;
	store = store_file_open(c->swap_dir, (uint64_t)bytes / STORE_PAGE_SIZE, c->swap_direct,
				c->engine, &err);
	if (store) {
		b.io[0].data = page;
		store_submit(store, &b);
		store_wait(store, &b);
		err = b.io[0].error;
		store_destroy(store);
	}
	plat_free_big(page, STORE_PAGE_SIZE);
	return err;
}

static bool check_swap_dir(const struct run_options *o, char *problem)
{
	const char *dir = o->config.swap_dir;
	struct stat st;
	int64_t size;
	int error = 0;

	if (stat(dir, &st) != 0)
		error = errno;
	else if (!S_ISDIR(st.st_mode))
		error = ENOTDIR;
	else if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0)
		error = errno;
	else
		error = -probe_swap_file(&o->config, STORE_PAGE_SIZE);
	if (!error)
		return true;
	if (error == ENOENT && strcmp(o->swap_dir_from, "--swap") == 0 &&
	    size_parse(dir, &size) == 0)
		return options_fail(problem,
				    "option --swap: '%s' is not a directory; the size of swap is "
				    "--swap-max %s",
				    TEXT_NAME(dir), TEXT_NAME(dir));
	if (error == EOPNOTSUPP && o->config.swap_direct)
		return options_fail(
			problem,
			"option --swap-direct: the file system of swap directory '%s' "
			"has no O_DIRECT; leave it out, or give another with --swap DIR",
			TEXT_NAME(dir));
	return options_fail(problem,
			    "%s swap directory '%s': no swap file can be made there: %s; give one "
			    "that can be written with --swap DIR",
			    swap_dir_origin(o), TEXT_NAME(dir), strerror(error));
}

/* Free bytes in the swap directory; a file system without a size is unlimited. */
static bool swap_dir_room(const struct run_options *o, int64_t *room, char *problem)
{
	const char *dir = o->config.swap_dir, *shown = TEXT_NAME(dir);
	char free_text[SIZE_TEXT_MAX], least[SIZE_TEXT_MAX];
	struct statvfs fs;

	if (statvfs(dir, &fs) != 0)
		return options_fail(problem, "%s swap directory '%s': %s", swap_dir_origin(o),
				    shown, strerror(errno));
	if (fs.f_blocks == 0 || __builtin_mul_overflow(fs.f_bavail, fs.f_frsize, room))
		*room = SERVE_UNLIMITED - 1;
	if (*room >= SWAP_FILE_MIN)
		return true;
	return options_fail(problem,
			    "%s swap directory '%s': only %s free; give one with at least %s with "
			    "--swap DIR, or no swap with --swap-max 0",
			    swap_dir_origin(o), shown, size_format(free_text, *room),
			    size_format(least, SWAP_FILE_MIN));
}

/* May a file here have the requested size, or hold even a page? */
static bool check_file_size(const struct run_options *o, char *problem)
{
	const struct serve_config *c = &o->config;
	int64_t most = run_limits_file_size();
	bool number = o->swap_given && c->swap_max != SERVE_UNLIMITED;
	char limit[SIZE_TEXT_MAX], size[SIZE_TEXT_MAX];

	if (most >= (number && c->swap_max > SWAP_FILE_LEAST ? c->swap_max : SWAP_FILE_LEAST))
		return true;
	return options_fail(
		problem,
		"option --swap-max: %s does not fit into a file: 'ulimit -f' is %s; raise it, "
		"or give "
		"less, or --swap-max 0 for no swap",
		number ? TEXT_NAME(o->swap_given_as) : size_format(size, c->swap_max),
		size_format(limit, most));
}

/* File systems limit a file's size, too. */
static bool check_swap_size(const struct run_options *o, char *problem)
{
	const struct serve_config *c = &o->config;
	int err = c->swap_max < STORE_PAGE_SIZE ? 0 : probe_swap_file(c, c->swap_max);

	if (!err)
		return true;
	return options_fail(
		problem,
		"option --swap-max: %s: no swap file of that size can be made in '%s': %s; "
		"give less, or "
		"another directory with --swap DIR",
		TEXT_NAME(o->swap_given_as), TEXT_NAME(c->swap_dir), strerror(-err));
}

static void bound_swap_size(struct run_options *o, int64_t most, enum swap_bound why)
{
	if (o->config.swap_size <= most)
		return;
	o->config.swap_size = most & ~(int64_t)(STORE_PAGE_SIZE - 1);
	o->swap_bound = why;
}

bool run_options_check(struct run_options *o, char problem[OPTIONS_PROBLEM_MAX])
{
	struct serve_config *c = &o->config;
	int64_t room = 0;

	c->swap_size = c->swap_max;
	if (c->swap_max == 0 && strcmp(o->swap_dir_from, "--swap") != 0)
		return true;
	if (!check_file_size(o, problem) || !check_swap_dir(o, problem) ||
	    !swap_dir_room(o, &room, problem))
		return false;
	if (c->swap_max == 0)
		return true;
	if (o->swap_given && c->swap_max != SERVE_UNLIMITED)
		return check_swap_size(o, problem);
	/* No size was given: use no more than there is room for. */
	bound_swap_size(o, room, SWAP_BOUND_DISK);
	bound_swap_size(o, run_limits_file_size(), SWAP_BOUND_FILE_SIZE);
	bound_swap_size(o, SWAP_FILE_MAX, SWAP_BOUND_NONE);
	if (!o->swap_given && c->swap_max > c->swap_size)
		c->swap_max = c->swap_size;
	return true;
}

bool run_options_swap_in_memory(const struct run_options *o)
{
	struct statfs fs;

	return o->config.swap_max && statfs(o->config.swap_dir, &fs) == 0 &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}
