/* mmu/soft/store_mem.c - a store in memory, for tests and the checker.
 *
 * The submitter carries out the batch itself, ios in order, end_io included: nothing to wait for,
 * and a schedule replays exactly. Discarded slots are overwritten, so reading one is detected.
 *
 * No locks: two concurrent ios on one slot are the swap layer's bug, as on a device.
 */
#include <string.h>

#include "plat/store.h"

#define DISCARDED 0xdc

struct store_mem {
	struct store store;
	char *slots; /* constant after create; backed lazily */
};

static int slot_io(struct store_mem *m, bool write, uint64_t slot, void *data)
{
	if (fault_hit(write ? FAULT_WRITE : FAULT_READ) || slot >= m->store.nr_slots)
		return -EIO;
	if (write)
		plat_copy(m->slots + slot * STORE_PAGE_SIZE, data, STORE_PAGE_SIZE);
	else
		plat_copy(data, m->slots + slot * STORE_PAGE_SIZE, STORE_PAGE_SIZE);
	return 0;
}

static void mem_submit(struct store *s, struct store_batch *b)
{
	struct store_mem *m = (struct store_mem *)s;

	VM_BUG_ON(b->n > STORE_BATCH_MAX);
	for (unsigned i = 0; i < b->n; i++)
		b->io[i].error = slot_io(m, b->write, b->io[i].slot, b->io[i].data);
	b->end_io(b);
}

static void mem_wait(struct store *s, struct store_batch *b)
{
	(void)s, (void)b;
}

static void mem_discard(struct store *s, uint64_t first, uint64_t n)
{
	struct store_mem *m = (struct store_mem *)s;

	if (first >= s->nr_slots)
		return;
	if (n > s->nr_slots - first)
		n = s->nr_slots - first;
	memset(m->slots + first * STORE_PAGE_SIZE, DISCARDED, n * STORE_PAGE_SIZE);
}

static void mem_destroy(struct store *s)
{
	struct store_mem *m = (struct store_mem *)s;

	plat_free_big(m->slots, s->nr_slots * STORE_PAGE_SIZE);
	plat_free(m);
}

static const struct store_ops mem_ops = {
	.name = "memory",
	.submit = mem_submit,
	.wait = mem_wait,
	.discard = mem_discard,
	.destroy = mem_destroy,
};

struct store *store_mem_create(uint64_t nr_slots)
{
	struct store_mem *m;

	if (!nr_slots || nr_slots > SIZE_MAX / STORE_PAGE_SIZE)
		return NULL;
	m = plat_alloc(sizeof(*m));
	if (!m)
		return NULL;
	m->slots = plat_alloc_big(nr_slots * STORE_PAGE_SIZE);
	if (!m->slots) {
		plat_free(m);
		return NULL;
	}
	m->store.ops = &mem_ops;
	m->store.nr_slots = nr_slots;
	return &m->store;
}
