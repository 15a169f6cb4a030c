/* mmu/soft/mmu_soft.c - the MMU that walks page tables, with a TLB per CPU, and code shared by both
 * personalities.
 *
 * A translation enters a TLB, and is flushed, under the leaf lock: after an entry change and a
 * flush no TLB holds the old one. A flush skips a CPU that has never held a translation: the CPU
 * would insert its first one under the leaf lock that the flusher holds. The walk sets YOUNG, and
 * DIRTY on a write; a translation is cached as writable only if DIRTY is set, so the first store
 * through it is seen.
 */
#include "mmu/soft/mmu_soft.h"

#include <string.h>

#include "mm/page.h"
#include "mm/pgtable.h"
#include "mmu/soft/client.h"

/* ---- content ---- */

void *soft_home(struct mmu_soft *s, const struct page *p)
{
	VM_BUG_ON(p->pfn >= s->max_frames);
	return aptr_load(&s->home[p->pfn]);
}

void soft_set_home(struct mmu_soft *s, const struct page *p, void *data)
{
	void *old;

	VM_BUG_ON(p->pfn >= s->max_frames);
	old = aptr_xchg(&s->home[p->pfn], data);
	a64_acc(&s->nr_home, (data != NULL) - (old != NULL));
}

static void *soft_data(struct mmu *mmu, struct page *page)
{
	return soft_home((struct mmu_soft *)mmu, page);
}

static int soft_bring_frames(struct mmu *mmu, struct page **pages, unsigned n)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;
	unsigned i = 0;

	for (; i < n && !a32_load(&s->inject.no_frames); i++) {
		void *data = plat_alloc(PAGE_SIZE);

		if (!data)
			break;
		VM_BUG_ON(soft_home(s, pages[i]));
		soft_set_home(s, pages[i], data);
	}
	if (i == n)
		return 0;
	while (i-- > 0) {
		plat_free(soft_home(s, pages[i]));
		soft_set_home(s, pages[i], NULL);
	}
	return -ENOMEM;
}

static void soft_drop_frame(struct mmu *mmu, struct page *page)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;
	void *data = soft_home(s, page);

	soft_set_home(s, page, NULL);
	plat_free(data);
}

/* ---- shared: map, withdraw, flush ---- */

static int map_fails(struct mmu_soft *s)
{
	return -(int)a32_xchg(&s->inject.map_errno, 0);
}

/* The engine makes entries true by setting them; only content must be prepared. */
static int shared_map(struct mmu *mmu, struct mm *mm, uint64_t va, struct page **pages, unsigned n,
		      bool zero)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;
	unsigned max = a32_load(&s->inject.map_max);
	int err = map_fails(s);

	(void)mm, (void)va;
	if (err)
		return err;
	if (max && n > max)
		n = max;
	for (unsigned i = 0; i < n; i++) {
		VM_BUG_ON(!zero && !soft_home(s, pages[i]));
		if (!zero)
			continue;
		if (!soft_home(s, pages[i]) && soft_bring_frames(mmu, &pages[i], 1) != 0)
			return i ? (int)i : -ENOMEM;
		memset(soft_home(s, pages[i]), 0, PAGE_SIZE);
	}
	return (int)n;
}

static void shared_withdraw(struct mmu *mmu, struct mmu_req *reqs, unsigned n)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;

	for (unsigned i = 0; i < n; i++)
		reqs[i].result = soft_request_result(s);
	if (s->withdrawn)
		s->withdrawn(s->withdrawn_arg, reqs, n);
}

enum mmu_result soft_request_result(struct mmu_soft *s)
{
	uint32_t busy = a32_load(&s->inject.busy_every), refuse = a32_load(&s->inject.refuse_every);
	int64_t nr = a64_add(&s->nr_requests, 1);

	if (busy && nr % busy == 0)
		return MMU_BUSY;
	return refuse && nr % refuse == 0 ? MMU_REFUSED : MMU_WITHDRAWN;
}

static struct soft_tlb_entry *tlb_entry(struct soft_cpu *cpu, const struct mm *mm, uint64_t va)
{
	uint64_t h = (va >> PAGE_SHIFT) + ((uintptr_t)mm >> 6);

	return &cpu->tlb[h % SOFT_TLB_SIZE];
}

static bool tlb_hit(const struct soft_tlb_entry *t, const struct mm *mm, uint64_t va)
{
	return t->mm == mm && t->va == va;
}

static void tlb_flush(struct soft_cpu *cpu, struct mm *mm, uint64_t va, uint64_t npages)
{
	uint64_t end = va + (npages << PAGE_SHIFT);

	spin_lock(&cpu->lock);
	if (npages < SOFT_TLB_SIZE) {
		for (; va < end; va += PAGE_SIZE)
			if (tlb_hit(tlb_entry(cpu, mm, va), mm, va))
				tlb_entry(cpu, mm, va)->mm = NULL;
	} else {
		for (unsigned i = 0; i < SOFT_TLB_SIZE; i++)
			if (cpu->tlb[i].mm == mm && cpu->tlb[i].va >= va && cpu->tlb[i].va < end)
				cpu->tlb[i].mm = NULL;
	}
	spin_unlock(&cpu->lock);
}

static void shared_flush(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;

	a64_acc(&s->nr_flushes, 1);
	for (unsigned i = 0; i < PLAT_NR_CPUS; i++)
		if (a32_load(&s->cpu[i].used))
			tlb_flush(&s->cpu[i], mm, va, npages);
}

/* ---- shared: access ---- */

/* Access @va's page through the TLB. False: not cached, or not writable. */
static bool access_cached(struct soft_cpu *cpu, struct mm *mm, uint64_t va, void *buf, size_t len,
			  bool write)
{
	struct soft_tlb_entry *t = tlb_entry(cpu, mm, va & PAGE_MASK);
	bool hit;

	spin_lock(&cpu->lock);
	hit = tlb_hit(t, mm, va & PAGE_MASK) && (!write || t->write);
	if (hit && write)
		plat_copy((char *)t->data + (va & ~PAGE_MASK), buf, len);
	else if (hit)
		plat_copy(buf, (char *)t->data + (va & ~PAGE_MASK), len);
	spin_unlock(&cpu->lock);
	return hit;
}

/* Walk the page table and fill the TLB. False: it must fault. */
static bool walk_and_fill(struct mmu_soft *s, struct soft_cpu *cpu, struct mm *mm, uint64_t va,
			  bool write)
{
	struct leaf *leaf = leaf_find(mm, va);
	bool ok = false;
	pte_t pte;

	if (!leaf)
		return false;
	spin_lock(&leaf->lock);
	pte = pte_read(leaf, va);
	if (pte_present(pte) && (!write || pte & PTE_WRITE)) {
		struct soft_tlb_entry *t = tlb_entry(cpu, mm, va);

		pte |= PTE_YOUNG | (write ? PTE_DIRTY : 0);
		pte_set(leaf, va, pte);
		if (!a32_load(&cpu->used))
			a32_store(&cpu->used, 1);
		spin_lock(&cpu->lock);
		*t = (struct soft_tlb_entry){
			.mm = mm,
			.va = va,
			.write = pte & PTE_WRITE && pte & PTE_DIRTY,
			.data = soft_home(s, pfn_page(mm->engine, pte_pfn(pte))),
		};
		VM_BUG_ON(!t->data);
		spin_unlock(&cpu->lock);
		ok = true;
	}
	spin_unlock(&leaf->lock);
	return ok;
}

static int shared_access(struct mmu_soft *s, struct mm *mm, unsigned cpu, uint64_t va, void *buf,
			 size_t len, bool write)
{
	struct soft_cpu *c = &s->cpu[cpu % PLAT_NR_CPUS];
	int err;

	while (!access_cached(c, mm, va, buf, len, write)) {
		if (walk_and_fill(s, c, mm, va & PAGE_MASK, write))
			continue;
		err = s->fault(mm, va, write);
		if (err && err != -EAGAIN && err != -ENOENT)
			return err;
	}
	return 0;
}

/* ---- both ---- */

static int soft_access(struct mmu_soft *s, struct mm *mm, unsigned cpu, uint64_t va, char *buf,
		       size_t len, bool write)
{
	int err = 0;

	while (len > 0 && !err) {
		size_t n = PAGE_SIZE - (va & ~PAGE_MASK);

		if (n > len)
			n = len;
		err = s->kind == SOFT_SHARED ? shared_access(s, mm, cpu, va, buf, n, write)
					     : client_access(s, mm, va, buf, n, write);
		va += n;
		buf += n;
		len -= n;
	}
	return err;
}

int soft_read(struct mmu_soft *s, struct mm *mm, unsigned cpu, uint64_t va, void *buf, size_t len)
{
	return soft_access(s, mm, cpu, va, buf, len, false);
}

int soft_write(struct mmu_soft *s, struct mm *mm, unsigned cpu, uint64_t va, const void *buf,
	       size_t len)
{
	return soft_access(s, mm, cpu, va, (char *)(uintptr_t)buf, len, true);
}

static void soft_poison(struct mmu *mmu, struct mm *mm, uint64_t va)
{
	(void)mm, (void)va;
	a64_acc(&((struct mmu_soft *)mmu)->nr_poisons, 1);
}

static void soft_wake(struct mmu *mmu, struct mm *mm, uint64_t va, uint64_t npages)
{
	(void)mmu, (void)mm, (void)va, (void)npages;
}

static void soft_kill(struct mmu *mmu, struct mm *mm)
{
	struct mmu_soft *s = (struct mmu_soft *)mmu;

	a64_acc(&s->nr_kills, 1);
	if (s->killed)
		s->killed(s->killed_arg, mm);
}

/* From home if the content is there; otherwise the client dropped it and gets zeros. */
static int client_refresh(struct mmu *mmu, struct mm *mm, uint64_t va, struct page *page)
{
	return client_map(mmu, mm, va, &page, 1, mmu_data(mmu, page) == NULL);
}

static const struct mmu_ops shared_ops = {
	.name = "soft",
	.shares = true,
	.data = soft_data,
	.bring_frames = soft_bring_frames,
	.drop_frame = soft_drop_frame,
	.map = shared_map,
	.withdraw = shared_withdraw,
	.flush = shared_flush,
	.poison = soft_poison,
	.wake = soft_wake,
	.kill = soft_kill,
};

static const struct mmu_ops exclusive_ops = {
	.name = "soft exclusive",
	.withdraws = true,
	.data = soft_data,
	.bring_frames = soft_bring_frames,
	.drop_frame = soft_drop_frame,
	.map = client_map,
	.refresh = client_refresh,
	.withdraw = client_withdraw,
	.flush = client_flush,
	.poison = soft_poison,
	.wake = soft_wake,
	.kill = soft_kill,
};

int soft_init(struct mmu_soft *s, enum soft_kind kind, uint32_t max_frames,
	      int (*fault)(struct mm *mm, uint64_t va, bool write))
{
	memset(s, 0, sizeof(*s));
	s->mmu.ops = kind == SOFT_SHARED ? &shared_ops : &exclusive_ops;
	s->kind = kind;
	s->max_frames = max_frames;
	s->fault = fault;
	s->home = plat_alloc_big(max_frames * sizeof(*s->home));
	s->client = plat_alloc(SOFT_CLIENT_BUCKETS * sizeof(*s->client));
	for (unsigned i = 0; i < PLAT_NR_CPUS; i++)
		spin_init(&s->cpu[i].lock, RANK_LEAF);
	for (unsigned i = 0; i < SOFT_CLIENT_LOCKS; i++)
		spin_init(&s->client_lock[i], RANK_LEAF);
	if (s->home && s->client)
		return 0;
	soft_fini(s);
	return -ENOMEM;
}

void soft_fini(struct mmu_soft *s)
{
	if (s->client)
		soft_client_exit(s, NULL);
	for (uint32_t i = 0; s->home && i < s->max_frames; i++)
		plat_free(aptr_load(&s->home[i]));
	plat_free_big(s->home, s->max_frames * sizeof(*s->home));
	plat_free(s->client);
	s->home = NULL;
	s->client = NULL;
	for (unsigned i = 0; i < PLAT_NR_CPUS; i++)
		spin_fini(&s->cpu[i].lock);
	for (unsigned i = 0; i < SOFT_CLIENT_LOCKS; i++)
		spin_fini(&s->client_lock[i]);
}

unsigned soft_stale_translations(struct mmu_soft *s)
{
	unsigned stale = 0;

	for (unsigned i = 0; i < PLAT_NR_CPUS * SOFT_TLB_SIZE; i++) {
		struct soft_tlb_entry *t = &s->cpu[i / SOFT_TLB_SIZE].tlb[i % SOFT_TLB_SIZE];
		struct leaf *leaf;
		pte_t pte;

		if (!t->mm)
			continue;
		leaf = leaf_find(t->mm, t->va);
		pte = leaf ? pte_read(leaf, t->va) : 0;
		stale += !pte_present(pte) || (t->write && !(pte & PTE_WRITE)) ||
			 soft_home(s, pfn_page(t->mm->engine, pte_pfn(pte))) != t->data;
	}
	return stale;
}
