/* agent/hook.c - redirects libc's own mmap family and execve family to ours.
 *
 * malloc, thread creation and the rest of libc call these functions directly, past the PLT, so an
 * exported symbol does not catch them. A jump is written over each function's first bytes instead;
 * the replacements never come back, so the original need not survive.
 *
 * Of fork only the system call is redirected (fork.c): libc does its own work around it.
 *
 * All or nothing, except for exec and fork: a libc that cannot be redirected (a function too short,
 * mprotect refused) is left as it is, and only the exported symbols work. Runs in the constructor,
 * normally before there is a second thread.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/fork.h"
#include "agent/sys.h"

#if defined(__x86_64__)
/* jmp *0(%rip); .quad target */
static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
#else
/* bti c; ldr x16, #8; br x16; .quad target */
static const uint32_t jump[] = { 0xd503245f, 0x58000050, 0xd61f0200 };
#endif

#define JUMP_BYTES (sizeof jump + sizeof(uint64_t))
#define SPAN_MAX   (4u << 20)

struct redirect {
	const char *name;
	void *target;
	char *entry; /* NULL: left alone */
	bool optional;
};

static struct redirect redirects[] = {
	{ .name = "mmap", .target = (void *)hook_mmap },
	{ .name = "mmap64", .target = (void *)hook_mmap },
	{ .name = "munmap", .target = (void *)hook_munmap },
	{ .name = "mremap", .target = (void *)hook_mremap },
	{ .name = "brk", .target = (void *)hook_brk },
	{ .name = "madvise", .target = (void *)hook_madvise },
	{ .name = "mlock", .target = (void *)hook_mlock },
	{ .name = "mlock2", .target = (void *)hook_mlock2 },
	{ .name = "mlockall", .target = (void *)hook_mlockall },
	{ .name = "munlock", .target = (void *)hook_munlock },
	{ .name = "munlockall", .target = (void *)hook_munlockall },
	{ .name = "syscall", .target = (void *)hook_syscall },
	{ .name = "getppid", .target = (void *)hook_getppid, .optional = true },
	{ .name = "execve", .target = (void *)hook_execve, .optional = true },
	{ .name = "execveat", .target = (void *)hook_execveat, .optional = true },
	{ .name = "fexecve", .target = (void *)hook_fexecve, .optional = true },
	{ .name = "unshare", .target = (void *)hook_unshare, .optional = true },
	{ .name = "setns", .target = (void *)hook_setns, .optional = true },
};

#define NR_REDIRECTS (sizeof redirects / sizeof redirects[0])

/* libc's dynamic symbols, by GNU hash. dladdr1(3) would tell a function's size too, but walks the
 * whole table each time: 150 us per program start. */
struct symbols {
	uintptr_t base;
	const ElfW(Sym) * table;
	const char *names;
	const uint32_t *buckets, *chains; /* chains is indexed like table */
	uint32_t nr_buckets;
};

static bool symbols_open(struct symbols *s, const struct link_map *map)
{
	const uint32_t *hash = NULL;
	const ElfW(Dyn) * d;

	s->base = map->l_addr;
	s->table = NULL;
	s->names = NULL;
	for (d = map->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_GNU_HASH)
			hash = (const uint32_t *)d->d_un.d_ptr;
		else if (d->d_tag == DT_SYMTAB)
			s->table = (const ElfW(Sym) *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			s->names = (const char *)d->d_un.d_ptr;
	}
	if (!hash || !s->table || !s->names || !hash[0])
		return false;
	/* nr_buckets, first symbol, words of the Bloom filter, its shift, filter, buckets */
	s->nr_buckets = hash[0];
	s->buckets = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof hash[0]);
	s->chains = s->buckets + s->nr_buckets - hash[1];
	return true;
}

/* The size of the function @name at @entry; 0 if there is none. */
static size_t symbol_size(const struct symbols *s, const char *name, const void *entry)
{
	uint32_t hash = 5381, i;
	const char *c;

	for (c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	i = s->buckets[hash % s->nr_buckets];
	if (!i)
		return 0;
	do {
		const ElfW(Sym) *sym = &s->table[i];

		if (((s->chains[i] ^ hash) >> 1) == 0 &&
		    s->base + sym->st_value == (uintptr_t)entry &&
		    !strcmp(s->names + sym->st_name, name))
			return sym->st_size;
	} while (!(s->chains[i++] & 1));
	return 0;
}

static void write_jump(const struct redirect *r)
{
	uint64_t target = (uintptr_t)r->target;

	memcpy(r->entry, jump, sizeof jump);
	memcpy(r->entry + sizeof jump, &target, sizeof target);
	__builtin___clear_cache(r->entry, r->entry + JUMP_BYTES);
}

/* ---- the system call of fork ---- */

#if defined(__x86_64__)
/* mov $SYS_clone, %eax; syscall */
static const uint8_t site_code[] = { 0xb8, SYS_clone, 0, 0, 0, 0x0f, 0x05 };
#define SITE_JUMP 5 /* jmp rel32; the rest is never reached */

static char *site, *site_stub;

/* Find the instruction, once, in the function that forks. The jump there reaches 2 GiB: it leads to
 * a stub behind our jump in mmap, whose body is not used any more. */
static void find_site(const struct symbols *s, void *libc, char *spare, size_t spare_size)
{
	static const char *const in[] = { "_Fork", "fork" };
	size_t i, k;

	site = NULL;
	if (!spare || spare_size < 2 * JUMP_BYTES)
		return;
	for (i = 0; i < sizeof in / sizeof in[0] && !site; i++) {
		char *f = dlsym(libc, in[i]);
		size_t n = f ? symbol_size(s, in[i], f) : 0, found = 0;

		for (k = 0; k + sizeof site_code <= n; k++) {
			if (memcmp(f + k, site_code, sizeof site_code))
				continue;
			site = f + k;
			found++;
		}
		if (found > 1)
			site = NULL;
	}
	site_stub = spare + JUMP_BYTES;
}

static void write_site(void)
{
	const struct redirect stub = { .target = (void *)fork_site_entry, .entry = site_stub };
	int32_t to;

	if (!site)
		return;
	to = (int32_t)(site_stub - (site + SITE_JUMP));
	fork_site_return = site + sizeof site_code;
	write_jump(&stub);
	site[0] = (char)0xe9;
	memcpy(site + 1, &to, sizeof to);
}
#else
static char *const site;

static void find_site(const struct symbols *s, void *libc, char *spare, size_t spare_size)
{
	(void)s, (void)libc, (void)spare, (void)spare_size;
}

static void write_site(void) {}
#endif

/* One mprotect over all of them: only the written pages are copied. */
static bool write_jumps(uintptr_t first, uintptr_t end)
{
	uintptr_t start = first & ~(agent_page - 1);
	size_t len = ((end + agent_page - 1) & ~(agent_page - 1)) - start;
	size_t i;

	if (len > SPAN_MAX ||
	    sys_call3(SYS_mprotect, start, len, PROT_READ | PROT_WRITE | PROT_EXEC) < 0)
		return false;
	for (i = 0; i < NR_REDIRECTS; i++)
		if (redirects[i].entry)
			write_jump(&redirects[i]);
	write_site();
	sys_call3(SYS_mprotect, start, len, PROT_READ | PROT_EXEC);
	return true;
}

/* True if libc's own calls reach us from now on. */
bool hook_install(void)
{
	/* With glibc a handle is the link map. */
	void *libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_LAZY);
	uintptr_t first = UINTPTR_MAX, end = 0;
	struct symbols symbols;
	size_t i, size;

	if (!libc || !symbols_open(&symbols, libc))
		return false;
	maps_set_curbrk(dlsym(libc, "__curbrk"));
	for (i = 0; i < NR_REDIRECTS; i++) {
		uintptr_t entry;

		redirects[i].entry = dlsym(libc, redirects[i].name);
		size = redirects[i].entry
			       ? symbol_size(&symbols, redirects[i].name, redirects[i].entry)
			       : 0;
		if (size < JUMP_BYTES) {
			agent_debug(redirects[i].name, -1);
			if (!redirects[i].optional)
				return false;
			redirects[i].entry = NULL;
			continue;
		}
		if (redirects[i].target == (void *)hook_mmap && !site)
			find_site(&symbols, libc, redirects[i].entry, size);
		entry = (uintptr_t)redirects[i].entry;
		first = entry < first ? entry : first;
		end = entry + JUMP_BYTES > end ? entry + JUMP_BYTES : end;
	}
	if (site) {
		first = (uintptr_t)site < first ? (uintptr_t)site : first;
		end = (uintptr_t)site + JUMP_BYTES > end ? (uintptr_t)site + JUMP_BYTES : end;
	}
	return write_jumps(first, end);
}
