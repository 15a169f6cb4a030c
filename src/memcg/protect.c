/* memcg/protect.c - min and low as numbers. The terms: protect.h.
 *
 * I1  Effective values of the children never sum to more than max(their claims, the parent's
 *     effective value).
 * I2  A group's effective value is at most its usage if its parent's is at most the parent's usage.
 * Products of two page counts do not fit 64 bits, hence the 128-bit step.
 */
#include "plat/plat.h"
#include "memcg/protect.h"

/* @a * @b / @c, rounded down; @c > 0. */
static int64_t scale(int64_t a, int64_t b, int64_t c)
{
	VM_ASSERT(c > 0);
	return (int64_t)((unsigned __int128)a * (unsigned __int128)b / (unsigned __int128)c);
}

int64_t protect_claim(int64_t usage, int64_t setting)
{
	VM_ASSERT(usage >= 0 && setting >= 0);
	return usage < setting ? usage : setting;
}

int64_t effective_protection(int64_t usage, int64_t parent_usage, int64_t setting,
			     int64_t parent_effective, int64_t siblings_protected)
{
	int64_t claim = protect_claim(usage, setting);

	VM_ASSERT(usage >= 0 && parent_usage >= 0);
	if (siblings_protected > parent_effective)
		return scale(claim, parent_effective, siblings_protected);
	/* The counters change while they are read: a parent may look smaller than its children. */
	if (usage <= claim || parent_usage <= siblings_protected)
		return claim;
	return claim + scale(parent_effective - siblings_protected, usage - claim,
			     parent_usage - siblings_protected);
}

bool protect_covers(int64_t usage, int64_t effective)
{
	VM_ASSERT(usage >= 0);
	return effective > 0 && usage <= effective;
}

int64_t protect_scan_target(int64_t size, int64_t usage, int64_t protection)
{
	VM_ASSERT(size >= 0 && usage >= 0 && protection >= 0);
	if (usage < protection)
		usage = protection;
	return size - scale(size, protection, usage + 1);
}
