/* base/text.h - a bounded string under construction.
 *
 * I1  buf is always a string: len < cap and buf[len] == 0.
 * I2  Once something did not fit, `cut` is set and stays set; what fitted is kept.
 *
 * No locking: one writer.
 */
#ifndef UMEMCG_BASE_TEXT_H
#define UMEMCG_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *buf;
	size_t cap; /* bytes at buf, the final 0 included; at least 1 */
	size_t len;
	bool cut;
};

void text_init(struct text *t, char *buf, size_t cap);

/* A text on an array: TEXT_ON(t, array); */
#define TEXT_ON(name, array) \
	struct text name;    \
	text_init(&name, array, sizeof(array))

/* Append. What does not fit is cut off. */
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
