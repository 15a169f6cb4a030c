/* serve/limits.h - which resource limit (ulimit) causes a failure, in words. */
#ifndef UMEMCG_SERVE_LIMITS_H
#define UMEMCG_SERVE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_TEXT_MAX 160

/* Is there room for @bytes more of writable memory below 'ulimit -v' and 'ulimit -d'? False: @text
 * names the limit, its value and the need. */
bool limits_have_room(uint64_t bytes, char text[LIMITS_TEXT_MAX]);
/* Text to append to a message about @error (-errno) of a call that creates a process or thread: the
 * limit that probably caused it, or "". Returns @text. */
const char *limits_hint(int error, char text[LIMITS_TEXT_MAX]);

#endif
