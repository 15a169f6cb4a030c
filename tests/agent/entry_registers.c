/* tests/agent/entry_registers.c - what a system call instruction leaves as it was: all registers
 * but rax, rcx and r11, the vector registers, and the 128 bytes below the stack pointer.
 *
 * The instruction in the forms that libc has: with the number just before it, with each comparison
 * behind it, and with neither.
 */
#include "entry_calls.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* rdi: 32 bytes for ymm7, then 12 registers; rsi: where the same goes, then two words of the red
 * zone, and the result. */
/* clang-format off */
#define PROBE(name, before, behind)                                                                \
	__asm__(".text\n.type " name ", @function\n" name ":\n\t"                                  \
		"push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"   \
		"push %rax\n\tpush %rsi\n\t"                                                       \
		"vmovdqu (%rdi), %ymm7\n\tmov 32(%rdi), %rbx\n\tmov 40(%rdi), %rdx\n\t"            \
		"mov 48(%rdi), %rsi\n\tmov 64(%rdi), %rbp\n\tmov 72(%rdi), %r8\n\t"                \
		"mov 80(%rdi), %r9\n\tmov 88(%rdi), %r10\n\tmov 96(%rdi), %r12\n\t"                \
		"mov 104(%rdi), %r13\n\tmov 112(%rdi), %r14\n\tmov 120(%rdi), %r15\n\t"            \
		"mov 56(%rdi), %rdi\n\tmov %rdx, -8(%rsp)\n\tmov %rsi, -128(%rsp)\n\t"             \
		"mov $110, %eax\n\t" before "syscall\n\t" behind                                   \
		"mov %rax, -16(%rsp)\n\tmov (%rsp), %rax\n\t"                                      \
		"vmovdqu %ymm7, (%rax)\n\tmov %rbx, 32(%rax)\n\tmov %rdx, 40(%rax)\n\t"            \
		"mov %rsi, 48(%rax)\n\tmov %rdi, 56(%rax)\n\tmov %rbp, 64(%rax)\n\t"               \
		"mov %r8, 72(%rax)\n\tmov %r9, 80(%rax)\n\tmov %r10, 88(%rax)\n\t"                 \
		"mov %r12, 96(%rax)\n\tmov %r13, 104(%rax)\n\tmov %r14, 112(%rax)\n\t"             \
		"mov %r15, 120(%rax)\n\tmov -8(%rsp), %rbx\n\tmov %rbx, 128(%rax)\n\t"             \
		"mov -128(%rsp), %rbx\n\tmov %rbx, 136(%rax)\n\tmov -16(%rsp), %rbx\n\t"           \
		"mov %rbx, 144(%rax)\n\t"                                                          \
		"pop %rsi\n\tpop %rbx\n\tpop %r15\n\tpop %r14\n\tpop %r13\n\t"                     \
		"pop %r12\n\tpop %rbp\n\t"                                                         \
		"pop %rbx\n\tret\n\t.size " name ", . - " name "\n")

PROBE("probe_number", "", "");
PROBE("probe_compared", "nop\n\t", "cmp $-4096, %rax\n\t");
PROBE("probe_small", "nop\n\t", "cmp $-4, %rax\n\t");
PROBE("probe_stored", "mov %r11, 8(%rsp)\n\t", "");
PROBE("probe_short", "nop\n\t", "cmp $0xfffff000, %eax\n\t");
PROBE("probe_neither", "nop\n\t", "");
/* clang-format on */

struct registers {
	uint64_t word[19];
};

extern void probe_number(const struct registers *in, struct registers *out);
extern void probe_compared(const struct registers *in, struct registers *out);
extern void probe_small(const struct registers *in, struct registers *out);
extern void probe_stored(const struct registers *in, struct registers *out);
extern void probe_short(const struct registers *in, struct registers *out);
extern void probe_neither(const struct registers *in, struct registers *out);

void registers(void)
{
	static const struct {
		const char *name;
		void (*probe)(const struct registers *, struct registers *);
	} forms[] = {
		{ "number", probe_number }, { "compared", probe_compared },
		{ "stored", probe_stored }, { "small", probe_small },
		{ "short", probe_short },   { "neither", probe_neither },
	};
	struct registers in, out;
	uint64_t changed;
	size_t i, k, n;

	for (i = 0; i < 16; i++)
		in.word[i] = 0x0123456789abcdefull * (i + 3);
	in.word[16] = in.word[5];
	in.word[17] = in.word[6];
	in.word[18] = (uint64_t)getppid();
	for (i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		changed = 0;
		for (n = 0; n < 100; n++) {
			memset(&out, 0, sizeof out);
			forms[i].probe(&in, &out);
			for (k = 0; k < 19; k++)
				changed |= (uint64_t)(in.word[k] != out.word[k]) << k;
		}
		say("%s: changed %lx\n", forms[i].name, (unsigned long)changed);
	}
}
