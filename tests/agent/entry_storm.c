/* tests/agent/entry_storm.c - threads that use many system call instructions of both forms while
 * these become jumps, at all alignments.
 */
#include "entry_calls.h"

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#define FORMS   240
#define THREADS 6
#define ROUNDS  1000

/* clang-format off */
__asm__(".pushsection .data.rel.ro.storm, \"aw\"\n"
	".globl storm_code\n.hidden storm_code\nstorm_code:\n"
	".popsection\n"
	".text\n.balign 64\n"
	".set n, 0\n"
	".rept 120\n"
	"1: mov $110, %eax\n\tsyscall\n\tret\n\t"
	".skip n % 9\n"
	"2: mov %edi, %eax\n\tsyscall\n\tcmp $-4096, %rax\n\tret\n\t"
	".skip n % 7\n\t"
	".pushsection .data.rel.ro.storm, \"aw\"\n\t.quad 1b, 2b\n\t.popsection\n\t"
	".set n, n + 1\n"
	".endr\n");
/* clang-format on */

extern long (*const storm_code[FORMS])(long nr);

static int wrong, expected;

static void *use(void *arg)
{
	uintptr_t at = (uintptr_t)arg * 331;
	int bad = 0;

	for (int k = 0; k < ROUNDS; k++)
		for (int i = 0; i < FORMS; i++, at += 7)
			bad += storm_code[at % FORMS](110) != expected;
	__atomic_add_fetch(&wrong, bad, __ATOMIC_RELAXED);
	return NULL;
}

void storm(void)
{
	pthread_t t[THREADS];

	wrong = 0;
	expected = getppid();
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, use, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	say("wrong %d\n", wrong);
}
