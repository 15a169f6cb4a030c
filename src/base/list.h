/* base/list.h - intrusive doubly linked circular lists.
 *
 * No locking: the structure that embeds the head says which lock protects it.
 */
#ifndef UMEMCG_BASE_LIST_H
#define UMEMCG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_head {
	struct list_head *prev, *next;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void list_init(struct list_head *h)
{
	h->prev = h->next = h;
}

static inline bool list_empty(const struct list_head *h)
{
	return h->next == h;
}

static inline void list_insert_between(struct list_head *n, struct list_head *prev,
				       struct list_head *next)
{
	n->prev = prev;
	n->next = next;
	prev->next = n;
	next->prev = n;
}

/* Insert @n at the head of @h. */
static inline void list_add(struct list_head *n, struct list_head *h)
{
	list_insert_between(n, h, h->next);
}

/* Insert @n at the tail of @h. */
static inline void list_add_tail(struct list_head *n, struct list_head *h)
{
	list_insert_between(n, h->prev, h);
}

/* Unlink @n and leave it empty, so that a second removal is harmless. */
static inline void list_del(struct list_head *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* Append every entry of @from to the tail of @to; @from ends empty. */
static inline void list_splice_tail(struct list_head *from, struct list_head *to)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define list_entry(ptr, type, member)  container_of(ptr, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member)  list_entry((head)->prev, type, member)

#define list_for_each(pos, head, type, member)                                                     \
	for (type *pos = list_entry((head)->next, type, member); &pos->member != (head);           \
	     pos = list_entry(pos->member.next, type, member))

/* As list_for_each; the body may unlink or free @pos. */
#define list_for_each_safe(pos, tmp, head, type, member)                                           \
	for (type *pos = list_entry((head)->next, type, member),                                   \
		  *tmp = list_entry(pos->member.next, type, member);                               \
	     &pos->member != (head); pos = tmp, tmp = list_entry(tmp->member.next, type, member))

#endif
