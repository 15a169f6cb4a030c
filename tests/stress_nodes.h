/* tests/stress_nodes.h - memory nodes in the stress test. */
#ifndef UMEMCG_TESTS_STRESS_NODES_H
#define UMEMCG_TESTS_STRESS_NODES_H

#include "stress.h"

enum node_seen { NODE_SHRUNK, NODE_GROWN, NODE_COMPACTED, NODE_EMPTIED, NODE_DEMOTED, NR_NODE_SEEN };

/* What there is, by whether pages are shared. */
extern const struct fx_memory nodes_memory[2];
/* One action of the keeper: a node's frames come or go, or it is reclaimed. */
void nodes_step(struct worker *w);
/* Of the run on shared pages. */
bool nodes_all_seen(void);
void nodes_report(void);

#endif
