/* tests/check/random_program.h - small random programs over every kind of operation that the
 * machine contract has, for explorer_test.c: made from a seed, and run in the simulated machine. */
#ifndef UMEMCG_TESTS_RANDOM_PROGRAM_H
#define UMEMCG_TESTS_RANDOM_PROGRAM_H

#include "plat/sim/explore.h"

#define VARS      2
#define LOCKS     2
#define TASKS_MAX 4
#define CODE_MAX  6
#define LOG_MAX   64

enum code {
	C_LOAD,
	C_STORE,
	C_ADD,
	C_ACC,
	C_CAS,
	C_INC_NOT_ZERO,
	C_OR,
	C_AND,
	C_TEST,
	C_XCHG,
	C_STORE_RELEASE, /* not sequentially consistent */
	C_FENCE,
	C_LOCK,
	C_UNLOCK,
	C_TRYLOCK,
	C_RDLOCK,
	C_RDUNLOCK,
	C_TRYRD,
	C_WRLOCK,
	C_WRUNLOCK,
	C_BIT_LOCK,
	C_BIT_UNLOCK,
	C_BIT_WAIT,
	C_PREPARE,
	C_SLEEP,
	C_SLEEP_TIMED,
	C_WAKE,
	C_RCU_LOCK,
	C_RCU_UNLOCK,
	C_SYNCHRONIZE,
	C_DEFER,
	C_SPAWN,
	C_JOIN,
	C_COPY,
	C_TIME,
	NR_CODES
};

struct instr {
	uint8_t code, obj, value;
};

struct program {
	unsigned nr_tasks, nr_code[TASKS_MAX + 1];
	struct instr code[TASKS_MAX + 1][CODE_MAX + 6]; /* the last one is what C_SPAWN runs */
	unsigned group[TASKS_MAX];
};

/* The program's memory, in the arena. */
struct shared {
	atomic32_t var[VARS];
	struct spinlock lock[LOCKS];
	struct rwsem rw[LOCKS];
	struct waitq wait;
	uint64_t log[SIM_TASKS_MAX][LOG_MAX];
	unsigned nr_log[SIM_TASKS_MAX];
};

extern struct program prog;
extern struct shared *mem;
extern char *content;

/* Make prog from @seed; @weak: shorter, and with more of what a store buffer changes. */
void program_generate(uint64_t seed, bool weak);
/* The set-up of a simulated run of prog: makes mem, starts the tasks. */
void program_setup(void *arg);

#endif
