/* agent/order.c - puts the agent second in the list of a program's libraries.
 *
 * A runtime that must be first (AddressSanitizer of gcc) checks its position in the list of
 * dl_iterate_phdr, and refuses to run if another library is before it. Ours is loaded first, but
 * takes nothing from such a runtime: each of our functions calls the next one of its name, which is
 * the runtime's. So we report the library that follows ours first, and ours second. We cannot leave
 * ours out: an unwinder looks it up when our functions are on the stack.
 *
 * Locks: none; libc holds its own over the walk.
 */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "agent/agent.h"

typedef int phdr_fn(struct dl_phdr_info *info, size_t size, void *arg);

struct walk {
	phdr_fn *fn;
	void *arg;
	struct dl_phdr_info own;
	size_t own_size; /* 0: not seen yet, or already reported */
};

static int (*libc_dl_iterate_phdr)(phdr_fn *, void *);

extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static int step(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *w = arg;
	size_t own;
	int ret;

	if (info->dlpi_addr == (uintptr_t)&__ehdr_start && size <= sizeof w->own) {
		memcpy(&w->own, info, size);
		w->own_size = size;
		return 0;
	}
	ret = w->fn(info, size, w->arg);
	own = w->own_size;
	w->own_size = 0;
	return ret || !own ? ret : w->fn(&w->own, own, w->arg);
}

AGENT_EXPORT int dl_iterate_phdr(phdr_fn *fn, void *arg)
{
	struct walk w = { .fn = fn, .arg = arg };
	int ret;

	if (!__atomic_load_n(&libc_dl_iterate_phdr, __ATOMIC_ACQUIRE))
		__atomic_store_n(
			&libc_dl_iterate_phdr,
			(__typeof__(libc_dl_iterate_phdr))dlsym(RTLD_NEXT, "dl_iterate_phdr"),
			__ATOMIC_RELEASE);
	if (!libc_dl_iterate_phdr)
		return 0;
	ret = libc_dl_iterate_phdr(step, &w);
	return ret || !w.own_size ? ret : fn(&w.own, w.own_size, arg);
}
