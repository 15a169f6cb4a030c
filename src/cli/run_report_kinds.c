/* cli/run_report_kinds.c - the wording for the kinds of unmanaged memory. See run_report.h.
 *
 * Locks: none.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/run_report.h"

#define SHOWN_MAX   4
#define SHOWN_BYTES (64 * 1024) /* smaller kinds and processes are not mentioned */

static const struct {
	const char *key; /* in the JSON report */
	const char *text;
	const char *remedy; /* apart from raising -m; NULL: none */
} words[SERVE_NR_KINDS] = {
	[SERVE_KIND_STATIC] = { "static_programs", "static programs",
				"link the program dynamically" },
	[SERVE_KIND_NOAGENT] = { "foreign_programs", "programs without umemcg's library", NULL },
	[SERVE_KIND_FORKED] = { "forked_past", "processes forked past libc's fork", NULL },
	[SERVE_KIND_STACK] = { "main_stacks", "main stacks", NULL },
	[SERVE_KIND_THREAD] = { "thread_records", "libc's records and storage of threads", NULL },
	[SERVE_KIND_LIBRARY] = { "copied_data", "copied data pages of programs and libraries",
				 NULL },
	[SERVE_KIND_FILE] = { "private_file_pages", "changed pages of private file mappings",
			      "read the file instead of mapping it" },
	[SERVE_KIND_SHARED] = { "shared_memory", "shared memory with a name or a descriptor",
				"use anonymous shared memory" },
	[SERVE_KIND_SYSV] = { "sysv_segments", "System V segments of the kernel's", NULL },
	/* Both are transient: such memory is managed once it is found. */
	[SERVE_KIND_PENDING] = { "pending", "pages on their way", NULL },
	[SERVE_KIND_MAPPED] = { "mapped_past", "memory mapped past umemcg's library", NULL },
	[SERVE_KIND_AGENT] = { "own", "umemcg's own in the processes", NULL },
	[SERVE_KIND_OTHER] = { "other", "other processes", NULL },
};

const char *report_kind_key(enum serve_kind kind)
{
	return words[kind].key;
}

/* The largest kind not in @shown yet; SERVE_NR_KINDS: none worth mentioning. */
static enum serve_kind next_kind(const struct serve_unmanaged *u, unsigned shown)
{
	enum serve_kind most = SERVE_NR_KINDS;

	for (int i = 0; i < SERVE_NR_KINDS; i++)
		if (!(shown & 1u << i) && u->kind[i] >= SHOWN_BYTES &&
		    (most == SERVE_NR_KINDS || u->kind[i] > u->kind[most]))
			most = (enum serve_kind)i;
	return most;
}

static void put_process(FILE *f, const char *before, const struct serve_process *p)
{
	char size[SIZE_TEXT_MAX], name[4 * sizeof(p->name)];

	/* The process chooses it: it must not move the cursor. */
	(void)text_plain(name, sizeof(name), p->name);
	fprintf(f, "%s%s in %s (%d)", before, size_format(size, p->bytes), name, p->pid);
}

void report_put_kinds(FILE *f, const struct serve_unmanaged *u)
{
	char size[SIZE_TEXT_MAX];
	unsigned shown = 0, n = 0;
	enum serve_kind kind;

	for (; n < SHOWN_MAX && (kind = next_kind(u, shown)) != SERVE_NR_KINDS; n++) {
		fprintf(f, "%s%s %s", n ? ", " : "    of it      ",
			size_format(size, u->kind[kind]), words[kind].text);
		shown |= 1u << kind;
	}
	if (n)
		fputc('\n', f);
	for (n = 0; n < SHOWN_MAX && n < u->nr_processes && u->process[n].bytes >= SHOWN_BYTES; n++)
		put_process(f, n ? ", " : "    most of it ", &u->process[n]);
	if (n)
		fputc('\n', f);
}

void report_kinds_remedy(char *text, size_t size, const struct serve_unmanaged *u, bool kernel_sysv)
{
	enum serve_kind kind = next_kind(u, 0);
	const char *remedy;
	char most[SIZE_TEXT_MAX], name[4 * sizeof(u->process[0].name)];

	text[0] = '\0';
	if (kind == SERVE_NR_KINDS || !u->nr_processes)
		return;
	(void)text_plain(name, sizeof(name), u->process[0].name);
	remedy = words[kind].remedy;
	if (kind == SERVE_KIND_SYSV && kernel_sysv)
		remedy = "leave out --kernel-sysv";
	snprintf(text, size, ", %s of it %s, most in %s (%d): raise -m%s%s",
		 size_format(most, u->kind[kind]), words[kind].text, name, u->process[0].pid,
		 remedy ? ", or " : "", remedy ? remedy : "");
}
