/* tests/native/prog/crossed.c - crossed FILE: every function of cross.c by each of its names, on
 * FILE, which is changed. */
/* Each name is one function here. */
#undef _FILE_OFFSET_BITS

#include <fcntl.h>
#include <sys/stat.h>

#include "prog.h"

/* As the linker knows them: the headers have one name for two. */
int stat_64(const char *path, struct stat *st) __asm__("stat64");
int lstat_64(const char *path, struct stat *st) __asm__("lstat64");
int fstat_64(int fd, struct stat *st) __asm__("fstat64");
int fstatat_64(int dir, const char *path, struct stat *st, int flags) __asm__("fstatat64");
int stat_32(const char *path, struct stat *st) __asm__("stat");
int lstat_32(const char *path, struct stat *st) __asm__("lstat");
int fstat_32(int fd, struct stat *st) __asm__("fstat");
int fstatat_32(int dir, const char *path, struct stat *st, int flags) __asm__("fstatat");
ssize_t pread_32(int fd, void *buf, size_t n, off_t at) __asm__("pread");
ssize_t pread_64(int fd, void *buf, size_t n, off_t at) __asm__("pread64");
ssize_t pwrite_32(int fd, const void *buf, size_t n, off_t at) __asm__("pwrite");
ssize_t pwrite_64(int fd, const void *buf, size_t n, off_t at) __asm__("pwrite64");

static void check_stats(const char *file, int fd, off_t size)
{
	struct stat st[8];

	EXPECT(stat_32(file, &st[0]) == 0 && stat_64(file, &st[1]) == 0);
	EXPECT(lstat_32(file, &st[2]) == 0 && lstat_64(file, &st[3]) == 0);
	EXPECT(fstat_32(fd, &st[4]) == 0 && fstat_64(fd, &st[5]) == 0);
	EXPECT(fstatat_32(AT_FDCWD, file, &st[6], 0) == 0 &&
	       fstatat_64(AT_FDCWD, file, &st[7], 0) == 0);
	for (int i = 0; i < 8; i++)
		EXPECT(st[i].st_size == size && S_ISREG(st[i].st_mode) &&
		       st[i].st_ino == st[0].st_ino);
	EXPECT(stat_64("/nowhere/at/all", &st[0]) < 0 && errno == ENOENT);
	EXPECT(fstat_32(-1, &st[0]) < 0 && errno == EBADF);
}

int main(int argc, char **argv)
{
	char text[8] = "";
	int fd;

	if (argc < 2)
		fail("usage: crossed FILE");
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
	EXPECT(fd >= 0);
	EXPECT(write(fd, "abc", 3) == 3 && pwrite_32(fd, "d", 1, 3) == 1 &&
	       pwrite_64(fd, "e", 1, 4) == 1);
	EXPECT(pread_32(fd, text, 2, 0) == 2 && pread_64(fd, text + 2, 3, 2) == 3 &&
	       !strcmp(text, "abcde"));
	EXPECT(lseek(fd, 0, SEEK_SET) == 0 && read(fd, text, 5) == 5 && !strcmp(text, "abcde"));
	check_stats(argv[1], fd, 5);
	EXPECT(dup2(fd, 77) == 77);
	closefrom(fd);
	EXPECT(close(fd) < 0 && errno == EBADF && close(77) < 0);
	return ok("all names");
}
