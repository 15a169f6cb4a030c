/* tests/native/prog/rewords.c - rewords [MIB]
 *
 * A thread that says again and again where its list of robust mutexes is, and the word that is
 * cleared at its end: only where it said so last may stay in memory. So there is room to lock some
 * at the end, and everything else goes out as before.
 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "prog.h"

#define LOCKED (2ul << 20)

int main(int argc, char **argv)
{
	const size_t n = arg_number(argc, argv, 1, 24) * PAGES_PER_MIB;
	struct robust_list_head *was;
	char *area = map_bytes(n * PAGE), *more = map_bytes(LOCKED);
	size_t len;

	area_fill(area, n, 0, 0);
	EXPECT(syscall(SYS_get_robust_list, 0, &was, &len) == 0);
	for (size_t i = 0; i < n; i++) {
		char *at = area + i * PAGE + 256;

		EXPECT(syscall(SYS_set_robust_list, at, sizeof(struct robust_list_head)) == 0);
		EXPECT(syscall(SYS_set_tid_address, at + 64) == gettid());
	}
	EXPECT(syscall(SYS_set_robust_list, was, len) == 0);
	EXPECT(mlock(more, LOCKED) == 0);
	area_check(area, n, 0, 0, "at the end");
	return ok("%zu lists and words", n);
}
