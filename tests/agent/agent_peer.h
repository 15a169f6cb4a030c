/* tests/agent/agent_peer.h - the parts of agent_peer: clients and their pages, and connections.
 *
 * One thread, no locks.
 */
#ifndef TESTS_AGENT_PEER_H
#define TESTS_AGENT_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "agent_pages.h"
#include "serve/channel/proto.h"

#define NR_CLIENTS    512
#define NR_FAULTS_MAX 64

struct client {
	int uffd, channel;
	pid_t pid;
	uint64_t cookie;      /* what the child of a fork will say */
	uint64_t fork_cookie; /* of the fork under way in this client, 0 = none */
	bool can_move, wants_move, ending;
	int64_t evicted_cpu, evicted_at; /* ns: its processor time and the clock, at the last
					    eviction (cpu: paid for) */
	unsigned int evicted_idle; /* evictions since then that it has not paid for with processor
				      time */
	uint64_t staging, private_start[5], private_end[5];
	struct pages pages;
	uint64_t fault[NR_FAULTS_MAX]; /* to be served again: events came first */
	unsigned int nr_faults;
};

struct counts {
	unsigned long clients, forks, faults, restored, status[8], ops[NR_CALLS];
	int failures;
};

extern struct client *clients[NR_CLIENTS];
extern struct counts count;
extern bool verbose;
extern unsigned int evict_pages;
extern int64_t evict_interval; /* ns */

/* agent_peer.c */
int64_t clock_ns(clockid_t clock);
void fail(const char *what, ...);
void call_forget(struct client *c);
int packet_send(int fd, const void *msg, size_t n, int attach);
ssize_t packet_recv(int fd, void *msg, size_t n, int *attached);

/* agent_peer_client.c */
struct client *client_add(int uffd, pid_t pid);
void client_drop(struct client *c);
struct client *client_of(pid_t pid, uint64_t cookie);
bool client_gone(struct client *c);
/* Was it the helper's first word? */
bool channel_started(struct client *c);
void channel_ended(struct client *c);
void adopt(struct client *c, uint64_t from, uint64_t to);
void uffd_read(struct client *c);
void evict_somebody(int64_t now);

#endif
