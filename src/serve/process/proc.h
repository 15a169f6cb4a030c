/* serve/process/proc.h - what /proc says about processes: memory, areas, threads and ancestry
 * (proc.c, proc_tree.c). Any call may find the process gone.
 *
 * Locks: none.
 */
#ifndef UMEMCG_SERVE_PROC_H
#define UMEMCG_SERVE_PROC_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Is there a process or thread of that number? Call before using any path below /proc/@id: while
 * the kernel drops its cached entries of a dead one, a lookup waits in a busy loop. A real-time
 * thread in that loop starved the thread that dropped them for 950 ms, all that the kernel allows
 * it. */
bool proc_there(pid_t id);
/* Has this process one thread only? For assertions; true if unknown. */
bool proc_single_threaded(void);
/* The directory of its threads; NULL. */
DIR *proc_tasks(pid_t pid);
/* Pages of RssAnon, or -errno. @fd caches the open file (-1: not open yet). */
int64_t proc_anon_pages(pid_t pid, int *fd);
struct proc_sizes {
	int64_t size, resident, shared; /* pages */
};
/* False: unknown. */
bool proc_sizes(pid_t pid, struct proc_sizes *out);
/* Pages of RssShmem; 0: unknown. */
int64_t proc_shmem_pages(pid_t pid);
/* Pages of its page tables; -1: unknown. */
int64_t proc_table_pages(pid_t pid);
void proc_comm(pid_t pid, char *out, size_t size);
/* What /proc/@pid/@file holds, as far as it fits, as a string; empty if it
 * cannot be read. False: the process is gone. */
bool proc_read(pid_t pid, const char *file, char *buf, size_t size);
#define PROC_ENDING 0x04u /* the kernel's PF_EXITING */
#define PROC_FORKED 0x40u /* the kernel's PF_FORKNOEXEC: no exec since it was forked */
struct proc_stat {
	char state;
	pid_t parent;
	unsigned flags; /* of the first thread: PROC_ */
};
/* False: it is gone. */
bool proc_stat(pid_t pid, struct proc_stat *st);
/* Has it no memory any more, by what @st says of it? A zombie that waits for its parent, or the
 * first process of a PID namespace, which waits for all others. The first thread may be over while
 * others are not. */
bool proc_over(pid_t pid, const struct proc_stat *st);
/* A thread of @pid, other than the first one, that has not exited; 0: none. */
pid_t proc_live_thread(pid_t pid);
/* The parent of a process; -1: it is gone. */
pid_t proc_parent(pid_t pid);
/* Is the process, or the process of this thread, a descendant of ours? */
bool proc_is_ours(pid_t tid);
/* The same for descendants of @top. */
bool proc_is_below(pid_t tid, pid_t top);
/* Kill the process that has thread @tid if it is a descendant of ours and in our PID namespace. */
void proc_kill_ours(pid_t tid);
/* Is that thread of process @pid running, or runnable? */
bool proc_thread_runs(pid_t pid, pid_t tid);
/* Is it stopped, by a signal or a tracer? */
bool proc_thread_stopped(pid_t pid, pid_t tid);
/* Is it stopped by a tracer? */
bool proc_thread_traced(pid_t pid, pid_t tid);
/* The thread that traces thread @tid of process @pid by ptrace; 0: none. */
pid_t proc_tracer(pid_t pid, pid_t tid);
/* Is @tid a thread of process @pid? Both in our numbering. */
bool proc_has_thread(pid_t pid, pid_t tid);
/* The thread of process @pid that has the number @own in its own PID namespace; 0: none, or
 * unknown. */
pid_t proc_thread(pid_t pid, pid_t own);
/* Calls @fn for every descendant of @top, @top excluded. */
void proc_descendants(pid_t top, void (*fn)(pid_t pid, pid_t parent, void *arg), void *arg);
/* The same for its children only. */
void proc_children(pid_t pid, void (*fn)(pid_t pid, pid_t parent, void *arg), void *arg);
bool proc_shares_memory(pid_t a, pid_t b);
/* Do they execute the same file? True if unknown. */
bool proc_same_program(pid_t a, pid_t b);
/* Does it run a program without a dynamic loader, into which nothing can be preloaded? */
bool proc_is_static(pid_t pid);

struct proc_area {
	uint64_t start, end;
	uint32_t flags;  /* VM_ */
	bool manageable; /* private, anonymous, not a stack or the kernel's own */
	bool shared;     /* mapping of file @ino on @dev, from byte @offset */
	uint64_t dev, ino, offset;
	bool sysv; /* has the name of a System V segment; not set by proc_area_at */
};
/* End of the addresses that programs can map. */
uint64_t proc_addresses_end(void);
int proc_area_at(pid_t pid, int *maps_fd, uint64_t va, struct proc_area *out);
/* Does it have huge pages switched off? */
bool proc_huge_off(pid_t pid);
/* Calls @fn for every area that was given huge page advice, VM_HUGEPAGE or VM_NOHUGEPAGE in its
 * flags. 0 or -errno. */
int proc_huge_advice(pid_t pid, void (*fn)(const struct proc_area *a, void *arg), void *arg);
/* Calls @fn for every area of a process. 0 or -errno. */
int proc_areas(pid_t pid, void (*fn)(const struct proc_area *a, void *arg), void *arg);
/* Parses one line of /proc/PID/maps; modifies @line. False: not an area. */
bool proc_parse_area(char *line, struct proc_area *a);

#endif
