/* serve/watch/surveyor.c - the surveyor thread: reads the page tables of processes, for what the
 * watcher measures: unmanaged shared memory (unmanaged_shmem.c), and how many pages a fork family
 * still shares (copies.c).
 *
 * A walk over a process takes milliseconds. It waits while the process changes its mappings, and
 * its beginning (the open of /proc/PID/pagemap) while the process executes a program, until all its
 * old memory is freed. The watcher may not be blind that long: a process takes 2 MiB per
 * millisecond.
 *
 * Locks: none.
 */
#include "serve/account/account.h"
#include "serve/watch/parts.h"

void surveyor_main(void *arg)
{
	struct supervisor *s = arg;
	struct shmem_watch shmem = { 0 };

	thread_begin(THREAD_SURVEYOR);
	thread_hurry();
	while (!a32_load(&s->stopping)) {
		uint32_t ticket = waitq_prepare(&s->wake.surveyor);
		int64_t next;

		shmem_measure(s, &shmem);
		next = copies_survey(s);
		if (next < 0 || next > (int64_t)SHMEM_EVERY_NS)
			next = (int64_t)SHMEM_EVERY_NS;
		waitq_sleep(&s->wake.surveyor, ticket, next);
	}
}
