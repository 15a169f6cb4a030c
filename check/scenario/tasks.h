/* check/scenario/tasks.h - what tasks of several scenarios do: bodies for sim_task, about page 0 of the address space, the
 * page, the file or the group that they are given.
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
/* A fault that must succeed, where the content is not the point. */
void task_fault(void *mm);
/* A thread's accesses: what it reads is what fx_fill left; what it writes is of age 1. */
void task_read(void *mm);
void task_write(void *mm);

/* ---- of a page ---- */

/* As reclaim goes on with what it has isolated. */
void task_reclaim(void *page);
/* Two who want the page on its list: the loser of the isolation goes away. Each has a reference of the set-up. */
void task_reclaim_if_listed(void *page);
void task_migrate_if_listed(void *page);

/* ---- of a file, of a group ---- */

void task_write_back(void *file);
void task_truncate(void *file);
/* The last user of the fixture's first file leaves. */
void task_put_file(void *unused);
void task_rmdir(void *group);

#endif
