/* tests/native/prog/proto_fuzz.c - proto_fuzz SECONDS [SEED]: a client of `umemcg run` that talks
 * nonsense.
 *
 * Run as a program under umemcg, beside one that verifies its memory. For SECONDS a child of ours
 * says what a confused or hostile client might: packets of chance, true messages with wrong sizes,
 * types, ranges and cookies, descriptors that are none of ours to give, messages nobody asked for,
 * connections that stay silent or close at the worst moment. The supervisor may kill that child: it
 * is forked again, and goes on from the next state of the generator. Prints the seed, and what was
 * sent; exits 0 unless the supervisor stopped accepting connections.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "serve/channel/proto.h"

#define SILENT_CONNECTIONS 1000
#define MANY_FDS           60

/* Shared with the child that talks. */
struct shared {
	uint64_t state;
	unsigned long packets, connections, refused;
};

static struct shared *shared;

static uint64_t rnd(void)
{
	uint64_t x = shared->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static unsigned pick(unsigned n)
{
	return (unsigned)(rnd() % n);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- connections ----------------------------------------------------------------------------- */

static int dial(void)
{
	const char *name = getenv(PROTO_ENV);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	size_t n = strlen(name);

	memcpy(a.sun_path + 1, name, n);
	n += offsetof(struct sockaddr_un, sun_path) + 1;
	shared->connections++;
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, (socklen_t)n) != 0) {
		shared->refused += errno == ECONNREFUSED;
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static void send_with(int sock, const void *msg, size_t size, const int *fds, unsigned nr_fds)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(MANY_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)msg, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nr_fds) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(nr_fds * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(nr_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, nr_fds * sizeof(int));
	}
	(void)!sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	shared->packets++;
}

/* ---- what is attached ------------------------------------------------------------------------ */

static int some_descriptor(void)
{
	int p[2];

	switch (pick(5)) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		if (pipe(p) != 0)
			return -1;
		close(p[1]);
		return p[0];
	case 2:
		return socket(AF_UNIX, SOCK_SEQPACKET, 0);
	case 3:
		return (int)syscall(SYS_userfaultfd, O_CLOEXEC); /* a read of it would wait */
	default:
		return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	}
}

static void send_some(int sock, const void *msg, size_t size)
{
	int fds[MANY_FDS];
	unsigned n = pick(3) ? pick(2) : pick(MANY_FDS + 1);

	for (unsigned i = 0; i < n; i++) {
		fds[i] = some_descriptor();
		if (fds[i] < 0)
			n = i;
	}
	send_with(sock, msg, size, fds, n);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

/* ---- messages -------------------------------------------------------------------------------- */

static uint64_t some_number(void)
{
	static const uint64_t odd[] = { 0,
					1,
					4095,
					4096,
					1ull << 47,
					1ull << 63,
					UINT64_MAX,
					UINT64_MAX - 4095,
					0x7ffffffff000 };

	switch (pick(4)) {
	case 0:
		return rnd();
	case 1:
		return rnd() & ~4095ull;
	case 2:
		return (uint64_t)(uintptr_t)shared & ~4095ull;
	default:
		return odd[pick(sizeof(odd) / sizeof(odd[0]))];
	}
}

static struct msg_head head(uint32_t type)
{
	return (struct msg_head){ .magic = pick(20) ? PROTO_MAGIC : (uint32_t)rnd(),
				  .type = type,
				  .seq = pick(2) ? pick(4) : rnd() };
}

static void say_chance(int sock)
{
	char bytes[8192];
	size_t n = pick(2) ? pick(64) : pick(sizeof(bytes));

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)rnd();
	if (n >= sizeof(struct msg_head) && pick(2)) {
		struct msg_head h = head(pick(NR_MSG_TYPES + 2));

		memcpy(bytes, &h, sizeof(h));
	}
	send_some(sock, bytes, n);
}

static void say_hello(int sock)
{
	struct msg_hello m = {
		.h = head(MSG_HELLO),
		.flags = pick(2) ? pick(8) : (uint32_t)rnd(),
		.helper_tid = pick(2) ? (uint32_t)getpid() : (uint32_t)rnd(),
		.fork_cookie = pick(2) ? 0 : some_number(),
		.staging = some_number(),
	};

	for (int i = 0; i < 4; i++) {
		m.private_start[i] = pick(2) ? 0 : some_number();
		m.private_end[i] = pick(2) ? m.private_start[i] : some_number();
	}
	send_some(sock, &m, pick(4) ? sizeof(m) : pick(sizeof(m)));
}

static void say_call(int sock)
{
	/* Not too many forks and locks that are never ended: they are allowed to cost their client.
	 */
	struct msg_call m = { .h = head(MSG_CALL),
			      .op = pick(4) ? pick(NR_CALLS + 2) : (uint32_t)rnd(),
			      .arg = (uint32_t)some_number(),
			      .start = some_number(),
			      .len = some_number() };

	send_some(sock, &m, pick(4) ? sizeof(m) : pick(sizeof(m)));
}

static void say_evicted(int sock)
{
	struct msg_evicted m = { .h = head(MSG_EVICTED),
				 .n = pick(4) ? pick(130) : (uint32_t)rnd() };

	memset(m.status, (int)pick(8), sizeof(m.status));
	send_some(sock, &m, offsetof(struct msg_evicted, status) + pick(EVICT_PAGES_MAX + 1));
}

static void say(int sock)
{
	static void (*const what[])(int) = { say_chance, say_hello, say_call, say_evicted };

	what[pick(4)](sock);
}

/* ---- one child ------------------------------------------------------------------------------- */

/* A hello that is taken, so that what follows comes from a client: it has no helper, and lies. */
static void true_hello_then_lies(int sock)
{
	struct msg_hello m = { .h = { PROTO_MAGIC, MSG_HELLO, 1 },
			       .flags = HELLO_CAN_MOVE,
			       .helper_tid = (uint32_t)getpid() };
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0)
		return;
	m.staging = (uint64_t)(uintptr_t)mmap(NULL, EVICT_PAGES_MAX * 4096, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	send_with(sock, &m, sizeof(m), &uffd, 1);
	close(uffd);
	for (unsigned n = pick(6); n; n--)
		say(sock);
	usleep(pick(2000));
}

static void silent_crowd(void)
{
	int fd[SILENT_CONNECTIONS];

	for (int i = 0; i < SILENT_CONNECTIONS; i++)
		fd[i] = dial();
	for (int i = 0; i < SILENT_CONNECTIONS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
}

static void talk(double until)
{
	while (now_s() < until) {
		int sock;

		if (pick(500) == 0)
			silent_crowd();
		sock = dial();
		if (sock < 0)
			continue;
		if (pick(50) == 0)
			true_hello_then_lies(sock);
		for (unsigned n = pick(4); n; n--)
			say(sock);
		if (pick(4) == 0)
			shutdown(sock, SHUT_WR);
		close(sock);
		if (pick(100) == 0)
			_exit(0);
	}
}

/* Without the agent: it would be killed for our lies before they are told. */
static pid_t fork_child(double until)
{
	pid_t pid = (pid_t)(pick(2) ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork());

	if (pid == 0) {
		talk(until);
		_exit(0);
	}
	return pid;
}

int main(int argc, char **argv)
{
	double until = now_s() + (argc > 1 ? strtod(argv[1], NULL) : 5);
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	unsigned long children = 0, killed = 0;
	int status;

	if (!getenv(PROTO_ENV)) {
		printf("proto_fuzz: skipped: $%s is not set: run it under umemcg\n", PROTO_ENV);
		return 77;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		return 1;
	shared->state = seed;
	printf("proto_fuzz: seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	while (now_s() < until) {
		pid_t pid = fork_child(until);

		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			return 1;
		children++;
		killed += WIFSIGNALED(status);
	}
	printf("proto_fuzz: ok %lu packets, %lu connections (%lu refused), %lu children, %lu "
	       "killed\n",
	       shared->packets, shared->connections, shared->refused, children, killed);
	return shared->refused ? 1 : 0;
}
