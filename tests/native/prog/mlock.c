/* tests/native/prog/mlock.c - mlock LOCK_MIB PRESS_MIB [OVER_MIB]
 *
 * LOCK_MIB locked memory stays resident while PRESS_MIB goes by. With OVER_MIB, more than the limit
 * allows, mlock fails with ENOMEM and what was written stays right. Then the same with mlockall, of
 * what is there and of what comes.
 */
#include "memlock.h"

static void check_resident(char *area, size_t n)
{
	unsigned char *in_core = malloc(n);

	EXPECT(in_core && mincore(area, n * PAGE, in_core) == 0);
	for (size_t i = 0; i < n; i++)
		if (!(in_core[i] & 1))
			fail("locked page %zu of %zu is not resident", i, n);
	free(in_core);
}

static void lock_within(unsigned long lock_mib, unsigned long press_mib)
{
	size_t n = lock_mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);

	area_fill(area, n, 0, 0);
	if (mlock(area, n * PAGE) < 0)
		fail("mlock of %lu MiB: %s", lock_mib, strerror(errno));
	check_resident(area, n);
	press(press_mib);
	check_resident(area, n);
	area_check(area, n, 0, 0, "while locked");
	EXPECT(munlock(area, n * PAGE) == 0);
	press(press_mib);
	area_check(area, n, 0, 0, "after munlock");
	EXPECT(munmap(area, n * PAGE) == 0);
}

static void lock_over(unsigned long over_mib)
{
	size_t n = over_mib * PAGES_PER_MIB;
	char *area = map_bytes(n * PAGE);

	area_fill(area, n, 0, 0);
	if (mlock(area, n * PAGE) == 0)
		fail("mlock of %lu MiB was allowed", over_mib);
	EXPECT(errno == ENOMEM);
	area_check(area, n, 0, 0, "after mlock was refused");
	EXPECT(munmap(area, n * PAGE) == 0);
}

static void lock_all(unsigned long press_mib)
{
	size_t n = MIB / PAGE;
	char *area = map_bytes(n * PAGE), *later;

	area_fill(area, n, 0, 0);
	press(press_mib);
	EXPECT(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
	later = map_bytes(n * PAGE);
	EXPECT(mlockall(MCL_CURRENT) == 0); /* and of what comes no more */
	press(press_mib);
	check_resident(area, n);
	check_resident(later, n);
	area_check(area, n, 0, 0, "after mlockall");
	area_check_zero(later, n, "mapped under mlockall");
	EXPECT(munlockall() == 0);
	press(press_mib);
	area_check(area, n, 0, 0, "after munlockall");
	EXPECT(munmap(area, n * PAGE) == 0 && munmap(later, n * PAGE) == 0);
}

int main(int argc, char **argv)
{
	unsigned long lock_mib = arg_number(argc, argv, 1, 4);
	unsigned long press_mib = arg_number(argc, argv, 2, 32);
	unsigned long over_mib = arg_number(argc, argv, 3, 0);
	struct rlimit limit;

	/* The resource limit would answer before the memory limit does. */
	EXPECT(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
	if (!may_lock_all() && limit.rlim_cur < (lock_mib + over_mib) * MIB)
		cannot_run("RLIMIT_MEMLOCK is %lu", (unsigned long)limit.rlim_cur);
	lock_within(lock_mib, press_mib);
	if (over_mib)
		lock_over(over_mib);
	/* Nothing that was locked is still counted. */
	lock_within(lock_mib, press_mib);
	lock_all(press_mib);
	return ok("%lu MiB locked, %lu MiB refused", lock_mib, over_mib);
}
