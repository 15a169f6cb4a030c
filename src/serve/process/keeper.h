/* serve/process/keeper.h - the keeper: a small process that outlives a killed supervisor just long
 * enough to make sure that no client lives on with wrong memory.
 *
 * While the supervisor lives the keeper sleeps on a socket and stores the descriptors it is sent:
 * pidfds of every process of the tree, and userfaultfds of forked children (whose memory would read
 * as zeros as soon as the supervisor's copy is closed). End of file on the socket without a "done"
 * message means that the supervisor was killed. The keeper then kills every process it has a pidfd
 * of, waits until they are gone (bounded), and exits.
 */
#ifndef UMEMCG_SERVE_KEEPER_H
#define UMEMCG_SERVE_KEEPER_H

#include <stdint.h>
#include <sys/types.h>

struct keeper {
	int sock; /* the supervisor's end */
	pid_t pid;
};

#define KEEPER_TEXT_MAX 96 /* bytes, with the terminating 0 */

/* Fork the keeper. Call before any thread exists. 0 or -errno. */
int keeper_start(struct keeper *k);
/* At its end, orderly or not, it removes @file and the directory that it is in, if the directory is
 * empty then. A longer name is ignored. */
void keeper_remove(struct keeper *k, const char *file);
/* If the supervisor is killed, @text is written to the terminal at @fd, and its size is set from
 * @rows_now rows back to @rows. This replaces what was said before; @fd -1: nothing to restore. */
void keeper_terminal(struct keeper *k, int fd, const char *text, uint16_t rows, uint16_t rows_now);
/* Add a process or a descriptor. Thread safe. Errors are ignored: the keeper is a second line of
 * defence. @fd is duplicated; the caller keeps its own. @key identifies it for removal. */
void keeper_add_pid(struct keeper *k, pid_t pid, int pidfd);
void keeper_del_pid(struct keeper *k, pid_t pid);
void keeper_add_fd(struct keeper *k, uint64_t key, int fd);
void keeper_del_fd(struct keeper *k, uint64_t key);
/* Orderly end: the keeper exits without killing any process; reaped here. */
void keeper_stop(struct keeper *k);

#endif
