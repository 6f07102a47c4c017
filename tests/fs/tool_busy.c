/*
 * tool_busy.c - many threads do everything to few names.
 *
 *	tool_busy DIRECTORY SEED OPERATIONS THREADS
 *
 * Names in DIRECTORY are made, linked, renamed, exchanged and removed while
 * others open, read, write, map, list and ask about them. An error that such
 * a race explains (there is no such file, there is one already, ...) is
 * fine; any other is printed and fails.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES		40
#define DIRECTORIES	4
#define LONGEST		40000

static const char *directory;
static unsigned int each;
static atomic_uint strange;

static __thread unsigned int state;

static unsigned int below(unsigned int limit)
{
	return rand_r(&state) % limit;
}

struct name {
	char path[512];
};

static struct name some_name(void)
{
	struct name name;

	snprintf(name.path, sizeof(name.path), "%s/d%u/n%u", directory,
		 below(DIRECTORIES), below(NAMES));
	return name;
}

static void expect(const char *what, bool ok)
{
	static const int fine[] = {
		ENOENT, EEXIST, ENOTEMPTY, ENOTDIR, EISDIR, ELOOP, ENXIO,
		ENODATA, EINVAL, EPERM, EOPNOTSUPP, EXDEV, EMLINK, ENOSPC,
		ERANGE,
	};
	size_t i;

	if (ok)
		return;
	for (i = 0; i < sizeof(fine) / sizeof(*fine); i++)
		if (errno == fine[i])
			return;
	if (strange++ < 20)
		printf("%s: %s\n", what, strerror(errno));
}

static void do_file(void)
{
	static const int flags[] = { 0, 0, O_DIRECT, O_APPEND, O_TRUNC };
	struct name name = some_name();
	int fd = open(name.path, O_RDWR | O_CREAT | O_NONBLOCK |
		      flags[below(5)], 0644);
	char *data;
	struct stat st;

	expect("open", fd >= 0);
	if (fd < 0)
		return;
	data = aligned_alloc(4096, 45056);
	memset(data, below(256), 45056);
	expect("fstat", !fstat(fd, &st));
	if (S_ISREG(st.st_mode)) {
		expect("write", pwrite(fd, data, 1 + below(LONGEST),
				       below(LONGEST)) >= 0);
		expect("read", pread(fd, data, LONGEST, 0) >= 0);
		if (!below(4))
			expect("ftruncate", !ftruncate(fd, below(LONGEST)));
		if (!below(8))
			expect("fallocate", !fallocate(fd,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				below(LONGEST), 1 + below(LONGEST)));
		if (!below(16))
			expect("fsync", !fsync(fd));
	}
	free(data);
	expect("close", !close(fd));
}

static void do_map(void)
{
	struct name name = some_name();
	int fd = open(name.path, O_RDWR | O_NONBLOCK);
	struct stat st;
	void *map;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
		expect("mmap", map != MAP_FAILED);
		if (map != MAP_FAILED) {
			expect("msync", !msync(map, 4096, MS_SYNC));
			munmap(map, 4096);
		}
	}
	close(fd);
}

static void do_copy(void)
{
	struct name from = some_name(), to = some_name();
	int in = open(from.path, O_RDONLY | O_NONBLOCK);
	int out = open(to.path, O_WRONLY | O_NONBLOCK);

	if (in >= 0 && out >= 0)
		expect("copy_file_range", copy_file_range(in, NULL, out, NULL,
							  LONGEST, 0) >= 0);
	close(in);
	close(out);
}

static void do_unnamed(void)
{
	char path[600];
	struct name name = some_name();
	int fd;

	snprintf(path, sizeof(path), "%s/d%u", directory, below(DIRECTORIES));
	fd = open(path, O_TMPFILE | O_RDWR, 0600);
	expect("O_TMPFILE", fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0 && below(2))
		expect("linkat", !linkat(AT_FDCWD, path, AT_FDCWD, name.path,
					 AT_SYMLINK_FOLLOW));
	close(fd);
}

static void do_list(void)
{
	char path[600];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/d%u", directory, below(DIRECTORIES));
	dir = opendir(path);
	expect("opendir", dir);
	while (dir && (entry = readdir(dir)))
		if (!below(4))
			expect("fstatat", !fstatat(dirfd(dir), entry->d_name,
						   &st, AT_SYMLINK_NOFOLLOW));
	if (dir)
		closedir(dir);
}

static void do_ask(void)
{
	struct name name = some_name();
	char text[4096];
	struct statvfs fs;
	struct stat st;

	expect("lstat", !lstat(name.path, &st));
	expect("stat", !stat(name.path, &st));
	expect("readlink", readlink(name.path, text, sizeof(text)) >= 0);
	expect("access", !access(name.path, R_OK));
	expect("listxattr", listxattr(name.path, text, sizeof(text)) >= 0);
	expect("statvfs", !statvfs(directory, &fs));
}

static void do_change(void)
{
	struct name name = some_name();

	switch (below(5)) {
	case 0:
		expect("chmod", !chmod(name.path, 0600 + below(128)));
		break;
	case 1:
		expect("utimensat", !utimensat(AT_FDCWD, name.path, NULL, 0));
		break;
	case 2:
		expect("truncate", !truncate(name.path, below(LONGEST)));
		break;
	case 3:
		expect("setxattr", !setxattr(name.path, "user.a", name.path,
					     below(100), 0));
		break;
	default:
		expect("removexattr", !removexattr(name.path, "user.a"));
	}
}

static void do_make(void)
{
	struct name name = some_name(), other = some_name();

	switch (below(5)) {
	case 0:
		expect("mkdir", !mkdir(name.path, 0755));
		break;
	case 1:
		expect("symlink", !symlink(strrchr(other.path, '/') + 1,
					   name.path));
		break;
	case 2:
		expect("mkfifo", !mkfifo(name.path, 0600));
		break;
	default:
		expect("link", !link(other.path, name.path));
	}
}

static void do_move(void)
{
	static const unsigned int flags[] = {
		0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE,
	};
	struct name from = some_name(), to = some_name();

	expect("rename", !renameat2(AT_FDCWD, from.path, AT_FDCWD, to.path,
				    flags[below(4)]));
}

static void do_remove(void)
{
	struct name name = some_name();

	if (unlink(name.path))
		expect("rmdir", !rmdir(name.path));
}

static void *busy(void *arg)
{
	static void (*const ops[])(void) = {
		do_file, do_file, do_map, do_copy, do_unnamed, do_list,
		do_ask, do_ask, do_change, do_make, do_move, do_remove,
		do_remove,
	};
	unsigned int i;

	state = (uintptr_t)arg;
	for (i = 0; i < each; i++)
		ops[below(sizeof(ops) / sizeof(*ops))]();
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int i, threads;
	pthread_t ids[64];
	char path[600];

	if (argc != 5)
		return 2;
	directory = argv[1];
	threads = atoi(argv[4]);
	if (!threads || threads > 64)
		return 2;
	each = atoi(argv[3]) / threads;
	for (i = 0; i < DIRECTORIES; i++) {
		snprintf(path, sizeof(path), "%s/d%u", directory, i);
		if (mkdir(path, 0755) && errno != EEXIST) {
			perror(path);
			return 2;
		}
	}
	for (i = 0; i < threads; i++)
		pthread_create(&ids[i], NULL, busy,
			       (void *)(uintptr_t)(atoi(argv[2]) + i));
	for (i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("%u operations, %u strange errors\n", each * threads, strange);
	return strange != 0;
}
