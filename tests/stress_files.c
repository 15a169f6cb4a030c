/* tests/stress_files.c - see stress_files.h. */
#include "stress_files.h"

#include "mm/migrate.h"

#define NR_PAGES   48
#define CHECKED	   32
#define FILE_AT	   (FX_BASE + 10000 * PAGE_SIZE)
#define SHM_AT	   (FX_BASE + 10480 * PAGE_SIZE) /* across two leaves */
#define PRIVATE_AT (FX_BASE + 12000 * PAGE_SIZE)
#define ASIDE	   (FX_BASE + 13000 * PAGE_SIZE)
#define WORDS	   8
#define SHARE	   (FX_RW | VM_SHARED)

static struct soft_fixture *fx;
static struct test_store *store;
static struct address_space *file, *shm;
/* By worker, which alone uses it; what its block of a page holds. [0]: the file, [1]: shared memory. */
static uint64_t value[8][2][CHECKED];
static atomic64_t seen[NR_FILE_SEEN];

static uint64_t draw(uint64_t *random, uint64_t n)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (*random >> 20) % n;
}

static void saw(enum file_seen what)
{
	a64_add_relaxed(&seen[what], 1);
}

static bool map(struct mm *mm, uint64_t at, uint32_t flags, struct address_space *as)
{
	int err = file_mmap(mm, at, at + NR_PAGES * PAGE_SIZE, flags, as, 0);

	VM_BUG_ON(err && err != -ENOMEM);
	return err == 0;
}

bool files_map(struct mm *mm)
{
	return map(mm, FILE_AT, SHARE, file) && map(mm, SHM_AT, SHARE, shm) && map(mm, PRIVATE_AT, FX_RW, file);
}

void files_reap(struct mm *mm)
{
	fx_discard(fx, mm, PRIVATE_AT, NR_PAGES);
	fx_discard(fx, mm, ASIDE, NR_PAGES);
}

void files_up(struct soft_fixture *f)
{
	fx = f;
	memset(value, 0, sizeof(value));
	store = fx_store(NR_PAGES);
	file = file_create(&fx->e, &store->store, NR_PAGES);
	shm = file_create(&fx->e, NULL, NR_PAGES);
	VM_BUG_ON(!file || !shm);
}

void files_down(void)
{
	a32_store(&store->fail_every, 0);
	file_put(file);
	file_put(shm);
}

/* A killed process, or a device that fails now, leaves no trace. */
static bool done(int err)
{
	VM_BUG_ON(err && err != -EIO && err != -ENOMEM && err != -ESRCH);
	return err == 0;
}

static uint64_t block_at(uint64_t base, uint64_t page, unsigned id)
{
	return base + page * PAGE_SIZE + 2048 + id * WORDS * 8;
}

static void fill(uint64_t *block, uint64_t v)
{
	for (unsigned i = 0; i < WORDS; i++)
		block[i] = v ? v + i : 0;
}

static void store_block(struct mm *mm, unsigned id, unsigned which, uint64_t page, uint64_t v)
{
	uint64_t block[WORDS];

	fill(block, v);
	if (done(soft_write(&fx->soft, mm, id, block_at(which ? SHM_AT : FILE_AT, page, id), block, sizeof(block))) &&
	    page < CHECKED)
		value[id][which][page] = v;
	saw(FILE_STORE);
}

static void check_block(struct mm *mm, unsigned id, unsigned which, uint64_t page)
{
	uint64_t want[WORDS], got[WORDS];

	if (!done(soft_read(&fx->soft, mm, id, block_at(which ? SHM_AT : FILE_AT, page, id), got, sizeof(got))))
		return;
	saw(FILE_CHECK);
	if (page >= CHECKED)
		return;
	fill(want, value[id][which][page]);
	if (memcmp(want, got, sizeof(want)) == 0)
		return;
	fprintf(stderr, "worker %u, %s page %llu: want %llx, got %llx\n", id, which ? "shm" : "file",
		(unsigned long long)page, (unsigned long long)want[0], (unsigned long long)got[0]);
	VM_BUG_ON("a page of a file holds what it should not");
}

/* What was stored in a private view is there, whatever becomes of the file. */
static void private_block(struct mm *mm, unsigned id, uint64_t page, uint64_t v)
{
	uint64_t block[WORDS], got[WORDS];
	uint64_t va = block_at(PRIVATE_AT, page, id);

	fill(block, v);
	if (!done(soft_write(&fx->soft, mm, id, va, block, sizeof(block))) ||
	    !done(soft_read(&fx->soft, mm, id, va, got, sizeof(got))))
		return;
	VM_BUG_ON(memcmp(block, got, sizeof(block)) != 0 && !a32_load(&mm->dying));
	saw(FILE_PRIVATE);
}

static bool unmap_some(struct mm *mm, uint64_t *random)
{
	uint64_t i = draw(random, NR_PAGES), n = 1 + draw(random, 12);
	bool is_shm = draw(random, 2);
	uint64_t va = (is_shm ? SHM_AT : FILE_AT) + i * PAGE_SIZE;
	int err = 0;

	if (n > NR_PAGES - i)
		n = NR_PAGES - i;
	if (draw(random, 2)) {
		fx_discard(fx, mm, va, n);
	} else {
		fx_unmap(fx, mm, va, n);
		err = file_mmap(mm, va, va + n * PAGE_SIZE, SHARE, is_shm ? shm : file, i);
		/* An area that could not be cut is still there. */
		VM_BUG_ON(err && err != -ENOMEM && err != -EEXIST);
	}
	saw(FILE_UNMAP);
	return err == 0;
}

static bool move_some(struct mm *mm, uint64_t *random)
{
	uint64_t i = draw(random, NR_PAGES - 8), va = (draw(random, 2) ? SHM_AT : PRIVATE_AT) + i * PAGE_SIZE;
	int err = fx_remap(fx, mm, va, ASIDE, 8);

	if (!err)
		err = fx_remap(fx, mm, ASIDE, va, 8);
	VM_BUG_ON(err && err != -ENOMEM);
	saw(FILE_MOVE);
	return err == 0;
}

/* Wherever a page is, it is moved for all who map it. */
static void migrate_some(struct mm *mm, uint64_t *random)
{
	static const uint64_t base[] = { FILE_AT, SHM_AT, PRIVATE_AT };
	uint64_t va = base[draw(random, 3)] + draw(random, NR_PAGES - 12) * PAGE_SIZE;
	struct migrate_result r;
	int err = migrate_range(mm, va, va + 12 * PAGE_SIZE, (unsigned)draw(random, fx->e.nr_nodes),
				draw(random, 2) ? MIGRATE_SYSCALL : MIGRATE_COMPACTION, &r);

	VM_BUG_ON(err && err != -EAGAIN && err != -ENOMEM);
	a64_add_relaxed(&seen[FILE_MIGRATE], r.migrated);
}

bool files_step(struct mm *mm, unsigned id, uint64_t *random)
{
	uint64_t page = draw(random, NR_PAGES);
	unsigned which = (unsigned)draw(random, 2);

	switch (draw(random, 16)) {
	case 0:
		return unmap_some(mm, random);
	case 1:
		return move_some(mm, random);
	case 6:
		migrate_some(mm, random);
		break;
	case 2:
	case 3:
		/* Pages that are not truncated: a private page past the end may be a copy, or not there. */
		private_block(mm, id, page % CHECKED, 1 + draw(random, 1u << 30));
		break;
	case 4:
	case 5:
		/* Clean, and mapped for reading: the next store must be seen. */
		store_block(mm, id, 0, page, 1 + draw(random, 1u << 30));
		if (filemap_writeback(file, page, 1) == 0)
			saw(FILE_WRITE);
		store_block(mm, id, 0, page, 1 + draw(random, 1u << 30));
		break;
	default:
		for (unsigned n = 0; n < 6 && page < NR_PAGES; n++, page++)
			if (draw(random, 2))
				store_block(mm, id, which, page, 1 + draw(random, 1u << 30));
			else
				check_block(mm, id, which, page);
	}
	return true;
}

void files_visit(struct mm *mm, unsigned id, uint64_t *random)
{
	static const uint64_t base[] = { FILE_AT, SHM_AT, PRIVATE_AT };
	uint64_t va = block_at(base[draw(random, 3)], draw(random, NR_PAGES), id), word = *random;
	int err;

	if (draw(random, 2))
		err = soft_write(&fx->soft, mm, id, va, &word, 8);
	else
		err = soft_read(&fx->soft, mm, id, va, &word, 8);
	VM_BUG_ON(err && err != -EFAULT && err != -EIO && err != -ENOMEM && err != -ESRCH);
}

void files_keep(uint64_t *random)
{
	uint64_t first = draw(random, NR_PAGES);
	int err = 0;

	switch (draw(random, 4)) {
	case 0:
		err = filemap_writeback(file, first, draw(random, NR_PAGES));
		saw(FILE_WRITE);
		break;
	case 1:
		err = filemap_truncate(draw(random, 2) ? file : shm, CHECKED + draw(random, NR_PAGES - CHECKED + 1));
		saw(FILE_TRUNCATE);
		break;
	case 2:
		err = filemap_invalidate(file, first, draw(random, NR_PAGES));
		saw(FILE_INVALIDATE);
		break;
	default:
		a32_store(&store->fail_every, draw(random, 3) ? 0 : 10);
	}
	VM_BUG_ON(err && err != -EIO && err != -EBUSY && err != -ENOMEM);
}

bool files_all_seen(void)
{
	for (int i = 0; i < NR_FILE_SEEN; i++)
		if (a64_load(&seen[i]) == 0)
			return false;
	return true;
}

void files_report(void)
{
	static const char *const name[NR_FILE_SEEN] = {
		"file stores", "file checks", "private stores", "file unmaps",
		"file moves",  "write-backs", "file migrations", "truncations", "invalidations",
	};

	for (int i = 0; i < NR_FILE_SEEN; i++)
		print_message("# %s %lld\n", name[i], (long long)a64_load(&seen[i]));
	for (int i = 0; i < NR_FILE_SEEN; i++)
		assert_true(a64_load(&seen[i]) > 0);
}
