/*
 * volume.c - ways into SOURCE: from a name, from an inode, to an entry.
 *
 * A lookup first stats the name: the usual case is an inode which the table
 * knows, and then no descriptor is opened. It is safe to go by (dev, ino)
 * because the inode's own descriptor pins it. Only an unknown one is opened
 * and stat'ed again through the descriptor, which is what counts.
 *
 * No locks of its own; the inode table has one.
 */
#include "fs/volume.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors kept back for open files, rings and directories. */
#define VOLUME_FD_RESERVE	1024
#define VOLUME_FD_WISH		1048576

/* Each inode the kernel remembers costs a descriptor: get many. */
static void volume_raise_descriptors(struct volume *volume)
{
	struct rlimit limit, wish = { VOLUME_FD_WISH, VOLUME_FD_WISH };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (setrlimit(RLIMIT_NOFILE, &wish)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	volume->inode_room = limit.rlim_cur > 2 * VOLUME_FD_RESERVE ?
		limit.rlim_cur - VOLUME_FD_RESERVE : limit.rlim_cur / 2;
}

int volume_open(struct volume *volume)
{
	int fd, err;

	volume->privileged = geteuid() == 0;
	volume->proc_fd = open("/proc/self/fd", O_PATH | O_CLOEXEC);
	if (volume->proc_fd < 0) {
		err = -errno;
		report("/proc/self/fd: %s: mount proc on /proc first",
		       strerror(-err));
		return err;
	}
	fd = open(volume->options.source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 ? -errno : inode_table_create(&volume->inodes, fd);
	if (err) {
		report("SOURCE %s: %s", volume->options.source,
		       strerror(-err));
		if (fd >= 0)
			close(fd);
		close(volume->proc_fd);
		return err;
	}
	volume_raise_descriptors(volume);
	return 0;
}

void volume_close(struct volume *volume)
{
	inode_table_destroy(&volume->inodes);
	close(volume->proc_fd);
}

bool volume_name_ok(const char *name)
{
	return name[0] && strcmp(name, ".") && strcmp(name, "..") &&
	       !strchr(name, '/');
}

struct volume_path volume_path(const struct inode *inode)
{
	struct volume_path path;

	snprintf(path.name, sizeof(path.name), "/proc/self/fd/%d", inode->fd);
	return path;
}

int volume_reopen(struct volume *volume, const struct inode *inode,
		  int flags)
{
	char number[16];
	int fd;

	/* Special files are the kernel's: opening one here might block. */
	if (inode->type != S_IFREG && inode->type != S_IFDIR)
		return -ENXIO;
	snprintf(number, sizeof(number), "%d", inode->fd);
	flags &= ~(O_NOFOLLOW | O_CREAT | O_EXCL);
	fd = openat(volume->proc_fd, number, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/*
 * A mount has one device number, so files of another file system mounted
 * inside SOURCE must not look like hard links of ours with the same inode
 * number.
 */
ino_t volume_ino(const struct volume *volume, dev_t dev, ino_t ino)
{
	if (dev == volume->inodes.root.dev)
		return ino;
	return ino ^ (ino_t)dev * 0x9e3779b97f4a7c15u;
}

static void volume_show_ino(struct volume *volume, struct stat *st)
{
	st->st_ino = volume_ino(volume, st->st_dev, st->st_ino);
}

int volume_getattr(struct volume *volume, int fd, struct stat *st)
{
	if (fstatat(fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -errno;
	volume_show_ino(volume, st);
	return 0;
}

/* => The inode of @fd, O_PATH, having taken over @fd; NULL and errno. */
static struct inode *volume_learn(struct volume *volume, int fd,
				  struct stat *st)
{
	struct inode *inode;

	if (fd < 0)
		return NULL;
	if (fstatat(fd, "", st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) {
		close(fd);
		return NULL;
	}
	inode = inode_add(&volume->inodes, fd, st);
	if (!inode) {
		close(fd);
		errno = ENOMEM;
	}
	return inode;
}

static void volume_fill(struct volume *volume, struct inode *inode,
			struct stat *st, struct fuse_entry_param *entry)
{
	volume_show_ino(volume, st);
	*entry = (struct fuse_entry_param){
		.ino = inode == &volume->inodes.root ?
			FUSE_ROOT_ID : (uintptr_t)inode,
		.attr = *st,
		.attr_timeout = volume->options.attr_timeout,
		.entry_timeout = volume->options.entry_timeout,
	};
}

int volume_lookup(struct volume *volume, struct inode *parent,
		  const char *name, struct fuse_entry_param *entry)
{
	struct inode *inode;
	struct stat st;

	if (!volume_name_ok(name))
		return -EINVAL;
	if (fstatat(parent->fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	inode = inode_find(&volume->inodes, &st);
	if (!inode)
		inode = volume_learn(volume,
				     openat(parent->fd, name, O_PATH |
					    O_NOFOLLOW | O_CLOEXEC), &st);
	if (!inode)
		return -errno;
	volume_fill(volume, inode, &st, entry);
	return 0;
}

int volume_adopt(struct volume *volume, int fd,
		 struct fuse_entry_param *entry)
{
	struct inode *inode;
	char number[16];
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	snprintf(number, sizeof(number), "%d", fd);
	inode = inode_find(&volume->inodes, &st);
	if (!inode)
		inode = volume_learn(volume,
				     openat(volume->proc_fd, number,
					    O_PATH | O_CLOEXEC), &st);
	if (!inode)
		return -errno;
	volume_fill(volume, inode, &st, entry);
	return 0;
}

void volume_unlookup(struct volume *volume,
		     const struct fuse_entry_param *entry)
{
	inode_forget(&volume->inodes, volume_inode(volume, entry->ino), 1);
}
