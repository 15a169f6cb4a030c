/* plat/sim/arena.c - the memory of the simulated program.
 *
 * One mapping at a fixed address, so a program has the same addresses every time:
 *   image   allocations of the set-up; saved after it, restored before every execution
 *   tasks   a heap and a stack each
 * Allocations of one task come from its own heap, one after the other; memory is not reused within
 * an execution, so a freed block stays recognisable. One byte of @state per 16 bytes of memory says
 * what it is.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "plat/sim/tso.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define ARENA_AT   ((char *)0x200000000000ull)
#define IMAGE_MAX  (4u << 20)
#define HEAP_MAX   (256u << 10)
#define TASK_SIZE  (HEAP_MAX + SIM_STACK_SIZE)
#define ARENA_SIZE (IMAGE_MAX + SIM_TASKS_MAX * TASK_SIZE)
#define UNIT       16u
#define CONTENT    4096u /* blocks of at least this size are aligned to it */
#define POISON     0xa5
#define NAMES_MAX  192

enum { UNUSED, LIVE, LIVE_HEAD, FREED };

static char *arena;
static char *saved; /* the image and, behind it, its states */
static uint8_t state[ARENA_SIZE / UNIT];
static uint32_t image_used, image_saved;
static bool loaded;
static bool poisoned; /* for the address sanitizer */

static struct {
	const char *p;
	size_t n;
	char text[48];
} names[NAMES_MAX];
static unsigned nr_names;

void arena_init(void)
{
	if (!arena) {
		arena = mmap(ARENA_AT, ARENA_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			     0);
		if (arena != ARENA_AT) {
			fprintf(stderr, "umemcg check: no memory at %p for the simulated machine\n",
				(void *)ARENA_AT);
			exit(125);
		}
	}
	ASAN_UNPOISON_MEMORY_REGION(arena, ARENA_SIZE);
	memset(state, UNUSED, sizeof(state));
	image_used = UNIT * 64; /* no object has a number below OBJ_FIRST */
	nr_names = 0;
	loaded = false;
}

/* Freed memory may be read again: by the copy of the whole arena, and as the next allocation
 * there. */
static void unpoison(void)
{
	if (poisoned)
		ASAN_UNPOISON_MEMORY_REGION(arena, ARENA_SIZE);
	poisoned = false;
}

void arena_save(void)
{
	unpoison();
	free(saved);
	image_saved = image_used;
	saved = malloc(image_saved + image_saved / UNIT);
	if (!saved)
		abort();
	memcpy(saved, arena, image_saved);
	memcpy(saved + image_saved, state, image_saved / UNIT);
	loaded = true;
}

void arena_reset(void)
{
	/* Allocations of the final checks lie behind the saved part. */
	unpoison();
	memcpy(arena, saved, image_saved);
	memcpy(state, saved + image_saved, image_saved / UNIT);
	if (image_used > image_saved)
		memset(state + image_saved / UNIT, UNUSED, (image_used - image_saved) / UNIT);
	image_used = image_saved;
	for (unsigned t = 0; t < SIM_TASKS_MAX; t++) {
		if (sim_tasks[t].heap_used)
			memset(state + (IMAGE_MAX + t * TASK_SIZE) / UNIT, UNUSED,
			       sim_tasks[t].heap_used / UNIT);
		sim_tasks[t].heap_used = 0;
	}
}

size_t arena_image_size(void)
{
	return image_saved;
}

char *arena_stack(int t)
{
	return arena + IMAGE_MAX + (unsigned)t * TASK_SIZE + HEAP_MAX;
}

uint32_t arena_object(const void *p)
{
	uintptr_t off = (uintptr_t)p - (uintptr_t)arena;

	return off < ARENA_SIZE ? (uint32_t)(off / 4) : 0;
}

const void *sim_object_address(uint32_t obj)
{
	return arena + (size_t)obj * 4;
}

static void *alloc_from(char *base, uint32_t *used, uint32_t max, size_t n)
{
	size_t size = (n + UNIT - 1) / UNIT * UNIT + UNIT; /* one unused unit behind it */
	uint32_t start = *used;
	char *p;

	if (n >= CONTENT) {
		uintptr_t at = ((uintptr_t)base + start + CONTENT - 1) / CONTENT * CONTENT;

		start = (uint32_t)(at - (uintptr_t)base);
	}
	if (size > max || start > max - size) {
		/* Memory is not reused, so a task in an endless loop gets here before it reaches
		 * the step limit. */
		if (sim_current >= 0)
			sim_fail(SIM_LIVELOCK, NULL, 0,
				 "more than %u bytes allocated by one task in one execution", max);
		fprintf(stderr, "umemcg check: the simulated machine is out of memory\n");
		exit(125);
	}
	*used = start + (uint32_t)size;
	p = base + start;
	memset(p, 0, n);
	memset(&state[(size_t)(p - arena) / UNIT], LIVE, (n + UNIT - 1) / UNIT);
	state[(size_t)(p - arena) / UNIT] = LIVE_HEAD;
	return p;
}

void *sim_alloc(size_t n)
{
	int t = sim_current;

	if (n == 0)
		n = 1;
	if (t < 0)
		return alloc_from(arena, &image_used, IMAGE_MAX, n);
	return alloc_from(arena + IMAGE_MAX + (unsigned)t * TASK_SIZE, &sim_tasks[t].heap_used,
			  HEAP_MAX, n);
}

void *plat_alloc(size_t n)
{
	return fault_hit(FAULT_ALLOC) ? NULL : sim_alloc(n);
}

void plat_free(void *p)
{
	size_t u, n = 1;

	if (!p)
		return;
	u = (size_t)((char *)p - arena) / UNIT;
	if (u >= ARENA_SIZE / UNIT || state[u] != LIVE_HEAD)
		sim_fail(state[u] == FREED ? SIM_USE_AFTER_FREE : SIM_BUG, NULL, 0, "%s",
			 state[u] == FREED ? "freed twice" : "free of what was never allocated");
	while (state[u + n] == LIVE)
		n++;
	clocks_free(p, n * UNIT, __builtin_return_address(0));
	tso_freed(p, n * UNIT);
	memset(&state[u], FREED, n);
	memset(p, POISON, n * UNIT);
	ASAN_POISON_MEMORY_REGION(p, n * UNIT);
	poisoned = true;
}

void *plat_alloc_big(size_t n)
{
	return plat_alloc(n);
}

void plat_free_big(void *p, size_t n)
{
	(void)n;
	plat_free(p);
}

bool arena_in_use(const void *p)
{
	size_t u = (size_t)((const char *)p - arena) / UNIT;

	return u < ARENA_SIZE / UNIT && (state[u] == LIVE || state[u] == LIVE_HEAD);
}

void arena_check(const void *p, size_t n, bool write, sim_at at, void *pc)
{
	size_t off = (size_t)((const char *)p - arena), u = off / UNIT;
	char name[80];

	(void)n;
	if (off >= ARENA_SIZE || state[u] == LIVE || state[u] == LIVE_HEAD)
		return;
	if (off >= IMAGE_MAX && (off - IMAGE_MAX) % TASK_SIZE >= HEAP_MAX)
		return; /* a stack */
	if (!sim_name_of(p, name, sizeof(name)))
		snprintf(name, sizeof(name), "%p", p);
	sim_fail_pc(pc, NULL, -1);
	sim_fail(SIM_USE_AFTER_FREE, at ? at->file : NULL, at ? at->line : 0,
		 "%s of %s, which %s%s%s", write ? "write" : "read", name,
		 state[u] == FREED ? "was freed" : "is no allocation", at ? ": " : "",
		 at ? at->expr : "");
	crash_leave_end(); /* the content there is not an address */
}

unsigned arena_leaks(const void **first)
{
	unsigned n = 0;

	for (size_t u = image_saved / UNIT; u < ARENA_SIZE / UNIT; u++) {
		size_t off = u * UNIT;

		if (off >= IMAGE_MAX) {
			size_t in = (off - IMAGE_MAX) % TASK_SIZE,
			       t = (off - IMAGE_MAX) / TASK_SIZE;

			if (in >= sim_tasks[t].heap_used) {
				u = (IMAGE_MAX + (t + 1) * TASK_SIZE) / UNIT - 1;
				continue;
			}
		} else if (off >= image_used) {
			u = IMAGE_MAX / UNIT - 1;
			continue;
		}
		if (state[u] != LIVE_HEAD)
			continue;
		if (n++ == 0 && first)
			*first = arena + off;
	}
	return n;
}

/* ---- content ---- */

/* The object of content is its page: stores to two places in one page depend. */
static struct sim_op content_op(enum op_kind kind, const void *p, sim_at at, void *pc)
{
	const void *page = (const void *)((uintptr_t)p & ~(uintptr_t)(CONTENT - 1));

	return (struct sim_op){ .kind = (uint8_t)kind,
				.width = 8,
				.obj = arena_object(page),
				.mask = UINT64_MAX,
				.at = at,
				.pc = pc };
}

/* Is it shared? */
static bool is_content(const void *p)
{
	return sim_current >= 0 && arena_object(p) &&
	       (uintptr_t)p - (uintptr_t)arena_stack(sim_current) >= SIM_STACK_SIZE;
}

static void read_content(void *to, const void *src, size_t n, sim_at at, void *pc)
{
	if (is_content(src)) {
		arena_check(src, 1, false, at, pc);
		sim_point(content_op(OP_READ, src, at, pc));
		arena_check(src, 1, false, at, pc);
	}
	memcpy(to, src, n);
}

static void write_content(void *dst, const void *from, size_t n, sim_at at, void *pc)
{
	if (is_content(dst)) {
		arena_check(dst, 1, true, at, pc);
		sim_point(content_op(OP_WRITE, dst, at, pc));
		arena_check(dst, 1, true, at, pc);
	}
	memcpy(dst, from, n);
}

void sim_copy(void *dst, const void *src, size_t n, sim_at at_src, sim_at at_dst)
{
	char between[CONTENT];

	if (n > sizeof(between))
		sim_fail(SIM_BUG, at_src->file, at_src->line, "content is copied in pages");
	read_content(between, src, n, at_src, __builtin_return_address(0));
	write_content(dst, between, n, at_dst, __builtin_return_address(0));
}

/* ---- names ---- */

void sim_name(const void *p, size_t n, const char *fmt, ...)
{
	va_list ap;

	if (nr_names == NAMES_MAX)
		return;
	names[nr_names].p = p;
	names[nr_names].n = n;
	va_start(ap, fmt);
	vsnprintf(names[nr_names].text, sizeof(names[0].text), fmt, ap);
	va_end(ap);
	nr_names++;
}

/* The smallest named thing that holds @p. */
const char *sim_name_at(const void *p, const void **start, size_t *size)
{
	int best = -1;

	for (unsigned i = 0; i < nr_names; i++)
		if ((const char *)p >= names[i].p && (const char *)p < names[i].p + names[i].n &&
		    (best < 0 || names[i].n < names[best].n))
			best = (int)i;
	if (best < 0)
		return NULL;
	*start = names[best].p;
	*size = names[best].n;
	return names[best].text;
}

const char *sim_name_from(const void *p)
{
	int best = -1;

	for (unsigned i = 0; i < nr_names; i++)
		if (names[i].p == p && (best < 0 || names[i].n > names[best].n))
			best = (int)i;
	return best < 0 ? NULL : names[best].text;
}

bool sim_name_of(const void *p, char *buf, size_t n)
{
	const void *start;
	size_t size;
	const char *name = sim_name_at(p, &start, &size);

	if (name)
		snprintf(buf, n, "%s", name);
	return name != NULL;
}
