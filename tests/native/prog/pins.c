/* tests/native/prog/pins.c - what the supervisor is told of pipes by hand, as by an agent that has
 * gone wrong: nothing put into a pipe, and what is no pipe, are refused; a pipe is not, with a name
 * or without. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "prog.h"
#include "serve/channel/proto.h"

static int ask(int number, uint64_t start, uint64_t len)
{
	const char *name = getenv(PROTO_ENV);
	struct msg_call call = { .h = { PROTO_MAGIC, MSG_CALL, 1 },
				 .op = CALL_PIPE,
				 .arg = (uint32_t)number,
				 .start = start,
				 .len = len };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct msg_call_reply reply;

	if (!name || strlen(name) >= sizeof(a.sun_path) - 1)
		fail("to be run under umemcg");
	memcpy(a.sun_path + 1, name, strlen(name));
	EXPECT(connect(sock, (struct sockaddr *)&a,
		       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) ==
	       0);
	EXPECT(send(sock, &call, sizeof(call), MSG_NOSIGNAL) == sizeof(call));
	EXPECT(recv(sock, &reply, sizeof(reply), 0) == sizeof(reply));
	EXPECT(close(sock) == 0);
	return reply.error;
}

int main(void)
{
	char *area = map_bytes(PAGE), named[] = "/tmp/umemcg-pins.XXXXXX", path[64];
	int f[2], file = mkstemp(named), fifo;

	page_fill(area, 0, 0);
	EXPECT(pipe(f) == 0 && write(f[1], "x", 1) == 1 && file >= 0);
	EXPECT(ask(f[1], (uintptr_t)area, 0) == -EINVAL);
	EXPECT(ask(file, (uintptr_t)area, PAGE) == -EBADF);
	EXPECT(ask(1000, (uintptr_t)area, PAGE) == -EBADF);
	snprintf(path, sizeof(path), "%s.fifo", named);
	EXPECT(mkfifo(path, 0600) == 0 && (fifo = open(path, O_RDWR)) >= 0);
	EXPECT(unlink(path) == 0 && unlink(named) == 0);
	for (int i = 0; i < 100; i++) {
		EXPECT(ask(fifo, (uintptr_t)area, PAGE) == 0);
		EXPECT(ask(f[1], (uintptr_t)area + 100, 10) == 0);
	}
	return ok("nothing is kept for what is no pipe");
}
