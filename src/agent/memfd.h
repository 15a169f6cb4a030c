/* agent/memfd.h - shared by the files about memfds. */
#ifndef UMEMCG_AGENT_MEMFD_H
#define UMEMCG_AGENT_MEMFD_H

#include "agent/agent.h"

/* Ask about the file @st. 0 or -errno; -ENOENT: it is the kernel's; -ENOMEM: also if there was no
 * answer. *@attached: a descriptor, or -1. */
long memfd_ask_fd(struct msg_call *call, const struct stat *st, int *attached);
long memfd_ask(struct msg_call *call, const struct stat *st);
/* The file @fd is about to be used as a heap is, up to byte @bytes. Begin it if it is new. */
void memfd_begin(int fd, uint64_t bytes);

#endif
