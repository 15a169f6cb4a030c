/* check/scenario/tasks.h - actions that tasks of several scenarios share: bodies for sim_task, on
 * page 0 of the address space, the page, the file or the group that they are given.
 *
 * Locks: the engine's own.
 */
#ifndef UMEMCG_CHECK_TASKS_H
#define UMEMCG_CHECK_TASKS_H

#include "scenario/fixture.h"

/* ---- of an address space ---- */

void task_zap(void *mm);
void task_munmap(void *mm);
/* To FX_VA(4). */
void task_mremap(void *mm);
void task_exit(void *mm);
/* A fault that must succeed; the content does not matter. */
void task_fault(void *mm);
/* A thread's accesses: it reads what fx_fill left, and writes words of age 1. */
void task_read(void *mm);
void task_write(void *mm);

/* ---- of a process, on an MMU that does not share: the engine hears of a change after it ---- */

void task_client_discard(void *mm);
/* Into the address space that was made last. */
void task_client_fork(void *mm);

/* ---- of a page ---- */

/* Continue as reclaim does with an isolated page. */
void task_reclaim(void *page);
/* Two tasks that want the page on its list: the loser of the isolation backs off. Each has a
 * reference from the set-up. */
void task_reclaim_if_listed(void *page);
void task_migrate_if_listed(void *page);

/* ---- of a file, of a group ---- */

void task_write_back(void *file);
void task_truncate(void *file);
/* The last user of the fixture's first file leaves. */
void task_put_file(void *unused);
void task_rmdir(void *group);

#endif
