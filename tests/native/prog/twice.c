/* tests/native/prog/twice.c - twice [MIB]
 *
 * Under umemcg: a process that uses MIB says HELLO again while it lives, for which it is killed.
 * Then its parent uses as much: what the dead one had is free.
 */
#include <stddef.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "prog.h"
#include "serve/channel/proto.h"

static int connect_to(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));

	EXPECT(strlen(name) < sizeof(a.sun_path) - 1);
	memcpy(a.sun_path + 1, name, strlen(name));
	EXPECT(connect(sock, (struct sockaddr *)&a, size) == 0);
	return sock;
}

static void hello_again(void)
{
	const char *name = getenv(PROTO_ENV);
	struct msg_hello m = { .h = { PROTO_MAGIC, MSG_HELLO, 1 },
			       .helper_tid = (uint32_t)gettid() };
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, answer[512];
	struct iovec v = { &m, sizeof(m) };
	struct msghdr h = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	int uffd = (int)syscall(SYS_userfaultfd, 0), sock;

	if (!name)
		fail("not under umemcg");
	sock = connect_to(name);
	EXPECT(uffd >= 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(uffd));
	memcpy(CMSG_DATA(c), &uffd, sizeof(uffd));
	EXPECT(sendmsg(sock, &h, 0) > 0);
	(void)!recv(sock, answer, sizeof(answer), 0);
	pause();
}

static void use(size_t n)
{
	char *area = map_bytes(n * PAGE);

	area_fill(area, n, 0, 0);
	area_check(area, n, 0, 0, "");
}

int main(int argc, char **argv)
{
	size_t n = arg_number(argc, argv, 1, 40) * PAGES_PER_MIB;
	int status;
	pid_t pid = fork();

	EXPECT(pid >= 0);
	if (!pid) {
		use(n);
		hello_again();
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGKILL);
	use(n);
	return ok("%zu pages, after a process that had as many was killed", n);
}
