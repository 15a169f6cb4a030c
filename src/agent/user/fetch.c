/* agent/user/fetch.c - touches pages of the program from its own thread, so that they are brought
 * in. What is no memory, or cannot be read, raises a signal: user_fixup tells the touch, and the
 * kernel will find the same. Signals are not blocked here. */
#include <ucontext.h>

#include "agent/agent.h"
#include "agent/user/user.h"

#if defined(__x86_64__)

long user_touch(uint64_t at);
extern const char user_touch_at[], user_touch_bad[];

/* clang-format off */
__asm__(".text\n"
	".hidden user_touch\n.globl user_touch\n.type user_touch, @function\n.balign 16\n"
	"user_touch:\n\t"
	".cfi_startproc\n\t"
	".hidden user_touch_at\n.globl user_touch_at\nuser_touch_at:\n\t"
	"movb (%rdi), %al\n\t"
	"xor %eax, %eax\n\t"
	"ret\n\t"
	".hidden user_touch_bad\n.globl user_touch_bad\nuser_touch_bad:\n\t"
	"mov $-14, %rax\n\t"
	"ret\n\t"
	".cfi_endproc\n"
	".size user_touch, . - user_touch\n");
/* clang-format on */

bool user_fixup(void *context)
{
	greg_t *reg = ((ucontext_t *)context)->uc_mcontext.gregs;

	if (reg[REG_RIP] != (greg_t)(uintptr_t)user_touch_at)
		return false;
	reg[REG_RIP] = (greg_t)(uintptr_t)user_touch_bad;
	return true;
}

#define ADDRESS_END (1ull << 47)

bool user_fetch(uint64_t start, uint64_t end)
{
	bool all = true;

	if (end > ADDRESS_END)
		end = ADDRESS_END;
	for (start &= ~(agent_page - 1); start < end; start += agent_page) {
		if (user_touch(start) == 0)
			continue;
		all = false;
		/* One touch of a hole costs a signal: a large one is not walked. */
		if (end - start > USER_CHUNK)
			return false;
	}
	return all;
}

#endif
