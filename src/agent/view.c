/* agent/view.c - sysinfo(2) and sysconf(3) where the program sees its limit (`umemcg run
 * --view=proc`).
 *
 * /proc/meminfo shows the group there. libc answers sysconf(_SC_PHYS_PAGES) and its kin by
 * sysinfo(2), which no mount changes: so these are answered from that file. Everything else, and
 * everything without a view, is libc's.
 *
 * Locks: none.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "agent/hooks.h"
#include "serve/channel/proto.h"

#define TEXT_BYTES 4096 /* the lines that are wanted come first */
#define KIB        1024

static bool wanted; /* written in the constructor */
static long (*libc_sysconf)(int);

void view_init(void)
{
	const char *view = getenv(PROTO_VIEW_ENV);

	wanted = view && strcmp(view, "proc") == 0;
	libc_sysconf = (__typeof__(libc_sysconf))dlsym(RTLD_NEXT, "sysconf");
}

struct meminfo {
	uint64_t total, free, swap_total, swap_free; /* bytes */
};

/* The number of the line "KEY: N kB" in bytes; 0: there is none. */
static uint64_t line_bytes(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	uint64_t kib = 0;

	if (!at)
		return 0;
	for (at += strlen(key); *at == ' '; at++)
		;
	for (; *at >= '0' && *at <= '9'; at++)
		kib = kib * 10 + (uint64_t)(*at - '0');
	return kib * KIB;
}

static bool read_meminfo(struct meminfo *m)
{
	char text[TEXT_BYTES];
	long n, fd = sys_call6(SYS_openat, AT_FDCWD, (long)"/proc/meminfo", O_RDONLY | O_CLOEXEC, 0,
			       0, 0);

	if (fd < 0)
		return false;
	n = sys_call6(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
	sys_call6(SYS_close, fd, 0, 0, 0, 0, 0);
	text[n > 0 ? n : 0] = '\0';
	m->total = line_bytes(text, "MemTotal:");
	m->free = line_bytes(text, "MemFree:");
	m->swap_total = line_bytes(text, "SwapTotal:");
	m->swap_free = line_bytes(text, "SwapFree:");
	return m->total != 0;
}

AGENT_EXPORT int sysinfo(struct sysinfo *info)
{
	long ret = sys_call6(SYS_sysinfo, (long)info, 0, 0, 0, 0, 0);
	struct meminfo m;

	if (ret < 0)
		return (int)hook_result(ret);
	if (!wanted || !read_meminfo(&m))
		return 0;
	info->totalram = m.total;
	info->freeram = m.free;
	info->sharedram = info->bufferram = 0;
	info->totalswap = m.swap_total;
	info->freeswap = m.swap_free;
	info->totalhigh = info->freehigh = 0;
	info->mem_unit = 1;
	return 0;
}

/* Pages in all, or free ones; -1: libc knows. */
static long pages(bool all)
{
	struct meminfo m;

	if (!wanted || !read_meminfo(&m))
		return -1;
	return (long)((all ? m.total : m.free) / (uint64_t)agent_page);
}

AGENT_EXPORT long sysconf(int name)
{
	long n = name == _SC_PHYS_PAGES || name == _SC_AVPHYS_PAGES ? pages(name == _SC_PHYS_PAGES)
								    : -1;

	/* Before our constructor. */
	if (!libc_sysconf)
		libc_sysconf = (__typeof__(libc_sysconf))dlsym(RTLD_NEXT, "sysconf");
	return n >= 0 ? n : libc_sysconf(name);
}

AGENT_EXPORT long get_phys_pages(void)
{
	return sysconf(_SC_PHYS_PAGES);
}

AGENT_EXPORT long get_avphys_pages(void)
{
	return sysconf(_SC_AVPHYS_PAGES);
}
