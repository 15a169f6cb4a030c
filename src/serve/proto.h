/* serve/proto.h - what the agent in a client process and the supervisor say to each other.
 *
 * Transport: Unix SOCK_SEQPACKET, abstract name "\0" + $UMEMCG_SOCKET; where that is not known, the file that
 * descriptor $UMEMCG_DOOR is of (serve/door.c). One packet = one message =
 * struct msg_head and a body of exactly the type's size (EVICT and EVICTED: variable, see there). Native byte order: both ends
 * are one machine. The supervisor speaks to processes below it only; who speaks it takes from the kernel (SO_PEERCRED),
 * never from the message. Anything malformed ends that connection, and the client behind it, and no other.
 *
 * Two kinds of connection:
 *   helper channel  one a client process, opened by HELLO, lives in the helper thread's own file table. Its
 *                   end means that this address space is going (exit or exec): its faults are served until the kernel says
 *                   that it is gone.
 *   call            one request, one CALL_REPLY, then closed by the client; made by program threads. For FORK the client
 *                   keeps it open until the fork has returned in the parent: its end is the end of the fork.
 *
 * Life of a client:
 *   exec:  HELLO (fork_cookie 0, userfaultfd attached) -> READY.  Without permission to make one: HELLO with
 *          HELLO_NEED_DEVICE, none attached -> DEVICE (a descriptor of /dev/userfaultfd attached, or error) ->
 *          HELLO again with the userfaultfd attached, or close.
 *   clone  (CLONE_VM, no thread): the child HELLO (HELLO_STANDBY, the userfaultfd attached) -> READY, STARTED; nothing more until the
 *          helper channel of that userfaultfd ends. Then this is the helper channel.
 *   fork:  parent CALL_FORK -> cookie; fork; child HELLO (fork_cookie = cookie) -> READY with
 *          the child's userfaultfd attached.
 *   then   STARTED from the helper: from now on it answers
 *   then   EVICT -> EVICTED -> (supervisor reads the staging area) -> ZAP, any number of times, one at a time; or FILL -> EVICTED.
 *          LEAVE at any time, once.
 *
 * This header is shared with src/agent and includes only the standard library.
 */
#ifndef UMEMCG_SERVE_PROTO_H
#define UMEMCG_SERVE_PROTO_H

#include <stdint.h>

#define PROTO_MAGIC   0x756d6334u   /* "umc4"; changes with every incompatible change */
#define PROTO_ENV     "UMEMCG_SOCKET"
#define PROTO_DOOR_ENV "UMEMCG_DOOR"
#define EVICT_PAGES_MAX 128         /* pages a batch; the staging area is this large */

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
	NR_MSG_TYPES
};

struct msg_head {
	uint32_t magic;
	uint32_t type;      /* enum msg_type */
	uint64_t seq;       /* a reply repeats its request's */
};

#define HELLO_NEED_DEVICE 1u  /* userfaultfd(2) refused: send a device descriptor */
#define HELLO_CAN_MOVE    2u  /* UFFDIO_MOVE works: pages pinned by I/O are refused, not lost */
#define HELLO_STANDBY     8u  /* no client: a helper for when that of the userfaultfd's, which is attached, has ended */
#define HELLO_HOOKED      4u  /* libc's own entry points are redirected, not only the symbols */

/* Pages at the top of a stack that libc makes for a thread, which stay the kernel's: enough for
 * libc's struct pthread; with the thread-local storage of the libraries below it where it lies
 * above. */
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
	uint64_t staging;             /* start of EVICT_PAGES_MAX pages, never managed */
	/* Never adopt it. The agent's own memory (first; its second page is for marks, see
	 * serve/mark.c), and what the kernel needs at exit: libc's record of the first thread
	 * (PRIVATE_RECORD). */
	uint64_t private_start[4];
	uint64_t private_end[4];      /* unused ones: 0, 0 */
};

struct msg_device {
	struct msg_head h;
	int32_t error;                /* 0: a descriptor is attached; else -errno */
	uint32_t pad;
};

struct msg_ready {
	struct msg_head h;
	int32_t error;                /* 0, or -errno: the process stays unmanaged, the agent ends quietly */
	uint32_t register_mode;       /* UFFDIO_REGISTER modes for new mappings */
	/* Whom getppid(2) is not to name to an orphan, and whom instead; but to the root process. Pids in that namespace (inode) */
	int32_t supervisor, heir, root;
	uint32_t pad;
	uint64_t pid_namespace;
};

/* Helper -> supervisor, once: the program's thread is through with its HELLO and the helper reads. Before that the thread may need
 * pages itself, and an EVICT would wait for it. */
struct msg_started {
	struct msg_head h;
};

struct evict_range {
	uint64_t start;
	uint64_t npages;
};

/* Supervisor -> helper: move these pages to the staging area, page k of the flattened list to staging + k pages. Sent with just
 * n ranges: size = offsetof(struct msg_evict, range) + n * sizeof range[0]. Sum of npages <= EVICT_PAGES_MAX. */
struct msg_evict {
	struct msg_head h;
	uint32_t n;
	uint32_t pad;
	struct evict_range range[EVICT_PAGES_MAX];
};

enum evict_status {
	EVICT_MOVED = 0,  /* in the staging area, no longer in the program */
	EVICT_GONE,       /* nothing was there */
	EVICT_PINNED,     /* in use by I/O: try later */
	EVICT_REFUSED,    /* the mapping cannot be moved (protection, locked, not anonymous) */
	EVICT_BUSY,       /* a thread of the program is changing mappings: try again */
};

/* Helper -> supervisor: one byte a page; size = offsetof(struct msg_evicted, status) + n. */
struct msg_evicted {
	struct msg_head h;
	uint32_t n;
	uint8_t status[EVICT_PAGES_MAX];
};

/* Supervisor -> helper: the first n pages of the staging area are copied; drop them. No reply. */
struct msg_zap {
	struct msg_head h;
	uint32_t n;
	uint32_t pad;
};

/* Supervisor -> helper: put zeros into the HUGE_BYTES from start on, which are empty, as one huge page if that can be had. The answer is
 * an EVICTED of one status: EVICT_MOVED, they are there; EVICT_GONE, something else was: a part of them may be; EVICT_BUSY,
 * EVICT_REFUSED: nothing was done. */
struct msg_fill {
	struct msg_head h;
	uint64_t start;
};

#define HUGE_BYTES (2ul << 20)

/* Supervisor -> helper: you are the last thread of your process. End it with the status that its first thread has, as wait(2)
 * tells it. No reply. */
struct msg_leave {
	struct msg_head h;
	uint32_t status;
	uint32_t pad;
};

enum call_op {
	CALL_FORK = 1,    /* about to fork: make room, stop evicting; reply value = cookie */
	CALL_MLOCK,       /* start, len: about to lock; 0 or -ENOMEM */
	CALL_MUNLOCK,     /* start, len: was unlocked */
	CALL_MLOCKALL,    /* start = MCL_ flags */
	CALL_MUNLOCKALL,
	CALL_WILLNEED,    /* start, len: read ahead */
	CALL_ADOPT,       /* start, len: a mapping the agent could not register itself, or of a CALL_SHARED */
	CALL_SHARED,      /* len: new shared memory; the reply has a memfd attached, to be mapped, then CALL_ADOPT */
	CALL_EXEC,        /* about to execute a program; a child of vfork may say it for itself;
			   * arg: EXEC_ or 0 */
	CALL_FORK_ADVICE, /* start, len, arg = MADV_DONTFORK, _DOFORK, _WIPEONFORK or _KEEPONFORK: was given */
	CALL_REMOVE,      /* start, len: madvise(MADV_REMOVE) was done: shared memory there is zeros, swapped out or not */
	CALL_SHARED_AT,   /* start, len: which object of shared memory is mapped there? Its memfd is attached; value = PROT_ bits and
			   * SHARED_AT_LOCKED; -EOPNOTSUPP: none of ours; -EINVAL: not the same all over the range */

	CALL_KEEP,        /* start, len: leave it in memory, and in that of forked children, whatever is unlocked; 0 or -ENOMEM */
	CALL_PIPE,        /* start, len, in bytes, > 0: went into the pipe that is descriptor arg (vmsplice) */

	CALL_HUGE_ADVICE, /* start, len, arg = MADV_HUGEPAGE or _NOHUGEPAGE: was given */

	CALL_FILE,        /* start, len: anonymous memory that nobody can touch yet is to be filled from descriptor arg, which is file ino on
			   * dev, from byte offset on */
	CALL_FILE_AT,     /* start, len: is there such memory? value = PROT_ bits at start, len = offset of the first of it; its file is
			   * attached. -ENOENT: no */

	/* System V shared memory. start, len are no range of memory but where it says so. -EOPNOTSUPP: no segment of ours, ask
	 * the kernel. */
	CALL_SHMGET,      /* start = key, len = size, arg = flags; value = id */
	CALL_SHMAT,       /* start = id, arg = flags; a memfd attached, len = bytes to map; then CALL_SHM_MAPPED */
	CALL_SHM_MAPPED,  /* start, len: it is mapped there (len 0: it could not be); arg = id */
	CALL_SHMDT,       /* start = address, len = 0 or the last answer; value, len = an area to unmap, -EINVAL: none (left) */
	CALL_SHM_STAT,    /* start = id; seg */
	CALL_SHM_SET,     /* start = id, len = uid | gid << 32, arg = mode */
	CALL_SHM_RMID,    /* start = id */
	CALL_SHM_LOCK,    /* start = id, arg = SHM_LOCK or SHM_UNLOCK */

	CALL_PIPE_ON,     /* start, len = descriptors: splice or tee is about to pass on what is in the one, a pipe, to the other */
	NR_CALLS
};

#define SHARED_AT_LOCKED  0x100u       /* it is locked in memory */
#define EXEC_STATIC       1u           /* it will not say HELLO, and take memory without asking */
#define EXEC_SILENT       2u           /* it has a loader, and will not say HELLO either */

/* Bits of the ids of our segments. The kernel's have them set only when there are more than 28671 segments. */
#define SEGMENT_ID_MARK   0x7000
#define SEGMENT_BYTES_MIN (64u << 10)  /* smaller ones are not worth a descriptor of the supervisor's */

struct msg_call {
	struct msg_head h;
	uint32_t op;      /* enum call_op */
	uint32_t arg;
	uint64_t start, len;
	uint64_t offset, dev, ino;  /* CALL_FILE */
};

/* What struct shmid_ds tells of a segment. */
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
	int32_t error;    /* 0 or -errno for the caller */
	uint32_t pad;
	uint64_t value, len;
	struct msg_segment seg;
};

#endif
