/* base/text.h - a bounded string under construction, and foreign names made fit for a message.
 *
 * I1  buf is always a string: len < cap and buf[len] == 0.
 * I2  Once something did not fit, `cut` is set and stays set; the part that fitted is kept.
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
#define TEXT_ON(name, array)                                                                       \
	struct text name;                                                                          \
	text_init(&name, array, sizeof(array))

/* Append; the text is truncated if it does not fit. */
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes, the final 0 included, of a name in a message: a longer one loses its middle. */
#define TEXT_NAME_MAX 200

/* Shorten @name for a message, in @buf: whole, or its beginning, "..." and its end. Cuts fall
 * between characters, at the start of a path component if one is near. A long name must not push
 * the reason behind it out of the message. Returns @buf. */
const char *text_name(char buf[TEXT_NAME_MAX], const char *name);

/* The same in an argument, which lives as long as the block. */
#define TEXT_NAME(name) text_name((char[TEXT_NAME_MAX]){ 0 }, name)

/* Copy @from to @to[@size], with "\xNN" for each byte that is not part of a printable UTF-8
 * character: terminal control bytes and invalid UTF-8. Never splits a character or an escape.
 * False: it was truncated. */
bool text_plain(char *to, size_t size, const char *from);

#endif
