/* tests/agent/agent_pages.h - what agent_peer knows of a client's pages: a hash table by address.
 *
 * A page is in the table when its content was ever seen. data NULL: it is present in the client;
 * else the content that was taken away, to be put back.
 */
#ifndef TESTS_AGENT_PAGES_H
#define TESTS_AGENT_PAGES_H

#include <stdint.h>
#include <stdlib.h>

#define PAGE 4096ul

struct pg {
	uint64_t addr; /* 0 = never used, 1 = deleted */
	char *data;
};

struct pages {
	struct pg *pg;
	size_t size, used; /* size is a power of two */
};

static inline struct pg *pg_find(struct pages *c, uint64_t addr)
{
	size_t i;

	for (i = (addr / PAGE * 0x9e3779b97f4a7c15ull) >> 20; c->size; i++) {
		struct pg *p = &c->pg[i & (c->size - 1)];

		if (p->addr == addr)
			return p;
		if (!p->addr)
			return NULL;
	}
	return NULL;
}

static inline void pg_set(struct pages *c, uint64_t addr, char *data);

static inline void pg_grow(struct pages *c)
{
	struct pg *old = c->pg;
	size_t i, n = c->size, live = 0;

	for (i = 0; i < n; i++)
		live += old[i].addr > 1;
	c->size = 64;
	while (c->size < live * 4)
		c->size *= 2;
	c->used = 0;
	c->pg = calloc(c->size, sizeof *c->pg);
	for (i = 0; i < n; i++) {
		if (old[i].addr > 1)
			pg_set(c, old[i].addr, old[i].data);
	}
	free(old);
}

static inline void pg_set(struct pages *c, uint64_t addr, char *data)
{
	struct pg *p = pg_find(c, addr);
	size_t i;

	if (p) {
		free(p->data);
		p->data = data;
		return;
	}
	if (c->used * 2 >= c->size)
		pg_grow(c);
	i = (addr / PAGE * 0x9e3779b97f4a7c15ull) >> 20;
	while (c->pg[i & (c->size - 1)].addr)
		i++;
	c->pg[i & (c->size - 1)] = (struct pg){ addr, data };
	c->used++;
}

static inline void pg_delete(struct pg *p)
{
	free(p->data);
	*p = (struct pg){ 1, NULL };
}

/* Forget [start, end), or move it to @to. */
static inline void pg_range(struct pages *c, uint64_t start, uint64_t end, uint64_t to)
{
	struct pg *moved = NULL;
	size_t i, n = 0;

	for (i = 0; i < c->size; i++) {
		struct pg *p = &c->pg[i];

		if (p->addr < 2 || p->addr < start || p->addr >= end)
			continue;
		if (to) {
			moved = realloc(moved, (n + 1) * sizeof *moved);
			moved[n].addr = p->addr - start + to;
			moved[n++].data = p->data;
			p->data = NULL;
		}
		pg_delete(p);
	}
	for (i = 0; i < n; i++)
		pg_set(c, moved[i].addr, moved[i].data);
	free(moved);
}

#endif
