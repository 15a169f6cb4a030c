/* tests/unit/serve/process/target_test.c - which programs can load the agent: the decision, on
 * files that are byte tables. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "serve/process/target.h"
#include "test.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

#define FILE_BYTES 4096
#define FILES_MAX  8

static struct {
	const char *path;
	char bytes[FILE_BYTES];
	size_t size;
} files[FILES_MAX];
static int nr_files;

static long read_table(const char *path, void *buf, size_t n, size_t at)
{
	for (int i = 0; i < nr_files; i++) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		if (at >= files[i].size)
			return 0;
		n = n < files[i].size - at ? n : files[i].size - at;
		memcpy(buf, files[i].bytes + at, n);
		return (long)n;
	}
	return -ENOENT;
}

static char *new_file(const char *path, size_t size)
{
	assert_true(nr_files < FILES_MAX && size <= FILE_BYTES);
	files[nr_files].path = path;
	files[nr_files].size = size;
	memset(files[nr_files].bytes, 0, FILE_BYTES);
	return files[nr_files++].bytes;
}

static void script(const char *path, const char *line)
{
	strcpy(new_file(path, strlen(line)), line);
}

/* An executable whose second program header, at @table, names @loader; NULL: none does. */
static void elf64(const char *path, unsigned machine, const char *loader, size_t table)
{
	char *file = new_file(path, FILE_BYTES);
	Elf64_Ehdr e = { .e_machine = (Elf64_Half)machine, .e_phoff = table, .e_phnum = 2 };
	Elf64_Phdr part[2] = { { .p_type = PT_LOAD },
			       { .p_type = loader ? PT_INTERP : PT_LOAD, .p_offset = 3000 } };

	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS64;
	memcpy(file, &e, sizeof(e));
	memcpy(file + table, part, sizeof(part));
	if (loader)
		strcpy(file + 3000, loader);
}

static void elf32(const char *path, bool loader)
{
	char *file = new_file(path, FILE_BYTES);
	Elf32_Ehdr e = { .e_machine = EM_386, .e_phoff = sizeof(e), .e_phnum = 1 };
	Elf32_Phdr part = { .p_type = loader ? PT_INTERP : PT_LOAD, .p_offset = 3000 };

	memcpy(e.e_ident, ELFMAG, SELFMAG);
	e.e_ident[EI_CLASS] = ELFCLASS32;
	memcpy(file, &e, sizeof(e));
	memcpy(file + sizeof(e), &part, sizeof(part));
}

static enum target look(const char *path)
{
	return target_of(path, read_table);
}

/* Loaders that know our library accept it, wherever they are and wherever in the file they are
 * named. */
TEST(programs_of_our_kind_take_the_agent)
{
	nr_files = 0;
	elf64("glibc", MACHINE, "/lib64/ld-linux-x86-64.so.2", sizeof(Elf64_Ehdr));
	elf64("own", MACHINE, "/opt/own/loader.so", sizeof(Elf64_Ehdr));
	elf64("far", MACHINE, "/lib64/ld-linux-x86-64.so.2", 2000);
	assert_int_equal(look("glibc"), TARGET_TAKES);
	assert_int_equal(look("own"), TARGET_TAKES);
	assert_int_equal(look("far"), TARGET_TAKES);
	assert_int_equal(look("nowhere"), TARGET_TAKES);
}

/* musl's loader loads it silently, and it can do nothing there. */
TEST(programs_of_musl_are_told_apart)
{
	nr_files = 0;
	elf64("musl", MACHINE, "/lib/ld-musl-x86_64.so.1", sizeof(Elf64_Ehdr));
	elf64("bare", MACHINE, "ld-musl-aarch64.so.1", 2000);
	elf64("alike", MACHINE, "/ld-musl/ld-linux-x86-64.so.2", sizeof(Elf64_Ehdr));
	assert_int_equal(look("musl"), TARGET_SILENT);
	assert_int_equal(look("bare"), TARGET_SILENT);
	assert_int_equal(look("alike"), TARGET_TAKES);
}

/* Other loaders complain. */
TEST(programs_of_another_kind_refuse_the_agent)
{
	nr_files = 0;
	elf64("other", MACHINE + 1, "/lib64/ld-linux-x86-64.so.2", sizeof(Elf64_Ehdr));
	elf64("bionic", MACHINE, "/system/bin/linker64", sizeof(Elf64_Ehdr));
	elf64("uclibc", MACHINE, "/lib/ld64-uClibc.so.1", 2000);
	elf32("small", true);
	assert_int_equal(look("other"), TARGET_REFUSES);
	assert_int_equal(look("bionic"), TARGET_REFUSES);
	assert_int_equal(look("uclibc"), TARGET_REFUSES);
	assert_int_equal(look("small"), TARGET_REFUSES);
}

/* A program without a loader passes its environment on, whatever its kind. */
TEST(programs_without_a_loader_are_told_apart)
{
	nr_files = 0;
	elf64("static", MACHINE, NULL, sizeof(Elf64_Ehdr));
	elf64("guest", MACHINE + 1, NULL, 2000);
	elf32("small", false);
	assert_int_equal(look("static"), TARGET_STATIC);
	assert_int_equal(look("guest"), TARGET_STATIC);
	assert_int_equal(look("small"), TARGET_STATIC);
}

/* The interpreter is what is executed, through scripts of scripts; as many as the kernel
 * follows. */
TEST(scripts_are_what_their_interpreters_are)
{
	nr_files = 0;
	elf32("small", true);
	script("one", "#!small\n");
	script("two", "#! \tone -x\nsmall");
	script("loop", "#!loop\n");
	script("empty", "#!\n");
	script("text", "echo hi\n");
	assert_int_equal(look("one"), TARGET_REFUSES);
	assert_int_equal(look("two"), TARGET_REFUSES);
	assert_int_equal(look("loop"), TARGET_TAKES);
	assert_int_equal(look("empty"), TARGET_TAKES);
	assert_int_equal(look("text"), TARGET_TAKES);
}

/* Files that end early, or point past their end, are left to the kernel. */
TEST(broken_files_are_no_harm)
{
	nr_files = 0;
	elf64("cut", MACHINE, "/system/bin/linker64", FILE_BYTES - 8 - 2 * sizeof(Elf64_Phdr));
	files[0].size = FILE_BYTES - 80;
	elf64("head", MACHINE, NULL, sizeof(Elf64_Ehdr));
	files[1].size = 20;
	assert_int_equal(look("cut"), TARGET_TAKES);
	assert_int_equal(look("head"), TARGET_TAKES);
}

/* Only our entry is removed, and it is found between others. */
TEST(the_agent_is_left_out_of_a_list)
{
	static const struct {
		const char *list, *rest, *agent;
	} t[] = {
		{ "/l/libumemcg-agent.so", "", "/l/libumemcg-agent.so" },
		{ "/l/libumemcg-agent.so:/x/a.so b.so", "/x/a.so:b.so", "/l/libumemcg-agent.so" },
		{ "a.so /l/libumemcg-agent.so:b.so", "a.so:b.so", "/l/libumemcg-agent.so" },
		{ "/m/libumemcg-agent.so:/l/libumemcg-agent.so", "", "/m/libumemcg-agent.so" },
		{ "mylibumemcg-agent.so", "mylibumemcg-agent.so", NULL },
		{ "", "", NULL },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char out[128] = "?", agent[128] = "?";

		assert_int_equal(target_leave_out(t[i].list, out), t[i].agent != NULL);
		assert_string_equal(out, t[i].rest);
		assert_int_equal(target_agent(t[i].list, agent, sizeof(agent)), t[i].agent != NULL);
		if (t[i].agent)
			assert_string_equal(agent, t[i].agent);
		assert_false(t[i].agent && target_agent(t[i].list, agent, 4));
	}
}
