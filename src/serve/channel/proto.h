/* serve/channel/proto.h - the protocol between the agent in a client process and the supervisor.
 *
 * Transport: Unix SOCK_SEQPACKET, abstract name "\0" + $UMEMCG_SOCKET; where that is not visible,
 * the two ways that $UMEMCG_DOOR describes (serve/channel/door.c). One packet = one message =
 * struct msg_head and a body of exactly the type's size (EVICT and EVICTED: variable, see there).
 * Native byte order: both ends are on one machine. The supervisor speaks only to processes below
 * it; it takes the sender's identity from the kernel (SO_PEERCRED), never from the message.
 * Anything malformed ends that connection and the client behind it, and no other.
 *
 * Through the door: CONNECT, with one end of a pair attached -> CONNECTED on that pair, with a
 * connection attached. It is the process's that made the pair.
 *
 * Two kinds of connection:
 *   helper channel  one per client process, opened by HELLO, lives in the helper thread's own file
 *                   table. Its end means that this address space is going away (exit or exec): its
 *                   faults are served until the kernel says that it is gone.
 *   call            one request, one CALL_REPLY, then closed by the client; made by program
 *                   threads. For FORK the client keeps it open until the fork has returned in the
 *                   parent: its end is the end of the fork.
 *
 * Life of a client:
 *   exec:  HELLO (fork_cookie 0, userfaultfd attached) -> READY. Without permission to make one:
 *          HELLO with HELLO_NEED_DEVICE, none attached -> DEVICE (a descriptor of /dev/userfaultfd
 *          attached, or error) -> HELLO again with the userfaultfd attached, or close.
 *   clone  (CLONE_VM, no thread): the child sends HELLO (HELLO_STANDBY, the userfaultfd attached)
 *          -> READY, STARTED; nothing more until the helper channel of that userfaultfd ends. Then
 *          this is the helper channel.
 *   fork:  parent CALL_FORK -> cookie; fork; child HELLO (fork_cookie = cookie) -> READY with the
 *          child's userfaultfd attached.
 *          In mode kernel (READY.own_forks) the kernel reports none. Parent: CALL_FORK -> cookie;
 *          CALL_AREAS with AREAS_FREEZE -> AREAS; fork. Child: HELLO (fork_cookie, a userfaultfd of
 *          its own attached) -> READY. Then the parent gets a second CALL_REPLY to its CALL_FORK.
 *   alone  (a call that needs a process of one thread): HELLO (HELLO_AGAIN, staging) on a new
 *          connection -> READY, and RETIRE to the helper, which ends. The new connection is the
 *          helper channel from now on. The call; a new helper. READY says -EBUSY where a request is
 *          late: nothing has changed then.
 *   then   STARTED from the helper: from now on it answers
 *   then   EVICT -> EVICTED -> (supervisor reads the staging area) -> ZAP, any number of times, one
 *          at a time; or FILL -> EVICTED. GUARD before an EVICT. LEAVE at any time, once; RETIRE
 *          between two requests.
 *
 * This header is shared with src/agent and includes only the standard library.
 */
#ifndef UMEMCG_SERVE_PROTO_H
#define UMEMCG_SERVE_PROTO_H

#include <stdint.h>

#define PROTO_MAGIC     0x756d6336u /* "umc6"; changes with every incompatible change */
#define PROTO_ENV       "UMEMCG_SOCKET"
#define PROTO_VIEW_ENV  "UMEMCG_VIEW" /* "proc": /proc/meminfo shows the group (agent/view.c) */
#define PROTO_DOOR_ENV  "UMEMCG_DOOR" /* "DESCRIPTOR.INODE:PATH", or one half of it */
#define EVICT_PAGES_MAX 128           /* pages per batch; size of the staging area */

enum msg_type {
	MSG_HELLO = 1,
	MSG_DEVICE,
	MSG_READY,
	MSG_EVICT,
	MSG_EVICTED,
	MSG_ZAP,
	MSG_CALL,
	MSG_CALL_REPLY,
	MSG_STARTED,
	MSG_FILL,
	MSG_LEAVE,
	MSG_RETIRE,  /* struct msg_head only */
	MSG_CONNECT, /* struct msg_head only */
	MSG_CONNECTED,
	MSG_GUARD,
	MSG_AREAS,
	NR_MSG_TYPES
};

struct msg_head {
	uint32_t magic;
	uint32_t type; /* enum msg_type */
	uint64_t seq;  /* a reply repeats that of its request */
};

#define HELLO_NEED_DEVICE 1u /* userfaultfd(2) refused: send a device descriptor */
#define HELLO_CAN_MOVE    2u /* UFFDIO_MOVE works: pages pinned by I/O are refused, not lost */
#define HELLO_STANDBY                                                                              \
	8u /* not a client: a helper to take over when the helper of the attached     \
			 * userfaultfd's client ends */
#define HELLO_AGAIN                                                                                \
	16u /* a client: its helper is to end (RETIRE), and another will take over      \
			 * this channel */
#define HELLO_HOOKED 4u /* libc's own entry points are redirected, not only the symbols */

/* Pages at the top of a thread stack made by libc that stay the kernel's: enough for libc's struct
 * pthread and, where it lies above, the thread-local storage of the libraries below it. */
#if defined(__x86_64__)
#define STACK_TOP_PAGES 2
#else
#define STACK_TOP_PAGES 4
#endif

#define PRIVATE_RECORD 2

/* Ranges are [start, end) in bytes, page aligned. */
struct msg_hello {
	struct msg_head h;
	uint32_t flags;
	uint32_t helper_tid;
	uint64_t fork_cookie;
	uint64_t staging; /* start of EVICT_PAGES_MAX pages, never managed */
	/* Never adopted: the agent's own memory (first; its second page is for marks, see
	 * serve/find/mark.c), and what the kernel needs at exit: libc's record of the first thread
	 * (PRIVATE_RECORD). */
	uint64_t private_start[4];
	uint64_t private_end[4]; /* unused entries: 0, 0 */
};

struct msg_device {
	struct msg_head h;
	int32_t error; /* 0: a descriptor is attached, or @user_only; else -errno */
	uint32_t user_only; /* 1: userfaultfd(2) with UFFD_USER_MODE_ONLY */
};

struct msg_ready {
	struct msg_head h;
	int32_t error;          /* 0, or -errno: stays unmanaged, the agent ends quietly */
	uint32_t register_mode; /* UFFDIO_REGISTER modes for new mappings */
	/* If getppid(2) of an orphan would return @supervisor, it returns @heir; not in the @root
	 * process. Pids in the namespace with inode @pid_namespace. */
	int32_t supervisor, heir, root;
	uint32_t kernel_memfd; /* 1: memfds stay the kernel's */
	uint64_t pid_namespace;
	uint32_t own_forks; /* 1: the kernel reports no fork, the agent takes part in it */
	uint32_t user_mode; /* 1: faults of the kernel are not served */
};

/* Helper -> supervisor, once: the program's thread has finished its HELLO and the helper is
 * reading. Until then that thread may need pages itself, and an EVICT would wait for it. */
struct msg_started {
	struct msg_head h;
	uint32_t helper_tid; /* in its own PID namespace */
	uint32_t pad;
};

struct evict_range {
	uint64_t start;
	uint64_t npages;
};

/* Supervisor -> helper: move these pages to the staging area, page k of the flattened list to
 * staging + k pages. Sent with exactly n ranges: size = offsetof(struct msg_evict, range) + n *
 * sizeof range[0]. Sum of npages <= EVICT_PAGES_MAX. */
struct msg_evict {
	struct msg_head h;
	uint32_t n;
	uint32_t pad;
	struct evict_range range[EVICT_PAGES_MAX];
};

enum evict_status {
	EVICT_MOVED = 0, /* in the staging area, no longer in the program */
	EVICT_GONE,      /* nothing was there */
	EVICT_PINNED,    /* in use by I/O: try later */
	EVICT_REFUSED,   /* the mapping cannot be moved (protection, locked, not anonymous) */
	EVICT_BUSY,      /* a thread of the program is changing mappings: try again */
};

/* Helper -> supervisor: one byte per page; size = offsetof(struct msg_evicted, status) + n. */
struct msg_evicted {
	struct msg_head h;
	uint32_t n;
	uint8_t status[EVICT_PAGES_MAX];
};

/* Supervisor -> helper: the first n pages of the staging area have been copied; drop them. No
 * reply. */
struct msg_zap {
	struct msg_head h;
	uint32_t n;
	uint32_t pad;
};

/* Supervisor -> helper: fill the empty HUGE_BYTES from start with zeros, as one huge page if
 * available. The reply is an EVICTED of one status: EVICT_MOVED: filled; EVICT_GONE: something else
 * was there, and part of the range may be filled; EVICT_BUSY, EVICT_REFUSED: nothing was done. */
struct msg_fill {
	struct msg_head h;
	uint64_t start;
};

#define HUGE_BYTES (2ul << 20)

/* Supervisor -> helper: you are the last thread of your process. End it with the status of its
 * first thread, as wait(2) reports it. No reply. */
struct msg_leave {
	struct msg_head h;
	uint32_t status;
	uint32_t pad;
};

/* Supervisor -> helper, with own_forks: pages may be missing here from now on, and a child that is
 * made past the agent must not have these ranges (MADV_DONTFORK). No reply. Sent with exactly n
 * ranges, as EVICT. */
struct msg_guard {
	struct msg_head h;
	uint32_t n;
	uint32_t pad;
	struct evict_range range[EVICT_PAGES_MAX];
};

/* The reply to CALL_AREAS: what a child of a fork must have, although it may be guarded. Ranges in
 * the order of addresses; from @next on there are more, 0: there are none. Always whole. */
struct msg_areas {
	struct msg_head h;
	int32_t error; /* 0 or -errno: do not fork */
	uint32_t n;
	uint64_t next;
	struct evict_range range[EVICT_PAGES_MAX];
};

enum call_op {
	CALL_FORK = 1, /* about to fork: make room, stop evicting; reply value = cookie */
	CALL_MLOCK,    /* start, len: about to lock; 0 or -ENOMEM */
	CALL_MUNLOCK,  /* start, len: has been unlocked */
	CALL_MLOCKALL, /* start = MCL_ flags */
	CALL_MUNLOCKALL,
	CALL_WILLNEED,    /* start, len: read ahead */
	CALL_ADOPT,       /* start, len: a mapping that the agent could not register, or of a
			   * CALL_SHARED */
	CALL_SHARED,      /* len: new shared memory; a memfd is attached to the reply, to be mapped,
			   * then CALL_ADOPT */
	CALL_EXEC,        /* about to execute a program; a child of vfork may say it for itself;
			   * arg: EXEC_ or 0 */
	CALL_FORK_ADVICE, /* start, len, arg = MADV_DONTFORK, _DOFORK, _WIPEONFORK or _KEEPONFORK,
			   * given already */
	CALL_AREAS,       /* start: its AREAS from there on; arg: AREAS_ */
	CALL_REMOVE,      /* start, len: madvise(MADV_REMOVE) done: shared memory there is zeros,
			   * swapped out or not */
	CALL_SHARED_AT,   /* start, len: which shared memory object is mapped there? Its memfd is
			   * attached; value = PROT_ bits and SHARED_AT_LOCKED; -EOPNOTSUPP: none of
			   * ours; -EINVAL: the range is not uniform */

	CALL_KEEP, /* start, len: keep it in memory, also in forked children, even if
		    * unlocked; 0 or -ENOMEM */
	CALL_PIPE, /* start, len, in bytes, > 0: went into the pipe of descriptor arg by
		    * vmsplice */

	CALL_HUGE_ADVICE, /* start, len, arg = MADV_HUGEPAGE or _NOHUGEPAGE, given already */

	CALL_FILE,    /* start, len: anonymous memory that nothing can touch yet is to be filled
		       * from descriptor arg, which is file ino on dev, from byte offset on */
	CALL_FILE_AT, /* start, len: is there such memory? value = PROT_ bits at start, len =
		       * offset of the first of it; its file is attached. -ENOENT: no */

	/* System V shared memory. start, len are a memory range only where stated. -EOPNOTSUPP: no
	 * segment of ours, ask the kernel. */
	CALL_SHMGET,     /* start = key, len = size, arg = flags; value = id */
	CALL_SHMAT,      /* start = id, arg = flags; a memfd is attached, len = bytes to map; then
			  * CALL_SHM_MAPPED */
	CALL_SHM_MAPPED, /* start, len: it is mapped there (len 0: it could not be); arg = id */
	CALL_SHMDT,      /* start = address, len = 0 or the last answer; value, len = an area to
			  * unmap, -EINVAL: none (left) */
	CALL_SHM_STAT,   /* start = id; seg */
	CALL_SHM_SET,    /* start = id, len = uid | gid << 32, arg = mode */
	CALL_SHM_RMID,   /* start = id */
	CALL_SHM_LOCK,   /* start = id, arg = SHM_LOCK or SHM_UNLOCK */

	CALL_PIPE_ON, /* start, len = descriptors: splice or tee is about to pass data from the
		       * first, a pipe, to the second */

	/* A memfd of the program's: file ino on dev. -ENOENT: it is the kernel's, and always was.
	 * May come from a child that is no client. */
	CALL_MEMFD,        /* descriptor arg is a stub; from now on it is used as below */
	CALL_MEMFD_FILE,   /* a descriptor to map is attached */
	CALL_MEMFD_MAPPED, /* start, len: it is mapped there, inaccessible */
	CALL_MEMFD_SIZE,   /* ftruncate to len bytes */
	CALL_MEMFD_SPACE,  /* fallocate: arg = mode, offset and len in bytes */
	CALL_MEMFD_LEAVE,  /* it becomes the kernel's, with all its content, if it is not; a
			    * descriptor is attached, or it can be opened. -ENOMEM: no room */

	CALL_DOOR, /* the door's descriptor was closed: it is attached to the reply. May come from a
		    * child that is no client */
	NR_CALLS
};

/* The byte of a new memfd that is locked while a descriptor or a mapping has it
 * (mmu/host/memfd.h). */
#define MEMFD_LOCKED_AT (1ll << 62)

#define SHARED_AT_LOCKED 0x100u /* it is locked in memory */
#define AREAS_FREEZE     1u /* no page comes or goes until the fork's child has said HELLO */
#define AREAS_NONE       2u /* nothing is guarded: no ranges */
#define EXEC_STATIC      1u     /* will not say HELLO, and takes memory without asking */
#define EXEC_SILENT      2u     /* has a loader, but will not say HELLO either */

/* Bits set in the ids of our segments. The kernel's ids have them set only above 28671 segments. */
#define SEGMENT_ID_MARK   0x7000
#define SEGMENT_BYTES_MIN (64u << 10) /* smaller ones are not worth a descriptor of ours */

struct msg_call {
	struct msg_head h;
	uint32_t op; /* enum call_op */
	uint32_t arg;
	uint64_t start, len;
	uint64_t offset, dev, ino; /* CALL_FILE, CALL_MEMFD */
};

/* The struct shmid_ds fields of a segment. */
struct msg_segment {
	int32_t key;
	uint32_t mode;
	uint32_t uid, gid, cuid, cgid;
	int32_t cpid, lpid;
	uint64_t size, nattch;
	int64_t atime, dtime, ctime;
};

struct msg_call_reply {
	struct msg_head h;
	int32_t error; /* 0 or -errno for the caller */
	uint32_t pad;
	uint64_t value, len;
	struct msg_segment seg;
};

#endif
