/* tests/native/prog/sysv.c - sysv [MIB] [PRESSURE MIB]
 *
 * System V shared memory: a segment of MIB MiB is filled, detached, pushed out, and seen and
 * changed by children, by a program that a child executes, and by its id alone. Who is attached;
 * what is left after IPC_RMID; keys; the errors of the manual. The kernel's own segments, by the
 * raw system calls, are there beside it. And a segment takes the place of private memory, again and
 * again, while pages of that are being taken out.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "prog.h"

#define NOBODY       65534
#define AGAIN_MIB    4
#define AGAIN_ROUNDS 50

static unsigned long pressure;
static size_t n, bytes;
static char *self;

static void *attach_to(int id, const void *at, int flags)
{
	void *p = shmat(id, at, flags);

	EXPECT(p != (void *)-1);
	return p;
}

#define EXPECT_ERRNO(call, want)                                                                   \
	do {                                                                                       \
		errno = 0;                                                                         \
		if ((long)(call) != -1 || errno != (want))                                         \
			fail("line %d: %s: errno %d, not %d", __LINE__, #call, errno, (want));     \
	} while (0)

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds;

	EXPECT(shmctl(id, IPC_STAT, &ds) == 0);
	return ds;
}

static int status_of(pid_t pid)
{
	int status;

	EXPECT(waitpid(pid, &status, 0) == pid);
	return status;
}

/* Change every page from @version to @version + 1. */
static void change_all(char *area, uint64_t version)
{
	area_check(area, n, 0, version, "before it is changed");
	for (size_t i = 0; i < n; i++)
		page_change(area + i * PAGE, i, version + 1);
}

/* What a child executes: knows nothing but the id. */
static int executed(int id, uint64_t version)
{
	char *area = attach_to(id, NULL, 0);

	EXPECT(stat_of(id).shm_nattch == 2 && stat_of(id).shm_lpid == getpid());
	change_all(area, version);
	return 0;
}

static void processes(int id)
{
	char *area = attach_to(id, NULL, 0), text[2][16];
	pid_t pid;

	EXPECT(stat_of(id).shm_nattch == 1);
	area_fill(area, n, 0, 0);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		EXPECT(stat_of(id).shm_nattch == 2);
		change_all(area, 0);
		EXPECT(shmdt(area) == 0 && stat_of(id).shm_nattch == 1);
		_exit(0);
	}
	EXPECT(status_of(pid) == 0 && stat_of(id).shm_nattch == 1);
	area_check(area, n, 0, 1, "changed by a child");
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		snprintf(text[0], sizeof(text[0]), "%d", id);
		snprintf(text[1], sizeof(text[1]), "%zu", n);
		execl(self, "sysv", "--executed", text[0], text[1], "1", (char *)NULL);
		_exit(2);
	}
	EXPECT(status_of(pid) == 0 && stat_of(id).shm_nattch == 1);
	area_check(area, n, 0, 2, "changed by a program that a child executed");
	EXPECT(shmdt(area) == 0 && stat_of(id).shm_nattch == 0);
	press(pressure);
	area = attach_to(id, NULL, 0);
	area_check(area, n, 0, 2, "after nobody had it attached");
	EXPECT(shmdt(area) == 0);
}

/* Whoever has seen that a process is over, or that an area is gone, finds it so. */
static void counting(int id)
{
	char *area = attach_to(id, NULL, 0), *twin;
	pid_t pid;

	for (int i = 0; i < 100; i++) {
		pid = fork();
		EXPECT(pid >= 0);
		if (!pid)
			_exit(0);
		EXPECT(status_of(pid) == 0);
		EXPECT(stat_of(id).shm_nattch == 1);
		twin = attach_to(id, NULL, 0);
		EXPECT(stat_of(id).shm_nattch == 2 && shmdt(twin) == 0);
		EXPECT(stat_of(id).shm_nattch == 1);
	}
	EXPECT(shmdt(area) == 0);
}

static void attach_to_read(int id)
{
	char *area = attach_to(id, NULL, SHM_RDONLY);
	int status;
	pid_t pid;

	area_check(area, n, 0, 2, "attached for reading");
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		*(volatile char *)area = 1;
		_exit(0);
	}
	status = status_of(pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	EXPECT(shmdt(area) == 0);
}

static void places(int id)
{
	char *hole = mmap(NULL, 2 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *a, *b;

	EXPECT(hole != MAP_FAILED);
	EXPECT_ERRNO(shmat(id, hole, 0), EINVAL);
	EXPECT_ERRNO(shmat(id, hole + 8, 0), EINVAL);
	EXPECT_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
	a = attach_to(id, hole, SHM_REMAP);
	b = attach_to(id, hole + bytes + 8, SHM_RND | SHM_REMAP);
	EXPECT(a == hole && b == hole + bytes && stat_of(id).shm_nattch == 2);
	change_all(a, 2);
	press(pressure);
	change_all(b, 3);
	area_check(a, n, 0, 4, "changed through a second attachment");
	/* What is left of it is in two pieces. */
	EXPECT(munmap(a + PAGE, (n / 2) * PAGE) == 0);
	EXPECT_ERRNO(shmdt(a + PAGE), EINVAL);
	EXPECT(shmdt(a) == 0 && stat_of(id).shm_nattch == 1);
	EXPECT_ERRNO(shmdt(a), EINVAL);
	EXPECT_ERRNO(mprotect(a + (n - 1) * PAGE, PAGE, PROT_READ), ENOMEM);
	area_check(b, n, 0, 4, "after the other attachment went");
	EXPECT(shmdt(b) == 0);
	EXPECT(mlockall(MCL_FUTURE) == 0);
	a = attach_to(id, NULL, 0);
	EXPECT(munlockall() == 0);
	area_check(a, n, 0, 4, "attached while new memory is locked");
	EXPECT(shmdt(a) == 0);
}

static void removal(int id)
{
	struct shmid_ds ds;
	char *area = attach_to(id, NULL, 0);
	pid_t pid;

	EXPECT(shmctl(id, IPC_RMID, NULL) == 0);
	ds = stat_of(id);
	EXPECT(ds.shm_perm.mode & SHM_DEST && ds.shm_nattch == 1);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		EXPECT(shmdt(area) == 0);
		area = attach_to(id, NULL, 0);
		change_all(area, 4);
		_exit(0);
	}
	EXPECT(status_of(pid) == 0);
	press(pressure);
	area_check(area, n, 0, 5, "after it was removed");
	EXPECT(shmdt(area) == 0);
	EXPECT_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
	EXPECT_ERRNO(shmat(id, NULL, 0), EINVAL);
}

static key_t free_key(void)
{
	key_t key = (key_t)(0x5000000 + getpid() * 16);

	while (raw_syscall(SYS_shmget, key, 0, 0) >= 0 || errno != ENOENT)
		key++;
	return key;
}

static void keys(void)
{
	key_t key = free_key();
	int id, again;
	char *area;
	pid_t pid;

	EXPECT_ERRNO(shmget(key, bytes, 0600), ENOENT);
	id = shmget(key, bytes - 7, IPC_CREAT | IPC_EXCL | 0600);
	EXPECT(id >= 0 && stat_of(id).shm_segsz == bytes - 7 && stat_of(id).shm_perm.__key == key);
	EXPECT_ERRNO(shmget(key, bytes - 7, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	EXPECT_ERRNO(shmget(key, bytes, 0600), EINVAL);
	EXPECT(shmget(key, 0, 0) == id && shmget(key, PAGE, IPC_CREAT | 0600) == id);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		area = attach_to(shmget(key, 0, 0600), NULL, 0);
		area_fill(area, n, 0, 0);
		_exit(0);
	}
	EXPECT(status_of(pid) == 0 && stat_of(id).shm_nattch == 0 && stat_of(id).shm_lpid == pid);
	area = attach_to(id, NULL, 0);
	area_check(area, n, 0, 0, "found by its key");
	EXPECT(shmctl(id, IPC_RMID, NULL) == 0);
	EXPECT_ERRNO(shmget(key, 0, 0), ENOENT);
	again = shmget(key, bytes, IPC_CREAT | IPC_EXCL | 0600);
	EXPECT(again >= 0 && again != id && stat_of(id).shm_perm.__key == IPC_PRIVATE);
	EXPECT(shmctl(again, IPC_RMID, NULL) == 0 && shmdt(area) == 0);
}

/* A key that is the kernel's already: made by somebody who does not come by us. */
static void keys_of_the_kernel(void)
{
	key_t key = free_key();
	int id = (int)raw_syscall(SYS_shmget, key, MIB, IPC_CREAT | IPC_EXCL | 0600);
	char *area, *raw;

	EXPECT(id >= 0);
	EXPECT_ERRNO(shmget(key, MIB, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	EXPECT(shmget(key, MIB, IPC_CREAT | 0600) == id);
	area = attach_to(id, NULL, 0);
	raw = (char *)raw_syscall(SYS_shmat, id, 0, 0);
	area[5] = 7;
	EXPECT(raw != (char *)-1 && raw[5] == 7 && stat_of(id).shm_nattch == 2);
	EXPECT(shmdt(raw) == 0 && shmdt(area) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

static void permissions(void)
{
	int id = shmget(IPC_PRIVATE, bytes, 0600);
	struct shmid_ds ds = stat_of(id);
	pid_t pid;

	EXPECT(ds.shm_perm.cuid == geteuid() && (ds.shm_perm.mode & 0777) == 0600 &&
	       ds.shm_cpid == getpid());
	if (geteuid() == 0) {
		pid = fork();
		EXPECT(pid >= 0);
		if (!pid) {
			EXPECT(setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
			       setresuid(NOBODY, NOBODY, NOBODY) == 0);
			EXPECT_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
			EXPECT_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
			EXPECT_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
			_exit(0);
		}
		EXPECT(status_of(pid) == 0);
		ds.shm_perm.mode = 0604;
		EXPECT(shmctl(id, IPC_SET, &ds) == 0 && (stat_of(id).shm_perm.mode & 0777) == 0604);
		pid = fork();
		EXPECT(pid >= 0);
		if (!pid) {
			EXPECT(setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
			       setresuid(NOBODY, NOBODY, NOBODY) == 0);
			attach_to(id, NULL, SHM_RDONLY);
			EXPECT_ERRNO(shmat(id, NULL, 0), EACCES);
			_exit(0);
		}
		EXPECT(status_of(pid) == 0);
	}
	EXPECT(shmctl(id, IPC_RMID, NULL) == 0);
	EXPECT_ERRNO(shmat(id, NULL, 0), EINVAL);
}

static atomic_bool enough;

static void *press_on(void *mib)
{
	while (!atomic_load(&enough))
		press(*(const unsigned long *)mib);
	return NULL;
}

/* A request for a page of the old mapping that arrives late finds the new one. */
static void place_taken_again(void)
{
	const size_t pages = AGAIN_MIB * PAGES_PER_MIB;
	const int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	unsigned long half = pressure / 2;
	int id = shmget(IPC_PRIVATE, pages * PAGE, 0600);
	char *area = attach_to(id, NULL, 0);
	pthread_t presser;

	area_fill(area, pages, 0, 0);
	EXPECT(pthread_create(&presser, NULL, press_on, &half) == 0);
	for (unsigned r = 0; r < AGAIN_ROUNDS; r++) {
		EXPECT(mmap(area, pages * PAGE, PROT_READ | PROT_WRITE, fixed, -1, 0) == area);
		area_fill(area, pages, 1ull << 40, 0);
		attach_to(id, area, SHM_REMAP);
		area_check(area, pages, 0, r, "where private memory was");
		for (size_t i = 0; i < pages; i++)
			page_change(area + i * PAGE, i, r + 1);
	}
	atomic_store(&enough, true);
	EXPECT(pthread_join(presser, NULL) == 0);
	EXPECT(shmdt(area) == 0 && shmctl(id, IPC_RMID, NULL) == 0);
}

int main(int argc, char **argv)
{
	struct shmid_ds ds;
	int id;

	if (argc == 5 && !strcmp(argv[1], "--executed")) {
		n = arg_number(argc, argv, 3, 0);
		return executed((int)arg_number(argc, argv, 2, 0), arg_number(argc, argv, 4, 0));
	}
	self = realpath(argv[0], NULL);
	bytes = arg_number(argc, argv, 1, 16) * MIB;
	n = bytes / PAGE;
	pressure = arg_number(argc, argv, 2, 0);
	EXPECT_ERRNO(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
	id = shmget(IPC_PRIVATE, bytes, 0600);
	EXPECT(id >= 0 && self);
	if (getenv("SYSV_MANAGED") && raw_syscall(SYS_shmctl, id, IPC_STAT, (long)&ds) == 0) {
		shmctl(id, IPC_RMID, NULL);
		fail("the segment is the kernel's");
	}
	processes(id);
	counting(id);
	attach_to_read(id);
	places(id);
	removal(id);
	keys();
	keys_of_the_kernel();
	permissions();
	if (pressure)
		place_taken_again();
	return ok("segments of %lu MiB", bytes / MIB);
}
