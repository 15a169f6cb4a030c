/* base/size.h - sizes as people write them: "64M", "1.5GiB", "50%", "max".
 *
 * Units are powers of two. Leaf: pure functions.
 */
#ifndef UMEMCG_BASE_SIZE_H
#define UMEMCG_BASE_SIZE_H

#include <stdint.h>

#define SIZE_BYTES_MAX INT64_MAX /* what "max" means: no limit */
#define SIZE_TEXT_MAX  32        /* room for what size_format writes */

/* Parse @text: decimal digits, then nothing or one of K M G T in either case, then nothing or "B"
 * or, after a letter, "iB"; with a letter the number may have decimal places. Or "max", or
 * systemd's "infinity". Surrounding white space is allowed, including a control file's newline. 0
 * and *@bytes, rounded down; -EINVAL if it is not a size (empty, negative, junk); -ERANGE above
 * 2^63-1. */
int size_parse(const char *text, int64_t *bytes);

/* Parse @text, "50%", as a part of @whole bytes. 0 and *@bytes, rounded down; -EINVAL if it is no
 * percentage in whole numbers; -ERANGE below 1 or above 100. */
int size_parse_percent(const char *text, int64_t whole, int64_t *bytes);

/* Write @bytes for people: "max", "512 B", "64.0 MiB". Rounds to nearest. Returns @buf. */
const char *size_format(char buf[SIZE_TEXT_MAX], int64_t bytes);

#endif
