/* mm/mm_types.h - the engine's objects. Open this first.
 *
 * Glossary
 *   page        struct page: the engine's record of one page of memory, 64 bytes
 *   frame       the number of such a record (pfn); says nothing about where the bytes are
 *   home, away  where the bytes are: plat/mmu.h
 *   entry       a swap entry: the number of a slot of the swap device, plus 1 (0 = none)
 *   leaf        a page-table leaf: 512 entries, 2 MiB of addresses, one lock
 *
 * Locks: (M) mm->mmap_lock  (P) page lock  (R) anon_vma->lock  (T) leaf->lock  (S) swap slot lock
 *        (X) lock of a file's table  (I) a file's i_mmap_lock  (L) lruvec->lock  (F) frames lock
 *        (A) atomic  (C) constant after init. Two letters: either is enough to read, both are
 *        needed to write.
 */
#ifndef UMEMCG_MM_TYPES_H
#define UMEMCG_MM_TYPES_H

#include "base/list.h"
#include "memcg/page_cgroup.h"
#include "memcg/tree.h"
#include "plat/mmu.h"
#include "plat/plat.h"
#include "plat/store.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ul
#define PAGE_MASK  (~(uint64_t)(PAGE_SIZE - 1))

/* ---- page ------------------------------------------------------------------------------ */

enum page_flag {
	PG_locked = 1u << 0,      /* the page lock */
	PG_waiters = 1u << 1,     /* a thread sleeps on this word */
	PG_writeback = 1u << 2,   /* being written to swap or to its file; holds a reference */
	PG_uptodate = 1u << 3,    /* content is valid */
	PG_dirty = 1u << 4,       /* content not (yet) in the swap slot or file: filemap.h */
	PG_lru = 1u << 5,         /* on a list of its group's lruvec (L) */
	PG_active = 1u << 6,      /* the active list (L) */
	PG_unevictable = 1u << 7, /* the unevictable list (L) */
	PG_swapcache = 1u << 8,   /* page->entry is its swap entry (P S) */
	PG_error = 1u << 9,       /* reading it failed */
	PG_readahead = 1u << 10,  /* read before it was requested */
	PG_workingset = 1u << 11, /* came back soon after eviction */
	PG_reclaim = 1u << 12,    /* isolated by reclaim */
	PG_file = 1u << 13,       /* (C until free) of a file with a store: on the file lists */
	PG_referenced = 1u << 14, /* reclaim has seen it used once */
};

/* A page's life:
 *   free -> (frames_alloc) referenced -> charged -> mapped and on a list
 *        -> isolated, locked -> in swap cache -> unmapped -> under writeback -> clean -> free
 *        -> or mapped again from the swap cache at any point before "free". */
struct page {
	atomic32_t flags;
	atomic32_t refcount;  /* ptes, swap cache, file table, writeback, users; 0 = free */
	atomic32_t mapcount;  /* present ptes; changes under (T) of the pte */
	uint32_t pfn;         /* (C) */
	atomicptr_t mapping;  /* anon_vma it was first mapped through, or address_space +
			       * PAGE_MAPPING_FILE; NULL = neither; (P) to write, (A) to read:
			       * page_anon_vma, page_file_mapping */
	uint64_t index;       /* (C while mapping is set) page number in the file, or in the
			       * anon_vma's space: vma->pgoff + ... */
	atomic32_t entry;     /* (P S) to write, (A) to read: swap entry (PG_swapcache) or 0 */
	uint32_t node;        /* (C) the memory node it is part of */
	struct list_head lru; /* (L); on the free list (F); isolated: that thread's */
	atomic64_t pcg;       /* page_cgroup word */
};
_Static_assert(sizeof(struct page) <= 64, "a page record is 64 bytes");

#define PAGE_MAPPING_FILE 1u /* bit 0 of page->mapping: an address_space, not an anon_vma */

/* ---- page tables ------------------------------------------------------------------------ */

typedef int64_t pte_t; /* stored in an atomic64_t */

#define PTE_PRESENT 0x1
#define PTE_WRITE   0x2
#define PTE_YOUNG   0x4
#define PTE_DIRTY   0x8
/* not present: kind in bits 1..3, value from bit 12 */
#define PTE_KIND_MASK 0xe
#define PTE_SWAP      0x2
#define PTE_MIGRATION 0x4
#define PTE_POISON    0x6
/* migration entry: pfn of the page being moved, and WRITE, YOUNG and DIRTY of the entry it
 * replaces */
#define PTE_MIGRATION_FLAGS_SHIFT 3

static inline pte_t pte_make_present(uint32_t pfn, bool write)
{
	return ((pte_t)pfn << PAGE_SHIFT) | PTE_PRESENT | (write ? PTE_WRITE : 0);
}
static inline pte_t pte_make_swap(uint32_t entry)
{
	return ((pte_t)entry << PAGE_SHIFT) | PTE_SWAP;
}
static inline bool pte_present(pte_t p)
{
	return p & PTE_PRESENT;
}
static inline bool pte_none(pte_t p)
{
	return p == 0;
}
static inline bool pte_is_swap(pte_t p)
{
	return !(p & PTE_PRESENT) && (p & PTE_KIND_MASK) == PTE_SWAP;
}
static inline bool pte_is_migration(pte_t p)
{
	return !(p & PTE_PRESENT) && (p & PTE_KIND_MASK) == PTE_MIGRATION;
}
static inline bool pte_is_poison(pte_t p)
{
	return p == PTE_POISON;
}
/* Do both map the same page with the same rights, accessed and dirty bits apart? Or are they the
 * same entry that is not present? */
static inline bool pte_same(pte_t a, pte_t b)
{
	return !((a ^ b) & ~(pte_t)(PTE_YOUNG | PTE_DIRTY));
}
static inline uint32_t pte_pfn(pte_t p)
{
	return (uint32_t)(p >> PAGE_SHIFT);
}
static inline uint32_t pte_entry(pte_t p)
{
	return (uint32_t)(p >> PAGE_SHIFT);
}

#define PTE_MOVES (PTE_WRITE | PTE_YOUNG | PTE_DIRTY)
/* Convert a present entry to a migration entry, and a migration entry to a present one of page
 * @pfn. */
static inline pte_t pte_make_migration(pte_t p)
{
	return ((pte_t)pte_pfn(p) << PAGE_SHIFT) | PTE_MIGRATION |
	       (p & PTE_MOVES) << PTE_MIGRATION_FLAGS_SHIFT;
}
static inline pte_t pte_from_migration(pte_t p, uint32_t pfn)
{
	return ((pte_t)pfn << PAGE_SHIFT) | PTE_PRESENT |
	       (p >> PTE_MIGRATION_FLAGS_SHIFT & PTE_MOVES);
}

#define LEAF_SHIFT   21
#define LEAF_SPAN    (1ul << LEAF_SHIFT)
#define LEAF_ENTRIES 512

struct leaf {
	struct spinlock lock;   /* rank PTE: every change of pte[] */
	uint64_t base;          /* (C) first address */
	struct leaf *hash_next; /* mm->pt_lock */
	struct plat_rcu_head rcu;
	atomic64_t pte[LEAF_ENTRIES]; /* (T) to write, (A) to read */
};

/* ---- address spaces ---------------------------------------------------------------------- */

#define VM_READ       0x1
#define VM_WRITE      0x2
#define VM_EXEC       0x4
#define VM_LOCKED     0x8
#define VM_SHARED     0x10  /* file area: stores go to the file, not to a copy */
#define VM_DONTFORK   0x20  /* not inherited by fork (MADV_DONTFORK) */
#define VM_WIPEONFORK 0x40  /* empty in a forked child (MADV_WIPEONFORK) */
#define VM_HUGEPAGE   0x80  /* the client asked for huge pages (MADV_HUGEPAGE) */
#define VM_NOHUGEPAGE 0x100 /* the client refused huge pages (MADV_NOHUGEPAGE) */
#define VM_KEPT       0x200 /* locked permanently: survives munlock and fork */

#define FILE_CHUNK 512

/* (X) FILE_CHUNK consecutive pages of a file: NULL, a struct page, or (shared memory) a swap entry
 * << 1 | 1. */
struct file_chunk {
	void *slot[FILE_CHUNK];
};

/* One file, or one object of shared memory, and its pages in memory: filemap.h. */
struct address_space {
	struct engine *engine;         /* (C) */
	struct store *store;           /* (C) owned; NULL: shared memory, whose pages go to swap */
	atomic32_t refcount;           /* areas + users; pages hold none, the last one frees them */
	void *host;                    /* (C) once it can be found: the MMU's record, or NULL */
	atomic32_t write_error;        /* errno of a writeback not reported yet; 0 = none */
	struct spinlock lock;          /* (X) rank FILEMAP */
	uint64_t nr_pages;             /* (X) its size */
	struct file_chunk **chunks;    /* (X) */
	uint64_t nr_chunks;            /* (X) */
	uint64_t *stored;              /* (X) bit per slot: the store has the page; else zeros */
	int64_t nr_cached, nr_swapped; /* (X) */
	struct rwsem i_mmap_lock;      /* (I) rank RMAP */
	struct list_head i_mmap;       /* (I) vma->file_link: all areas that map it */
	struct list_head link;         /* engine->mm_lock */
};

struct anon_vma {
	atomic32_t refcount;     /* chains + temporary users; from a page: inc-not-zero */
	struct rwsem lock;       /* rank RMAP */
	struct list_head chains; /* (R) anon_vma_chain.same_anon_vma */
	struct engine *engine;   /* (C) */
	struct plat_rcu_head rcu;
};

struct backing;

struct anon_vma_chain {
	struct vma *vma;
	struct anon_vma *anon_vma;
	struct list_head same_vma;      /* (M) vma->chains */
	struct list_head same_anon_vma; /* (R) */
};

/* An area of an address space: [start, end). Fields change under (M) held for writing; start, end,
 * pgoff and flags also under (R) of every anon_vma on its chain and (I) of its file. */
struct vma {
	struct mm *mm;              /* (C) */
	uint64_t start, end;        /* bytes, page aligned */
	uint64_t pgoff;             /* page number of start in its file and in its anon_vma */
	uint32_t flags;             /* VM_ */
	atomicptr_t anon_vma;       /* of its new pages; set at the first fault, under pt_lock */
	struct list_head chains;    /* (M) */
	struct address_space *file; /* (C) referenced; NULL: anonymous */
	struct backing *backing;    /* (C) referenced; fills an anonymous area; NULL: zeros */
	struct list_head file_link; /* (I) file->i_mmap */
};

#define MM_STREAMS 8

/* One sequential reader or writer, recognised by its expected next fault. */
struct stream {
	uint64_t next;   /* expected address of the next fault; 0 = unused */
	uint64_t prev;   /* likewise for a descending stream */
	uint64_t ahead;  /* how far readahead was proposed */
	uint32_t window; /* pages brought by its last predicted fault */
	uint32_t stamp;
	bool down;
	bool skips; /* its last fault may skip pages (stream_window) */
};

struct mm {
	struct engine *engine; /* (C) */
	atomicptr_t memcg;     /* the group charged for what it maps; referenced. Changes
				* (move.c) under (M) for writing and engine->mm_lock. Read
				* under either, or with mm_get_memcg: a charge keeps that
				* reference until its pages are entered or uncharged */
	atomic32_t refcount;
	struct rwsem mmap_lock; /* rank MMAP */

	struct vma **vmas;          /* (M) sorted by start, disjoint */
	unsigned nr_vmas, cap_vmas; /* (M) */

	struct spinlock pt_lock; /* rank PGTABLE: the directory below */
	struct leaf **leaves;    /* hash by address >> LEAF_SHIFT */
	unsigned nr_leaves, cap_leaves;

	atomic64_t rss;         /* present ptes and migration entries */
	atomic64_t rss_shared;  /* those that map file pages; only for a client (host) */
	atomic64_t swapents;    /* swap ptes */
	atomic64_t locked;      /* pages in VM_LOCKED areas */
	atomic64_t unmanaged;   /* unmanaged RSS of the client, charged; pages */
	atomic32_t forked;      /* 1: it forked or was forked: relatives share content */
	atomic32_t has_backing; /* 1: it has, or had, an area filled from a file */
	atomic32_t dying;       /* being torn down, or chosen by the OOM killer */
	int64_t dying_since;    /* engine->mm_lock: when the OOM killer first saw dying */
	atomic32_t over_high;   /* pages owed for charges above memory.high: charge.h */
	atomic32_t no_reclaim;  /* > 0: reclaim skips its pages (fork, client silent) */

	atomic32_t held; /* > 0: in the middle of a fork, which only its own faults
			  * can finish: they may exceed the limit one page at a time,
			  * as none of its pages can be reclaimed until then */

	struct spinlock stream_lock; /* rank LEAF */
	struct stream streams[MM_STREAMS];
	uint32_t stream_clock;

	struct list_head link; /* engine->mm_lock */
	void *host;            /* (C) the MMU's record of the client, or NULL */
	struct plat_rcu_head rcu;
};

/* ---- lists ------------------------------------------------------------------------------- */

/* The anon lists hold pages that go to swap, including shared memory. Each active list follows its
 * inactive one. */
enum lru_list {
	LRU_INACTIVE_ANON,
	LRU_ACTIVE_ANON,
	LRU_INACTIVE_FILE,
	LRU_ACTIVE_FILE,
	LRU_UNEVICTABLE,
	NR_LRU_LISTS
};

/* The pages of one group on one node. */
struct lruvec {
	struct spinlock lock;                 /* rank LRUVEC */
	struct list_head lists[NR_LRU_LISTS]; /* (L) head = youngest */
	atomic64_t nr[NR_LRU_LISTS];          /* (L) to write, (A) to read; pages */
	struct mem_cgroup *memcg;             /* (C) */
	unsigned node;                        /* (C) */
};

/* The engine's data of a group (mem_cgroup.mm_private). */
struct group_lists {
	atomic64_t age;         /* evictions so far, all nodes: the refault clock */
	atomic64_t stuck_since; /* since when charges wait in vain; 0: none waits */
	atomic64_t stuck_last;  /* time of the last wait */
	atomic64_t aside;       /* pages charged for later use (charge_set_aside) */
	unsigned nr_nodes;      /* (C) */
	struct lruvec node[];
};

/* ---- swap -------------------------------------------------------------------------------- */

/* Map word of a slot (S to write, A to read). Free <=> 0. */
#define SLOT_COUNT_MASK 0x007fffffu /* references: ptes, shared memory; more than processes */
#define SLOT_INDEXED    0x00800000u /* can be found by content: swap_share.h */
#define SLOT_CACHE      0x01000000u /* the swap cache holds a page for it */
#define SLOT_VALID      0x02000000u /* content and checksum are in place */
#define SLOT_ZERO       0x04000000u /* content is zero: no I/O */
#define SLOT_MEMSW      0x08000000u /* charged to memory+swap: its page is not in memory */
#define SLOT_BAD        0x10000000u /* content lost: a read failed */
#define SLOT_USED       0x20000000u /* allocated */
#define SLOT_BACKED     0x40000000u /* was written: the disk has a block for it */
#define SLOT_REFUSED    0x80000000u /* the disk had no block for it at the last write */

struct swap_hash {
	uint64_t lo, hi;
};

#define SWAP_SECRET_BYTES 192

#define SWAP_SLOT_LOCKS 64

/* Slots by content and address: swap_share.h. */
struct swap_index {
	struct spinlock lock;     /* rank SWAPINDEX: the tables */
	uint32_t *head, nr_heads; /* chains; their number, a power of two, is (C) */
	uint32_t *next;           /* slot -> link */
	uint32_t *tag;            /* slot -> tag compared first in a lookup */
	atomic64_t nr;            /* slots in the index; lock to write, (A) to read */
};

struct zswap;

struct swap_device {
	struct store *store;         /* (C) */
	struct zswap *zswap;         /* (C) the compressed tier in front of it, or NULL */
	uint32_t nr_slots;           /* (C) */
	atomic32_t *map;             /* slot -> map word */
	atomicptr_t *cache;          /* slot -> struct page *, or shadow (odd), or NULL (S) */
	struct memcg_handle **owner; /* slot -> charged group (S) */
	struct swap_hash *hash;      /* slot -> XXH3 128 of the content (S): swap_share.h, I2 */
	uint8_t secret[SWAP_SECRET_BYTES]; /* (C) key of the checksums */
	bool has_secret;                   /* (C) else the checksums are unkeyed */
	struct swap_index index;
	struct spinlock slot_lock[SWAP_SLOT_LOCKS]; /* rank SWAPCACHE; slot / 64 % 64 */
	struct spinlock alloc_lock;                 /* rank SWAPCLUSTER */
	uint64_t *bitmap;                           /* alloc_lock: 1 = used */
	uint32_t hint;                              /* alloc_lock: every slot below is used */
	uint64_t *spare;          /* alloc_lock: 1 = free and backed by a disk block */
	uint32_t nr_spare;        /* alloc_lock: number of bits set in spare */
	uint32_t cursor;          /* alloc_lock: start of the next batch, on a device */
	struct {                  /* alloc_lock: while engine.swap_disk_full */
		uint64_t since;   /* start of the period of refusals */
		unsigned tries;   /* tries in that period */
		uint64_t refused; /* time of the last refusal */
		uint64_t try_at;  /* earliest time of the next try */
		uint64_t wait;    /* delay until the try after that */
	} full;
	atomic64_t nr_used;
};

#define KSWAPD_MAX    2
#define AHEAD_MAX     8
#define AHEAD_THREADS 2

/* Queued reads of windows that streams will want next (ahead.h). */
struct ahead {
	struct spinlock lock; /* rank LEAF */
	struct ahead_ask {
		struct mm *mm; /* referenced */
		uint64_t start;
		unsigned n; /* pages */
	} ask[AHEAD_MAX];   /* lock: a ring */
	unsigned first, n;  /* lock */
	bool running;       /* lock: requests are accepted */
	struct plat_thread thread[AHEAD_THREADS];
	unsigned nr_threads; /* running; used only by the starter and stopper */
	struct waitq wait;
	atomic32_t stop;
};

/* ---- the engine ---------------------------------------------------------------------------- */

#define FRAME_CHUNK PLAT_CHUNK /* page records allocated at once, all of one node */
#define NODES_MAX   4

/* The frames of one memory node, and its end, which resizing moves (node.h). A frame's state
 * depends on whether its number is below the end of its node, and whether it is referenced:
 *              below                     at or above
 *   unused     free: on @free            offline: on @offline
 *   in use     online                    leaving: dropping the last reference moves it to @offline
 * Only frames on @free are allocated, so never one that is leaving or offline. */
struct frame_node {
	struct list_head free, offline; /* (F) */
	int64_t nr_free, nr_offline;    /* (F) their sizes */
	int64_t nr_frames;              /* (F) records made */
	int64_t nr_above;               /* (F) records at or above the end */
	int64_t max;                    /* (F) limit of frames below the end */
	uint32_t end;                   /* (F) frame number; UINT32_MAX: not shrunk */
	bool resizing;                  /* (F) a resize is running: one at a time */
	int demote_to;                  /* (C) the slower node for its cold pages; -1: none */
	uint8_t order[NODES_MAX];       /* (C) the node itself, then the others, nearest first */
};

struct engine {
	struct memcg_tree tree;
	struct mmu *mmu;          /* (C) */
	struct swap_device *swap; /* (C) NULL = none */

	/* Set before engine_init; (C) from then on. */
	unsigned nr_nodes;                      /* memory nodes, 1..NODES_MAX; 0 means 1 */
	uint8_t distance[NODES_MAX][NODES_MAX]; /* 0 means 10 to itself, 20 to others */
	uint8_t demotion[NODES_MAX];            /* 1 + the slower node that takes a node's
						 * cold pages, which has no CPU of its own;
						 * 0: none. No cycles */

	struct spinlock frames_lock; /* rank FRAMES */
	struct page **chunks;        /* (F) to write; entries constant once set */
	uint64_t *unused;            /* (F) bit per frame: on its node's free or offline list */
	uint32_t nr_chunks;          /* (F) */
	struct frame_node node[NODES_MAX];
	uint8_t cpu_node[NODES_MAX];   /* (C) the nodes that have CPUs */
	unsigned nr_cpu_nodes;         /* (C) CPU n is at cpu_node[n % nr_cpu_nodes] */
	uint32_t max_chunks;           /* (C) */
	atomic64_t nr_free, nr_frames; /* all nodes; free: unused, including offline ones */

	struct spinlock mm_lock; /* rank LEAF */
	struct list_head mms;    /* mm_lock */
	struct list_head files;  /* mm_lock */

	struct plat_thread kswapd[KSWAPD_MAX];
	unsigned nr_kswapd; /* running; used only by the starter and stopper */
	struct waitq kswapd_wait;
	atomic32_t kswapd_stop;

	struct ahead ahead;

	struct waitq progress; /* woken when memory is freed or an address space ends */
	atomic32_t reclaimers; /* threads in reclaim */

	atomic64_t nr_mms, nr_leaves, nr_vmas, nr_anon_vmas,
		nr_chains;                   /* leak checks, metadata size */
	atomic64_t nr_files, nr_file_chunks; /* likewise */

	bool may_back;           /* (C) areas can be filled from files: backing.h */
	atomic64_t backed_pages; /* pages of such areas */

	atomic32_t huge_mode;      /* enum huge_mode (huge.h) of the machine; may change */
	atomic32_t swap_disk_full; /* a swap write lacked space and none has found any since */

	/* Text for the user about a named event; may be NULL. */
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};

#endif
