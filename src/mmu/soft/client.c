/* mmu/soft/client.c - the exclusive personality: memory that belongs to a client, as with
 * userfaultfd.
 *
 * A hash table by (mm, va) holds the pages the clients have. The table is the truth; the engine's
 * page tables are only its belief. Content moves between a client page and a home frame by moving
 * the pointer.
 *
 * Each access, map and withdrawal of one page is atomic under its bucket's lock: the real one has
 * the kernel's page table lock for that.
 */
#include "mmu/soft/client.h"

#include <string.h>

#include "mm/page.h"
#include "mm/pgtable.h"

static unsigned bucket_of(const struct mm *mm, uint64_t va)
{
	uint64_t h = ((va >> PAGE_SHIFT) ^ ((uintptr_t)mm << 7)) * 0x9e3779b97f4a7c15ull;

	return (unsigned)(h >> 40) % SOFT_CLIENT_BUCKETS;
}

static struct spinlock *lock_of(struct mmu_soft *s, unsigned bucket)
{
	return &s->client_lock[bucket % SOFT_CLIENT_LOCKS];
}

/* The link that points to the page, or to the NULL at the end. Bucket locked. */
static struct soft_client_page **find(struct mmu_soft *s, unsigned bucket, const struct mm *mm,
				      uint64_t va)
{
	struct soft_client_page **link = &s->client[bucket];

	while (*link && ((*link)->mm != mm || (*link)->va != va))
		link = &(*link)->next;
	return link;
}

/* Insert a page, which the table then owns. 0 or -EEXIST. */
static int attach(struct mmu_soft *s, struct soft_client_page *c)
{
	unsigned bucket = bucket_of(c->mm, c->va);
	struct soft_client_page **link;
	int err = -EEXIST;

	c->next = NULL;
	spin_lock(lock_of(s, bucket));
	link = find(s, bucket, c->mm, c->va);
	if (!*link) {
		*link = c;
		a64_acc(&s->nr_client, 1);
		err = 0;
	}
	spin_unlock(lock_of(s, bucket));
	return err;
}

/* Give @mm a page with @data, which it owns on success. 0, -EEXIST, -ENOMEM. */
static int insert(struct mmu_soft *s, struct mm *mm, uint64_t va, void *data)
{
	struct soft_client_page *c = plat_alloc(sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	*c = (struct soft_client_page){ .mm = mm, .va = va, .data = data };
	err = attach(s, c);
	if (err)
		plat_free(c);
	return err;
}

/* Remove the page from the table; NULL if there is none. */
static struct soft_client_page *detach(struct mmu_soft *s, const struct mm *mm, uint64_t va)
{
	unsigned bucket = bucket_of(mm, va);
	struct soft_client_page **link, *c;

	spin_lock(lock_of(s, bucket));
	link = find(s, bucket, mm, va);
	c = *link;
	if (c) {
		*link = c->next;
		a64_acc(&s->nr_client, -1);
	}
	spin_unlock(lock_of(s, bucket));
	return c;
}

/* Remove the page and return its content, or NULL if there is none. */
static void *take(struct mmu_soft *s, const struct mm *mm, uint64_t va)
{
	struct soft_client_page *c = detach(s, mm, va);
	void *data = c ? c->data : NULL;

	plat_free(c);
	return data;
}

/* ---- the MMU's operations ---- */

static int map_one(struct mmu_soft *s, struct mm *mm, uint64_t va, struct page *p, bool zero)
{
	void *data = zero ? plat_alloc(PAGE_SIZE) : soft_home(s, p);
	int err;

	VM_BUG_ON(!zero && !data);
	if (!data)
		return -ENOMEM;
	err = insert(s, mm, va, data);
	if (err == 0 && !zero)
		soft_set_home(s, p, NULL);
	if (err && zero)
		plat_free(data);
	return err;
}

int client_map(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n,
	       bool zero)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;
	unsigned max = a32_load(&s->inject.map_max);
	int err = -(int)a32_xchg(&s->inject.map_errno, 0);

	/* The caller holds mmap_lock, as who freezes does. */
	if (!err && s->freezes && a32_load(&s->frozen))
		err = -EAGAIN;
	if (err)
		return err;
	if (max && n > max)
		n = max;
	for (unsigned i = 0; i < n; i++) {
		err = map_one(s, mm, va + ((uint64_t)i << PAGE_SHIFT), pages[i], zero);
		if (err)
			return i ? (int)i : err;
	}
	return (int)n;
}

/* Check the entry under its lock: since the request was made the client may have unmapped the page
 * and mapped another one there. */
static enum mmu_result withdraw_one(struct mmu_soft *s, const struct mmu_req *q)
{
	struct leaf *leaf = leaf_find(q->mm, q->va);
	void *data = NULL;
	pte_t pte;

	if (!leaf)
		return MMU_GONE;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, q->va);
	if (pte_present(pte) && pte_pfn(pte) == q->page->pfn)
		data = take(s, q->mm, q->va);
	if (data)
		soft_set_home(s, q->page, data);
	spin_unlock(&leaf->lock);
	return data ? MMU_WITHDRAWN : MMU_GONE;
}

void client_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;

	for (unsigned i = 0; i < n; i++) {
		VM_BUG_ON(!page_locked(reqs[i].page));
		reqs[i].result = soft_request_result(s);
		/* Already at home: it was withdrawn, and not mapped again after the client moved
		 * it. */
		if (reqs[i].result == MMU_WITHDRAWN && !soft_home(s, reqs[i].page))
			reqs[i].result = withdraw_one(s, &reqs[i]);
	}
	if (s->withdrawn)
		s->withdrawn(s->withdrawn_arg, reqs, n);
}

/* Nothing to do: a withdrawal ends all access before the entry changes, and the client has dropped
 * unmapped pages. */
void client_flush(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages)
{
	(void)mm, (void)va, (void)npages;
	a64_acc(&((struct mmu_soft *)mmu)->nr_flushes, 1);
}

static bool try_access(struct mmu_soft *s, struct mm *mm, uint64_t va, void *buf, size_t len,
		       bool write)
{
	unsigned bucket = bucket_of(mm, va & PAGE_MASK);
	struct soft_client_page *c;

	spin_lock(lock_of(s, bucket));
	c = *find(s, bucket, mm, va & PAGE_MASK);
	if (c && write)
		plat_copy((char *)c->data + (va & ~PAGE_MASK), buf, len);
	else if (c)
		plat_copy(buf, (char *)c->data + (va & ~PAGE_MASK), len);
	spin_unlock(lock_of(s, bucket));
	return c != NULL;
}

int client_access(struct mmu_soft *s, struct mm *mm, uint64_t va, void *buf, size_t len, bool write)
{
	while (!try_access(s, mm, va, buf, len, write)) {
		uint32_t ticket = s->freezes ? waitq_prepare(&s->thawed) : 0;
		int err = s->fault(mm, va, write);

		if (err == -EAGAIN && s->freezes && a32_load(&s->frozen))
			waitq_sleep(&s->thawed, ticket, -1);
		if (err && err != -EAGAIN && err != -ENOENT)
			return err;
	}
	return 0;
}

/* ---- the client on its own ---- */

void soft_client_discard(struct mmu_soft *s, struct mm *mm, uint64_t start, uint64_t end)
{
	for (uint64_t va = start; s->kind == SOFT_EXCLUSIVE && va < end; va += PAGE_SIZE)
		plat_free(take(s, mm, va));
}

void soft_client_move(struct mmu_soft *s, struct mm *mm, uint64_t from, uint64_t to, uint64_t len)
{
	for (uint64_t off = 0; s->kind == SOFT_EXCLUSIVE && off < len; off += PAGE_SIZE) {
		struct soft_client_page *c = detach(s, mm, from + off);
		int err;

		plat_free(take(s, mm, to + off));
		if (!c)
			continue;
		c->va = to + off;
		err = attach(s, c);
		VM_BUG_ON(err);
	}
}

int soft_client_touch(struct mmu_soft *s, struct mm *mm, uint64_t va)
{
	void *data = plat_alloc(PAGE_SIZE);
	int err = data ? insert(s, mm, va, data) : -ENOMEM;

	if (err)
		plat_free(data);
	return err;
}

/* Copies of @parent's pages in one bucket, as a list. On -ENOMEM the list holds the pages copied so
 * far. */
static int copy_bucket(struct mmu_soft *s, unsigned bucket, struct mm *parent,
		       struct soft_client_page **out)
{
	int err = 0;

	spin_lock(lock_of(s, bucket));
	for (struct soft_client_page *c = s->client[bucket]; c && !err; c = c->next) {
		struct soft_client_page *copy = c->mm == parent ? plat_alloc(sizeof(*copy)) : NULL;

		if (c->mm != parent)
			continue;
		err = copy ? 0 : -ENOMEM;
		if (err)
			break;
		*copy = (struct soft_client_page){ .next = *out,
						   .va = c->va,
						   .data = plat_alloc(PAGE_SIZE) };
		*out = copy;
		err = copy->data ? 0 : -ENOMEM;
		if (!err)
			plat_copy(copy->data, c->data, PAGE_SIZE);
	}
	spin_unlock(lock_of(s, bucket));
	return err;
}

int soft_client_fork(struct mmu_soft *s, struct mm *parent, struct mm *child)
{
	struct soft_client_page *copies = NULL, *next;
	int err = 0;

	for (unsigned b = 0; s->kind == SOFT_EXCLUSIVE && b < SOFT_CLIENT_BUCKETS && !err; b++)
		err = copy_bucket(s, b, parent, &copies);
	for (; copies; copies = next) {
		next = copies->next;
		if (!err)
			err = insert(s, child, copies->va, copies->data);
		if (err)
			plat_free(copies->data);
		plat_free(copies);
	}
	return err;
}

void soft_freeze(struct mmu_soft *s, struct mm *mm)
{
	VM_ASSERT(s->freezes && s->kind == SOFT_EXCLUSIVE);
	if (bug_on(FREEZE_WITHOUT_LOCK)) {
		a32_store(&s->frozen, 1);
		return;
	}
	rw_wrlock(&mm->mmap_lock);
	a32_store(&s->frozen, 1);
	rw_wrunlock(&mm->mmap_lock);
}

void soft_thaw(struct mmu_soft *s)
{
	a32_store(&s->frozen, 0);
	waitq_wake(&s->thawed);
}

void soft_client_exit(struct mmu_soft *s, struct mm *mm)
{
	for (unsigned b = 0; b < SOFT_CLIENT_BUCKETS; b++) {
		struct soft_client_page **link = &s->client[b], *c;

		spin_lock(lock_of(s, b));
		while ((c = *link)) {
			if (mm && c->mm != mm) {
				link = &c->next;
				continue;
			}
			*link = c->next;
			a64_acc(&s->nr_client, -1);
			plat_free(c->data);
			plat_free(c);
		}
		spin_unlock(lock_of(s, b));
	}
}
