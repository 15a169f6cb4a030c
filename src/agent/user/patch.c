/* agent/user/patch.c - system call instructions that are used often become jumps.
 *
 * A dispatched call costs a signal. So the handler of SIGSYS counts by instruction, and at the
 * HOT-th call from one it writes a jump there. Nothing is scanned or written before: a program that
 * ends soon pays for its calls only, and one that runs on has jumps just where it needs them. No
 * disassembler and no table of known libraries is needed, because both forms leave everything that
 * a jump could lead to as it is:
 *
 *     before      mov $nr, %eax;  syscall            5 bytes, 2 bytes
 *                 jmp stub;       syscall            for who comes from elsewhere: dispatched
 *                 (the same with mov %r11, 8(%rsp))
 *
 *     behind      syscall; cmp $-4096, %rax          0f 05, 48 3d 00 f0 ff ff
 *                 jmp stub                           e9 XX  48 3d 00 (f0 ff ff)
 *                          cmp $-4096, %rax          is still there for who returns to it
 *
 * The second reads the comparison's first three bytes as the upper part of its distance. They say
 * where the stub must be, give or take the 256 bytes of XX: 4 MB above, say. If something else is
 * there the instruction stays dispatched.
 *
 * A stub is 64 bytes: the moved instruction, addresses into r11 and rcx, a jump to the entry; in
 * the second form the comparison and a jump back; and the address of the site, for a signal that
 * interrupts it: its context is set back to the site, which unwinders know.
 *
 * Other threads may execute what is written. The first form is one aligned store of 8 bytes, or not
 * used once there was a second thread; of the second two bytes change, within a cache line.
 *
 * I1  Only text that was loaded before the start is changed: it stays where it is.
 * I2  A stub is complete before its site is written, and stays.
 *
 * Locks: writer, by trylock; signals are blocked.
 */
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "agent/user/inside.h"

#if defined(__x86_64__)

#define HOT           32
#define SYSCALL_BYTES 2
#define NR_SITES      512
#define NR_TEXTS      96
#define NR_PAGES      64
#define PAGE          4096ul
#define STUB_BYTES    64
#define STUB_SITE     56 /* where in a stub its site is */
#define STUB_REST     48 /* ... and where its rest begins; 0: it has none */
#define COUNT_BITS    16
#define DONE          ((1u << COUNT_BITS) - 1)
#define NEAR          (64l << 20)

struct text {
	uint64_t start, end; /* pages */
	bool written;
};

static struct text text[NR_TEXTS]; /* I1 */
static unsigned int nr_texts;
static uint64_t count[NR_SITES]; /* (A) address behind the instruction; in the low bits, calls */
static uint32_t writer;          /* (A) */
static bool off;                 /* text cannot be written here */

/* A page of stubs: the address of the entry, then stubs. Added to under writer. */
static uint64_t page[NR_PAGES];
static uint32_t nr_pages; /* (A) */

struct site {
	uint64_t at;        /* where the jump goes */
	uint64_t ip;        /* behind the system call instruction */
	bool before;        /* the first form */
	unsigned int after; /* bytes of the comparison behind it */
};

/* ---- stubs ---- */

static bool is_ours(uint64_t at)
{
	uint32_t n = __atomic_load_n(&nr_pages, __ATOMIC_ACQUIRE), i;

	for (i = 0; i < n; i++)
		if (page[i] == at)
			return true;
	return false;
}

uint64_t entry_rewind(uint64_t ip)
{
	uint64_t stub, site, rest;

	if (!is_ours(ip & ~(PAGE - 1)))
		return ip;
	stub = ip & ~(uint64_t)(STUB_BYTES - 1);
	site = *(const uint64_t *)(stub + STUB_SITE);
	rest = *(const uint64_t *)(stub + STUB_REST);
	return rest && ip >= rest ? site + SYSCALL_BYTES : site;
}

static bool writable(uint64_t at, size_t size, bool yes)
{
	return !sys_call3(SYS_mprotect, at & ~(PAGE - 1), size,
			  PROT_READ | PROT_EXEC | (yes ? PROT_WRITE : 0));
}

/* A new page for stubs. @exactly: there or nowhere. 0: it is not possible. */
static uint64_t add_page(uint64_t at, bool exactly)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (exactly ? MAP_FIXED_NOREPLACE : 0);
	long got;

	if (nr_pages == NR_PAGES)
		return 0;
	got = sys_mmap((void *)at, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
	if (got < 0 || (exactly && got != (long)at))
		return 0;
	*(uint64_t *)got = (uintptr_t)user_entry;
	page[nr_pages] = (uint64_t)got;
	__atomic_store_n(&nr_pages, nr_pages + 1, __ATOMIC_RELEASE);
	return (uint64_t)got;
}

static bool is_free(uint64_t stub)
{
	return !*(const uint64_t *)(stub + STUB_SITE);
}

static bool reaches(uint64_t from, uint64_t to)
{
	int64_t d = (int64_t)(to - from);

	return d == (int32_t)d;
}

/* A free stub within reach, for the first form. */
static uint64_t find_stub(uint64_t site)
{
	uint64_t p, s;
	uint32_t i;

	for (i = 0; i < nr_pages; i++)
		for (s = page[i] + STUB_BYTES; s < page[i] + PAGE; s += STUB_BYTES)
			if (is_free(s) && reaches(site + 5, s))
				return s;
	p = add_page((site & ~(PAGE - 1)) - NEAR, false);
	return p && reaches(site + 5, p) && reaches(site + 5, p + PAGE) ? p + STUB_BYTES : 0;
}

/* The one of up to four places that the instruction behind leaves to the second form. */
static uint64_t find_punned(uint64_t site)
{
	const uint64_t low = site + 5 + (*(const uint32_t *)(site + 1) & ~0xffu) -
			     (*(const int8_t *)(site + 4) < 0 ? 1ull << 32 : 0);
	uint64_t s = (low + STUB_BYTES - 1) & ~(uint64_t)(STUB_BYTES - 1), p;

	for (; s <= low + 0xff; s += STUB_BYTES) {
		p = s & ~(PAGE - 1);
		if (s == p) /* the entry's address is there */
			continue;
		if (!is_ours(p) && !add_page(p, true))
			continue;
		if (is_free(s))
			return s;
	}
	return 0;
}

static char *put(char *at, const void *from, size_t n)
{
	const char *f = from;

	while (n--)
		*at++ = *f++;
	return at;
}

/* lea to, reg; with a REX prefix @rex and ModRM @modrm. */
static char *put_lea(char *at, uint8_t rex, uint8_t modrm, uint64_t to)
{
	const uint8_t lea[] = { rex, 0x8d, modrm };
	int32_t d = (int32_t)(to - ((uintptr_t)at + 7));

	return put(put(at, lea, sizeof lea), &d, sizeof d);
}

static char *put_jump(char *at, uint64_t to)
{
	static const uint8_t jump[] = { 0xe9 };
	int32_t d = (int32_t)(to - ((uintptr_t)at + 5));

	return put(put(at, jump, sizeof jump), &d, sizeof d);
}

/* Through the address at the page's start, where the agent is far away. */
static char *put_entry(char *at, uint64_t stub)
{
	static const uint8_t jump[] = { 0xff, 0x25 };
	int32_t d = (int32_t)((stub & ~(PAGE - 1)) - ((uintptr_t)at + 6));

	if (reaches((uintptr_t)at + 5, (uintptr_t)user_entry))
		return put_jump(at, (uintptr_t)user_entry);
	return put(put(at, jump, sizeof jump), &d, sizeof d);
}

/* The first form goes on behind its instruction; the second with a comparison of its own, and
 * behind the program's: to go on inside of what is a jump costs a tenth of a call. */
static void write_stub(uint64_t stub, const struct site *s)
{
	const bool rest = !s->before;
	char *at = (char *)stub, *lea;

	if (s->before)
		at = put(at, (const void *)s->at, 5);
	at = put_lea(at, 0x4c, 0x1d, s->ip); /* r11 */
	lea = at;
	at = put_entry(at + 7, stub);
	put_lea(lea, 0x48, 0x0d, rest ? (uintptr_t)at : s->ip); /* rcx */
	*(uint64_t *)(stub + STUB_REST) = rest ? (uintptr_t)at : 0;
	if (rest)
		put_jump(put(at, (const void *)s->ip, s->after), s->ip + s->after);
	*(uint64_t *)(stub + STUB_SITE) = s->at;
}

/* ---- sites ---- */

/* mov $nr, %eax, and no byte before it that makes another instruction of it; or mov %r11, 8(%rsp),
 * as in the one place where glibc has its cancellable calls since 2.41. */
static bool has_before(uint64_t ip, uint32_t nr)
{
	const uint8_t *p = (const uint8_t *)ip - 7;
	uint32_t value;
	bool number, store;

	__builtin_memcpy(&value, p + 1, sizeof value);
	number = p[0] == 0xb8 && value == nr && (p[-1] & 0xf0) != 0x40;
	store = p[0] == 0x4c && p[1] == 0x89 && p[2] == 0x5c && p[3] == 0x24 && p[4] == 8;
	return (number || store) && (!entry_threaded() || ((uintptr_t)p & 7) <= 3);
}

/* The size of the comparison of the result behind it, which has three bytes at least; 0: none. */
static unsigned int has_behind(uint64_t ip)
{
	const uint8_t *p = (const uint8_t *)ip;

	if ((ip - 2) % 64 == 63 || (ip - 2) / PAGE != (ip + 2) / PAGE)
		return 0;
	if (p[0] == 0x48 && p[1] == 0x3d)
		return 6;
	if (p[0] == 0x3d)
		return 5;
	return p[0] == 0x48 && p[1] == 0x83 && p[2] == 0xf8 ? 4 : 0;
}

static void write_site(const struct site *s, uint64_t stub)
{
	int32_t d = (int32_t)(stub - (s->at + 5));
	union {
		uint64_t word;
		uint8_t byte[8];
	} new;
	uint64_t start = s->at & ~7ull;

	if (!s->before) {
		*(volatile uint16_t *)s->at = (uint16_t)(0xe9 | (d & 0xff) << 8);
		return;
	}
	if (s->at - start <= 3) {
		new.word = *(const uint64_t *)start;
		new.byte[s->at - start] = 0xe9;
		__builtin_memcpy(&new.byte[s->at - start + 1], &d, sizeof d);
		__atomic_store_n((uint64_t *)start, new.word, __ATOMIC_RELEASE);
		return;
	}
	*(volatile uint8_t *)s->at = 0xe9; /* nobody else is here */
	__builtin_memcpy((char *)s->at + 1, &d, sizeof d);
}

/* All of a text the first time: what was writable once is another mapping for the kernel, and
 * single pages would remain so. */
static bool write_all(const struct site *s, uint64_t stub, struct text *t)
{
	uint64_t start = t->written ? s->at & ~(PAGE - 1) : t->start,
		 end = t->written ? (s->at + 4 + PAGE) & ~(PAGE - 1) : t->end;

	if (!writable(stub, PAGE, true))
		return false;
	write_stub(stub, s);
	writable(stub, PAGE, false);
	if (!writable(start, end - start, true))
		return false;
	write_site(s, stub);
	writable(start, end - start, false);
	t->written = true;
	return true;
}

/* False: it cannot be done now. */
static bool patch(uint64_t ip, uint32_t nr, struct text *t)
{
	struct site s = { .ip = ip };
	uint64_t stub = 0;
	uint32_t free = 0;

	if (off || !__atomic_compare_exchange_n(&writer, &free, 1, false, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
		return false;
	s.before = has_before(ip, nr);
	s.after = has_behind(ip);
	s.at = ip - (s.before ? 5 + SYSCALL_BYTES : SYSCALL_BYTES);
	if (s.before)
		stub = find_stub(s.at);
	else if (s.after)
		stub = find_punned(s.at);
	if (stub && !write_all(&s, stub, t))
		off = true;
	__atomic_store_n(&writer, 0, __ATOMIC_RELEASE);
	return true;
}

static struct text *text_of(uint64_t ip)
{
	unsigned int i;

	for (i = 0; i < nr_texts; i++)
		if (ip - 8 >= text[i].start && ip + 8 <= text[i].end)
			return &text[i];
	return NULL;
}

void entry_count(uint64_t ip, uint32_t nr)
{
	size_t i = (size_t)(ip * 0x9e3779b97f4a7c15ull >> 55), n;
	uint64_t *c, was;
	struct text *t;

	for (n = 0; n < 8; n++) {
		c = &count[(i + n) % NR_SITES];
		was = __atomic_load_n(c, __ATOMIC_RELAXED);
		if (!was)
			was = ip << COUNT_BITS;
		if (was >> COUNT_BITS != (ip & (~0ull >> COUNT_BITS)))
			continue;
		if ((was & DONE) == DONE)
			return;
		was++;
		if ((was & DONE) >= HOT) {
			t = text_of(ip);
			if (!t || patch(ip, nr, t))
				was |= DONE;
		}
		if ((was & DONE) == DONE - 1)
			was--;
		__atomic_store_n(c, was, __ATOMIC_RELAXED);
		return;
	}
}

static int note_text(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t start, end;
	int i;

	(void)size;
	(void)arg;
	for (i = 0; i < info->dlpi_phnum && nr_texts < NR_TEXTS; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		start = info->dlpi_addr + p->p_vaddr;
		end = start + p->p_memsz;
		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || p->p_flags & PF_W ||
		    start == entry_text || start == getauxval(AT_SYSINFO_EHDR))
			continue;
		text[nr_texts++] = (struct text){ .start = start & ~(PAGE - 1),
						  .end = (end + PAGE - 1) & ~(PAGE - 1) };
	}
	return 0;
}

void entry_patch_start(void)
{
	dl_iterate_phdr(note_text, NULL);
}

void entry_patch_forked(void)
{
	writer = 0;
}

#endif
