/* serve/limits.h - which resource limit (ulimit) is behind a failure, in words. */
#ifndef UMEMCG_SERVE_LIMITS_H
#define UMEMCG_SERVE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_TEXT_MAX 160

/* Room for @bytes more of writable memory below 'ulimit -v' and 'ulimit -d'? False: @text names the limit, its
 * value and what is needed. */
bool limits_have_room(uint64_t bytes, char text[LIMITS_TEXT_MAX]);
/* What to add to a message about @error (-errno) of a call that makes a process or a thread: the limit that is probably
 * behind it, or "". Returns @text. */
const char *limits_hint(int error, char text[LIMITS_TEXT_MAX]);

#endif
