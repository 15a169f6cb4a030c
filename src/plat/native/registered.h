/* plat/native/registered.h - between thread.c, which registers threads with RCU, and rcu.c,
 * which insists on it. */
#ifndef UMEMCG_PLAT_NATIVE_REGISTERED_H
#define UMEMCG_PLAT_NATIVE_REGISTERED_H

#include "plat/plat.h"

/* Nesting depth of plat_thread_enter in this thread. */
extern _Thread_local unsigned plat_thread_registered_;

/* rcu.c: tell liburcu about this thread. */
void rcu_thread_begin(void);
void rcu_thread_end(void);

/* rcu.c: create liburcu's thread for deferred functions now. 0, or -EAGAIN if no thread can be
 * created: liburcu would abort when it needs one. */
int rcu_prepare(void);

#endif
