/* serve/watch/watch.h - the threads that watch: watcher, settler, finder. */
#ifndef UMEMCG_SERVE_WATCH_H
#define UMEMCG_SERVE_WATCH_H

#include "serve/client/client.h"

/* 0 or -ENOMEM. */
int watch_init(struct supervisor *s);
int watch_start(struct supervisor *s);
/* Once s->stopping is set: wake all, and those that wait for them; */
void watch_wake(struct supervisor *s);
/* ... join the watcher; then, when the control thread is gone as well, the
 * others. */
void watch_join_watcher(struct supervisor *s);
void watch_join(struct supervisor *s);

/* ---- search.c ---- */
/* As in struct mmu_ops. */
bool search_room(struct supervisor *s, bool wait);

/* ---- kinds.c ---- */
/* Kill @victim. What were the @total bytes of unmanaged RSS? */
void kinds_at_kill(struct client *victim, int64_t total);

#endif
