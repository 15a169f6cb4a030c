/* serve/watch/parts.h - private to the room: the parts of the watcher, settler and finder. */
#ifndef UMEMCG_SERVE_WATCH_PARTS_H
#define UMEMCG_SERVE_WATCH_PARTS_H

#include "serve/watch/watch.h"

void watcher_main(void *supervisor);
/* Makes room for what was charged by force. */
void settler_main(void *supervisor);
void finder_main(void *supervisor);

/* ---- finder.c ---- */
int finder_init(struct supervisor *s);
/* Before an OOM kill: examine what has come since the last look. True: pages were found, or, if
 * @wait is false, may be found soon. */
bool finder_search(struct supervisor *s, bool wait);

/* ---- kinds.c ---- */
int kinds_init(struct supervisor *s);
/* Wake the finder when unmanaged RSS has grown enough since the last look for a new one.
 * Watcher. */
void kinds_wake(struct supervisor *s);
/* Take that look. Finder. */
void kinds_note(struct supervisor *s);

/* ---- search.c ---- */
int search_init(struct supervisor *s);

/* ---- late.c ---- */
/* How many pages @c has above the limit while its helper is stopped. Watcher. */
int64_t late_look(struct client *c, uint64_t now);
/* Raise the limit by @pages, the sum over all clients; so far it was raised by @was. Watcher. */
void late_adjust(struct supervisor *s, int64_t was, int64_t pages);

/* ---- leave.c ---- */
/* Look at the first thread of @c's process: have its helper leave if no other is left, and
 * follow_look. Watcher. */
void leave_look(struct client *c);

#endif
