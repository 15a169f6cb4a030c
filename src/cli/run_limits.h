/* cli/run_limits.h - the resource limits (ulimit) that umemcg itself meets; the program finds them untouched.
 *
 * umemcg raises its number of open files to what the hard limit allows, and does not die of a file that may not grow
 * (SIGXFSZ): a swap file that meets 'ulimit -f' is an error to report. The program gets both as they were.
 */
#ifndef UMEMCG_CLI_RUN_LIMITS_H
#define UMEMCG_CLI_RUN_LIMITS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#define RUN_FILES_MIN 64  /* descriptors: some 30 of our own, and up to seven a process */

struct run_limits {
	struct rlimit files;     /* as the program shall find it */
	struct sigaction xfsz;   /* SIGXFSZ, likewise */
};

/* Once, before there are threads. False: not enough files, and @problem holds one line. */
bool run_limits_take(struct run_limits *l, char *problem, unsigned size);
/* In the child, before exec. */
void run_limits_give_back(const struct run_limits *l);
/* The largest file that may be written, in bytes; INT64_MAX: any. */
int64_t run_limits_file_size(void);

#endif
