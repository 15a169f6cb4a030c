/* serve/remote/migrate.h - a migration in progress. Private to the room; the remote thread's. */
#ifndef UMEMCG_SERVE_MIGRATE_H
#define UMEMCG_SERVE_MIGRATE_H

#include "mmu/host/nodes.h"
#include "serve/client/client.h"

struct migration_job {
	struct supervisor *s;
	const struct nodes *nodes;
	struct client *only; /* referenced; NULL: the whole group */
	unsigned from, to;
	unsigned stage;
	struct client *client;     /* spaces: referenced; */
	uint64_t *leaves;          /* ... its leaves; */
	unsigned nr_leaves, leaf;  /* ... and the next of them */
	struct address_space *as;  /* objects: referenced; */
	uint64_t index, index_end; /* ... its pages that are left; */
	uint64_t va;               /* ... where the next area of @only begins */
	uint32_t pfn;              /* frames: the next one */
	uint64_t total;
	struct nodes_moved sum;
};

/* Takes the reference on @only. */
void migration_begin(struct migration_job *j, struct supervisor *s, const struct nodes *nodes,
		     struct client *only, unsigned from, unsigned to);
/* Move one batch of pages. False: that was the last. */
bool migration_step(struct migration_job *j);
void migration_end(struct migration_job *j);

#endif
