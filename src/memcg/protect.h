/* memcg/protect.h - how much of a group min and low protect, and how much that leaves to scan.
 *
 * Pure functions: numbers in, numbers out; all in pages, none negative. The reclaimer does the walk
 * that feeds them. min and low are independent settings, computed with the same functions.
 *
 * Glossary. setting: what the user wrote. protected: min(usage, setting), what a group claims.
 * effective: what it gets once its siblings' claims and its parent's effective value are taken into
 * account. For a child of the group under reclaim, effective is the setting itself: its parent has
 * no competitors.
 */
#ifndef UMEMCG_MEMCG_PROTECT_H
#define UMEMCG_MEMCG_PROTECT_H

#include <stdbool.h>
#include <stdint.h>

/* What a group with @usage claims under @setting. */
int64_t protect_claim(int64_t usage, int64_t setting);

/* The effective protection of a group. @siblings_protected is the sum of the claims of all children
 * of the parent, this group's included. Claims above @parent_effective are scaled down in
 * proportion; unclaimed protection goes to the children in proportion to their unprotected
 * usage. */
int64_t effective_protection(int64_t usage, int64_t parent_usage, int64_t setting,
			     int64_t parent_effective, int64_t siblings_protected);

/* True: reclaim skips the group, as all its usage is protected. False without protection. */
bool protect_covers(int64_t usage, int64_t effective);

/* How many of a list's @size pages to scan, given the group's @usage and effective @protection. */
int64_t protect_scan_target(int64_t size, int64_t usage, int64_t protection);

#endif
