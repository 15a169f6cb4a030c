/* mm/node.h - memory nodes: distances, slower nodes, resizing while in use.
 *
 * A node's frames are those with its node number, ordered by frame number; its end splits them
 * (struct frame_node in mm_types.h has the states). Shrinking has three steps:
 *
 *   1. isolate  Lower the end, one chunk at a time. The unused frames it passes go offline in the
 *               same critical section. A frame in use goes offline when it becomes free. From here
 *               on no frame above the end comes into use.
 *   2. empty    Move the pages above the end to other frames of the node (compaction); if there are
 *               none, to the nearest other node (demotion); failing that, to swap. Pages that are
 *               locked, under writeback, isolated by others or pinned are left for the next round;
 *               the number of rounds is bounded.
 *   3. end      If nothing above the end is in use: done. Otherwise raise the end to just past the
 *               last frame in use: the pool is as small as it can be in one piece. Every frame is
 *               either offline or not; there is no intermediate state.
 *
 * Locks: frames_lock, held for one chunk of frames at most; nothing is held across step 2.
 */
#ifndef UMEMCG_MM_NODE_H
#define UMEMCG_MM_NODE_H

#include "mm/mm_types.h"

struct node_resize_result {
	int64_t frames;    /* new size of the node */
	int64_t taken;     /* frames that went offline, previously in use or not */
	int64_t given;     /* frames that came back online */
	int64_t compacted; /* pages moved to other frames of the node, */
	int64_t demoted;   /* to other nodes, */
	int64_t reclaimed; /* or written to swap and files */
	int64_t busy;      /* frames still in use when it gave up (-EBUSY) */
};

#define NODE_RESIZE_TRIES 8

/* Set the size of @node to @nr frames. No locks may be held. Makes at most @tries rounds over the
 * frames in use. 0; -EBUSY: some frames stayed in use, @r has the size reached; -EALREADY: another
 * resize of @node is running; -EINVAL: no such node. */
int node_resize(struct engine *e, unsigned node, int64_t nr, unsigned tries,
		struct node_resize_result *r);

/* How many of @max frames background reclaim keeps free on a node that has a slower node to move
 * pages to. Pure. */
int64_t node_margin(int64_t max);
/* The slower node for cold pages of @node, if it has room now; -1: none. */
int demotion_target(struct engine *e, unsigned node);
/* Is no node left with a free frame? */
bool nodes_full(struct engine *e);

/* Compute the node orders from the tables that the engine's creator set. */
void nodes_init(struct engine *e);

#endif
