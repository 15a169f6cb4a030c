/* tests/native/prog/knock.c - knock [NAME]
 *                             knock -c
 *
 * Ask the supervisor whose socket is NAME ($UMEMCG_SOCKET), or the file /NAME, for the device that
 * makes userfaultfds, as an agent does that may not make one itself. Prints "answered", or
 * "refused" when the connection is closed instead; exits 0 either way. -c: announce a fork, as the
 * agent of a client does. Prints the error of the reply.
 */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "prog.h"
#include "serve/channel/proto.h"

static int announce_fork(int sock)
{
	struct msg_call call = { .h = { PROTO_MAGIC, MSG_CALL, 1 }, .op = CALL_FORK };
	struct msg_call_reply reply;

	(void)!send(sock, &call, sizeof(call), MSG_NOSIGNAL);
	if (recv(sock, &reply, sizeof(reply), 0) != sizeof(reply))
		fail("no reply");
	puts(strerror(-reply.error));
	return 0;
}

int main(int argc, char **argv)
{
	bool announces = argc > 1 && !strcmp(argv[1], "-c");
	const char *name = argc > 1 && !announces ? argv[1] : getenv(PROTO_ENV);
	struct msg_hello ask = { .h = { PROTO_MAGIC, MSG_HELLO, 1 }, .flags = HELLO_NEED_DEVICE };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct msg_device answer;
	ssize_t n;

	if (!name || strlen(name) >= sizeof(a.sun_path) - 1)
		fail("usage: knock NAME, or under umemcg");
	memcpy(a.sun_path + (name[0] != '/'), name, strlen(name));
	if (connect(sock, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (name[0] != '/') +
				strlen(name))) != 0)
		fail("connect: %s", strerror(errno));
	if (announces)
		return announce_fork(sock);
	(void)!send(sock, &ask, sizeof(ask), MSG_NOSIGNAL);
	n = recv(sock, &answer, sizeof(answer), 0);
	if (n > 0 && (n != sizeof(answer) || answer.h.type != MSG_DEVICE))
		fail("an answer of %zd bytes", n);
	puts(n > 0 ? "answered" : "refused");
	return 0;
}
