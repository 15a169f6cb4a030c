/* serve/account/huge.c - huge page settings of the machine, a process, an area.
 *
 * The machine's setting is the kernel's for 2 MiB huge pages, and may change at any time. An area's
 * advice comes from the agent (CALL_HUGE_ADVICE), or with the area by fork and mremap, and is
 * looked up once in HELLO for areas that already exist. It only determines what a first touch
 * brings in, so a miss costs time and nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mm/huge.h"
#include "mm/vma.h"
#include "serve/account/account.h"

#define SETTINGS     "/sys/kernel/mm/transparent_hugepage/"
#define LOOK_NS      1000000000ull
#define ASK_AGAIN_NS 100000000ull

/* The word of a setting that is in brackets; "" if unknown. */
static void chosen(const char *path, char *word, size_t size)
{
	char text[256] = "", *open_, *close_;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	open_ = strchr(text, '[');
	close_ = open_ ? strchr(open_, ']') : NULL;
	snprintf(word, size, "%.*s", close_ ? (int)(close_ - open_ - 1) : 0,
		 open_ ? open_ + 1 : "");
}

void huge_look(struct supervisor *s, uint64_t *next_ns)
{
	uint64_t now = plat_now_ns();
	char word[16];

	VM_ASSERT(thread_is(THREAD_WATCHER) || thread_is(THREAD_MAIN));
	if (now < *next_ns)
		return;
	*next_ns = now + LOOK_NS;
	/* Linux 6.8 has one per size; before that, or on "inherit", the global one counts. */
	chosen(SETTINGS "hugepages-2048kB/enabled", word, sizeof(word));
	if (!word[0] || strcmp(word, "inherit") == 0)
		chosen(SETTINGS "enabled", word, sizeof(word));
	a32_store(&s->engine.huge_mode, strcmp(word, "always") == 0    ? HUGE_ALWAYS
					: strcmp(word, "madvise") == 0 ? HUGE_ADVISED
								       : HUGE_NEVER);
}

bool huge_unwanted(struct client *c)
{
	uint64_t now = plat_now_ns();

	lockdep_assert_held(&c->host.batch_lock);
	if (!c->huge.asked_ns || now - c->huge.asked_ns > ASK_AGAIN_NS) {
		c->huge.off = proc_huge_off(c->host.task);
		c->huge.asked_ns = now;
	}
	return c->huge.off;
}

static void advised(const struct proc_area *a, void *arg)
{
	struct mm *mm = arg;

	lockdep_assert_held(&mm->mmap_lock);
	(void)vma_change_flags(mm, a->start, a->end, a->flags & (VM_HUGEPAGE | VM_NOHUGEPAGE), 0);
}

/* This walks everything the process has: skip it if no area can hold a huge page. */
void huge_adopt(struct client *c)
{
	struct mm *mm = c->host.mm;
	bool fits = false;
	const struct vma *v;

	assert_thread(THREAD_CONTROL);
	if (a32_load(&c->s->engine.huge_mode) == HUGE_NEVER)
		return;
	rw_wrlock(&mm->mmap_lock);
	for (v = vma_next(mm, 0); v && !fits; v = vma_next(mm, v->end))
		fits = huge_fits(HUGE_ALWAYS, v->flags, v->start + LEAF_SPAN - 1, v->start, v->end,
				 PAGE_COUNTER_MAX);
	if (fits)
		(void)proc_huge_advice(c->host.task, advised, mm);
	rw_wrunlock(&mm->mmap_lock);
}
