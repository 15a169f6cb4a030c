/* serve/process/smaps.c - /proc/PID/smaps: what a process has mapped, and how much of it is there.
 *
 * The kernel walks the process's page tables for it: some 100 us, and a millisecond for each 10,000
 * pages. Callers bound how often they ask. As everything in /proc, the process may be gone, and its
 * mappings change while they are read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mm/mm_types.h"
#include "serve/process/process.h"

#define LINE_BYTES 512

/* "VmFlags: rd wr mr mw me ac um sd": two letters each. */
static uint32_t parse_flags(const char *at)
{
	static const struct {
		char name[3];
		uint32_t flag;
	} known[] = {
		{ "um", SMAPS_REGISTERED },
		{ "gd", SMAPS_GROWSDOWN },
		{ "ex", SMAPS_CODE },
		{ "nh", SMAPS_NOHUGE },
		/* Not to be taken over: the agent's own and what else a child of fork gets
		 * otherwise; locked, huge pages, devices, shadow stacks; other modes of
		 * userfaultfd. */
		{ "dc", SMAPS_DONTFORK },
		{ "wf", SMAPS_SPECIAL },
		{ "lo", SMAPS_SPECIAL },
		{ "ht", SMAPS_SPECIAL },
		{ "io", SMAPS_SPECIAL },
		{ "pf", SMAPS_SPECIAL },
		{ "mm", SMAPS_SPECIAL },
		{ "ss", SMAPS_SPECIAL },
		{ "uw", SMAPS_SPECIAL },
		{ "ui", SMAPS_SPECIAL },
	};
	uint32_t flags = 0;

	for (; at[0] && at[1]; at += 2) {
		while (*at == ' ')
			at++;
		for (size_t i = 0; at[0] && at[1] && i < sizeof(known) / sizeof(known[0]); i++)
			if (at[0] == known[i].name[0] && at[1] == known[i].name[1])
				flags |= known[i].flag;
		if (!at[0] || !at[1])
			break;
	}
	return flags;
}

static int64_t pages_of(const char *at)
{
	return strtoll(at, NULL, 10) * 1024 / (int64_t)PAGE_SIZE;
}

/* One line that is no head of an area. True: it was the last one of @a. */
static bool parse_line(const char *line, struct smaps_area *a)
{
	if (strncmp(line, "Anonymous:", 10) == 0)
		a->anon = pages_of(line + 10);
	else if (strncmp(line, "Rss:", 4) == 0)
		a->rss_kib = strtoll(line + 4, NULL, 10);
	else if (strncmp(line, "Pss:", 4) == 0)
		a->pss_kib = strtoll(line + 4, NULL, 10);
	else if (strncmp(line, "Private_Clean:", 14) == 0 ||
		 strncmp(line, "Private_Dirty:", 14) == 0)
		a->private_kib += strtoll(line + 14, NULL, 10);
	else if (strncmp(line, "VmFlags:", 8) == 0)
		a->flags |= parse_flags(line + 8);
	else
		return false;
	return line[0] == 'V';
}

struct find_mark {
	uint64_t va;
	bool marked;
};

static void look_for_mark(const struct smaps_area *a, void *arg)
{
	struct find_mark *m = arg;

	if (a->at.start <= m->va && m->va < a->at.end)
		m->marked = a->flags & SMAPS_NOHUGE;
}

bool smaps_marks_stacks(void)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	struct find_mark m = { .va = (uintptr_t)p };

	if (p == MAP_FAILED)
		return false;
	(void)smaps_areas(getpid(), look_for_mark, &m);
	munmap(p, PAGE_SIZE);
	return m.marked;
}

static bool is_head(const char *line)
{
	return (line[0] >= '0' && line[0] <= '9') || (line[0] >= 'a' && line[0] <= 'f');
}

int smaps_areas(pid_t pid, void (*fn)(const struct smaps_area *a, void *arg), void *arg)
{
	char path[64], line[LINE_BYTES];
	struct smaps_area a = { 0 };
	bool inside = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (is_head(line)) {
			bool stack = strstr(line, "[stack") != NULL;

			a = (struct smaps_area){ .flags = stack ? SMAPS_GROWSDOWN : 0 };
			inside = proc_parse_area(line, &a.at);
		} else if (inside && parse_line(line, &a)) {
			fn(&a, arg);
			inside = false;
		}
	}
	fclose(f);
	return 0;
}
