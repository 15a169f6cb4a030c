/* mm/node.h - memory nodes: which is near, which is slower, and resizing of their frames while they are used.
 *
 * A node's frames are those with its number, in the order of their frame numbers; its end splits them (struct
 * frame_node in mm_types.h has the states). Shrinking goes
 *
 *   1. isolate  the end goes down, a chunk at a time. The unused frames it passes are offline from the same critical
 *               section on, and a frame in use that becomes free goes there too: from here on nobody new comes, so that
 *   2. empty    finds all who are there: to other frames of the node (compaction), when it has none to the nearest
 *               other node (demotion), when there are none at all out to swap. What is locked, under writeback,
 *               isolated by others or pinned is left for the next of a bounded number of rounds.
 *   3. end      nothing is left in use above the end: done. Else the end goes up again to behind the last frame that
 *               is: the pool is as small as it could be made in one piece. A frame is offline or it is not; none
 *               stays half way.
 *
 * Locks: frames_lock, a chunk's frames long at most; nothing is held over 2.
 */
#ifndef UMEMCG_MM_NODE_H
#define UMEMCG_MM_NODE_H

#include "mm/mm_types.h"

struct node_resize_result {
	int64_t frames;     /* what the node may have now */
	int64_t taken;      /* frames that went offline, used before or not */
	int64_t given;      /* that came back */
	int64_t compacted;  /* pages that went to other frames of the node, */
	int64_t demoted;    /* to other nodes, */
	int64_t reclaimed;  /* or out to swap and to files */
	int64_t busy;       /* frames in use when it gave up: what -EBUSY is about */
};

#define NODE_RESIZE_TRIES 8

/* Let @node have @nr frames, now and from now on. Nothing may be locked. It looks at what is in use at most @tries
 * times. 0; -EBUSY: something stayed in use, and the pool is as far as it came, which @r says; -EALREADY: another
 * resize of @node is under way; -EINVAL: no such node. */
int node_resize(struct engine *e, unsigned node, int64_t nr, unsigned tries, struct node_resize_result *r);

/* What of a node with @max frames background reclaim keeps free, when it has a slower node to move pages to. Pure. */
int64_t node_margin(int64_t max);
/* The slower node that cold pages of @node go to, if it has room now; -1: none. */
int demotion_target(struct engine *e, unsigned node);
/* Has no node a frame left? */
bool nodes_full(struct engine *e);

/* Fills the orders from the tables that the engine's creator set. */
void nodes_init(struct engine *e);

#endif
