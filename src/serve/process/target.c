/* serve/process/target.c - examines a program before it is executed. See target.h. */
#include <elf.h>
#include <string.h>

#include "serve/process/target.h"

#define SCRIPTS_MAX 5    /* nested script interpreters: the kernel's limit */
#define NAME_MAX_   256  /* the kernel reads no more of a script's first line */
#define HEAD_BYTES  1024 /* header and program headers, as linkers lay them out */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

/* Loaders of other C libraries than glibc and musl, which do not know their libraries. */
static const char *const strangers[] = { "linker", "ld-uClibc", "ld64-uClibc" };

/* Location of the program headers, for either ELF class. */
struct table {
	size_t at, each, n;
};

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static struct table table_of(const char *head)
{
	Elf64_Ehdr e;
	Elf32_Ehdr small;

	if (head[EI_CLASS] == ELFCLASS64) {
		memcpy(&e, head, sizeof(e));
		return (struct table){ e.e_phoff, sizeof(Elf64_Phdr), e.e_phnum };
	}
	memcpy(&small, head, sizeof(small));
	return (struct table){ small.e_phoff, sizeof(Elf32_Phdr), small.e_phnum };
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_strange(const char *loader)
{
	const char *name = file_name(loader);

	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		if (begins(name, strangers[i]))
			return true;
	return false;
}

/* Decides by the loader that @phdr names. */
static enum target by_loader(const char *path, const char *head, const Elf64_Phdr *phdr,
			     target_read *read)
{
	char loader[NAME_MAX_];
	Elf64_Ehdr e;
	long got;

	memcpy(&e, head, sizeof(e));
	if (head[EI_CLASS] != ELFCLASS64 || e.e_machine != MACHINE)
		return TARGET_REFUSES;
	got = read(path, loader, sizeof(loader) - 1, phdr->p_offset);
	loader[got > 0 ? got : 0] = '\0';
	if (is_strange(loader))
		return TARGET_REFUSES;
	return begins(file_name(loader), "ld-musl") ? TARGET_SILENT : TARGET_TAKES;
}

static enum target by_elf(const char *path, const char *head, long got, target_read *read)
{
	struct table t = table_of(head);

	for (size_t i = 0; i < t.n; i++) {
		size_t at = t.at + i * t.each;
		Elf64_Phdr part; /* the type comes first in either class */

		memset(&part, 0, sizeof(part));
		if (at + t.each <= (size_t)got)
			memcpy(&part, head + at, t.each);
		else if (read(path, &part, t.each, at) != (long)t.each)
			return TARGET_TAKES;
		if (part.p_type == PT_INTERP)
			return by_loader(path, head, &part, read);
	}
	return TARGET_STATIC;
}

/* Copies the interpreter of a script whose first bytes are @head to @name. False: there is none. */
static bool interpreter(const char *head, char *name)
{
	const char *from = head + 2;
	size_t n;

	from += strspn(from, " \t");
	n = strcspn(from, " \t\n");
	if (!n || n >= NAME_MAX_)
		return false;
	memcpy(name, from, n);
	name[n] = '\0';
	return true;
}

enum target target_of(const char *path, target_read *read)
{
	char head[HEAD_BYTES], name[NAME_MAX_];

	for (int depth = 0; depth <= SCRIPTS_MAX; depth++) {
		long got = read(path, head, sizeof(head) - 1, 0);

		if (got < 2)
			break;
		head[got] = '\0';
		if (head[0] == '#' && head[1] == '!') {
			if (!interpreter(head, name))
				break;
			path = name;
			continue;
		}
		if (got < (long)sizeof(Elf64_Ehdr) || memcmp(head, ELFMAG, SELFMAG) != 0)
			break;
		return by_elf(path, head, got, read);
	}
	return TARGET_TAKES;
}

/* Length of the first entry of a list that starts without a separator. */
static size_t entry_length(const char *list)
{
	return strcspn(list, " :");
}

static bool is_agent(const char *entry, size_t n)
{
	const size_t name = strlen(TARGET_AGENT);

	return n >= name && !memcmp(entry + n - name, TARGET_AGENT, name) &&
	       (n == name || entry[n - name - 1] == '/');
}

bool target_leave_out(const char *value, char *out)
{
	bool found = false;
	char *end = out;

	while (*(value += strspn(value, " :"))) {
		size_t n = entry_length(value);

		if (is_agent(value, n)) {
			found = true;
		} else {
			if (end != out)
				*end++ = ':';
			memmove(end, value, n);
			end += n;
		}
		value += n;
	}
	*end = '\0';
	return found;
}

const char *target_find(const char *value, size_t *n)
{
	while (*(value += strspn(value, " :"))) {
		*n = entry_length(value);
		if (is_agent(value, *n))
			return value;
		value += *n;
	}
	return NULL;
}

bool target_agent(const char *value, char *out, size_t size)
{
	size_t n;
	const char *found = target_find(value, &n);

	if (!found || n >= size)
		return false;
	memcpy(out, found, n);
	out[n] = '\0';
	return true;
}
