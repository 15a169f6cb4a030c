/* tests/native/prog/late.c - late FILE [LOOK_MS]
 *
 * Sleeps @LOOK_MS (default 5), again and again, until it is killed, with the priority that umemcg's
 * own threads have where they may, and writes to FILE a line "# late FROM TO" (CLOCK_MONOTONIC, ms)
 * for each time in which it should have had a CPU and had none. Then nobody could look at anything.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "prog.h"

int main(int argc, char **argv)
{
	struct sched_param rt = { .sched_priority = 1 };
	double look_ms = argc > 2 ? atof(argv[2]) : 5;
	double last;
	int fd;

	EXPECT(argc >= 2 && look_ms >= 1 &&
	       (fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644)) >= 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sched_setscheduler(0, SCHED_FIFO, &rt);
	for (last = now_us() / 1000;;) {
		double now;

		usleep(look_ms * 1000);
		now = now_us() / 1000;
		if (now - last > 2 * look_ms)
			dprintf(fd, "# late %.0f %.0f\n", last + look_ms, now);
		last = now;
	}
}
