/* serve/find/seen.c - lists of processes that are not classified yet, or share memory.
 *
 * Lock: find->lock, held by the caller.
 */
#include <string.h>

#include "serve/find/parts.h"

#define SEEN_MIN 64

/* Make room for one more. False: out of memory; the next walk meets the process again. */
static bool seen_grow(struct seen_list *l)
{
	unsigned cap = l->cap ? 2 * l->cap : SEEN_MIN;
	struct seen *more;

	if (l->n < l->cap)
		return true;
	more = plat_alloc(cap * sizeof(*more));
	if (!more)
		return false;
	if (l->n)
		memcpy(more, l->e, l->n * sizeof(*more));
	plat_free(l->e);
	l->e = more;
	l->cap = cap;
	return true;
}

/* ---- the lists; lock held ---- */

struct seen *seen_find(const struct find *f, const struct seen_list *l, pid_t pid)
{
	lockdep_assert_held(&f->lock);
	for (unsigned i = 0; i < l->n; i++)
		if (l->e[i].pid == pid)
			return &l->e[i];
	return NULL;
}

bool seen_add(struct find *f, struct seen_list *l, pid_t pid, bool stranger, uint64_t told_ns)
{
	uint64_t now = plat_now_ns();

	VM_ASSERT(pid > 0);
	if (seen_find(f, l, pid) || !seen_grow(l))
		return false;
	l->e[l->n++] = (struct seen){
		.pid = pid, .since_ns = now, .due_ns = now, .told_ns = told_ns, .stranger = stranger
	};
	return true;
}

void seen_drop(struct find *f, struct seen_list *l, struct seen *e)
{
	lockdep_assert_held(&f->lock);
	VM_ASSERT(l->n > 0 && e < l->e + l->n);
	*e = l->e[--l->n];
}
