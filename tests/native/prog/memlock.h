/* tests/native/prog/memlock.h - for programs that lock memory. */
#ifndef UMEMCG_TESTS_MEMLOCK_H
#define UMEMCG_TESTS_MEMLOCK_H

#include <linux/capability.h>
#include <sys/resource.h>

#include "prog.h"

/* May this process lock as much as it likes, as far as the system is concerned? */
static bool may_lock_all(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned long long caps = 0;
	char line[256];
	FILE *f;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0)
		return true;
	f = fopen("/proc/self/status", "r");
	EXPECT(f);
	while (fgets(line, sizeof(line), f) && sscanf(line, "CapEff: %llx", &caps) != 1)
		;
	fclose(f);
	return caps >> CAP_IPC_LOCK & 1;
}

#endif
