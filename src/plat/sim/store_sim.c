/* plat/sim/store_sim.c - asynchronous I/O: a batch is a task created on submission.
 *
 * The task transfers one io after the other, then calls end_io, so results arrive at any moment
 * between submission and the end of the wait. Slots and pages are content (plat_copy): the explorer
 * tries both orders of writing a page out and storing to it.
 */
#include "plat/sim/store_sim.h"

#include "plat/sim/sim.h"

struct store_sim {
	struct store store;
	char *slots;
};

struct io {
	struct store_sim *store;
	struct store_batch *batch;
};

static int one(struct store_sim *s, bool write, uint64_t slot, void *data)
{
	char *at = s->slots + slot * STORE_PAGE_SIZE;

	if (slot >= s->store.nr_slots)
		return -EIO;
	if (fault_hit(write ? FAULT_WRITE : FAULT_READ))
		return -EIO;
	if (write)
		plat_copy(at, data, STORE_PAGE_SIZE);
	else
		plat_copy(data, at, STORE_PAGE_SIZE);
	return 0;
}

static void io_main(void *arg)
{
	struct io io = *(struct io *)arg;
	struct store_batch *b = io.batch;

	for (unsigned i = 0; i < b->n; i++)
		b->io[i].error = one(io.store, b->write, b->io[i].slot, b->io[i].data);
	b->end_io(b);
}

static void sim_submit(struct store *s, struct store_batch *b)
{
	struct plat_thread *t;
	struct io *io;

	if (sim_current < 0) { /* set-up */
		for (unsigned i = 0; i < b->n; i++)
			b->io[i].error =
				one((struct store_sim *)s, b->write, b->io[i].slot, b->io[i].data);
		b->end_io(b);
		return;
	}
	io = sim_alloc(sizeof(*io));
	t = sim_alloc(sizeof(*t));
	*io = (struct io){ (struct store_sim *)s, b };
	b->machine = t;
	plat_thread_start(t, b->write ? "I/O (write)" : "I/O (read)", io_main, io);
}

static void sim_wait(struct store *s, struct store_batch *b)
{
	(void)s;
	if (sim_current >= 0)
		plat_thread_join((struct plat_thread *)b->machine);
}

static void sim_destroy(struct store *s)
{
	struct store_sim *m = (struct store_sim *)s;

	plat_free(m->slots);
	plat_free(m);
}

static const struct store_ops sim_ops = {
	.name = "simulated",
	.submit = sim_submit,
	.wait = sim_wait,
	.destroy = sim_destroy,
};

struct store *store_sim_create(uint64_t nr_slots)
{
	struct store_sim *m = plat_alloc(sizeof(*m));

	m->slots = plat_alloc_big(nr_slots * STORE_PAGE_SIZE);
	m->store.ops = &sim_ops;
	m->store.nr_slots = nr_slots;
	return &m->store;
}
