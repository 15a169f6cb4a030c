/* serve/process/proc.c - what /proc says about client processes. Any of them may be gone. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mm/mm_types.h"
#include "serve/process/process.h"

/* PROCMAP_QUERY (Linux 6.11) is not in Debian 12's headers. */
struct procmap_query_ {
	uint64_t size, query_flags, query_addr;
	uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
	uint64_t vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY_     _IOWR('f', 17, struct procmap_query_)
#define PROCMAP_READABLE   0x01
#define PROCMAP_WRITABLE   0x02
#define PROCMAP_EXECUTABLE 0x04
#define PROCMAP_SHARED     0x08

bool proc_there(pid_t id)
{
	return kill(id, 0) == 0 || errno != ESRCH;
}

static int proc_open(pid_t pid, const char *file)
{
	char path[128];
	int fd, n;

	if (!proc_there(pid))
		return -ESRCH;
	n = snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	VM_ASSERT((size_t)n < sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The same as a stream. 0 or -errno. */
static int proc_stream(pid_t pid, const char *file, FILE **f)
{
	int fd = proc_open(pid, file);

	if (fd < 0)
		return fd;
	*f = fdopen(fd, "r");
	if (*f)
		return 0;
	close(fd);
	return -ENOMEM;
}

bool proc_read(pid_t pid, const char *file, char *buf, size_t size)
{
	int fd = proc_open(pid, file);
	ssize_t n;

	VM_ASSERT(size > 1);
	buf[0] = '\0';
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return true;
}

static int read_sizes(int fd, struct proc_sizes *s)
{
	char buf[128];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	VM_ASSERT(fd >= 0);
	if (n <= 0)
		return n < 0 ? -errno : -ESRCH;
	buf[n] = '\0';
	return sscanf(buf, "%" SCNd64 " %" SCNd64 " %" SCNd64, &s->size, &s->resident,
		      &s->shared) == 3
		       ? 0
		       : -EIO;
}

bool proc_sizes(pid_t pid, struct proc_sizes *out)
{
	int fd = proc_open(pid, "statm");
	bool ok = fd >= 0 && read_sizes(fd, out) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

int64_t proc_anon_pages(pid_t pid, int *fd)
{
	struct proc_sizes s;
	int err;

	VM_ASSERT(*fd >= -1);
	if (*fd < 0) {
		int got = proc_open(pid, "statm");

		if (got < 0)
			return got;
		*fd = got;
	}
	err = read_sizes(*fd, &s);
	return err ? err : s.resident > s.shared ? s.resident - s.shared : 0;
}

/* The number in the line of a status file that begins with @name, after a line feed; 0: unknown. */
static int64_t status_number(pid_t pid, const char *file, const char *name)
{
	const char *line;
	char buf[4096];

	VM_ASSERT(name[0] == '\n');
	if (!proc_read(pid, file, buf, sizeof(buf)))
		return 0;
	line = strstr(buf, name);
	return line ? strtoll(line + strlen(name), NULL, 10) : 0;
}

int64_t proc_shmem_pages(pid_t pid)
{
	return status_number(pid, "status", "\nRssShmem:") * 1024 / (int64_t)PAGE_SIZE;
}

int64_t proc_table_pages(pid_t pid)
{
	int64_t kib = status_number(pid, "status", "\nVmPTE:");

	return kib > 0 ? kib * 1024 / (int64_t)PAGE_SIZE : -1;
}

void proc_comm(pid_t pid, char *out, size_t size)
{
	if (!proc_read(pid, "comm", out, size) || !out[0])
		snprintf(out, size, "?");
	out[strcspn(out, "\n")] = '\0';
}

bool proc_shares_memory(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

bool proc_same_program(pid_t a, pid_t b)
{
	char path[2][32];
	struct stat st[2];

	snprintf(path[0], sizeof(path[0]), "/proc/%d/exe", (int)a);
	snprintf(path[1], sizeof(path[1]), "/proc/%d/exe", (int)b);
	if (stat(path[0], &st[0]) != 0 || stat(path[1], &st[1]) != 0)
		return true;
	return st[0].st_dev == st[1].st_dev && st[0].st_ino == st[1].st_ino;
}

bool proc_is_static(pid_t pid)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;
	int fd = proc_open(pid, "exe");
	bool yes;

	if (fd < 0)
		return false;
	yes = pread(fd, &head, sizeof(head), 0) == sizeof(head) &&
	      !memcmp(head.e_ident, ELFMAG, SELFMAG) && head.e_ident[EI_CLASS] == ELFCLASS64;
	for (unsigned i = 0; yes && i < head.e_phnum; i++)
		yes = pread(fd, &part, sizeof(part), (off_t)(head.e_phoff + i * sizeof(part))) ==
			      sizeof(part) &&
		      part.p_type != PT_INTERP;
	close(fd);
	return yes;
}

/* From a stat file. False: there is none. */
static bool read_stat(pid_t pid, const char *file, struct proc_stat *st)
{
	char buf[512], *after;

	if (!proc_read(pid, file, buf, sizeof(buf)))
		return false;
	/* The name may hold anything; the fields start after its last parenthesis. */
	after = strrchr(buf, ')');
	return after && sscanf(after + 1, " %c %d %*d %*d %*d %*d %u", &st->state, &st->parent,
			       &st->flags) == 3;
}

bool proc_stat(pid_t pid, struct proc_stat *st)
{
	return read_stat(pid, "stat", st);
}

pid_t proc_parent(pid_t pid)
{
	struct proc_stat st;

	return read_stat(pid, "stat", &st) ? st.parent : -1;
}

static char thread_state(pid_t pid, pid_t tid)
{
	struct proc_stat st;
	char path[64];

	snprintf(path, sizeof(path), "task/%d/stat", (int)tid);
	return proc_there(tid) && read_stat(pid, path, &st) ? st.state : 'X';
}

bool proc_thread_runs(pid_t pid, pid_t tid)
{
	return thread_state(pid, tid) == 'R';
}

bool proc_thread_stopped(pid_t pid, pid_t tid)
{
	char state = thread_state(pid, tid);

	return state == 't' || state == 'T';
}

bool proc_thread_traced(pid_t pid, pid_t tid)
{
	return thread_state(pid, tid) == 't';
}

pid_t proc_tracer(pid_t pid, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "task/%d/status", (int)tid);
	return proc_there(tid) ? (pid_t)status_number(pid, path, "\nTracerPid:") : 0;
}

DIR *proc_tasks(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	return proc_there(pid) ? opendir(path) : NULL;
}

bool proc_has_thread(pid_t pid, pid_t tid)
{
	char path[64];

	VM_ASSERT(pid > 0);
	snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)pid, (int)tid);
	return tid > 0 && proc_there(tid) && access(path, F_OK) == 0;
}

pid_t proc_live_thread(pid_t pid)
{
	DIR *dir = proc_tasks(pid);
	struct dirent *d;
	pid_t found = 0;
	char path[64];

	VM_ASSERT(pid > 0);
	while (dir && !found && (d = readdir(dir))) {
		pid_t tid = (pid_t)strtol(d->d_name, NULL, 10);
		struct proc_stat st;

		snprintf(path, sizeof(path), "task/%d/stat", (int)tid);
		if (tid > 0 && tid != pid && proc_there(tid) && read_stat(pid, path, &st) &&
		    st.state != 'Z' && st.state != 'X')
			found = tid;
	}
	if (dir)
		closedir(dir);
	return found;
}

bool proc_over(pid_t pid, const struct proc_stat *st)
{
	VM_ASSERT(pid > 0);
	return (st->state == 'Z' || st->flags & PROC_ENDING) && !proc_live_thread(pid);
}

/* The number of a thread in its own PID namespace: the last one of the line. */
static pid_t own_number(pid_t pid, pid_t tid)
{
	char path[64], buf[4096];
	int number = 0, used;
	const char *at;

	VM_ASSERT(tid > 0);
	snprintf(path, sizeof(path), "task/%d/status", (int)tid);
	if (!proc_there(tid) || !proc_read(pid, path, buf, sizeof(buf)))
		return 0;
	at = strstr(buf, "\nNSpid:");
	for (at = at ? strchr(at, '\t') : NULL;
	     at && *at == '\t' && sscanf(at, "\t%d%n", &number, &used) == 1;)
		at += used;
	return number;
}

pid_t proc_thread(pid_t pid, pid_t own)
{
	DIR *dir = proc_tasks(pid);
	struct dirent *d;
	pid_t found = 0;

	while (dir && !found && (d = readdir(dir))) {
		pid_t tid = (pid_t)strtol(d->d_name, NULL, 10);

		if (tid > 0 && own_number(pid, tid) == own)
			found = tid;
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool name_manageable(const char *name)
{
	return name[0] == '\0' || strcmp(name, "[heap]") == 0 || strncmp(name, "[anon:", 6) == 0;
}

bool proc_parse_area(char *line, struct proc_area *a)
{
	char perms[8], name[64] = "";
	unsigned major, minor;
	uint64_t offset, inode;
	int n;

	line[strcspn(line, "\n")] = '\0';
	n = sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %x:%x %" SCNu64 " %63[^\n]",
		   &a->start, &a->end, perms, &offset, &major, &minor, &inode, name);
	if (n < 7)
		return false;
	a->flags = (perms[0] == 'r' ? VM_READ : 0) | (perms[1] == 'w' ? VM_WRITE : 0) |
		   (perms[2] == 'x' ? VM_EXEC : 0);
	a->shared = perms[3] == 's' && inode != 0;
	a->dev = makedev(major, minor);
	a->ino = inode;
	a->offset = offset;
	a->sysv = strncmp(name, "/SYSV", 5) == 0;
	a->manageable =
		perms[3] == 'p' && inode == 0 && major == 0 && minor == 0 && name_manageable(name);
	return true;
}

int proc_areas(pid_t pid, void (*fn)(const struct proc_area *a, void *arg), void *arg)
{
	char line[512];
	FILE *f;
	int err = proc_stream(pid, "maps", &f);

	if (err)
		return err;
	while (fgets(line, sizeof(line), f)) {
		struct proc_area a;

		/* A name longer than the buffer belongs to a file: not ours, and the rest of the
		 * line does not parse. */
		if (proc_parse_area(line, &a))
			fn(&a, arg);
	}
	fclose(f);
	return 0;
}

static int query_area(int fd, uint64_t va, struct proc_area *out)
{
	char name[64] = "";
	struct procmap_query_ q = {
		.size = sizeof(q),
		.query_addr = va,
		.vma_name_size = sizeof(name),
		.vma_name_addr = (uintptr_t)name,
	};

	VM_ASSERT(fd >= 0);
	if (ioctl(fd, PROCMAP_QUERY_, &q) != 0)
		return -errno;
	out->start = q.vma_start;
	out->end = q.vma_end;
	out->flags = (q.vma_flags & PROCMAP_READABLE ? VM_READ : 0) |
		     (q.vma_flags & PROCMAP_WRITABLE ? VM_WRITE : 0) |
		     (q.vma_flags & PROCMAP_EXECUTABLE ? VM_EXEC : 0);
	out->shared = q.vma_flags & PROCMAP_SHARED && q.inode != 0;
	out->dev = makedev(q.dev_major, q.dev_minor);
	out->ino = q.inode;
	out->offset = q.vma_offset;
	out->manageable = !(q.vma_flags & PROCMAP_SHARED) && q.inode == 0 &&
			  (!q.vma_name_size || name_manageable(name));
	return 0;
}

bool proc_huge_off(pid_t pid)
{
	char buf[4096];

	return proc_read(pid, "status", buf, sizeof(buf)) &&
	       strstr(buf, "\nTHP_enabled:\t0") != NULL;
}

int proc_huge_advice(pid_t pid, void (*fn)(const struct proc_area *a, void *arg), void *arg)
{
	struct proc_area a, next;
	bool known = false;
	char line[512];
	FILE *f;
	int err = proc_stream(pid, "smaps", &f);

	if (err)
		return err;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmFlags:", 8) == 0 && known) {
			a.flags |= (strstr(line, " hg") ? VM_HUGEPAGE : 0) |
				   (strstr(line, " nh") ? VM_NOHUGEPAGE : 0);
			if (a.flags & (VM_HUGEPAGE | VM_NOHUGEPAGE))
				fn(&a, arg);
			known = false;
		} else if (proc_parse_area(line, &next)) {
			a = next;
			known = true;
		}
	}
	fclose(f);
	return 0;
}

struct area_find {
	uint64_t va;
	struct proc_area *out;
	bool found;
};

static void find_area(const struct proc_area *a, void *arg)
{
	struct area_find *f = arg;

	if (a->start <= f->va && f->va < a->end) {
		*f->out = *a;
		f->found = true;
	}
}

/* The kernel puts the stack just below the end, within a small random offset; so the end is the
 * next power of two above it. 47 bits on x86-64; 39 or 48 on aarch64, depending on the kernel
 * build. */
uint64_t proc_addresses_end(void)
{
	uint64_t stack = getauxval(AT_RANDOM);

	return stack ? 1ull << (64 - __builtin_clzll(stack)) : 1ull << 47;
}

int proc_area_at(pid_t pid, int *maps_fd, uint64_t va, struct proc_area *out)
{
	struct area_find f = { .va = va, .out = out };
	int err;

	VM_ASSERT(pid > 0 && *maps_fd >= -1);
	if (*maps_fd < 0) {
		int fd = proc_open(pid, "maps");

		if (fd < 0)
			return fd;
		*maps_fd = fd;
	}
	err = query_area(*maps_fd, va, out);
	if (err != -ENOTTY && err != -EINVAL)
		return err;
	err = proc_areas(pid, find_area, &f);
	return err ? err : f.found ? 0 : -ENOENT;
}
