/* serve/shared/segment_access.c - who may do what with a System V segment, and what the kernel
 * allows.
 *
 * Locks: none; segment_permitted and segment_owned read the segment: segments->lock held.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "serve/shared/segment.h"

/* ---- permissions ---- */

static bool in_group(const struct caller *who, gid_t gid)
{
	gid_t group[256];
	socklen_t size = sizeof(group);

	if (who->cred.gid == gid)
		return true;
	if (getsockopt(who->sock, SOL_SOCKET, SO_PEERGROUPS, group, &size) != 0)
		return false;
	for (unsigned i = 0; i < size / sizeof(group[0]); i++)
		if (group[i] == gid)
			return true;
	return false;
}

bool segment_permitted(const struct caller *who, const struct segment *g, uint32_t want)
{
	uint32_t granted = g->mode;

	want = (want >> 6 | want >> 3 | want) & 7;
	if (who->cred.uid == g->uid || who->cred.uid == g->cuid)
		granted >>= 6;
	else if (in_group(who, (gid_t)g->gid) || in_group(who, (gid_t)g->cgid))
		granted >>= 3;
	return who->cred.uid == 0 || !(want & ~granted);
}

bool segment_owned(const struct caller *who, const struct segment *g)
{
	return who->cred.uid == 0 || who->cred.uid == g->uid || who->cred.uid == g->cuid;
}

static uint64_t ipc_namespace(const char *process)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/ipc", process);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

bool segment_at_home(const struct caller *who)
{
	char process[16];
	uint64_t its;

	snprintf(process, sizeof(process), "%d", (int)who->cred.pid);
	its = ipc_namespace(process);
	return !its || its == ipc_namespace("self");
}

/* ---- shmget ---- */

uint64_t segment_kernel_limit(const char *name)
{
	char path[64];
	uint64_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	f = fopen(path, "re");
	if (!f)
		return UINT64_MAX;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = UINT64_MAX;
	fclose(f);
	return n;
}

bool segment_kernel_has(int32_t key)
{
	return key != IPC_PRIVATE && (shmget(key, 0, 0) >= 0 || errno != ENOENT);
}
