/* serve/watch/watch.c - the threads of the room: watcher, settler and finder. Their beginning and
 * end.
 *
 * Locks: none; the main thread.
 */
#include "serve/watch/parts.h"

struct watch_threads {
	struct plat_thread watcher, settler, finder;
};

int watch_init(struct supervisor *s)
{
	int err = supervisor_part(&s->watch, sizeof(*s->watch));

	if (!err)
		err = finder_init(s);
	if (!err)
		err = kinds_init(s);
	return err ? err : search_init(s);
}

int watch_start(struct supervisor *s)
{
	struct watch_threads *t = s->watch;
	int err = plat_thread_start(&t->watcher, "umemcg-watcher", watcher_main, s);

	assert_thread(THREAD_MAIN);
	if (!err)
		err = plat_thread_start(&t->settler, "umemcg-settler", settler_main, s);
	if (!err)
		err = plat_thread_start(&t->finder, "umemcg-finder", finder_main, s);
	return err;
}

void watch_wake(struct supervisor *s)
{
	waitq_wake(&s->wake.watcher);
	waitq_wake(&s->wake.settler);
	waitq_wake(&s->wake.finder);
}

void watch_join_watcher(struct supervisor *s)
{
	plat_thread_join(&s->watch->watcher);
}

void watch_join(struct supervisor *s)
{
	plat_thread_join(&s->watch->settler);
	plat_thread_join(&s->watch->finder);
}
