/* base/text.c - a bounded string under construction. See text.h.
 *
 * Leaf: no locks.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void text_init(struct text *t, char *buf, size_t cap)
{
	*t = (struct text){ .buf = buf, .cap = cap };
	buf[0] = '\0';
}

void text_puts(struct text *t, const char *s)
{
	size_t room = t->cap - t->len - 1;
	size_t n = strnlen(s, room + 1);

	if (n > room) {
		n = room;
		t->cut = true;
	}
	memcpy(t->buf + t->len, s, n);
	t->len += n;
	t->buf[t->len] = '\0';
}

void text_printf(struct text *t, const char *format, ...)
{
	size_t room = t->cap - t->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->buf + t->len, room, format, args);
	va_end(args);
	if (n < 0) {
		t->buf[t->len] = '\0';
		t->cut = true;
	} else if ((size_t)n >= room) {
		t->len = t->cap - 1;
		t->cut = true;
	} else {
		t->len += (size_t)n;
	}
}
