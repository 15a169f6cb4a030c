/* serve/limits.c - which resource limit (ulimit) causes a failure, in words.
 *
 * The supervisor checks what it is going to map before it maps it: failing to create a thread
 * later, inside a library, would abort there. See limits.h.
 *
 * Locks: none.
 */

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/size.h"
#include "plat/plat.h"
#include "serve/limits.h"

/* Bytes of address space in use (or of private writable memory in it); 0: unknown. */
static uint64_t used_bytes(bool data)
{
	unsigned long long total = 0, in_data = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %*u %*u %*u %*u %llu", &total, &in_data) != 2)
		total = in_data = 0;
	fclose(f);
	return (data ? in_data : total) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool has_room(int resource, const char *name, uint64_t bytes, char text[LIMITS_TEXT_MAX])
{
	uint64_t need = used_bytes(resource == RLIMIT_DATA) + bytes;
	char limit[SIZE_TEXT_MAX], needed[SIZE_TEXT_MAX];
	struct rlimit r;

	VM_ASSERT(resource == RLIMIT_AS || resource == RLIMIT_DATA);
	if (getrlimit(resource, &r) != 0 || r.rlim_cur == RLIM_INFINITY || r.rlim_cur >= need)
		return true;
	snprintf(text, LIMITS_TEXT_MAX,
		 "'%s' is %s: umemcg needs %s for these limits; raise it, or give a smaller -m "
		 "and --swap-max",
		 name, size_format(limit, (int64_t)r.rlim_cur), size_format(needed, (int64_t)need));
	return false;
}

bool limits_have_room(uint64_t bytes, char text[LIMITS_TEXT_MAX])
{
	return has_room(RLIMIT_AS, "ulimit -v", bytes, text) &&
	       has_room(RLIMIT_DATA, "ulimit -d", bytes, text);
}

const char *limits_hint(int error, char text[LIMITS_TEXT_MAX])
{
	const bool files = error == -EMFILE;
	struct rlimit r;

	VM_ASSERT(error <= 0);
	text[0] = '\0';
	if (!files && error != -EAGAIN)
		return text;
	if (getrlimit(files ? RLIMIT_NOFILE : RLIMIT_NPROC, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
		snprintf(text, LIMITS_TEXT_MAX, "; 'ulimit -%c' (%s) is %llu: raise it",
			 files ? 'n' : 'u',
			 files ? "open files" : "processes and threads of this user",
			 (unsigned long long)r.rlim_cur);
	return text;
}
