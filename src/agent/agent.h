/* agent/agent.h - what the parts of the preloaded agent share.
 *
 * The agent lives in somebody else's process: it never allocates, never prints (unless
 * $UMEMCG_AGENT_DEBUG is set), never changes errno outside a replaced libc call, and keeps one
 * descriptor, at a high number. If anything goes wrong while it sets up, it withdraws silently.
 *
 * Memory. One reserved region, none of it ever managed:
 *
 *     page 0          struct agent, wiped by fork: a child that the agent has not prepared (a raw
 *                     clone(2), _Fork) sees zeros, that is, an unmanaged process and a free lock
 *     page 1          the supervisor's, in such a child (serve/mark.c); touched by nobody else. Wiped by fork
 *     HELPER_BYTES    the helper's stack and buffers; not inherited by fork
 *     THREAD_BYTES    threads on stacks of the program's own (thread.c); not inherited by fork
 *     HOLD_BYTES      pages that are not moved (hold.c); not inherited by fork
 *     staging         EVICT_PAGES_MAX pages, registered in the staging userfaultfd; not inherited
 *
 * The helper makes another one when it is first asked for a huge page: huge.c.
 *
 * Threads and locks. (A) atomic (M) maplock to write, atomic to read (C) constant while managed.
 * maplock serialises whoever changes mappings with the helper's moves. It is held with all signals
 * blocked. Memory that can be evicted must not be touched under it: the fault may need room that
 * only the helper, which needs maplock, can make. See maplock_lock().
 * Fork does not hold it: other prepare handlers take allocator locks, whose owners call mmap.
 */
#ifndef UMEMCG_AGENT_AGENT_H
#define UMEMCG_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "serve/proto.h"

#define AGENT_EXPORT __attribute__((visibility("default")))

#define FIXED_PAGES   2             /* those that a fork's child has, wiped */
#define HELPER_NAME   "umemcg-helper"
#define HELPER_BYTES  (64u << 10)
#define THREAD_BYTES  (16u << 10)
#define HOLD_BYTES    (16u << 10)

enum { LOCK_FUTURE_FILL = 1, LOCK_FUTURE_ONFAULT };  /* MCL_FUTURE; with MCL_ONFAULT */
enum { HELPER_WAIT, HELPER_GO, HELPER_LEAVE };

struct helper_state {
	uint32_t tid;          /* (A) 0 when the helper has ended */
	uint32_t clean;        /* (A) the helper has closed what is not its own */
	uint32_t order;        /* (A) HELPER_WAIT until whoever started it has seen READY */
};

#define NR_STANDBYS 8

/* standby.c */
struct standby {
	uint32_t busy;         /* (A) 0: free. Else it is about to be started: by whom (standby.c) */
	struct helper_state state;
	int (*fn)(void *);
	void *arg;
};

struct agent {
	uint32_t maplock;      /* (A) see maps.c */
	uint32_t maplock_owner; /* (A) the thread that has maplock; 0: nobody, or not said yet */
	uint32_t managed;      /* (A) READY was received: the hooks act */
	uint32_t forking;      /* (A) forks under way: the helper moves nothing */
	uint32_t lock_future;  /* (A) LOCK_FUTURE_, what mlockall asks of new mappings; 0: nothing */
	int32_t uffd;          /* (M) for UFFDIO_REGISTER in program threads; -1 when it was lost */
	uint32_t closes;       /* (A) guard.c: times that close was refused */
	int32_t pid;           /* (C) differs from getpid() in a vfork child */
	uint64_t mode;         /* (C) UFFDIO_REGISTER mode of new mappings */
	struct helper_state helper;
	uint32_t threads;      /* (A) slots of thread.c that were ever used */
	uint64_t huge_area;    /* (A) huge.c: where the helper makes huge pages; 0: none yet */
	uint32_t holds;        /* (A) records of hold.c that were ever used */
	uint64_t standby_area; /* (A) 0, or memory for all of: */
	struct standby standby[NR_STANDBYS];
};

/* NULL until the region exists. Its memory outlives every use. */
extern struct agent *agent;
extern unsigned long agent_page;

static inline bool agent_managed(void)
{
	return agent && __atomic_load_n(&agent->managed, __ATOMIC_ACQUIRE);
}

static inline void *agent_threads(void)
{
	return (char *)agent + FIXED_PAGES * agent_page + HELPER_BYTES;
}

static inline void *agent_holds(void)
{
	return (char *)agent_threads() + THREAD_BYTES;
}

/* agent.c */
void agent_debug(const char *what, long value);
int agent_high_fd(int fd);
int agent_staging_uffd(char *staging, int device);
void agent_unlock_region(void);

/* channel.c: every function returns >= 0 or -errno. */
bool channel_set_name(const char *name);
void channel_set_door(const char *number);
int channel_connect(void);
int channel_send(int fd, const void *msg, size_t size, int attach);
int channel_recv(int fd, void *msg, size_t size, int flags, int *attached);
int channel_recv_timed(int fd, void *msg, size_t size, int flags, int *attached, int timeout_ms);
int channel_call(enum call_op op, uint64_t start, uint64_t len);
int channel_call_open(enum call_op op, uint64_t start, uint64_t len, uint64_t *value);
int channel_ask(struct msg_call *call, struct msg_call_reply *reply, int *attached);
int channel_call_fd(enum call_op op, uint64_t start, uint64_t len);
void msg_init(struct msg_head *h, enum msg_type type, uint64_t seq);
bool msg_is(const struct msg_head *h, enum msg_type type);

/* helper.c */
bool lock_for_moving(void);

/* UFFDIO_MOVE. Linux 6.8; newer than the headers of our oldest build host. */
struct move_args {
	uint64_t dst, src, len, mode;
	int64_t moved;
};
#define MOVE_IOCTL          _IOWR(UFFDIO, 0x05, struct move_args)
#define MOVE_MODE_DONTWAKE  1ull

struct helper_setup {
	int channel;
	int uffd;       /* -1: arrives with READY */
	int staging_uffd; /* -1: no UFFDIO_MOVE */
	char *staging;
	struct helper_state *state;
	bool standby;     /* it must not keep its process alive */
};
int helper_start(void *area, const struct helper_setup *setup);
void helper_order(struct helper_state *state, uint32_t order);

/* last.c */
/* The calling helper, the last thread of its process, ends it with @status, as wait(2) tells it. */
_Noreturn void helper_end_process(uint32_t status);

/* huge.c */
uint8_t huge_fill(int uffd, uint64_t start);
void huge_split(const void *start, size_t len);
void huge_split_edges(const void *start, size_t len);
void huge_unlock(void);
/* Memory of the agent's own for the life of the process, not inherited; never to be taken for the program's: nobody may touch
 * it before it is marked as such. Its address or -errno. */
long agent_area(size_t bytes);

/* maps.c */
bool maplock_trylock(void);
bool maplock_inherit(void);
void maplock_lock(void);
void maplock_unlock(void);
void maplock_unlock_moved(void);
void maps_set_curbrk(void **curbrk);
void *hook_mmap(void *addr, size_t len, int prot, int flags, int fd, long off);
int hook_munmap(void *addr, size_t len);
void *hook_mremap(void *old, size_t old_len, size_t len, int flags, ...);
int hook_brk(void *addr);
void *maps_brk(void *addr);
long maps_attach(void *addr, size_t len, int flags, int fd);

/* lock.c */
int hook_mlock(const void *addr, size_t len);
int hook_mlock2(const void *addr, size_t len, unsigned int flags);
int hook_mlockall(int flags);
int hook_munlock(const void *addr, size_t len);
int hook_munlockall(void);

/* advice.c */
struct iovec;
int hook_madvise(void *addr, size_t len, int advice);
ssize_t hook_process_madvise(int pidfd, const struct iovec *piece, size_t n, int advice, unsigned int flags);

/* clone.c */
long hook_clone(long nr, long a, long b, long c, long d, long e);
long hook_set_tid_address(long word);
long hook_set_robust_list(long head, long len);

/* pin.c */
/* io_uring_register(2) is about to register what @arg says. */
void pin_registered(unsigned long operation, const void *arg, unsigned long n);

/* peek.c */
#define PROC_PATH_BYTES 64
/* "123" at *@at, which moves behind it; -1 without a digit. */
long proc_number(const char **at);
/* What the file @fd is called, to @path: its length; 0 or negative: nobody knows. */
long proc_path_of(int fd, char *path, size_t size);
/* Is it a helper thread, of any process? */
bool helper_is(pid_t tid);
long hook_ptrace(long request, long pid, long at, long data);

/* futex.c */
long hook_futex(long word, long op, long value, long time, long second, long value3);

/* hold.c */
/* For a call, or for a thread's life, clone.c: for a thread that @tid is about to make; the word that is
 * cleared at @tid's end; its list of robust mutexes. The last two a thread has once. */
enum { HOLD_CALL, HOLD_ASKED, HOLD_WORD, HOLD_ROBUST };
struct hold {
	uint32_t tid;          /* (A) for whom; 0: free */
	uint32_t kind;         /* HOLD_ */
	uint64_t start, end;   /* (A) pages */
};
/* Keep the pages of [start, end) that are there, for the calling thread; NULL: there is no record left. */
struct hold *hold_take(uint64_t start, uint64_t end);
/* The record of that kind that the calling thread has; NULL: none. */
struct hold *hold_of(uint32_t kind);
void hold_give(struct hold *h, uint32_t tid);
void hold_drop(struct hold *h);
/* Have the pages there, for writing. 0, or -errno where there is no such memory. */
long hold_bring(uint64_t start, uint64_t end);
/* Where it is shared memory of the supervisor's: leave it in memory until it is unmapped. @again: asked even if it was before. */
void hold_shared(uint64_t start, uint64_t end, bool again);
uint64_t hold_movable(uint64_t start, uint64_t n);

/* origin.c */
void origin_init(void);
/* Is @caller, an address of code, in the library that makes threads? True when that cannot be
 * told. */
bool origin_makes_threads(const void *caller);
/* The flags of a mapping as if /dev/zero was what it stands for: with MAP_ANONYMOUS where @fd is of
 * it. */
int origin_flags(size_t len, int prot, int flags, int fd, long off);

/* hide.c */
void hide_init(void);

/* parent.c */
void parent_set(const struct msg_ready *m);
pid_t hook_getppid(void);

/* peek.c */
void peek_init(void);

/* backed.c */
bool backed_any(void);
/* May this mapping be made as memory that the supervisor fills? */
bool backed_fits(const void *addr, size_t len, int prot, int flags, int fd, long off);
/* The address, -errno, or 0: the kernel shall map it. MAP_POPULATE and MAP_LOCKED are the caller's. */
long backed_map(void *addr, size_t len, int prot, int flags, int fd, long off);
/* Is there such memory in [start, start + len)? */
bool backed_within(uint64_t start, uint64_t len);
/* mremap of such memory to a larger size: the address or -errno. 0: it is no such memory, or does not grow. */
long backed_grow(void *old, size_t old_len, size_t len, int flags, void *target);

/* remap.c */
long remap_over(uint64_t from, uint64_t to, uint64_t len);
bool remap_is_ours(int flags, int fd);
long remap_object(void *addr, size_t len, int prot, int flags, int fd, long off);
int hook_remap_file_pages(void *addr, size_t size, int prot, size_t first, int flags);
long remap_attach(int id, uint64_t to, int flags);

/* standby.c */
/* End the calling helper, if no other thread of its process runs. */
void standby_leave_if_last(void);
/* mlockall has filled and locked what is there for standbys. */
void standby_unlock(void);
bool standby_wanted(uint64_t flags);
struct standby *standby_take(int (*fn)(void *), void *arg);
int standby_run(void *standby);
/* @child: whose it is, or negative: there is none. */
void standby_await(struct standby *s, int child);

/* raw.c */
long hook_syscall(long nr, long a, long b, long c, long d, long e, long f);

/* thread.c */
void thread_record(uint64_t *start, uint64_t *end);
uint64_t thread_movable(uint64_t start, uint64_t n);

/* env.c */
#define ENV_PATH_BYTES 1024
#define ENV_LINES      4    /* LD_PRELOAD, two for the supervisor, and a mark */
/* Note what has to be handed down. */
void env_init(void);
/* Take out of the program's environment what was put in on the way. Constructor. */
void env_hide(void);
/* Our file; "": not known. */
const char *env_agent(void);
/* Does @env hand us down? *@listed: is our file in its LD_PRELOAD, at least? */
bool env_has_us(char *const *env, bool *listed);
/* So many pointers are enough for @env with us, or without; *@bytes: for its LD_PRELOAD. */
size_t env_room(char *const *env, size_t *bytes);
/* @env with us, or without, to @copy, which has @room; @line[@size] is for LD_PRELOAD. False: there is not enough room. */
bool env_with_us(char *const *env, char **copy, size_t room, char *line, size_t size);
bool env_without_us(char *const *env, char **copy, size_t room, char *line, size_t size);

/* exec.c */
int hook_execve(const char *path, char *const *argv, char *const *env);
int hook_execveat(int dir, const char *path, char *const *argv, char *const *env, int flags);
int hook_fexecve(int fd, char *const *argv, char *const *env);

/* hook.c */
bool hook_install(void);

/* guard.c */
void guard_init(void);

#endif
