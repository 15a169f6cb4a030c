/* mm/frames.h - allocating page records; the end of a node, which resizing (node.h) moves. */
#ifndef UMEMCG_MM_FRAMES_H
#define UMEMCG_MM_FRAMES_H

#include "mm/mm_types.h"

/* Allocate @n page records with refcount 1 and nothing else set, all from one node: this CPU's, or
 * the nearest that has enough. All or none. 0; -ENOSPC: no node has that many left, reclaim_frames
 * helps; -ENOMEM: no memory for the records. */
int frames_alloc(struct engine *e, struct page **pages, unsigned n);
/* As frames_alloc, but only from @node. */
int frames_alloc_node(struct engine *e, unsigned node, struct page **pages, unsigned n);
/* How many frames can be allocated from @node now. */
int64_t frames_room(struct engine *e, unsigned node);
/* How many frames background reclaim should free on @node; 0: enough are free, or it has no slower
 * node to move pages to. */
int64_t frames_wanted(struct engine *e, unsigned node);
/* For node.c, which serialises the calls: move the end of @node by at most a chunk towards @nr
 * frames below it. Unused frames that it passes change lists. True: there is more to do. */
bool frames_step_end(struct engine *e, unsigned node, int64_t nr);
/* Collect up to @n frames of @node in use at or above its end, starting at frame number *@pfn,
 * which is advanced. They may be freed at any time: use page_try_get. */
unsigned frames_leaving(struct engine *e, unsigned node, uint32_t *pfn, struct page **pages,
			unsigned n);
/* The total number of such frames. *@upto: how many frames of @node, used or not, lie from its end
 * up to and including the last of them. */
int64_t frames_above(struct engine *e, unsigned node, int64_t *upto);
/* For a named bug: remove from the free list what frames_step_end left there. */
void frames_take_late(struct engine *e, unsigned node);
int frames_init(struct engine *e, uint32_t max_frames);
void frames_fini(struct engine *e);
/* Free @p, which is unreferenced and blank. */
void frame_free(struct engine *e, struct page *p);

#endif
