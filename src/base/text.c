/* base/text.c - a bounded string under construction, and names in messages. See text.h.
 *
 * Leaf: no locks.
 */
#include <stdarg.h>
#include <stdint.h>
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

/* ---- names chosen by others ---- */

#define GAP        "..."
#define HEAD_BYTES (TEXT_NAME_MAX / 3)
#define NEAR       32 /* a cut moves to a '/' at most this many bytes away */
#define PLAIN_EACH 4  /* "\xNN" */

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

const char *text_name(char buf[TEXT_NAME_MAX], const char *name)
{
	size_t len = strlen(name), head = HEAD_BYTES, tail;
	const char *slash;

	if (len < TEXT_NAME_MAX) {
		memcpy(buf, name, len + 1);
		return buf;
	}
	tail = len - (TEXT_NAME_MAX - 1 - HEAD_BYTES - strlen(GAP));
	for (size_t i = 0; i < NEAR; i++)
		if (name[HEAD_BYTES - 1 - i] == '/') {
			head = HEAD_BYTES - i;
			break;
		}
	slash = memchr(name + tail, '/', NEAR);
	if (slash)
		tail = (size_t)(slash - name);
	while (head && continues(name[head]))
		head--;
	while (continues(name[tail]))
		tail++;
	memcpy(buf, name, head);
	memcpy(buf + head, GAP, strlen(GAP));
	memcpy(buf + head + strlen(GAP), name + tail, len - tail + 1);
	return buf;
}

/* Length in bytes of the character at @s; 0: not a character, or not printable. Overlong forms,
 * surrogates and values above U+10FFFF are not characters. */
static size_t printable(const unsigned char *s)
{
	/* U+0080 to U+009F are controls. */
	static const uint32_t least[] = { 0, 0, 0xa0, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (n == 1)
		return s[0] >= ' ' && s[0] != 0x7f;
	if (s[0] < 0xc0 || s[0] > 0xf7)
		return 0;
	c = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (!continues((char)s[i]))
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

bool text_plain(char *to, size_t size, const char *from)
{
	while (*from) {
		size_t n = printable((const unsigned char *)from), put = n ? n : PLAIN_EACH;

		if (put >= size)
			break;
		if (n)
			memcpy(to, from, n);
		else
			snprintf(to, size, "\\x%02x", (unsigned char)*from);
		from += n ? n : 1;
		to += put;
		size -= put;
	}
	*to = '\0';
	return !*from;
}
