/* serve/process/process.h - what is done to processes, and asked of the kernel about them, beyond
 * proc.h. No room below: nothing here knows of clients.
 */
#ifndef UMEMCG_SERVE_PROCESS_H
#define UMEMCG_SERVE_PROCESS_H

#include "serve/process/keeper.h"
#include "serve/process/proc.h"

/* ---- smaps.c ---- */
#define SMAPS_REGISTERED 1u /* in a userfaultfd */
#define SMAPS_GROWSDOWN  2u /* a stack */
#define SMAPS_CODE       4u
#define SMAPS_SPECIAL    8u /* not to be taken over */
#define SMAPS_NOHUGE     16u
#define SMAPS_DONTFORK   32u
struct smaps_area {
	struct proc_area at;
	uint32_t flags;                        /* SMAPS_ */
	int64_t rss_kib, pss_kib, private_kib; /* all; its share; what nobody else has */
	int64_t anon;                          /* anonymous pages that are there */
	bool entered;                          /* the caller's (finder.c) */
};
/* Every area of a process, with what is there; 0 or -errno. */
int smaps_areas(pid_t pid, void (*fn)(const struct smaps_area *a, void *arg), void *arg);
/* Does the kernel give MAP_STACK mappings SMAPS_NOHUGE (Linux 6.7), so that a thread's stack can be
 * told? */
bool smaps_marks_stacks(void);

/* ---- pause.c ---- */
#define PAUSE_MAX 64
struct pause {
	pid_t pid[PAUSE_MAX], tid[PAUSE_MAX];
	unsigned n;
	pid_t root;        /* our main thread waits for the end of this one */
	bool refused;      /* a thread of the last one runs on: a debugger follows it */
	uint64_t since_ns; /* 0: no process is stopped */
};
/* Stop the running threads of @pid, except @helper (0: none; in the numbering of the process).
 * Watcher: the tracer is the calling thread. */
void pause_process(struct pause *p, pid_t pid, uint32_t helper);
/* Release all; those that have not stopped yet: the next time. Same thread. */
void pause_end(struct pause *p);

/* ---- socket.c ---- */
/* Send one packet of @size bytes, with descriptor @fd unless that is -1. @flags: MSG_DONTWAIT never
 * blocks. 0 or -errno. */
int socket_send(int sock, const void *msg, size_t size, int fd, int flags);

/* ---- kill.c ---- */
/* Kill what is left below us, except process @except (0: none), and wait until all have ended, or
 * until none has for five seconds. The number of those left. */
unsigned tree_kill(pid_t except);
/* Processes below us, except @except and those that have ended. */
unsigned tree_count(pid_t except);

/* ---- device.c ---- */
/* A device that makes userfaultfds, by a node in @dir if need be; -1: there is no way. */
int device_open(const char *dir);

#endif
