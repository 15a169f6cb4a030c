/* mm/frames.h - where page records come from and go to; the end of a node, which resizing (node.h) moves. */
#ifndef UMEMCG_MM_FRAMES_H
#define UMEMCG_MM_FRAMES_H

#include "mm/mm_types.h"

/* Hand out @n page records of one node with refcount 1, nothing else set: of this CPU's node, or of the nearest that
 * has them. All or none: 0; -ENOSPC: no node has so many left, reclaim_frames helps; -ENOMEM: they exist, and there
 * is no memory for their records. */
int frames_alloc(struct engine *e, struct page **pages, unsigned n);
/* As frames_alloc, but of @node only. */
int frames_alloc_node(struct engine *e, unsigned node, struct page **pages, unsigned n);
/* How many could be had of @node now. */
int64_t frames_room(struct engine *e, unsigned node);
/* Frames that background reclaim should free of @node; 0: enough are free, or it has no slower node to move pages
 * to. */
int64_t frames_wanted(struct engine *e, unsigned node);
/* For node.c, which keeps others from doing it at the same time: move the end of @node a step, of a chunk at most,
 * towards @nr frames below it. Unused ones it passes change their list. True: there is more to do. */
bool frames_step_end(struct engine *e, unsigned node, int64_t nr);
/* Up to @n frames of @node at or above its end that are in use, from the frame number *@pfn on, which is advanced.
 * They may be free at any time: page_try_get. */
unsigned frames_leaving(struct engine *e, unsigned node, uint32_t *pfn, struct page **pages, unsigned n);
/* How many those are, all of them; and how many frames of @node, used or not, lie between its end and behind the
 * last of them. */
int64_t frames_above(struct engine *e, unsigned node, int64_t *upto);
/* For a named bug: what frames_step_end left on the free list leaves it only now. */
void frames_take_late(struct engine *e, unsigned node);
int frames_init(struct engine *e, uint32_t max_frames);
void frames_fini(struct engine *e);
/* Nobody refers to @p any more, and it is blank. */
void frame_free(struct engine *e, struct page *p);

#endif
