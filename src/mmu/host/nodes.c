/* mmu/host/nodes.c - moving pages between memory nodes: see nodes.h.
 *
 * The status that move_pages(2) reports for a moved page differs between kernels. So query each
 * page's node before and after; only that counts.
 */
#include "mmu/host/nodes.h"

#include <errno.h>
#include <string.h>

#include "plat/plat.h"

#if HAVE_LIBNUMA
#include <numa.h>
#include <numaif.h>
#endif

#define PASSES_MAX 3             /* passes without a moved page */
#define PASS_NS    (1000 * 1000) /* between two passes */

static bool has(const unsigned *node, int n, unsigned which)
{
	for (int i = 0; i < n; i++)
		if (node[i] == which)
			return true;
	return false;
}

int nodes_check(const unsigned *node, int n, unsigned from, unsigned to)
{
	if (n < 0)
		return n;
	if (n < 2)
		return -ENODEV;
	return has(node, n, from) && has(node, n, to) ? 0 : -ENXIO;
}

static bool is_absent(int status)
{
	return status == -ENOENT ||
	       status == -EFAULT; /* EFAULT: the kernel's zero page, or no mapping */
}

/* Move those of page[] that are on @from to the front, count the others. Returns how many are on
 * @from. */
static unsigned choose(void **page, const int *status, unsigned n, unsigned from,
		       struct nodes_moved *sum)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (status[i] == (int)from)
			page[kept++] = page[i];
		else if (status[i] >= 0)
			sum->elsewhere++;
		else if (is_absent(status[i]))
			sum->absent++;
		else {
			sum->failed++;
			sum->error = status[i];
		}
	}
	return kept;
}

/* Move those that are not on @to yet to the front; count the others, and all of them in the last
 * pass. */
static unsigned judge(void **page, const int *why, const int *status, unsigned n, unsigned to,
		      bool last, struct nodes_moved *sum)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (status[i] == (int)to) {
			sum->moved++;
		} else if (is_absent(status[i])) {
			sum->absent++;
		} else if (last || why[i] == -EACCES) {
			sum->failed++;
			sum->shared += why[i] == -EACCES;
			sum->error = why[i] < 0 && !is_absent(why[i]) ? why[i] : -EBUSY;
		} else {
			page[kept++] = page[i];
		}
	}
	return kept;
}

static void all_failed(unsigned n, int err, struct nodes_moved *sum)
{
	if (err == -ESRCH) {
		sum->absent += n; /* the process has exited, and its pages with it */
		return;
	}
	sum->failed += n;
	sum->error = err;
}

void nodes_move(const struct nodes *m, pid_t pid, unsigned n, void *const *page, unsigned from,
		unsigned to, struct nodes_moved *sum)
{
	int why[NODES_BATCH], status[NODES_BATCH], err;
	void *left[NODES_BATCH];

	VM_BUG_ON(n > NODES_BATCH);
	if (n == 0)
		return;
	memcpy(left, page, n * sizeof(*page));
	err = m->pages(pid, n, left, -1, status);
	if (!err)
		n = choose(left, status, n, from, sum);
	for (int pass = 1; !err && n;) {
		unsigned before = n;

		err = m->pages(pid, n, left, (int)to, why);
		if (!err)
			err = m->pages(pid, n, left, -1, status);
		if (!err)
			n = judge(left, why, status, n, to, pass == PASSES_MAX, sum);
		/* One immovable page may stop the kernel before the pages behind it. */
		pass = n < before ? 1 : pass + 1;
		if (pass > 1 && n)
			plat_sleep_ns(PASS_NS);
	}
	if (err)
		all_failed(n, err, sum);
}

/* ---- the machine's ---- */

#if HAVE_LIBNUMA

static int machine_list(unsigned *node, unsigned max)
{
	unsigned n = 0;

	/* A kernel without memory policies has one node. */
	if (numa_available() < 0) {
		node[0] = 0;
		return 1;
	}
	for (int i = 0; i <= numa_max_node() && n < max; i++)
		if (numa_bitmask_isbitset(numa_all_nodes_ptr, (unsigned)i))
			node[n++] = (unsigned)i;
	return (int)n;
}

static int move_pages_once(pid_t pid, unsigned n, void *const *page, const int *nodes, int *status,
			   int flags)
{
	long got;

	/* Pages that the kernel does not reach keep this. */
	for (unsigned i = 0; i < n; i++)
		status[i] = -EAGAIN;
	got = numa_move_pages(pid, n, (void **)(uintptr_t)page, nodes, status, flags);
	/* Above 0: the number of pages not moved. ENOENT: how older kernels say that none had to be
	 * moved. */
	return got < 0 && errno != ENOENT ? -errno : 0;
}

static int machine_pages(pid_t pid, unsigned n, void *const *page, int to, int *status)
{
	int nodes[NODES_BATCH], err;

	if (to < 0)
		return move_pages_once(pid, n, page, NULL, status, 0);
	for (unsigned i = 0; i < n; i++)
		nodes[i] = to;
	/* Include pages that several processes map, if permitted (CAP_SYS_NICE). */
	err = move_pages_once(pid, n, page, nodes, status, MPOL_MF_MOVE_ALL);
	return err == -EPERM ? move_pages_once(pid, n, page, nodes, status, MPOL_MF_MOVE) : err;
}

#else

static int machine_list(unsigned *node, unsigned max)
{
	(void)node, (void)max;
	return -ENOTSUP;
}

static int machine_pages(pid_t pid, unsigned n, void *const *page, int to, int *status)
{
	(void)pid, (void)n, (void)page, (void)to, (void)status;
	return -ENOTSUP;
}

#endif

const struct nodes nodes_of_machine = { .list = machine_list, .pages = machine_pages };
