/* agent/agent.h - declarations shared by the parts of the preloaded agent.
 *
 * The agent lives in a foreign process: it never allocates, never prints (unless
 * $UMEMCG_AGENT_DEBUG is set), never changes errno outside a replaced libc call, and keeps one
 * descriptor, at a high number. If setup fails anywhere, it withdraws silently.
 *
 * Memory. One reserved region, never managed:
 *
 *     page 0          struct agent, wiped by fork: a child that the agent has not prepared (a raw
 *                     clone(2), _Fork) sees zeros, that is, an unmanaged process and a free lock
 *     page 1          the supervisor's, in such a child (serve/find/mark.c); nobody else touches
 * it. Wiped by fork HELPER_BYTES    the helper's stack and buffers; not inherited by fork
 *     THREAD_BYTES    threads on stacks supplied by the program (thread.c); not inherited by fork
 *     HOLD_BYTES      pages that must not move (hold.c); not inherited by fork
 *     staging         EVICT_PAGES_MAX pages, registered in the staging userfaultfd; not inherited
 *
 * The helper makes another region when it is first asked for a huge page: huge.c.
 *
 * Threads and locks. (A) atomic (M) maplock to write, atomic to read (C) constant while managed.
 * maplock serialises changes of mappings with the helper's moves. It is held with all signals
 * blocked. Memory that can be evicted must not be touched under it: the fault may need room that
 * only the helper, which needs maplock, can make. See maplock_lock(). Fork does not hold it: other
 * prepare handlers take allocator locks, whose owners call mmap.
 */
#ifndef UMEMCG_AGENT_AGENT_H
#define UMEMCG_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "serve/channel/proto.h"

#define AGENT_EXPORT __attribute__((visibility("default")))

#define FIXED_PAGES  2 /* those that a forked child keeps, wiped */
#define HELPER_NAME  "umemcg-helper"
#define HELPER_BYTES (64u << 10)
#define THREAD_BYTES (16u << 10)
#define HOLD_BYTES   (16u << 10)

enum { LOCK_FUTURE_FILL = 1, LOCK_FUTURE_ONFAULT }; /* MCL_FUTURE; with MCL_ONFAULT */
enum { HELPER_WAIT, HELPER_GO, HELPER_LEAVE };

struct helper_state {
	uint32_t tid;   /* (A) 0 when the helper has ended */
	uint32_t clean; /* (A) the helper has closed what is not its own */
	uint32_t order; /* (A) HELPER_WAIT until its starter has seen READY */
};

#define NR_STANDBYS 8

/* standby.c */
struct standby {
	uint32_t busy; /* (A) 0: free. Else about to be started: by whom, see standby.c */
	struct helper_state state;
	int (*fn)(void *);
	void *arg;
};

struct agent {
	uint32_t maplock;       /* (A) see maps.c */
	uint32_t maplock_owner; /* (A) the thread that holds maplock; 0: none, or not set yet */
	uint32_t managed;       /* (A) READY was received: the hooks are active */
	uint32_t forking;       /* (A) forks in progress: the helper moves nothing */
	uint32_t lock_future;   /* (A) LOCK_FUTURE_: asked by mlockall of new mappings; 0: none */
	int32_t uffd;           /* (M) for UFFDIO_REGISTER in program threads; -1 if it was lost */
	uint32_t closes;        /* (A) guard.c: number of refused close calls */
	int32_t pid;            /* (C) differs from getpid() in a vfork child */
	uint64_t mode;          /* (C) UFFDIO_REGISTER mode of new mappings */
	bool kernel_memfd;      /* (C) memfds are the kernel's */
	bool own_forks;         /* (C) the kernel reports no forks (fork.c) */
	bool user_mode;         /* (C) faults of the kernel are not served (user/user.h) */
	uint32_t guarded;       /* (A) fork.c: there may be guards */
	struct helper_state helper;
	uint32_t threads;      /* (A) number of thread.c slots ever used */
	uint64_t huge_area;    /* (A) huge.c: where the helper makes huge pages; 0: none yet */
	uint32_t holds;        /* (A) number of hold.c records ever used */
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
struct own_fork; /* fork.h */
/* Become managed; @cookie is 0 after exec; @f: of a fork that the kernel does not report. A failure
 * restores the state before the call. 0 or -errno. */
int agent_attach(uint64_t cookie, struct own_fork *f);
int agent_high_fd(int fd);
/* Around a fork. The first two run in the parent, and signals are blocked in between; the last in
 * the child, which has its own copy of the thread-local storage. @same_network: the supervisor is
 * as visible as before the fork; where it is not, its process is dead. */
void agent_fork_prepare(void);
void agent_fork_parent(void);
void agent_fork_child(bool same_network);
/* Where the helper is (helper_start), and its staging area. */
char *agent_helper_area(void);
char *agent_staging(void);
void agent_unlock_region(void);

/* Behave as on a kernel without UFFDIO_MOVE (tests). */
extern bool agent_no_move;

/* uffd.c: a descriptor or -errno. @device: where userfaultfd(2) is refused; else -1. */
int agent_make_uffd(int device);
/* The supervisor has said that userfaultfds serve user mode only. */
extern bool agent_user_only;
int agent_get_device(int channel, uint64_t cookie);
int agent_staging_uffd(char *staging, int device);

/* alone.c */
int hook_unshare(int flags);
int hook_setns(int fd, int type);

/* filter.c */
#define FILTER_REGISTER 1u
#define FILTER_NAME     2u
#define FILTER_DOOR     4u
#define FILTER_TKILL    8u
#define FILTER_JOIN     16u
/* Has the program put a seccomp filter on itself that forbids it? @what: one of FILTER_. */
bool filter_forbids(uint32_t what);
long hook_seccomp(long operation, long flags, long program);
long hook_prctl(long option, long b, long c, long d, long e);

/* way.c */
/* Remember the supervisor's abstract name. False: it cannot be one. */
bool way_set_name(const char *name);
/* Remember the other two ways, as $UMEMCG_DOOR describes them; NULL: there are none. */
void way_set_door(const char *text);
/* Have the door's descriptor, if the program was given one and closed it. */
void way_keep_door(void);
/* atfork.c: agent_fork_child, as libc's handler. */
void atfork_child(void);

/* channel.c: every function returns >= 0 or -errno. */
#define CALL_TIMEOUT_S 30
/* A connected socket; way.c. */
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

/* evict.c */
/* Take maplock while no fork is in progress. False: not now. */
bool lock_for_moving(void);

/* UFFDIO_MOVE. Linux 6.8; newer than the headers of the oldest supported build host. */
struct move_args {
	uint64_t dst, src, len, mode;
	int64_t moved;
};
#define MOVE_IOCTL         _IOWR(UFFDIO, 0x05, struct move_args)
#define MOVE_MODE_DONTWAKE 1ull

struct helper_setup {
	int channel;
	int uffd;         /* -1: arrives with READY */
	int staging_uffd; /* -1: no UFFDIO_MOVE */
	char *staging;
	struct helper_state *state;
	bool standby; /* it must not keep its process alive */
};
int helper_start(void *area, const struct helper_setup *setup);
void helper_order(struct helper_state *state, uint32_t order);

/* last.c */
/* The calling helper, the last thread of its process, ends it with @status as wait(2) reports
 * it. */
_Noreturn void helper_end_process(uint32_t status);

/* huge.c */
uint8_t huge_fill(int uffd, uint64_t start);
void huge_split(const void *start, size_t len);
void huge_split_edges(const void *start, size_t len);
void huge_unlock(void);
/* Memory private to the agent for the life of the process, not inherited. It must never be taken
 * for the program's: nobody may touch it before it is marked. Returns its address or -errno. */
long agent_area(size_t bytes);

/* maps.c */
bool maplock_trylock(void);
bool maplock_inherit(void);
void maplock_lock(void);
void maplock_unlock(void);
void maplock_unlock_moved(void);
/* For assertions: does anybody hold it? Does the calling thread? */
bool maplock_is_held(void);
bool maplock_is_mine(void);
void maps_set_curbrk(void **curbrk);
void *hook_mmap(void *addr, size_t len, int prot, int flags, int fd, long off);
int hook_munmap(void *addr, size_t len);
void *hook_mremap(void *old, size_t old_len, size_t len, int flags, ...);
int hook_brk(void *addr);
void *maps_brk(void *addr);

/* lock.c */
int hook_mlock(const void *addr, size_t len);
int hook_mlock2(const void *addr, size_t len, unsigned int flags);
int hook_mlockall(int flags);
int hook_munlock(const void *addr, size_t len);
int hook_munlockall(void);

/* advice.c */
struct iovec; /* sys/uio.h */
int hook_madvise(void *addr, size_t len, int advice);
ssize_t hook_process_madvise(int pidfd, const struct iovec *piece, size_t n, int advice,
			     unsigned int flags);

/* clone.c */
long hook_clone(long nr, long a, long b, long c, long d, long e);
long hook_set_tid_address(long word);
long hook_set_robust_list(long head, long len);

/* io_uring_register(2) is about to register what @arg describes. */
/* io_uring_register(2) is about to register what @arg says. */
void pin_registered(unsigned long operation, const void *arg, unsigned long n);

/* peek.c */
#define PROC_PATH_BYTES 64
/* Parse "123" at *@at and advance *@at past it; -1 without a digit. */
long proc_number(const char **at);
/* Store the path of the file @fd in @path: returns its length; 0 or negative if unknown. */
long proc_path_of(int fd, char *path, size_t size);
/* Is it a helper thread of any process? */
bool helper_is(pid_t tid);
long hook_ptrace(long request, long pid, long at, long data);

/* futex.c */
long hook_futex(long word, long op, long value, long time, long second, long value3);

/* hold.c */
/* HOLD_CALL is for a call. The others last for a thread's life (clone.c): for a thread that @tid is
 * about to make; for the word that is cleared at @tid's end; for its list of robust mutexes. A
 * thread has at most one of each of the last two. */
enum { HOLD_CALL, HOLD_ASKED, HOLD_WORD, HOLD_ROBUST };
struct hold {
	uint32_t tid;        /* (A) owner; 0: free */
	uint32_t kind;       /* HOLD_ */
	uint64_t start, end; /* (A) pages */
};
/* Hold the present pages of [start, end) for the calling thread; NULL: no record is left. */
struct hold *hold_take(uint64_t start, uint64_t end);
/* The calling thread's record of that kind; NULL: none. */
struct hold *hold_of(uint32_t kind);
void hold_give(struct hold *h, uint32_t tid);
void hold_drop(struct hold *h);
/* Fault the pages in for writing. 0, or -errno where there is no such memory. */
long hold_bring(uint64_t start, uint64_t end);
/* If the range is the supervisor's shared memory, keep it in memory until it is unmapped. @again:
 * ask even if it was asked before. */
void hold_shared(uint64_t start, uint64_t end, bool again);
uint64_t hold_movable(uint64_t start, uint64_t n);

/* origin.c */
void origin_init(void);
/* Is the code address @caller in the library that makes threads? True when that is unknown. */
bool origin_makes_threads(const void *caller);
/* The flags of a mapping with /dev/zero replaced by what it stands for: adds MAP_ANONYMOUS where
 * @fd is /dev/zero. */
int origin_flags(size_t len, int prot, int flags, int fd, long off);

/* hide.c */
void hide_init(void);

/* parent.c */
void parent_set(const struct msg_ready *m);
pid_t hook_getppid(void);

/* peek.c */
void peek_init(void);
void view_init(void);

/* backed.c */
bool backed_any(void);
/* Can this mapping be made as memory that the supervisor fills? */
bool backed_fits(const void *addr, size_t len, int prot, int flags, int fd, long off);
/* The address, -errno, or 0: the kernel must map it. MAP_POPULATE and MAP_LOCKED are up to the
 * caller. */
long backed_map(void *addr, size_t len, int prot, int flags, int fd, long off);
/* Is there such memory in [start, start + len)? */
bool backed_within(uint64_t start, uint64_t len);
/* mremap such memory to a larger size: the address or -errno. 0: not such memory, or it does not
 * grow. */
long backed_grow(void *old, size_t old_len, size_t len, int flags, void *target);

/* memfd.c */
struct stat;
/* Has there been a memfd that may be managed, in this process or one it was forked from? */
bool memfd_any(void);
/* Is @fd the stub of a managed one, or a descriptor that the program opened with O_PATH? *@st: its
 * status. */
bool memfd_is_stub(int fd, struct stat *st);
/* Is the file @path a memfd? */
bool memfd_find_path(const char *path, struct stat *st);
/* F_GETFL of a descriptor that is no stub. */
int memfd_mode(void);
/* If @fd is a stub the file becomes the kernel's, and @fd real. 1: it is real; 0: it is none of
 * these; or -ENOMEM: it is a stub still. */
long memfd_restore(int fd);
/* The same for @n of them. True: one is a stub still; errno is set. */
bool memfd_refused(const int *fd, int n);
/* The call that was just made with them failed. True: it is to be made again. */
bool memfd_again(const int *fd, int n);
/* @fd comes from another process: it, real; or -ENOMEM, and it is closed. */
long memfd_taken(int fd);
/* A fork is about to be made; this is its child. */
void memfd_forks(void);
void memfd_forked(void);
/* Map it shared. The address, -errno; or 0: the kernel must map it. MAP_POPULATE and MAP_LOCKED are
 * up to the caller. */
long memfd_map(void *addr, size_t len, int prot, int flags, int fd, long off);

/* memfd_calls.c */
/* A new memfd with the content of the memfd @path; negative: it is none, or there was no room. */
long memfd_copy(const char *path);

/* remap.c */
long remap_adopted(enum call_op op, void *hint, uint64_t len, int prot, int flags, int fd,
		   long off);
long remap_over(uint64_t from, uint64_t to, uint64_t len);
bool remap_is_ours(int flags, int fd);
long remap_object(void *addr, size_t len, int prot, int flags, int fd, long off);
int hook_remap_file_pages(void *addr, size_t size, int prot, size_t first, int flags);
long remap_attach(int id, uint64_t to, int flags);

/* standby.c */
/* End the calling helper if no other thread of its process runs. */
void standby_leave_if_last(void);
/* mlockall has filled and locked the memory reserved for standbys. */
void standby_unlock(void);
bool standby_wanted(uint64_t flags);
struct standby *standby_take(int (*fn)(void *), void *arg);
int standby_run(void *standby);
/* @child: the child it belongs to; negative: there is none. */
void standby_await(struct standby *s, int child);

/* raw.c */
long hook_syscall(long nr, long a, long b, long c, long d, long e, long f);

/* thread.c */
void thread_record(uint64_t *start, uint64_t *end);
uint64_t thread_movable(uint64_t start, uint64_t n);

/* env.c */
#define ENV_PATH_BYTES 1024
#define ENV_LINES      4 /* LD_PRELOAD, two for the supervisor, and a mark */
/* Record what must be handed down. */
void env_init(void);
/* Remove from the program's environment what exec added. Constructor. */
void env_hide(void);
/* Path of this library; "": unknown. */
const char *env_agent(void);
/* Does @env hand the agent down? *@listed: is our file at least in its LD_PRELOAD? */
bool env_has_us(char *const *env, bool *listed);
/* The number of pointers that suffice for @env with or without us; *@bytes: for its LD_PRELOAD. */
size_t env_room(char *const *env, size_t *bytes);
/* Copy @env, with or without us, to @copy, which has @room; @line[@size] is for LD_PRELOAD. False:
 * not enough room. */
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
/* For calls that come past libc: our descriptor, or -1; is it not to be closed; it is about to be
 * overwritten. */
int guard_fd(void);
bool guard_refuses(int fd);
void guard_make_way(int fd);

#endif
