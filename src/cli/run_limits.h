/* cli/run_limits.h - resource limits (ulimit) on umemcg itself; the program gets them unchanged.
 *
 * umemcg raises its open file limit to the hard limit, and does not die when a file may not grow
 * (SIGXFSZ): a swap file that exceeds 'ulimit -f' is an error to report. The program gets both as
 * they were.
 */
#ifndef UMEMCG_CLI_RUN_LIMITS_H
#define UMEMCG_CLI_RUN_LIMITS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#define RUN_FILES_MIN 64 /* descriptors: about 30 of our own, and up to seven per process */

struct run_limits {
	struct rlimit files;   /* to restore for the program */
	struct sigaction xfsz; /* SIGXFSZ, likewise */
};

/* Call once, before there are threads. False: not enough files, and @problem holds one line. */
bool run_limits_take(struct run_limits *l, char *problem, unsigned size);
/* In the child, before exec. */
void run_limits_give_back(const struct run_limits *l);
/* Largest size of a file that may be written, in bytes; INT64_MAX: unlimited. */
int64_t run_limits_file_size(void);

#endif
