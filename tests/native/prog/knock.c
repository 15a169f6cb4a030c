/* tests/native/prog/knock.c - knock [NAME]
 *
 * Ask the supervisor whose socket is NAME ($UMEMCG_SOCKET) for the device that makes userfaultfds,
 * as an agent does that may not make one itself. Prints "answered", or "refused" when the
 * connection is closed instead; exits 0 either way.
 */
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "prog.h"
#include "serve/channel/proto.h"

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : getenv(PROTO_ENV);
	struct msg_hello ask = { .h = { PROTO_MAGIC, MSG_HELLO, 1 }, .flags = HELLO_NEED_DEVICE };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct msg_device answer;
	ssize_t n;

	if (!name || strlen(name) >= sizeof(a.sun_path) - 1)
		fail("usage: knock NAME, or under umemcg");
	memcpy(a.sun_path + 1, name, strlen(name));
	if (connect(sock, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) != 0)
		fail("connect: %s", strerror(errno));
	(void)!send(sock, &ask, sizeof(ask), MSG_NOSIGNAL);
	n = recv(sock, &answer, sizeof(answer), 0);
	if (n > 0 && (n != sizeof(answer) || answer.h.type != MSG_DEVICE))
		fail("an answer of %zd bytes", n);
	puts(n > 0 ? "answered" : "refused");
	return 0;
}
