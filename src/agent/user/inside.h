/* agent/user/inside.h - what the files of the system-call entry share: threads, frames, actions.
 *
 * Each thread of the program has a record and a stack of the agent's, its alternate signal stack.
 * Neither is ever managed, so a signal can be delivered there. Every signal is, SIGSYS first of
 * all. The handler of a delivery (frame.c) blocks all signals, moves the frame to where the program
 * expects it, and returns into the program's handler. So nothing stays on that stack, and the
 * program sees its own stacks, masks and actions.
 *
 * The record is found in three ways: by what lies at the top of the stack (in a handler), by
 * thread-local storage, or, once there was a thread without such storage of its own, by asking the
 * kernel for the stack.
 *
 * Rules for this folder: no libc; no vector registers, which a system call preserves; no pointer
 * into the program's stack in a system call of ours, since its page may be out.
 *
 * Locks: user_actions.lock, with signals blocked. (A) atomic (T) its thread only (B) with signals
 * blocked only.
 */
#ifndef UMEMCG_AGENT_USER_INSIDE_H
#define UMEMCG_AGENT_USER_INSIDE_H

#include <stddef.h>

#include "agent/sys.h"
#include "agent/user/entry.h"

#define ENTRY_STACK_BYTES (32u << 10) /* and its alignment */
#define NR_ENTRY_THREADS  8192

#define NR_SIGNALS 64
#define SIGBIT(n)  (1ull << ((n)-1))
/* Signals that the program neither blocks nor takes from us: SIGBUS, SIGSEGV, SIGSYS. */
#define NR_OUR_SIGNALS   3
#define ENTRY_INFO_BYTES 128
#define OUR_SIGNALS      (SIGBIT(7) | SIGBIT(11) | SIGBIT(31))

#define ENTRY_ONSTACK    1u
#define ENTRY_DISABLE    2u
#define ENTRY_AUTODISARM (1u << 31)

/* As the kernel has it. */
struct user_action {
	uint64_t handler, flags, restorer, mask;
};

struct user_actions {
	uint32_t lock; /* (A) */
	bool private;  /* of a process that shares our memory and not our actions */
	uint64_t uses; /* (A) how many threads */
	struct user_action a[NR_SIGNALS + 1];
};

struct user_stack {
	uint64_t sp;
	uint32_t flags, pad;
	uint64_t size;
};

/* What the entry saves on the program's stack, below its red zone. The order is entry.c's. */
struct entry_frame {
	struct user_regs r;
	uint64_t bx, r12, r13, r14, r15, bp;
	uint64_t cont; /* where the program goes on */
};

#define ENTRY_RED_ZONE 128

struct user_thread {
	uint32_t tid;          /* (A) 0: free; CLAIMED; or whose */
	bool of_process;       /* the first thread of a process that shares memory */
	bool waited;           /* ... and whose parent waits for it, and then forgets this */
	char *stack;           /* its alternate stack; NULL: none was made yet */
	uint64_t masked;       /* (T) of OUR_SIGNALS, what the program blocks */
	uint64_t pending;      /* (T) of these, what came meanwhile */
	uint64_t call_masked;  /* (T) of OUR_SIGNALS, what the mask of a call has */
	struct user_stack alt; /* (T) the program's alternate stack */
	struct user_actions *actions;
	/* (B) for share.c */
	uint64_t mask;
	struct user_thread *child;
	bool waits;   /* ... until it has executed a program, or ended */
	bool cleared; /* (T) the child begins without actions */
	struct entry_room *room;
};

#define NR_CLONE_ARGS 32 /* of eight bytes; the kernel knows eleven */

/* At the top of each stack. (B) */
struct entry_room {
	struct user_thread *thread;
	long call[6];
	struct entry_frame frame;
	struct user_stack kernel_stack;
	uint64_t clone_args[NR_CLONE_ARGS];
	struct user_action kernel_action;
	uint64_t exec_mask;
	char pending[NR_OUR_SIGNALS][ENTRY_INFO_BYTES]; /* (T) siginfo of what is pending */
};

#define ENTRY_STACK_USABLE (ENTRY_STACK_BYTES - 1024)
_Static_assert(sizeof(struct entry_room) <= 1024, "it has room");

/* ---- entry.c ---- */
void user_entry(void);
void entry_restorer(void);
void entry_compat(void);
_Noreturn void entry_return(struct entry_frame *at, long result, const uint64_t *mask);
_Noreturn void entry_share_run(const long *call, char *own_stack, struct user_thread *parent,
			       struct user_thread *child);
extern const char user_entry_leave[], entry_copy_at[], entry_copy_bad[], entry_raw_at[],
	entry_raw_return[];

/* ---- thread.c ---- */
/* The calling thread's record. */
struct user_thread *entry_self(void);
/* In a handler that runs on the stack that @sp is on. */
struct user_thread *entry_self_at(const void *sp);
void entry_set_self(struct user_thread *t);
/* A free record with a stack; NULL: none. */
struct user_thread *entry_thread_new(void);
void entry_thread_free(struct user_thread *t);
/* The first thread's, and a forked child's only one. */
struct user_thread *entry_thread_first(void);
/* In the child of a fork: forget all others. Returns the calling thread's, which has another
 * place. */
struct user_thread *entry_thread_only(void);
/* The number of a record, below NR_ENTRY_THREADS; and how many were ever used. */
size_t entry_index(const struct user_thread *t);
size_t entry_records(void);
/* Was there ever a second one? */
bool entry_threaded(void);
/* A thread without thread-local storage of its own is about to exist, or one with another layout
 * than libc's: from now on the kernel is asked. */
void entry_share_storage(void);
/* Is @tls a thread pointer of libc's? */
bool entry_is_libc_storage(uint64_t tls);
/* Make the record's stack the calling thread's alternate one; turn dispatch on for it. */
long entry_thread_on(struct user_thread *t);

/* ---- dispatch.c ---- */
long entry_call(struct entry_frame *f);
extern uint64_t entry_text, entry_text_size;

/* ---- signals.c ---- */
void entry_signals_start(struct user_thread *t);
void entry_signals_forked(struct user_thread *t);
/* In a child that was made with CLONE_CLEAR_SIGHAND. */
void entry_signals_cleared(struct user_thread *t);
long entry_sigaction(struct user_thread *t, const struct user_regs *r);
long entry_sigaltstack(struct user_thread *t, const struct user_regs *r);
long entry_sigprocmask(struct user_thread *t, const struct user_regs *r);
/* Change the program's alternate stack, with its stack pointer at @sp. 0 or -errno. */
long entry_set_stack(struct user_thread *t, const struct user_stack *new, uint64_t sp);
/* A call that has a mask for its duration. */
long entry_masked_call(struct user_thread *t, const struct user_regs *r);
/* execve or execveat: what the new program is to inherit. */
long entry_exec(struct user_thread *t, const struct user_regs *r);
/* One of OUR_SIGNALS came while it was blocked. */
void entry_keep_pending(struct user_thread *t, int sig, const void *info);
bool entry_is_masked_call(long nr);
/* Read that mask. False: it has none. */
bool entry_mask_of(const struct user_regs *r, uint64_t *mask);
/* The actions for a child that shares memory. */
struct user_actions *entry_actions_for(struct user_thread *t, bool shared);
void entry_actions_drop(struct user_thread *t);
struct user_action entry_action(struct user_actions *as, int sig, bool taken);
void entry_set_default(int sig);
/* Raise again what came while it was blocked and is not any more. Signals are blocked. */
void entry_raise_pending(struct user_thread *t);

/* ---- frame.c ---- */
void entry_on_signal(int sig, void *info, void *uc);

/* ---- patch.c ---- */
void entry_patch_start(void);
void entry_patch_forked(void);
/* The system call instruction before @ip has been dispatched with this number. In the handler. */
void entry_count(uint64_t ip, uint32_t nr);
/* Where a context that may be in a stub begins again. */
uint64_t entry_rewind(uint64_t ip);

/* ---- share.c ---- */
/* clone, clone3 or vfork with CLONE_VM: returns only if it failed early. */
bool entry_shares(const struct user_regs *r, uint64_t *flags);
bool entry_clears_actions(uint64_t flags);
long entry_share(struct user_thread *t, const struct entry_frame *f, uint64_t flags);

#endif
