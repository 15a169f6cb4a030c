/* agent/sysv.c - System V shared memory: shmget, shmat, shmdt, shmctl.
 *
 * Segments of 64 KiB and more belong to the supervisor (serve/shared/segment.c): it keeps ids, keys
 * and permissions, and hands out a memfd to map. Calls on segments it does not have are passed on
 * to the kernel. libc does not call these functions itself, so the exported symbols are enough.
 *
 * A segment is mapped inaccessible, entered in the books and registered by the supervisor, and only
 * then made accessible to the program: until then a swapped-out page is a hole, and would read as
 * zeros.
 */
#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "agent/fork.h"
#include "agent/hooks.h"

static long result(long ret)
{
	if ((unsigned long)ret <= -4096ul)
		return ret;
	errno = (int)-ret;
	return -1;
}

/* -EOPNOTSUPP: it is the kernel's, or there is no supervisor to ask. */
static int ask(struct msg_call *call, struct msg_call_reply *reply, int *fd)
{
	int err = agent_managed() ? channel_ask(call, reply, fd) : -EOPNOTSUPP;

	return err ? -EOPNOTSUPP : reply->error;
}

static int ask_plain(enum call_op op, uint64_t start, uint64_t len, uint32_t arg,
		     struct msg_call_reply *reply)
{
	struct msg_call call = { .op = op, .start = start, .len = len, .arg = arg };
	int fd = -1, err = ask(&call, reply, &fd);

	if (fd >= 0)
		sys_close(fd);
	return err;
}

static bool may_be_ours(int id)
{
	return id >= 0 && (id & SEGMENT_ID_MARK) == SEGMENT_ID_MARK;
}

AGENT_EXPORT int shmget(key_t key, size_t size, int flags)
{
	struct msg_call_reply reply;
	int err = ask_plain(CALL_SHMGET, (uint32_t)key, size, (uint32_t)flags, &reply);

	if (err == -EOPNOTSUPP)
		return (int)result(sys_call3(SYS_shmget, key, size, flags));
	return (int)result(err ? err : (long)reply.value);
}

/* The address for shmat: *@addr, and its map flags. 0 or -EINVAL. */
static int place(const void **addr, int flags, int *map_flags)
{
	uint64_t at = (uint64_t)*addr;

	*map_flags = MAP_SHARED;
	if (at & (agent_page - 1)) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		at &= ~(agent_page - 1);
	}
	if (!at && (*addr || flags & SHM_REMAP))
		return -EINVAL;
	if (at)
		*map_flags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	*addr = (const void *)at;
	return 0;
}

/* Map a memfd of the supervisor's that may have content. mlockall must not make the
 * kernel fill it before it is registered: a hole may be a page in swap. The caller has it adopted,
 * then allows @prot. */
static long map_object(void *addr, size_t len, int flags, int fd)
{
	uint64_t mask;
	bool held = mappings_lock(&mask);
	long ret = sys_mmap(addr, len, PROT_NONE, flags, fd, 0);

	AGENT_ASSERT(fd >= 0);
	if (held && !sys_failed(ret))
		guard_new((uint64_t)ret, (uint64_t)ret + to_page_end(len));
	mappings_unlock(held, &mask);
	return ret;
}

/* The memfd @fd, @len bytes of segment @id, is mapped. The address or -errno. */
static long attach(int id, const void *addr, size_t len, int flags, int map_flags, int fd)
{
	const int prot = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) |
			 (flags & SHM_EXEC ? PROT_EXEC : 0);
	long at = map_object((void *)(uintptr_t)addr, len, map_flags, fd);
	bool mapped = (unsigned long)at <= -4096ul;
	struct msg_call_reply reply;
	int err;

	AGENT_ASSERT(fd >= 0);
	AGENT_ASSERT((uintptr_t)addr % agent_page == 0);
	/* A kernel that does not know MAP_FIXED_NOREPLACE takes the address as a hint. */
	if (mapped && addr && at != (long)addr) {
		sys_munmap((void *)at, len);
		mapped = false;
		at = -EEXIST;
	}
	err = ask_plain(CALL_SHM_MAPPED, mapped ? (uint64_t)at : 0, mapped ? len : 0, (uint32_t)id,
			&reply);
	if (mapped && !err)
		err = (int)sys_call3(SYS_mprotect, at, len, prot);
	if (mapped && err) {
		hook_munmap((void *)at, len);
		return -ENOMEM;
	}
	return at == -EEXIST ? -EINVAL : at;
}

AGENT_EXPORT void *shmat(int id, const void *addr, int flags)
{
	struct msg_call call = { .op = CALL_SHMAT, .start = (uint32_t)id, .arg = (uint32_t)flags };
	const void *at = addr;
	struct msg_call_reply reply;
	int fd = -1, map_flags, err;
	long ret;

	err = may_be_ours(id) ? ask(&call, &reply, &fd) : -EOPNOTSUPP;
	if (err == -EOPNOTSUPP && flags & SHM_REMAP && agent_managed() &&
	    !place(&at, flags, &map_flags))
		return (void *)result(remap_attach(id, (uint64_t)at, flags));
	if (err == -EOPNOTSUPP)
		return (void *)result(sys_call3(SYS_shmat, id, addr, flags));
	if (err)
		return (void *)result(err);
	ret = fd < 0 ? -EMFILE : place(&at, flags, &map_flags);
	if (!ret)
		ret = attach(id, at, reply.len, flags, map_flags, fd);
	else
		ask_plain(CALL_SHM_MAPPED, 0, 0, (uint32_t)id, &reply);
	if (fd >= 0)
		sys_close(fd);
	return (void *)result(ret);
}

/* The rest of an attachment may be in pieces: its middle unmapped, a part of it locked. */
AGENT_EXPORT int shmdt(const void *addr)
{
	struct msg_call_reply reply;
	int err = ask_plain(CALL_SHMDT, (uint64_t)addr, 0, 0, &reply);

	if (err == -EOPNOTSUPP)
		return (int)result(sys_call1(SYS_shmdt, addr));
	if (err)
		return (int)result(err);
	do
		hook_munmap((void *)reply.value, reply.len);
	while (ask_plain(CALL_SHMDT, (uint64_t)addr, reply.value, 0, &reply) == 0);
	return 0;
}

static void fill(struct shmid_ds *ds, const struct msg_segment *g)
{
	memset(ds, 0, sizeof *ds);
	ds->shm_perm.__key = g->key;
	ds->shm_perm.uid = g->uid;
	ds->shm_perm.gid = g->gid;
	ds->shm_perm.cuid = g->cuid;
	ds->shm_perm.cgid = g->cgid;
	ds->shm_perm.mode = (__typeof__(ds->shm_perm.mode))g->mode;
	ds->shm_segsz = g->size;
	ds->shm_nattch = g->nattch;
	ds->shm_cpid = g->cpid;
	ds->shm_lpid = g->lpid;
	ds->shm_atime = g->atime;
	ds->shm_dtime = g->dtime;
	ds->shm_ctime = g->ctime;
}

static int control(uint32_t id, int cmd, struct shmid_ds *ds)
{
	struct msg_call_reply reply;
	int err;

	if ((cmd == IPC_STAT || cmd == IPC_SET) && !ds)
		return -EFAULT;
	switch (cmd) {
	case IPC_STAT:
		err = ask_plain(CALL_SHM_STAT, id, 0, 0, &reply);
		if (!err)
			fill(ds, &reply.seg);
		return err;
	case IPC_SET:
		return ask_plain(CALL_SHM_SET, id,
				 ds->shm_perm.uid | (uint64_t)ds->shm_perm.gid << 32,
				 ds->shm_perm.mode, &reply);
	case IPC_RMID:
		return ask_plain(CALL_SHM_RMID, id, 0, 0, &reply);
	case SHM_LOCK:
	case SHM_UNLOCK:
		return ask_plain(CALL_SHM_LOCK, id, 0, (uint32_t)cmd, &reply);
	default:
		return -EOPNOTSUPP;
	}
}

AGENT_EXPORT int shmctl(int id, int cmd, struct shmid_ds *ds)
{
	int err = may_be_ours(id) ? control((uint32_t)id, cmd, ds) : -EOPNOTSUPP;

	if (err == -EOPNOTSUPP)
		return (int)result(sys_call3(SYS_shmctl, id, cmd, ds));
	return (int)result(err);
}
