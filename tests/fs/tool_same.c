/*
 * tool_same.c - names, data and attributes, as on the file system below.
 */
#include "tests/fs/same.h"

static void case_tmpfile(void)
{
	int fd = opened("O_TMPFILE", open(".", O_TMPFILE | O_RDWR, 0640));
	char path[64], byte = 0;
	struct stat st;

	if (fd < 0)
		return;
	said("write", write(fd, "unnamed", 7));
	said("fstat", fstat(fd, &st));
	note("  links %ld, mode %o\n", (long)st.st_nlink, st.st_mode);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	said("linkat", linkat(AT_FDCWD, path, AT_FDCWD, "named",
			      AT_SYMLINK_FOLLOW));
	note_stat("named");
	note_sum("named");
	said("pread", pread(fd, &byte, 1, 6));
	close(fd);
	fd = opened("O_EXCL", open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	said("linkat", linkat(AT_FDCWD, path, AT_FDCWD, "other",
			      AT_SYMLINK_FOLLOW));
	close(fd);
	opened("read-only", open(".", O_TMPFILE | O_RDONLY, 0640));
}

static long rename_with(const char *from, const char *to, unsigned int flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void case_rename(void)
{
	make_file("a", 10);
	make_file("b", 20);
	mkdir("d", 0755);
	mkdir("full", 0755);
	make_file("full/x", 1);
	said("NOREPLACE", rename_with("a", "b", RENAME_NOREPLACE));
	said("EXCHANGE", rename_with("a", "b", RENAME_EXCHANGE));
	note_stat("a");
	note_stat("b");
	said("EXCHANGE with a directory",
	     rename_with("a", "full", RENAME_EXCHANGE));
	note_stat("a");
	said("EXCHANGE with nothing",
	     rename_with("b", "none", RENAME_EXCHANGE));
	said("WHITEOUT", rename_with("b", "c", RENAME_WHITEOUT));
	note_stat("b");
	note_stat("c");
	said("both", rename_with("c", "e", RENAME_NOREPLACE |
				 RENAME_EXCHANGE));
	said("onto a directory", rename("c", "d"));
	said("directory onto a full one", rename("d", "a"));
	said("into itself", rename("a", "a/inside"));
	said("to its own name", rename("c", "c"));
	said("unknown flag", rename_with("c", "e", 1u << 20));
}

static void case_links(void)
{
	struct stat first, second;
	int i;

	make_file("a", 10);
	symlink("a", "soft");
	symlink("/nowhere/at/all", "dangling");
	said("link", link("a", "b"));
	said("link to a symlink", linkat(AT_FDCWD, "soft", AT_FDCWD, "s2", 0));
	said("through it", linkat(AT_FDCWD, "soft", AT_FDCWD, "c",
				  AT_SYMLINK_FOLLOW));
	for (i = 0; i < 3; i++)
		note_stat((const char *[]){ "a", "s2", "dangling" }[i]);
	said("stat", stat("a", &first) ?: stat("c", &second));
	said("one inode", first.st_ino == second.st_ino);
	said("unlink", unlink("a"));
	note_stat("b");
	mkdir("d", 0755);
	said("link a directory", link("d", "e"));
	said("link onto a name", link("b", "c"));
	said("unlink a directory", unlink("d"));
	said("rmdir a file", rmdir("b"));
}

static void case_nodes(void)
{
	said("fifo", mknod("fifo", S_IFIFO | 0640, 0));
	said("socket", mknod("socket", S_IFSOCK | 0640, 0));
	said("regular", mknod("regular", S_IFREG | 0640, 0));
	said("device", mknod("device", S_IFCHR | 0640, makedev(1, 3)));
	said("block", mknod("block", S_IFBLK | 0640, makedev(7, 300)));
	said("directory", mknod("directory", S_IFDIR | 0640, 0));
	note_stat("fifo");
	note_stat("socket");
	note_stat("regular");
	note_stat("device");
	note_stat("block");
	opened("open a socket", open("socket", O_RDWR));
	opened("open a fifo", open("fifo", O_RDWR | O_NONBLOCK));
	opened("write a fifo nobody reads",
	       open("fifo", O_WRONLY | O_NONBLOCK));
}

static void case_fallocate(void)
{
	static const struct { const char *what; int mode; } modes[] = {
		{ "allocate", 0 }, { "keep size", FALLOC_FL_KEEP_SIZE },
		{ "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE },
		{ "punch alone", FALLOC_FL_PUNCH_HOLE },
		{ "zero", FALLOC_FL_ZERO_RANGE },
		{ "zero, keep", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE },
	};
	struct stat st;
	size_t i;
	int fd;

	make_file("f", 100000);
	fd = open("f", O_RDWR);
	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		said(modes[i].what, fallocate(fd, modes[i].mode,
					      90000 - 12000 * i, 20001));
		said("past the end", fallocate(fd, modes[i].mode,
					       150000, 4096));
		note_stat("f");
		note_sum("f");
	}
	fsync(fd);
	said("fstat", fstat(fd, &st));
	note("  %ld blocks\n", (long)st.st_blocks);
	said("nothing", fallocate(fd, 0, 0, 0));
	said("negative", fallocate(fd, 0, -1, 10));
	close(fd);
	fd = open("f", O_RDONLY);
	said("read-only", fallocate(fd, 0, 0, 10));
	close(fd);
}

static void case_seek(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0666);

	pwrite(fd, "x", 1, 1 << 20);
	close(fd);
	fd = open("f", O_RDONLY);
	/* With its write cache the kernel knows of no holes. */
	if (!getenv("SAME_WRITE_CACHE")) {
		said("data", lseek(fd, 0, SEEK_DATA));
		said("hole", lseek(fd, 0, SEEK_HOLE));
	}
	said("hole after", lseek(fd, 1 << 20, SEEK_HOLE));
	said("data at the end", lseek(fd, 2 << 20, SEEK_DATA));
	said("hole at the end", lseek(fd, 2 << 20, SEEK_HOLE));
	said("end", lseek(fd, 0, SEEK_END));
	said("before the beginning", lseek(fd, -1, SEEK_SET));
	close(fd);
}

/* The bytes that a copy by data and holes brings. */
static void note_data(const char *what, int fd)
{
	off_t data, hole = 0;
	long bytes = 0;
	char byte;

	while ((data = lseek(fd, hole, SEEK_DATA)) >= 0 &&
	       (hole = lseek(fd, data, SEEK_HOLE)) >= 0)
		for (; data < hole && pread(fd, &byte, 1, data) == 1; data++)
			bytes += byte == 'x';
	said(what, bytes);
	said("then", data);
}

/* Data that is in memory only is no hole, whoever looks. */
static void case_seek_dirty(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0666), other;
	char *map;

	ftruncate(fd, 300000);
	map = mmap(NULL, 300000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[200000] = 'x';
	note_data("stored", fd);
	other = open("f", O_RDONLY);
	map[20000] = 'x';
	close(fd);
	note_data("stored, by another", other);
	said("hole past the end", lseek(other, 300000, SEEK_HOLE));
	said("data before the beginning", lseek(other, -1, SEEK_DATA));
	said("hole before the beginning", lseek(other, -1, SEEK_HOLE));
	munmap(map, 300000);
	note_data("unmapped", other);
	close(other);
	fd = open("g", O_WRONLY | O_CREAT, 0666);
	other = open("g", O_RDONLY);
	pwrite(fd, "x", 1, 200000);
	note_data("written", other);
	close(fd);
	close(other);
}

static void case_copy(void)
{
	int in, out, rdonly;
	off_t from = 1000, to = 3;

	make_file("in", 300000);
	in = open("in", O_RDONLY);
	out = open("out", O_RDWR | O_CREAT, 0666);
	rdonly = open("in", O_RDONLY);
	said("copy", copy_file_range(in, &from, out, &to, 200000, 0));
	note("  %ld %ld\n", (long)from, (long)to);
	said("past the end", copy_file_range(in, &from, out, &to, 999999, 0));
	said("at the end", copy_file_range(in, &from, out, &to, 10, 0));
	note_stat("out");
	note_sum("out");
	from = 0, to = 10;
	said("overlapping", copy_file_range(out, &from, out, &to, 100, 0));
	said("to a read-only one",
	     copy_file_range(in, &from, rdonly, &to, 100, 0));
	said("flags", copy_file_range(in, &from, out, &to, 100, 1));
	close(in);
	close(out);
	close(rdonly);
}

static void case_append(void)
{
	int fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0666);
	int other = open("log", O_RDWR);

	said("append", write(fd, "one", 3));
	said("append at", pwrite(fd, "two", 3, 0));
	said("overwrite", pwrite(other, "ONE", 3, 0));
	said("append", write(fd, "three", 5));
	said("position", lseek(fd, 0, SEEK_CUR));
	note_sum("log");
	note_stat("log");
	close(fd);
	close(other);
}

static void case_map(void)
{
	int fd, fd2;
	char *shared, *private;

	make_file("f", 10000);
	fd = open("f", O_RDWR);
	fd2 = open("f", O_RDONLY);
	shared = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd2,
		       0);
	said("mapped", shared != MAP_FAILED && private != MAP_FAILED);
	memcpy(shared + 4090, "stored by a mapping", 19);
	memcpy(private + 100, "private", 7);
	said("seen by the other", !memcmp(private + 4090, "stored", 6));
	said("msync", msync(shared, 12288, MS_SYNC));
	note_sum("f");
	said("write", pwrite(fd, "by write", 8, 8000));
	said("seen", !memcmp(shared + 8000, "by write", 8));
	said("private stays", !memcmp(private + 100, "private", 7));
	note("  after the end %d\n", shared[11000]);
	said("truncate", ftruncate(fd, 5000));
	said("zero behind it", shared[5000] == 0);
	note_stat("f");
	munmap(shared, 12288);
	munmap(private, 12288);
	said("no write permission", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED,
					 fd2, 0) == MAP_FAILED);
	close(fd);
	close(fd2);
}

static void times_case(const char *what, struct timespec a, struct timespec m)
{
	struct timespec times[2] = { a, m };
	struct stat st;

	said(what, utimensat(AT_FDCWD, "f", times, 0));
	said("stat", stat("f", &st));
	if (a.tv_nsec < 1000000000)
		note("  atime %ld.%09ld\n", st.st_atim.tv_sec,
		     st.st_atim.tv_nsec);
	if (m.tv_nsec < 1000000000)
		note("  mtime %ld.%09ld\n", st.st_mtim.tv_sec,
		     st.st_mtim.tv_nsec);
}

static void case_times(void)
{
	const struct timespec omit = { 0, UTIME_OMIT }, now = { 0, UTIME_NOW };
	struct stat before, after;
	struct statx stx;

	make_file("f", 1);
	times_case("set", (struct timespec){ 123456789, 123456789 },
		   (struct timespec){ 987654321, 987654321 });
	times_case("omit", omit, (struct timespec){ 5, 6 });
	times_case("before 1970", (struct timespec){ -2, 500000000 },
		   (struct timespec){ -100000, 1 });
	times_case("after 2038", (struct timespec){ 5000000000, 1 }, now);
	said("statx", statx(AT_FDCWD, "f", 0, STATX_BTIME, &stx));
	said("birth time known", !!(stx.stx_mask & STATX_BTIME));
	stat("f", &before);
	usleep(20000);
	said("chmod", chmod("f", 0600));
	stat("f", &after);
	said("ctime moves", after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
	said("mtime stays", after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
}

static void note_lock(const char *what, int result, int *status)
{
	if (result < 0)
		said(what, result);
	waitpid(-1, status, 0);
	note("%s, the other: %d\n", what, WEXITSTATUS(*status));
}

static void case_locks(void)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 10 };
	int fd, status;

	make_file("f", 100);
	fd = open("f", O_RDWR);
	said("lock", fcntl(fd, F_SETLK, &lock));
	if (!fork()) {
		int mine = open("f", O_RDWR);

		status = fcntl(mine, F_SETLK, &lock) ? errno : 0;
		lock.l_start = 10;
		status += fcntl(mine, F_SETLK, &lock) ? 100 : 0;
		_exit(status);
	}
	note_lock("posix", 0, &status);
	said("flock", flock(fd, LOCK_EX));
	if (!fork()) {
		int mine = open("f", O_RDWR);

		_exit(flock(mine, LOCK_SH | LOCK_NB) ? errno : 0);
	}
	note_lock("flock", 0, &status);
	said("unlock", flock(fd, LOCK_UN));
	if (!fork()) {
		int mine = open("f", O_RDWR);

		_exit(flock(mine, LOCK_SH | LOCK_NB) ? errno : 0);
	}
	note_lock("after it", 0, &status);
	lock.l_start = 0;
	said("OFD", fcntl(fd, F_OFD_SETLK, &(struct flock){
		.l_type = F_WRLCK, .l_start = 50, .l_len = 1 }));
	close(fd);
}

static void case_names(void)
{
	char name[300];
	char path[5000];

	memset(name, 'x', sizeof(name));
	name[255] = '\0';
	said("255", mkdir(name, 0755));
	name[255] = 'x';
	name[256] = '\0';
	said("256", mkdir(name, 0755));
	memset(path, 'y', sizeof(path));
	path[4095] = '\0';
	said("symlink of 4095", symlink(path, "s"));
	said("readlink", readlink("s", path, sizeof(path)));
	path[1000] = '\0';
	said("symlink of 1000", symlink(path, "t"));
	said("readlink", readlink("t", path, sizeof(path)));
	note_stat("t");
	said("empty", mkdir("", 0755));
	said("newline", mkdir("a\nb\xff", 0755));
	said("pathconf", pathconf(".", _PC_NAME_MAX));
}

static void case_open(void)
{
	make_file("f", 10);
	mkdir("d", 0755);
	opened("directory to write", open("d", O_RDWR));
	opened("file as directory", open("f", O_DIRECTORY));
	opened("exclusive", open("f", O_CREAT | O_EXCL | O_RDWR, 0666));
	opened("create on a directory", open("d", O_CREAT | O_RDWR, 0666));
	symlink("target", "s");
	opened("create through a symlink",
	       open("s", O_CREAT | O_RDWR, 0640));
	note_stat("target");
	opened("nofollow", open("s", O_RDONLY | O_NOFOLLOW));
	opened("exclusive on a symlink",
	       open("s", O_CREAT | O_EXCL | O_RDWR, 0666));
	opened("truncate", open("f", O_RDONLY | O_TRUNC));
	note_stat("f");
	opened("created without permission",
	       open("r", O_CREAT | O_RDWR, 0));
	note_stat("r");
	opened("path of it", open("r", O_PATH));
	opened("O_SYNC", open("f", O_RDWR | O_SYNC));
	opened("access mode 3", open("f", 3));
}

static void case_unlinked(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0666), dir, path;
	char buf[8] = "";
	struct stat st;

	said("write", write(fd, "still", 5));
	path = open("f", O_PATH);
	said("unlink", unlink("f"));
	said("read", pread(fd, buf, 5, 0));
	said("write", pwrite(fd, "more", 4, 5));
	said("truncate", ftruncate(fd, 6));
	said("fstat", fstat(fd, &st));
	note("  %ld bytes, %ld links\n", (long)st.st_size, (long)st.st_nlink);
	said("fchmod", fchmod(fd, 0600));
	said("fchown", fchown(fd, geteuid(), getegid()));
	said("futimens", futimens(fd, NULL));
	close(fd);
	said("fstat of the path", fstat(path, &st));
	close(path);
	mkdir("d", 0755);
	dir = open("d", O_RDONLY);
	said("rmdir", rmdir("d"));
	said("create in it", openat(dir, "x", O_CREAT | O_RDWR, 0666));
	said("fstat", fstat(dir, &st));
	note("  %ld links\n", (long)st.st_nlink);
	close(dir);
	make_file("new", 3);
	make_file("old", 4);
	fd = open("old", O_RDONLY);
	said("rename over it", rename("new", "old"));
	said("fstat", fstat(fd, &st));
	note("  %ld bytes, %ld links\n", (long)st.st_size, (long)st.st_nlink);
	close(fd);
}

static void case_xattrs(void)
{
	char value[70000];
	int i;

	memset(value, 'v', sizeof(value));
	make_file("f", 1);
	symlink("f", "s");
	said("set", setxattr("f", "user.a", "value", 5, 0));
	said("create again", setxattr("f", "user.a", "x", 1, XATTR_CREATE));
	said("replace none", setxattr("f", "user.b", "x", 1, XATTR_REPLACE));
	said("empty", setxattr("f", "user.empty", "", 0, 0));
	said("get", getxattr("f", "user.a", value, 100));
	said("get empty", getxattr("f", "user.empty", value, 100));
	said("too small", getxattr("f", "user.a", value, 2));
	said("size", getxattr("f", "user.a", NULL, 0));
	said("none", getxattr("f", "user.none", value, 100));
	said("list", listxattr("f", value, sizeof(value)));
	said("list, too small", listxattr("f", value, 3));
	said("on a symlink", lsetxattr("s", "user.a", "x", 1, 0));
	said("trusted", setxattr("f", "trusted.t", "x", 1, 0));
	said("trusted on a symlink", lsetxattr("s", "trusted.t", "x", 1, 0));
	said("unknown kind", setxattr("f", "nobody.t", "x", 1, 0));
	said("remove", removexattr("f", "user.a"));
	said("remove again", removexattr("f", "user.a"));
	for (i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "user.n%d", i);
		setxattr("f", name, value, 100, 0);
	}
	said("list of many", listxattr("f", value, sizeof(value)));
	said("capability", setxattr("f", "security.capability",
				    "\1\0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
				    20, 0));
	make_file("f", 3);
	said("gone by a write", getxattr("f", "security.capability", value,
					 100));
}

static void case_statfs(void)
{
	struct statvfs st;

	said("statvfs", statvfs(".", &st));
	note("  %lu %lu %lu\n", st.f_bsize, st.f_frsize, st.f_namemax);
	note("  %lu %lu\n", (long)st.f_blocks, (long)st.f_files);
}

int main(int argc, char **argv)
{
	static const struct same_case cases[] = {
		SAME_CASE(tmpfile),
		SAME_CASE(rename),
		SAME_CASE(links),
		SAME_ROOT_CASE(nodes),
		SAME_CASE(fallocate),
		SAME_CASE(seek),
		SAME_CASE(seek_dirty),
		SAME_CASE(copy),
		SAME_CASE(append),
		SAME_CASE(map),
		SAME_CASE(times),
		SAME_CASE(locks),
		SAME_CASE(names),
		SAME_CASE(open),
		SAME_CASE(unlinked),
		SAME_CASE(xattrs),
		SAME_CASE(statfs),
	};

	return same_main(argc, argv, cases, sizeof(cases) / sizeof(*cases));
}
