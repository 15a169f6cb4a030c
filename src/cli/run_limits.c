/* cli/run_limits.c - resource limits on umemcg itself. See run_limits.h.
 *
 * Locks: none; main thread only.
 */
#include <stdio.h>

#include "cli/run_limits.h"

bool run_limits_take(struct run_limits *l, char *problem, unsigned size)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct rlimit more;

	sigaction(SIGXFSZ, &ignore, &l->xfsz);
	if (getrlimit(RLIMIT_NOFILE, &l->files) != 0)
		l->files = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	more = (struct rlimit){ l->files.rlim_max, l->files.rlim_max };
	(void)setrlimit(RLIMIT_NOFILE, &more);
	if (l->files.rlim_max >= RUN_FILES_MIN)
		return true;
	snprintf(problem, size,
		 "'ulimit -n' (open files) is %llu: umemcg needs at least %d; raise it, the hard "
		 "limit "
		 "too",
		 (unsigned long long)l->files.rlim_max, RUN_FILES_MIN);
	return false;
}

void run_limits_give_back(const struct run_limits *l)
{
	sigaction(SIGXFSZ, &l->xfsz, NULL);
	if (l->files.rlim_max != RLIM_INFINITY)
		(void)setrlimit(RLIMIT_NOFILE, &l->files);
}

int64_t run_limits_file_size(void)
{
	struct rlimit size;

	if (getrlimit(RLIMIT_FSIZE, &size) != 0 || size.rlim_cur > INT64_MAX)
		return INT64_MAX;
	return (int64_t)size.rlim_cur;
}
