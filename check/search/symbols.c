/* check/search/symbols.c - code addresses as functions and lines, from the program's own debug
 * information.
 *
 * libdw (elfutils) reads it; without it the drawings show where the source names the operation
 * itself. An address in an inlined function belongs to that function and to all it is inlined into;
 * the line in each is where it continues inward.
 */
#include "search/symbols.h"

#include <string.h>

const char *source_name(const char *file)
{
	static const char *const tops[] = { "src/", "check/", "tests/" };

	for (unsigned i = 0; file && i < sizeof(tops) / sizeof(tops[0]); i++)
		for (const char *p = file; (p = strstr(p, tops[i])); p++)
			if (p == file || p[-1] == '/')
				return p;
	return file;
}

#if HAVE_LIBDW

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <unistd.h>

static Dwfl *dwfl;

static bool begin(void)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
	};

	if (dwfl)
		return true;
	dwfl = dwfl_begin(&callbacks);
	if (dwfl && (dwfl_linux_proc_report(dwfl, getpid()) != 0 ||
		     dwfl_report_end(dwfl, NULL, NULL) != 0)) {
		dwfl_end(dwfl);
		dwfl = NULL;
	}
	return dwfl != NULL;
}

static const char *call_file(Dwarf_Die *cu, Dwarf_Die *inlined)
{
	Dwarf_Attribute attr;
	Dwarf_Files *files;
	Dwarf_Word n;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &n) != 0 ||
	    dwarf_getsrcfiles(cu, &files, NULL) != 0)
		return NULL;
	return dwarf_filesrc(files, n, NULL, NULL);
}

static int call_line(Dwarf_Die *inlined)
{
	Dwarf_Attribute attr;
	Dwarf_Word n;

	return dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &n) == 0 ? (int)n : 0;
}

/* From the innermost scope outwards, up to the function that really exists there. */
static unsigned walk(Dwarf_Die *cu, Dwarf_Die *scopes, int nr_scopes, struct source_line here,
		     struct source_line *lines, unsigned max)
{
	unsigned n = 0;

	for (int i = 0; i < nr_scopes && n < max; i++) {
		int tag = dwarf_tag(&scopes[i]);

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		here.func = dwarf_diename(&scopes[i]);
		if (here.func)
			lines[n++] = here;
		if (tag == DW_TAG_subprogram)
			break;
		here.file = source_name(call_file(cu, &scopes[i]));
		here.line = call_line(&scopes[i]);
	}
	return n;
}

unsigned symbols_at(const void *pc, struct source_line *lines, unsigned max)
{
	Dwarf_Addr bias, addr = (Dwarf_Addr)(uintptr_t)pc - 1; /* in the call, not after it */
	Dwarf_Die *cu, *at = NULL, *scopes = NULL;
	struct source_line here = { NULL, NULL, 0 };
	Dwarf_Line *line;
	unsigned n = 0;
	int nr;

	if (!pc || !begin())
		return 0;
	cu = dwfl_module_addrdie(dwfl_addrmodule(dwfl, addr), addr, &bias);
	if (!cu)
		return 0;
	addr -= bias;
	line = dwarf_getsrc_die(cu, addr);
	if (line) {
		here.file = source_name(dwarf_linesrc(line, NULL, NULL));
		dwarf_lineno(line, &here.line);
	}
	if (dwarf_getscopes(cu, addr, &at) > 0) {
		/* Of the place in the code; the scopes above are those of the source. */
		nr = dwarf_getscopes_die(&at[0], &scopes);
		if (nr > 0)
			n = walk(cu, scopes, nr, here, lines, max);
	}
	free(at);
	free(scopes);
	return n;
}

bool symbols_known(void)
{
	struct source_line line;

	return symbols_at((const char *)(uintptr_t)symbols_at + 1, &line, 1) == 1;
}

#else

unsigned symbols_at(const void *pc, struct source_line *lines, unsigned max)
{
	(void)pc, (void)lines, (void)max;
	return 0;
}

bool symbols_known(void)
{
	return false;
}

#endif
