/* agent/user/entry.c - the instructions around a system call of the program.
 *
 * user_entry is reached by a jump, with all registers as at the program's own instruction but two,
 * which that instruction destroys: r11 has the address behind the instruction, for unwinders too,
 * and rcx the address where the program goes on, that one or a stub's (patch.c). It steps over the
 * red zone, saves what C may change (struct entry_frame), calls entry_call, and goes on with all
 * registers as the kernel leaves them.
 *
 * Unwinders pass through here: a cancelled thread ends inside its system call. So every
 * instruction has its frame described, and C is compiled with tables.
 *
 * entry_raw makes a call with its arguments in memory. While it waits rbx has their address, so
 * that a handler knows which call it has interrupted.
 *
 * x86-64 only.
 */
#include "agent/user/inside.h"

#if defined(__x86_64__)

/* Offsets in struct entry_frame. */
_Static_assert(offsetof(struct entry_frame, r.ip) == 56, "entry.c pushes in this order");
_Static_assert(offsetof(struct entry_frame, r.sp) == 64, "entry.c pushes in this order");
_Static_assert(offsetof(struct entry_frame, bx) == 72, "entry.c pushes in this order");
_Static_assert(offsetof(struct entry_frame, bp) == 112, "entry.c pushes in this order");
_Static_assert(sizeof(struct entry_frame) == 128, "entry.c pushes in this order");

#define FUNCTION(name)                                                                             \
	".hidden " name "\n.globl " name "\n.type " name ", @function\n.balign 16\n" name ":\n\t"
#define LABEL(name) ".hidden " name "\n.globl " name "\n" name ":\n\t"
#define END(name)   ".size " name ", . - " name "\n"

/* clang-format off */
__asm__(".text\n"
	FUNCTION("user_entry")
	".cfi_startproc\n\t"
	".cfi_def_cfa %rsp, 0\n\t"
	".cfi_register %rip, %r11\n\t"
	"lea -128(%rsp), %rsp\n\t"
	".cfi_def_cfa_offset 128\n\t"
	"push %rcx\n\t"
	".cfi_def_cfa_offset 136\n\t"
	"push %rbp\n\t"
	".cfi_def_cfa_offset 144\n\t"
	".cfi_offset %rbp, -144\n\t"
	"mov %rsp, %rbp\n\t"
	".cfi_def_cfa_register %rbp\n\t"
	"push %r15\n\t"
	"push %r14\n\t"
	"push %r13\n\t"
	"push %r12\n\t"
	"push %rbx\n\t"
	"lea 144(%rbp), %rcx\n\t"
	"push %rcx\n\t"
	"push %r11\n\t"
	".cfi_offset %rip, -200\n\t"
	"push %r9\n\t"
	"push %r8\n\t"
	"push %r10\n\t"
	"push %rdx\n\t"
	"push %rsi\n\t"
	"push %rdi\n\t"
	"cltq\n\t" /* the kernel looks at eax only */
	"push %rax\n\t"
	"mov %rsp, %rdi\n\t"
	"and $-16, %rsp\n\t"
	"cld\n\t"
	"call entry_call\n"
	LABEL("user_entry_leave") /* rbp: at the saved rbp; rax: the result */
	"mov -104(%rbp), %rdi\n\t"
	"mov -96(%rbp), %rsi\n\t"
	"mov -88(%rbp), %rdx\n\t"
	"mov -80(%rbp), %r10\n\t"
	"mov -72(%rbp), %r8\n\t"
	"mov -64(%rbp), %r9\n\t"
	"mov -56(%rbp), %r11\n\t"
	".cfi_register %rip, %r11\n\t"
	"mov -40(%rbp), %rbx\n\t"
	".cfi_same_value %rbx\n\t"
	"mov -32(%rbp), %r12\n\t"
	"mov -24(%rbp), %r13\n\t"
	"mov -16(%rbp), %r14\n\t"
	"mov -8(%rbp), %r15\n\t"
	"mov 8(%rbp), %rcx\n\t"
	"mov %rbp, %rsp\n\t"
	".cfi_def_cfa %rsp, 144\n\t"
	"pop %rbp\n\t"
	".cfi_def_cfa_offset 136\n\t"
	".cfi_same_value %rbp\n\t"
	"lea 136(%rsp), %rsp\n\t"
	".cfi_def_cfa_offset 0\n\t"
	"jmp *%rcx\n\t"
	".cfi_endproc\n"
	END("user_entry"));

/* The frame @at (rdi) is on the program's stack and nothing below it matters. The mask is set last:
 * from then on handlers may run. rsi: the result; rdx: the mask. */
__asm__(".text\n"
	FUNCTION("entry_return")
	".cfi_startproc\n\t"
	"lea 112(%rdi), %rbp\n\t"
	".cfi_def_cfa %rbp, 144\n\t"
	".cfi_offset %rbp, -144\n\t"
	".cfi_offset %rip, -200\n\t"
	"lea -16(%rdi), %rsp\n\t"
	"mov %rsi, (%rsp)\n\t"
	"mov $14, %eax\n\t" /* rt_sigprocmask(SIG_SETMASK, mask, NULL, 8) */
	"mov $2, %edi\n\t"
	"mov %rdx, %rsi\n\t"
	"xor %edx, %edx\n\t"
	"mov $8, %r10d\n\t"
	"syscall\n\t"
	"mov (%rsp), %rax\n\t"
	"jmp user_entry_leave\n\t"
	".cfi_endproc\n"
	END("entry_return"));

/* The child may run on the program's stack at once, so the parent waits on the agent's. rdi: the
 * call, number first; rsi: the parent's stack; rdx: its record; rcx: the child's. */
__asm__(".text\n" FUNCTION("entry_share_run") ".cfi_startproc\n\t"
	".cfi_undefined %rip\n\t"
	"mov %rsi, %rsp\n\t"
	"mov %rdx, %rbx\n\t"
	"mov %rcx, %r12\n\t"
	"mov (%rdi), %rax\n\t"
	"mov 16(%rdi), %rsi\n\t"
	"mov 24(%rdi), %rdx\n\t"
	"mov 32(%rdi), %r10\n\t"
	"mov 40(%rdi), %r8\n\t"
	"mov 8(%rdi), %rdi\n\t"
	"xor %ebp, %ebp\n\t"
	"syscall\n\t"
	"test %rax, %rax\n\t"
	"jz 1f\n\t"
	"mov %rbx, %rdi\n\t"
	"mov %rax, %rsi\n\t"
	"call entry_share_parent\n"
	"1:\n\t"
	"mov %r12, %rdi\n\t"
	"call entry_share_child\n\t"
	"ud2\n\t"
	".cfi_endproc\n"
	END("entry_share_run"));

__asm__(".text\n"
	FUNCTION("entry_raw")
	".cfi_startproc\n\t"
	"push %rbx\n\t"
	".cfi_def_cfa_offset 16\n\t"
	".cfi_offset %rbx, -16\n\t"
	"mov %rdi, %rbx\n\t"
	"mov (%rbx), %rax\n\t"
	"mov 8(%rbx), %rdi\n\t"
	"mov 16(%rbx), %rsi\n\t"
	"mov 24(%rbx), %rdx\n\t"
	"mov 32(%rbx), %r10\n\t"
	"mov 40(%rbx), %r8\n\t"
	"mov 48(%rbx), %r9\n\t"
	LABEL("entry_raw_at")
	"syscall\n\t"
	LABEL(
	"entry_raw_return") "pop %rbx\n\t"
	".cfi_def_cfa_offset 8\n\t"
	".cfi_same_value %rbx\n\t"
	"ret\n\t"
	".cfi_endproc\n"
	END("entry_raw"));

__asm__(".text\n"
	FUNCTION("entry_copy")
	".cfi_startproc\n\t"
	"mov %rdx, %rcx\n\t"
	LABEL(
	"entry_copy_at") "rep movsb\n\t"
	"xor %eax, %eax\n\t"
	"ret\n"
	LABEL(
	"entry_copy_bad") "mov $-14, %rax\n\t"
	"ret\n\t"
	".cfi_endproc\n" END(
	"entry_copy"));

/* A call by C, as syscall(2) makes it, but with the kernel's result. It uses no stack: a thread may
 * return from clone(2) on another one. */
__asm__(".text\n" FUNCTION("entry_syscall") ".cfi_startproc\n\t"
	"mov %rdi, %rax\n\t"
	"mov %rsi, %rdi\n\t"
	"mov %rdx, %rsi\n\t"
	"mov %rcx, %rdx\n\t"
	"mov %r8, %r10\n\t"
	"mov %r9, %r8\n\t"
	"mov 8(%rsp), %r9\n\t"
	"lea 1f(%rip), %rcx\n\t"
	"mov %rcx, %r11\n\t"
	"jmp user_entry\n"
	"1:\n\t"
	"ret\n\t"
	".cfi_endproc\n"
	END("entry_syscall"));

/* int $0x80, which 64-bit programs may use too: made as it is; its pointers of 32 bits are not
 * looked at. r11: where the program goes on. */
__asm__(".text\n"
	FUNCTION("entry_compat")
	".cfi_startproc\n\t"
	".cfi_def_cfa %rsp, 0\n\t"
	".cfi_register %rip, %r11\n\t"
	"lea -128(%rsp), %rsp\n\t"
	".cfi_def_cfa_offset 128\n\t"
	"push %r11\n\t"
	".cfi_def_cfa_offset 136\n\t"
	".cfi_offset %rip, -136\n\t"
	"int $0x80\n\t"
	"pop %r11\n\t"
	".cfi_def_cfa_offset 128\n\t"
	".cfi_register %rip, %r11\n\t"
	"lea 128(%rsp), %rsp\n\t"
	".cfi_def_cfa_offset 0\n\t"
	"jmp *%r11\n\t"
	".cfi_endproc\n"
	END("entry_compat"));

/* What returns from our own deliveries. Unwinders know it by its bytes. */
__asm__(".text\n\t"
	"nop\n" FUNCTION("entry_restorer") "mov $15, %rax\n\t"
	"syscall\n\t"
	"ud2\n"
	END("entry_restorer"));

/* Call @fn with everything saved that code for vector registers may change. rdi: fn; rsi: its
 * argument. */
__asm__(".text\n" FUNCTION("entry_with_vectors") ".cfi_startproc\n\t"
	"push %rbp\n\t"
	".cfi_def_cfa_offset 16\n\t"
	".cfi_offset %rbp, -16\n\t"
	"mov %rsp, %rbp\n\t"
	".cfi_def_cfa_register %rbp\n\t"
	"push %rbx\n\t"
	"push %r12\n\t"
	".cfi_offset %rbx, -24\n\t"
	".cfi_offset %r12, -32\n\t"
	"sub $3072, %rsp\n\t"
	"and $-64, %rsp\n\t"
	"mov %rdi, %rbx\n\t"
	"mov %rsi, %r12\n\t"
	"xor %eax, %eax\n\t"
	"mov %rax, 512(%rsp)\n\t"
	"mov %rax, 520(%rsp)\n\t"
	"mov %rax, 528(%rsp)\n\t"
	"mov %rax, 536(%rsp)\n\t"
	"mov %rax, 544(%rsp)\n\t"
	"mov %rax, 552(%rsp)\n\t"
	"mov %rax, 560(%rsp)\n\t"
	"mov %rax, 568(%rsp)\n\t"
	"mov $0xe7, %eax\n\t" /* x87, SSE, AVX, AVX-512 */
	"xor %edx, %edx\n\t"
	"xsave64 (%rsp)\n\t"
	"mov %r12, %rdi\n\t"
	"call *%rbx\n\t"
	"mov %rax, %rbx\n\t"
	"mov $0xe7, %eax\n\t"
	"xor %edx, %edx\n\t"
	"xrstor64 (%rsp)\n\t"
	"mov %rbx, %rax\n\t"
	"lea -16(%rbp), %rsp\n\t"
	"pop %r12\n\t"
	"pop %rbx\n\t"
	"pop %rbp\n\t"
	".cfi_def_cfa %rsp, 8\n\t"
	"ret\n\t"
	".cfi_endproc\n"
	END("entry_with_vectors"));
/* clang-format on */

#endif
