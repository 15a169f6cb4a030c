/* tests/unit/mmu/nodes_test.c - pages between memory nodes (mmu/host/nodes.h), on a machine that is
 * a table. */
#include <errno.h>

#include "mmu/host/nodes.h"
#include "test.h"

/* What the kernel would answer and do. Page i is at address i + 1. */
static struct row {
	int node;    /* where it is; -errno: the answer to a query */
	int refusal; /* -errno: of a move, for `busy` calls, or always if busy < 0 */
	int busy;
	bool goes; /* swapped out between the first look and the move */
} row[NODES_BATCH];
static int call_error; /* of every call, from call number fail_from on */
static int calls, fail_from;

static int table_pages(pid_t pid, unsigned n, void *const *page, int to, int *status)
{
	assert_int_equal(pid, 7);
	if (++calls >= fail_from && call_error)
		return call_error;
	for (unsigned i = 0; i < n; i++) {
		struct row *r = &row[(uintptr_t)page[i] - 1];

		if (to >= 0 && r->goes)
			r->node = -ENOENT;
		if (to >= 0 && r->node >= 0 && r->busy) {
			r->busy -= r->busy > 0;
			status[i] = r->refusal;
			continue;
		}
		if (to >= 0 && r->node >= 0)
			r->node = to;
		status[i] = r->node;
	}
	return 0;
}

static const struct nodes table = { .pages = table_pages };

static struct nodes_moved move(unsigned n)
{
	struct nodes_moved sum = { 0 };
	void *page[NODES_BATCH];

	for (unsigned i = 0; i < n; i++)
		page[i] = (void *)(uintptr_t)(i + 1);
	calls = 0;
	nodes_move(&table, 7, n, page, 0, 2, &sum);
	return sum;
}

static void clear(void)
{
	memset(row, 0, sizeof(row));
	call_error = fail_from = 0;
}

/* Each page counts once, by its outcome; only those on the named node move. */
TEST(every_page_is_counted_as_what_became_of_it)
{
	static const struct row rows[] = {
		{ .node = 0 },
		{ .node = 1 },
		{ .node = 2 },
		{ .node = -ENOENT },
		{ .node = -EFAULT },
		{ .node = 0, .goes = true },
		{ .node = 0, .refusal = -EBUSY, .busy = 2 }, /* at the third try */
		{ .node = 0, .refusal = -EBUSY, .busy = -1 },
		{ .node = 0, .refusal = -EACCES, .busy = -1 },
	};
	struct nodes_moved sum;

	clear();
	memcpy(row, rows, sizeof(rows));
	sum = move(sizeof(rows) / sizeof(rows[0]));
	assert_int_equal(sum.moved, 2);
	assert_int_equal(sum.elsewhere, 2);
	assert_int_equal(sum.absent, 3);
	assert_int_equal(sum.failed, 2);
	assert_int_equal(sum.shared, 1);
	assert_int_equal(sum.error, -EBUSY);
	assert_int_equal(row[0].node, 2);
	assert_int_equal(row[1].node, 1);
}

/* A whole batch takes three calls: where are they, move them, where are they now. */
TEST(a_batch_takes_three_calls)
{
	struct nodes_moved sum;

	clear();
	sum = move(NODES_BATCH);
	assert_int_equal(sum.moved, NODES_BATCH);
	assert_int_equal(calls, 3);
	sum = move(NODES_BATCH);
	assert_int_equal(sum.elsewhere, NODES_BATCH);
	assert_int_equal(calls, 1);
}

/* A kernel that stops at a page it cannot move: those after it are retried as long as that
 * helps. */
TEST(tries_end_when_they_move_nothing)
{
	struct nodes_moved sum;

	clear();
	for (int i = 0; i < 10; i++)
		row[i] = (struct row){ .refusal = -EAGAIN, .busy = i };
	sum = move(10);
	assert_int_equal(sum.moved, 10);
	clear();
	row[0] = (struct row){ .refusal = -EAGAIN, .busy = -1 };
	sum = move(1);
	assert_int_equal(sum.failed, 1);
	assert_int_equal(sum.error, -EAGAIN);
	assert_int_equal(calls, 1 + 2 * 3);
}

/* The process ends: its pages are gone, nothing has failed. Any other error fails all remaining
 * pages. */
TEST(an_error_of_the_call_is_one_of_its_pages)
{
	for (fail_from = 1; fail_from <= 3; fail_from++) {
		struct nodes_moved sum;
		int from = fail_from;

		clear();
		fail_from = from;
		call_error = -ESRCH;
		sum = move(5);
		assert_int_equal(sum.absent, 5);
		assert_int_equal(sum.failed, 0);
		clear();
		fail_from = from;
		call_error = -EPERM;
		sum = move(5);
		assert_int_equal(sum.failed, 5);
		assert_int_equal(sum.error, -EPERM);
	}
}

/* Valid requests depend on the existing nodes. */
TEST(nodes_that_are_not_there_are_told_from_a_machine_with_one)
{
	static const unsigned node[] = { 0, 2, 5 };

	assert_int_equal(nodes_check(node, 3, 0, 5), 0);
	assert_int_equal(nodes_check(node, 3, 5, 2), 0);
	assert_int_equal(nodes_check(node, 3, 0, 1), -ENXIO);
	assert_int_equal(nodes_check(node, 3, 6, 0), -ENXIO);
	assert_int_equal(nodes_check(node, 2, 0, 5), -ENXIO);
	assert_int_equal(nodes_check(node, 1, 0, 2), -ENODEV);
	assert_int_equal(nodes_check(node, -ENOTSUP, 0, 2), -ENOTSUP);
}

/* The machine running the test has a node, or umemcg was built without libnuma and says so. */
TEST(the_machine_lists_its_nodes)
{
	unsigned node[NODES_LIST_MAX];
	int n = nodes_of_machine.list(node, NODES_LIST_MAX);

	if (n == -ENOTSUP)
		TEST_SKIP("built without libnuma");
	assert_true(n >= 1 && n <= NODES_LIST_MAX);
	for (int i = 1; i < n; i++)
		assert_true(node[i] > node[i - 1]);
}

static bool listed(const unsigned *node, int n, int which)
{
	for (int i = 0; i < n; i++)
		if (which == (int)node[i])
			return true;
	return false;
}

/* For a page of ours the kernel reports a node in its list; for one that was never touched,
 * none. */
TEST(the_kernel_says_where_a_page_is)
{
	static char page[3 * 4096] __attribute__((aligned(4096)));
	unsigned node[NODES_LIST_MAX];
	int n = nodes_of_machine.list(node, NODES_LIST_MAX), status[2];
	void *at[] = { page + 4096, (void *)(uintptr_t)4096 };

	if (n == -ENOTSUP)
		TEST_SKIP("built without libnuma");
	page[4096] = 1;
	if (nodes_of_machine.pages(0, 2, at, -1, status) != 0)
		TEST_SKIP("this kernel has no move_pages(2)");
	assert_true(listed(node, n, status[0]));
	assert_true(status[1] == -ENOENT || status[1] == -EFAULT);
}
