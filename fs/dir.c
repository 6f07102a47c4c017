/*
 * dir.c - open directories and reading them.
 *
 * A directory is read by getdents64(2) into a buffer of its own and handed
 * out entry by entry, in the size the kernel asks for; what does not fit
 * waits in the buffer for the next call. Offsets are those of the file
 * system below, so seeking works as it does there.
 *
 * Lock: dir->lock, because the kernel may read one open directory from two
 * threads. A directory of readdirplus counts one lookup for each entry given
 * out, except "." and "..", and takes it back when the reply fails to hold
 * it.
 */
#include "fs/again.h"
#include "fs/control.h"
#include "fs/loop.h"
#include "fs/operations.h"
#include "fs/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR_BUFFER	32768

struct dir {
	pthread_mutex_t lock;
	struct inode *inode;	/* the kernel keeps it while open */
	int fd;
	off_t offset;		/* of the entry at @next */
	size_t next, end;	/* what of the buffer is still to be given */
	char buffer[DIR_BUFFER] __attribute__((aligned(8)));
};

static struct dir *dir_of(struct fuse_file_info *fi)
{
	return (struct dir *)(uintptr_t)fi->fh;
}

int dir_fd(struct fuse_file_info *fi)
{
	return dir_of(fi)->fd;
}

static void dir_open(fuse_req_t req, fuse_ino_t ino,
		     struct fuse_file_info *fi)
{
	struct dir *dir = malloc(sizeof(*dir));

	if (!dir) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	dir->fd = volume_reopen(volume_of(req), volume_target(req, ino),
				O_RDONLY | O_DIRECTORY);
	if (dir->fd < 0) {
		fuse_reply_err(req, -dir->fd);
		free(dir);
		return;
	}
	pthread_mutex_init(&dir->lock, NULL);
	dir->inode = volume_target(req, ino);
	dir->offset = 0;
	dir->next = dir->end = 0;
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi)) {
		volume_close_fd(volume_of(req), dir->fd);
		free(dir);
	}
}

static void dir_release(fuse_req_t req, fuse_ino_t ino,
			struct fuse_file_info *fi)
{
	struct dir *dir = dir_of(fi);

	(void)ino;
	volume_close_fd(volume_of(req), dir->fd);
	pthread_mutex_destroy(&dir->lock);
	free(dir);
	fuse_reply_err(req, 0);
}

static void dir_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		      struct fuse_file_info *fi)
{
	(void)ino;
	file_sync(req, dir_of(fi)->fd, datasync);
}

static int dir_seek(struct dir *dir, off_t offset)
{
	if (offset == dir->offset)
		return 0;
	if (lseek(dir->fd, offset, SEEK_SET) < 0)
		return -errno;
	dir->offset = offset;
	dir->next = dir->end = 0;
	return 0;
}

/* => 1 and the entry that comes next; 0 at the end; -errno. */
static int dir_peek(struct dir *dir, struct dirent64 **entry)
{
	ssize_t length;

	if (dir->next == dir->end) {
		length = AGAIN(getdents64(dir->fd, dir->buffer, DIR_BUFFER));
		if (length <= 0)
			return length ? -errno : 0;
		dir->next = 0;
		dir->end = length;
	}
	*entry = (struct dirent64 *)(dir->buffer + dir->next);
	return 1;
}

static bool dir_is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/*
 * What readdirplus says of an entry. One that cannot be looked up, or only by
 * the last descriptors, stays as it is: the kernel takes the name alone and
 * looks it up when it is wanted.
 */
static bool dir_lookup(struct volume *volume, const struct dir *dir,
		       const struct dirent64 *dirent,
		       struct fuse_entry_param *entry)
{
	if (dir_is_dots(dirent->d_name) || !volume_has_room(volume) ||
	    volume_lookup(volume, dir->fd, dirent->d_name, entry))
		return false;
	volume_cross(volume, dir->inode, entry);
	return true;
}

/* => The bytes that @dirent takes, more than @room if it did not fit. */
static size_t dir_put(fuse_req_t req, const struct dir *dir, char *to,
		      size_t room, const struct dirent64 *dirent, bool plus)
{
	struct volume *volume = volume_of(req);
	struct fuse_entry_param entry = {
		.attr.st_ino = volume_ino(volume, dir->inode->dev,
					  dirent->d_ino),
		.attr.st_mode = (mode_t)dirent->d_type << 12,
	};
	bool counted;
	size_t size;

	if (!plus)
		return fuse_add_direntry(req, to, room, dirent->d_name,
					 &entry.attr, dirent->d_off);
	counted = dir_lookup(volume, dir, dirent, &entry);
	size = fuse_add_direntry_plus(req, to, room, dirent->d_name, &entry,
				      dirent->d_off);
	if (counted && size > room)
		volume_unlookup(volume, &entry);
	return size;
}

/* => Bytes put into @to, or -errno. The directory's lock is held. */
static ssize_t dir_fill(fuse_req_t req, struct dir *dir, char *to,
			size_t size, bool plus)
{
	struct dirent64 *dirent = NULL;
	size_t used = 0, need;
	int more;

	while ((more = dir_peek(dir, &dirent)) > 0) {
		need = control_hides(volume_of(req), dir->inode,
				     dirent->d_name) ? 0 :
			dir_put(req, dir, to + used, size - used, dirent,
				plus);
		if (need > size - used)
			break;
		used += need;
		dir->next += dirent->d_reclen;
		dir->offset = dirent->d_off;
	}
	return more < 0 && !used ? more : (ssize_t)used;
}

/* Of an answer that never reached the kernel: take its lookups back. */
static void dir_unlookup(struct volume *volume, const char *at, size_t used)
{
	const struct fuse_direntplus *entry;
	size_t size;

	for (; used; at += size, used -= size) {
		entry = (const void *)at;
		size = FUSE_DIRENTPLUS_SIZE(entry);
		if (entry->entry_out.nodeid)
			volume_forget(volume, volume_inode(volume,
				      entry->entry_out.nodeid), 1);
	}
}

static void dir_reply(fuse_req_t req, fuse_ino_t ino, size_t size,
		      off_t offset, struct fuse_file_info *fi, bool plus)
{
	struct volume *volume = volume_of(req);
	struct dir *dir = dir_of(fi);
	char *to = loop_scratch(size);
	ssize_t used;

	(void)ino;
	pthread_mutex_lock(&dir->lock);
	used = dir_seek(dir, offset);
	if (!used)
		used = dir_fill(req, dir, to, size, plus);
	pthread_mutex_unlock(&dir->lock);
	if (used < 0)
		fuse_reply_err(req, -used);
	else if (fuse_reply_buf(req, to, used) && plus)
		dir_unlookup(volume, to, used);
}

static void dir_read(fuse_req_t req, fuse_ino_t ino, size_t size,
		     off_t offset, struct fuse_file_info *fi)
{
	dir_reply(req, ino, size, offset, fi, false);
}

static void dir_read_plus(fuse_req_t req, fuse_ino_t ino, size_t size,
			  off_t offset, struct fuse_file_info *fi)
{
	dir_reply(req, ino, size, offset, fi, true);
}

void dir_install(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = dir_open;
	ops->readdir = dir_read;
	ops->readdirplus = dir_read_plus;
	ops->releasedir = dir_release;
	ops->fsyncdir = dir_fsync;
}
