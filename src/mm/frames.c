/* mm/frames.c - page records: their lists, and the end of a node.
 *
 * Records are allocated on demand in chunks of FRAME_CHUNK and kept until the engine ends. An
 * unused record is on a list of its node, linked by its lru field: free below the node's end,
 * offline from there on (struct frame_node has the four states).
 *
 * F1  e->unused has one bit per frame: set iff it is on one of the two lists.
 * F2  nr_above counts a node's frames at or above its end. The frames below do not exceed its max,
 *     except while a resize is in progress.
 *
 * Locks: frames_lock. The lists, F1 and F2 change together under it, so its holder sees the state
 * of every frame.
 */
#include "mm/frames.h"

#include "base/bitmap.h"
#include "mm/node.h"
#include "mm/page.h"
#include "mm/reclaim.h"

int frames_init(struct engine *e, uint32_t max_frames)
{
	size_t words;

	VM_ASSERT(max_frames > 0);
	spin_init(&e->frames_lock, RANK_FRAMES);
	e->max_chunks = (max_frames + FRAME_CHUNK - 1) / FRAME_CHUNK;
	for (unsigned i = 0; i < NODES_MAX; i++) {
		list_init(&e->node[i].free);
		list_init(&e->node[i].offline);
		e->node[i].max = (int64_t)e->max_chunks * FRAME_CHUNK;
		e->node[i].end = UINT32_MAX;
	}
	words = bitmap_words((size_t)e->max_chunks * FRAME_CHUNK);
	e->chunks = plat_alloc_big(e->max_chunks * sizeof(*e->chunks));
	e->unused = plat_alloc_big(words * sizeof(*e->unused));
	if (e->chunks && e->unused)
		return 0;
	frames_fini(e);
	return -ENOMEM;
}

void frames_fini(struct engine *e)
{
	size_t words = bitmap_words((size_t)e->max_chunks * FRAME_CHUNK);

	for (uint32_t i = 0; i < e->nr_chunks; i++)
		plat_free_big(e->chunks[i], FRAME_CHUNK * sizeof(struct page));
	if (e->chunks)
		plat_free_big(e->chunks, e->max_chunks * sizeof(*e->chunks));
	if (e->unused)
		plat_free_big(e->unused, words * sizeof(*e->unused));
	e->chunks = NULL;
	e->unused = NULL;
	e->nr_chunks = 0;
	spin_fini(&e->frames_lock);
}

/* ---- the lists; frames_lock held ---- */

/* Put an unused frame on the list it belongs to. @first: it is allocated next. */
static void frame_list(struct engine *e, struct page *p, bool first)
{
	struct frame_node *node = &e->node[p->node];
	bool online = p->pfn < node->end;
	struct list_head *list = online ? &node->free : &node->offline;

	lockdep_assert_held(&e->frames_lock);
	if (first)
		list_add(&p->lru, list);
	else
		list_add_tail(&p->lru, list);
	*(online ? &node->nr_free : &node->nr_offline) += 1;
	bitmap_set(e->unused, p->pfn);
}

/* Take it off its list; @online: the free list. */
static void frame_unlist(struct engine *e, struct page *p, bool online)
{
	struct frame_node *node = &e->node[p->node];

	lockdep_assert_held(&e->frames_lock);
	list_del(&p->lru);
	*(online ? &node->nr_free : &node->nr_offline) -= 1;
	bitmap_clear(e->unused, p->pfn);
}

static int64_t nr_below(const struct frame_node *node)
{
	return node->nr_frames - node->nr_above;
}

/* Add one chunk of records to @node. Records past its max start offline. */
static int frames_grow(struct engine *e, unsigned nid)
{
	struct frame_node *node = &e->node[nid];
	int64_t more = node->max - nr_below(node);
	struct page *chunk;

	VM_ASSERT(nid < e->nr_nodes);
	if (e->nr_chunks == e->max_chunks || more <= 0 || node->nr_above > 0)
		return -ENOSPC;
	chunk = plat_alloc_big(FRAME_CHUNK * sizeof(*chunk));
	if (!chunk)
		return -ENOMEM;
	if (more < FRAME_CHUNK) {
		node->nr_above = FRAME_CHUNK - more;
		node->end = e->nr_chunks * FRAME_CHUNK + (uint32_t)more;
	}
	for (uint32_t i = 0; i < FRAME_CHUNK; i++) {
		chunk[i].pfn = e->nr_chunks * FRAME_CHUNK + i;
		chunk[i].node = nid;
		frame_list(e, &chunk[i], false);
	}
	e->chunks[e->nr_chunks++] = chunk;
	node->nr_frames += FRAME_CHUNK;
	a64_acc(&e->nr_frames, FRAME_CHUNK);
	a64_acc(&e->nr_free, FRAME_CHUNK);
	return 0;
}

static int64_t room(const struct engine *e, const struct frame_node *node)
{
	int64_t chunks = (int64_t)(e->max_chunks - e->nr_chunks) * FRAME_CHUNK,
		more = node->max - nr_below(node);

	lockdep_assert_held(&e->frames_lock);
	if (node->nr_above > 0 || more < 0)
		more = 0;
	return node->nr_free + (more < chunks ? more : chunks);
}

/* How many frames are missing to twice the margin, if less than the margin is free. */
static int64_t wanted(const struct engine *e, const struct frame_node *node)
{
	int64_t margin = node_margin(node->max), left;

	lockdep_assert_held(&e->frames_lock);
	if (node->demote_to < 0)
		return 0;
	left = room(e, node);
	return left < margin ? 2 * margin - left : 0;
}

/* ---- handing out ---- */

int frames_alloc_node(struct engine *e, unsigned nid, struct page **pages, unsigned n)
{
	struct frame_node *node = &e->node[nid];
	int err = 0;
	bool low;

	VM_ASSERT(nid < e->nr_nodes);
	spin_lock(&e->frames_lock);
	while (err == 0 && node->nr_free < (int64_t)n)
		err = frames_grow(e, nid);
	for (unsigned i = 0; err == 0 && i < n; i++) {
		pages[i] = list_first(&node->free, struct page, lru);
		frame_unlist(e, pages[i], true);
	}
	if (err == 0)
		a64_acc(&e->nr_free, -(int64_t)n);
	low = wanted(e, node) > 0;
	spin_unlock(&e->frames_lock);
	if (low)
		kswapd_wake(e);
	for (unsigned i = 0; err == 0 && i < n; i++)
		a32_store(&pages[i]->refcount, 1);
	return err;
}

int frames_alloc(struct engine *e, struct page **pages, unsigned n)
{
	const uint8_t *order = e->node[e->cpu_node[plat_cpu() % e->nr_cpu_nodes]].order;
	int ret = -ENOSPC;

	VM_ASSERT(n > 0);
	for (unsigned i = 0; i < e->nr_nodes; i++) {
		int err = frames_alloc_node(e, order[i], pages, n);

		if (!err)
			return 0;
		if (err == -ENOMEM)
			ret = err;
	}
	return ret;
}

int64_t frames_room(struct engine *e, unsigned node)
{
	int64_t n;

	VM_ASSERT(node < e->nr_nodes);
	spin_lock(&e->frames_lock);
	n = room(e, &e->node[node]);
	spin_unlock(&e->frames_lock);
	return n;
}

int64_t frames_wanted(struct engine *e, unsigned node)
{
	int64_t n;

	VM_ASSERT(node < e->nr_nodes);
	spin_lock(&e->frames_lock);
	n = wanted(e, &e->node[node]);
	spin_unlock(&e->frames_lock);
	return n;
}

/* ---- the end ---- */

/* The chunk with @node's last frames below the end, or its first ones at or above it. */
static uint32_t chunk_at_end(const struct engine *e, unsigned nid, bool below)
{
	uint32_t end = e->node[nid].end, found = UINT32_MAX;

	VM_ASSERT(nid < e->nr_nodes);
	for (uint32_t c = 0; c < e->nr_chunks; c++) {
		if (e->chunks[c][0].node != nid)
			continue;
		if (below && c * FRAME_CHUNK < end)
			found = c;
		else if (!below && (c + 1) * FRAME_CHUNK > end)
			return c;
	}
	return found;
}

/* The end has passed [pfn, top): its unused frames are on the wrong list; @online: the free one. */
static void relist(struct engine *e, uint32_t pfn, uint32_t top, bool online)
{
	lockdep_assert_held(&e->frames_lock);
	for (; pfn < top; pfn++) {
		if (!bitmap_test(e->unused, pfn))
			continue;
		frame_unlist(e, pfn_page(e, pfn), online);
		frame_list(e, pfn_page(e, pfn), true);
	}
}

static void lower_end(struct engine *e, unsigned nid, int64_t n)
{
	struct frame_node *node = &e->node[nid];
	uint32_t base = chunk_at_end(e, nid, true) * FRAME_CHUNK, top = base + FRAME_CHUNK;

	VM_ASSERT(nid < e->nr_nodes);
	if (top > node->end)
		top = node->end;
	if (n > top - base)
		n = top - base;
	node->end = top - (uint32_t)n;
	node->nr_above += n;
	if (!bug_on(NODE_CHECKED_BEFORE_ISOLATED))
		relist(e, node->end, top, true);
}

static void raise_end(struct engine *e, unsigned nid, int64_t n)
{
	struct frame_node *node = &e->node[nid];
	uint32_t first = chunk_at_end(e, nid, false) * FRAME_CHUNK, top = first + FRAME_CHUNK;

	VM_ASSERT(nid < e->nr_nodes);
	if (first < node->end)
		first = node->end;
	if (n > top - first)
		n = top - first;
	node->nr_above -= n;
	node->end = node->nr_above ? first + (uint32_t)n : UINT32_MAX;
	relist(e, first, first + (uint32_t)n, false);
}

bool frames_step_end(struct engine *e, unsigned nid, int64_t nr)
{
	struct frame_node *node = &e->node[nid];
	int64_t d;

	spin_lock(&e->frames_lock);
	VM_BUG_ON(!node->resizing);
	d = nr - nr_below(node);
	if (d < 0)
		lower_end(e, nid, -d);
	else if (d > 0 && node->nr_above > 0)
		raise_end(e, nid, d < node->nr_above ? d : node->nr_above);
	d = nr - nr_below(node);
	d = d > 0 && node->nr_above == 0 ? 0 : d; /* the rest is allocated on demand */
	spin_unlock(&e->frames_lock);
	return d != 0;
}

/* The first frame of [pfn, top) that is in use; @top: none. */
static uint32_t next_used(const struct engine *e, uint32_t pfn, uint32_t top)
{
	size_t bit = bitmap_next_clear(e->unused, top, pfn);

	lockdep_assert_held(&e->frames_lock);
	return bit == BITMAP_NONE ? top : (uint32_t)bit;
}

unsigned frames_leaving(struct engine *e, unsigned nid, uint32_t *pfn, struct page **pages,
			unsigned n)
{
	unsigned got = 0;

	VM_ASSERT(nid < e->nr_nodes);
	spin_lock(&e->frames_lock);
	if (*pfn < e->node[nid].end)
		*pfn = e->node[nid].end;
	while (*pfn / FRAME_CHUNK < e->nr_chunks && got < n) {
		uint32_t c = *pfn / FRAME_CHUNK, top = (c + 1) * FRAME_CHUNK;

		*pfn = e->chunks[c][0].node == nid ? next_used(e, *pfn, top) : top;
		if (*pfn < top)
			pages[got++] = pfn_page(e, (*pfn)++);
	}
	spin_unlock(&e->frames_lock);
	return got;
}

void frames_take_late(struct engine *e, unsigned nid)
{
	VM_ASSERT(nid < e->nr_nodes);
	spin_lock(&e->frames_lock);
	list_for_each_safe(p, tmp, &e->node[nid].free, struct page, lru)
		if (p->pfn >= e->node[nid].end)
			relist(e, p->pfn, p->pfn + 1, true);
	spin_unlock(&e->frames_lock);
}

int64_t frames_above(struct engine *e, unsigned nid, int64_t *upto)
{
	int64_t used = 0, passed = 0;

	VM_ASSERT(nid < e->nr_nodes);
	*upto = 0;
	spin_lock(&e->frames_lock);
	for (uint32_t c = 0; c < e->nr_chunks; c++) {
		uint32_t first = c * FRAME_CHUNK, top = first + FRAME_CHUNK, pfn = UINT32_MAX;

		if (e->chunks[c][0].node != nid || top <= e->node[nid].end)
			continue;
		if (first < e->node[nid].end)
			first = e->node[nid].end;
		while ((pfn = next_used(e, pfn == UINT32_MAX ? first : pfn + 1, top)) < top) {
			used++;
			*upto = passed + pfn + 1 - first;
		}
		passed += top - first;
	}
	spin_unlock(&e->frames_lock);
	return used;
}

void frame_free(struct engine *e, struct page *p)
{
	VM_ASSERT(a32_peek(&p->refcount) == 0 && a32_peek(&p->flags) == 0);
	spin_lock(&e->frames_lock);
	frame_list(e, p, true);
	a64_acc(&e->nr_free, 1);
	spin_unlock(&e->frames_lock);
}
