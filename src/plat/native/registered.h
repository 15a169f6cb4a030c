/* plat/native/registered.h - between thread.c, which registers threads with RCU, and rcu.c,
 * which insists on it. */
#ifndef UMEMCG_PLAT_NATIVE_REGISTERED_H
#define UMEMCG_PLAT_NATIVE_REGISTERED_H

#include "plat/plat.h"

/* How many plat_thread_enter of this thread wait for their plat_thread_exit. */
extern _Thread_local unsigned plat_thread_registered_;

/* rcu.c: tell liburcu about this thread. */
void rcu_thread_begin(void);
void rcu_thread_end(void);

/* rcu.c: make liburcu's thread for deferred functions now. 0, or -EAGAIN where no thread can be had: liburcu
 * would abort when it needed it. */
int rcu_prepare(void);

#endif
