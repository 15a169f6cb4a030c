/* serve/client/notice.c - notices to the user: repetitions are suppressed for a while, and the rate
 * of all of them is bounded.
 *
 * Lock: notices->lock, rank LEAF. The user's function is called without it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "serve/client/supervisor.h"

#define NOTICE_EVERY_NS 20000000ull   /* at most fifty notices per second, */
#define NOTICE_BURST    32            /* ... and a burst of this many */
#define NOTICE_SAME_NS  5000000000ull /* the same sentence again */

struct notices {
	struct spinlock lock;
	uint64_t last_ns;  /* when the last one was made; 0: none was */
	uint64_t full_ns;  /* until when the rate is used up */
	unsigned left_out; /* those that exceeded the rate */
	char last[SERVE_TEXT_MAX];
};

int notice_init(struct supervisor *s)
{
	if (supervisor_part(&s->notices, sizeof(*s->notices)))
		return -ENOMEM;
	spin_init_urgent(&s->notices->lock, RANK_LEAF);
	return 0;
}

void notice_fini(struct supervisor *s)
{
	spin_fini(&s->notices->lock);
	plat_free(s->notices);
}

/* Is there room for one more notice? Room is refilled over time. lock held. */
static bool notice_room(struct notices *n, uint64_t now)
{
	uint64_t base =
		now > NOTICE_BURST * NOTICE_EVERY_NS ? now - NOTICE_BURST * NOTICE_EVERY_NS : 0;

	lockdep_assert_held(&n->lock);
	if (n->full_ns < base)
		n->full_ns = base;
	if (n->full_ns + NOTICE_EVERY_NS > now)
		return false;
	n->full_ns += NOTICE_EVERY_NS;
	return true;
}

/* Repeats a sentence only after a while, and bounds the rate of all. *@left_out: number suppressed
 * before this one. lock held. */
static bool notice_due(struct notices *n, const char *text, unsigned *left_out)
{
	uint64_t now = plat_now_ns();

	lockdep_assert_held(&n->lock);
	*left_out = 0;
	if (n->last_ns && strcmp(text, n->last) == 0 && now - n->last_ns < NOTICE_SAME_NS)
		return false;
	if (!notice_room(n, now)) {
		n->left_out++;
		return false;
	}
	*left_out = n->left_out;
	n->left_out = 0;
	n->last_ns = now;
	snprintf(n->last, sizeof(n->last), "%s", text);
	return true;
}

void supervisor_notice(struct supervisor *s, const char *fmt, ...)
{
	char text[SERVE_TEXT_MAX], lost[64];
	unsigned left_out;
	bool due;
	va_list ap;

	if (!s->config.notice)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	spin_lock(&s->notices->lock);
	due = notice_due(s->notices, text, &left_out);
	spin_unlock(&s->notices->lock);
	snprintf(lost, sizeof(lost), "%u messages were left out: too many at once", left_out);
	if (left_out)
		s->config.notice(s->config.notice_arg, lost);
	if (due)
		s->config.notice(s->config.notice_arg, text);
}
