/* mm/zpool.c - see zpool.h. */
#include "mm/zpool.h"

static unsigned class_of(size_t len)
{
	VM_ASSERT(len > 0 && len <= ZPOOL_OBJECT_MAX);
	return (unsigned)((len - 1) / ZPOOL_STEP);
}

static size_t class_size(unsigned class)
{
	return (class + 1) * (size_t)ZPOOL_STEP;
}

static unsigned class_objects(unsigned class)
{
	return (unsigned)((PLAT_SLAB - sizeof(struct zslab)) /
			  (class_size(class) + sizeof(uint32_t)));
}

static char *object(struct zslab *s, unsigned at)
{
	unsigned n = class_objects(s->class);

	VM_ASSERT(at < n);
	return (char *)s + PLAT_SLAB - (n - at) * class_size(s->class);
}

struct zslab *zpool_slab_alloc(void)
{
	return plat_alloc_big(PLAT_SLAB);
}

void zpool_slab_free(struct zslab *s)
{
	plat_free_big(s, PLAT_SLAB);
}

void zpool_give(struct zpool *z, struct zslab *s)
{
	VM_ASSERT(s->n == 0);
	s->next = z->spare;
	z->spare = s;
	z->nr_spare++;
	z->nr_slabs++;
}

struct zslab *zpool_take_spare(struct zpool *z, unsigned keep)
{
	struct zslab *s = z->spare;

	if (z->nr_spare <= keep)
		return NULL;
	z->spare = s->next;
	z->nr_spare--;
	z->nr_slabs--;
	return s;
}

bool zpool_needs_slab(const struct zpool *z, size_t len)
{
	return !z->partial[class_of(len)] && !z->spare;
}

struct zobject zpool_insert(struct zpool *z, const void *data, size_t len, uint32_t owner)
{
	unsigned class = class_of(len);
	struct zslab *s = z->partial[class];
	struct zobject o;

	VM_BUG_ON(zpool_needs_slab(z, len));
	if (!s) {
		s = z->spare;
		z->spare = s->next;
		z->nr_spare--;
		s->class = (uint16_t) class;
		z->partial[class] = s;
	}
	o = (struct zobject){ .slab = s, .at = s->n++, .len = (uint16_t)len };
	s->owner[o.at] = owner;
	plat_copy(object(s, o.at), data, len);
	if (s->n == class_objects(class))
		z->partial[class] = NULL;
	return o;
}

uint32_t zpool_remove(struct zpool *z, struct zobject o)
{
	struct zslab *s = o.slab, *last = z->partial[s->class];
	uint32_t moved = ZPOOL_NOBODY;

	VM_BUG_ON(o.at >= s->n);
	if (!last)
		last = z->partial[s->class] = s; /* it was full */
	last->n--;
	if (last != s || last->n != o.at) {
		moved = last->owner[last->n];
		s->owner[o.at] = moved;
		plat_copy(object(s, o.at), object(last, last->n), class_size(s->class));
	}
	if (last->n == 0) {
		z->partial[last->class] = NULL;
		z->nr_slabs--;
		zpool_give(z, last);
	}
	return moved;
}

void *zpool_data(struct zobject o)
{
	VM_ASSERT(o.at < o.slab->n);
	return object(o.slab, o.at);
}

int64_t zpool_cost(size_t len)
{
	unsigned n = class_objects(class_of(len));

	return (PLAT_SLAB + (int64_t)n - 1) / n;
}

void zpool_fini(struct zpool *z)
{
	struct zslab *s;

	while ((s = zpool_take_spare(z, 0)) != NULL)
		zpool_slab_free(s);
	VM_BUG_ON(z->nr_slabs != 0);
}
