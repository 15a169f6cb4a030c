/* tests/native/prog/usercalls.h - what the two files of usercalls share. */
#ifndef UMEMCG_TESTS_USERCALLS_H
#define UMEMCG_TESTS_USERCALLS_H

#include <stddef.h>
#include <stdint.h>

#define PAGE       4096ul
#define NR_BUFFERS 3
#define BYTES      (256 * PAGE) /* of a buffer; more than one chunk of a transfer */
#define BEFORE     24           /* bytes of it in its first page */
#define FILE_BYTES (200 * PAGE)

/* The buffers: BEFORE bytes before the second page of each mapping. */
extern char *map[NR_BUFFERS], *p[NR_BUFFERS];
extern int file_fd, pipe_fd[2], pair_fd[2], dgram_fd[2], event_fd, epoll_fd, dir_fd;
extern const char path[15]; /* in the working directory */

#define UNKNOWN 1 /* what it leaves differs from run to run */

struct test {
	const char *name;
	void (*fill)(void); /* NULL: the buffers hold letters */
	long (*run)(void);
	int flags;
};

extern const struct test tests[];
extern const size_t nr_tests;

#endif
