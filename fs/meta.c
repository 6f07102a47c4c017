/*
 * meta.c - what is known about files: names to inodes, attributes, xattrs.
 *
 * Every handler makes its system calls on the inode's O_PATH descriptor, or
 * through the descriptor's magic link where the call takes only a path, and
 * answers at once. Nothing is kept here; no locks.
 */
#include "fs/again.h"
#include "fs/caller.h"
#include "fs/file.h"
#include "fs/loop.h"
#include "fs/operations.h"
#include "fs/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static void meta_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct volume *volume = volume_of(req);
	struct fuse_entry_param entry;
	int fd = volume_use(req, parent), err;

	if (fd < 0)
		return;
	err = volume_lookup(volume, fd, name, &entry);
	if (err == -ENOENT && volume->options.negative_timeout > 0) {
		entry = (struct fuse_entry_param){
			.entry_timeout = volume->options.negative_timeout,
		};
		fuse_reply_entry(req, &entry);
		return;
	}
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	volume_cross(volume, volume_target(req, parent), &entry);
	if (fuse_reply_entry(req, &entry))
		volume_unlookup(volume, &entry);
}

static void meta_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	volume_forget(volume_of(req), volume_target(req, ino), nlookup);
	fuse_reply_none(req);
}

static void meta_forget_multi(fuse_req_t req, size_t count,
			      struct fuse_forget_data *forgets)
{
	struct volume *volume = volume_of(req);
	size_t i;

	for (i = 0; i < count; i++)
		volume_forget(volume, volume_inode(volume, forgets[i].ino),
			      forgets[i].nlookup);
	fuse_reply_none(req);
}

/* Is it the birth time that is asked for? (There is more, but not here.) */
static void meta_statx(fuse_req_t req, int fd)
{
	struct volume *volume = volume_of(req);
	struct newer_statx_out out;
	struct statx stx;
	int err;

	err = volume_statx(volume, fd, loop_newer()->statx_flags, &stx);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	newer_fill_statx(&out, &stx, volume->options.attr_timeout);
	fuse_reply_buf(req, (char *)&out, sizeof(out));
}

static void meta_getattr(fuse_req_t req, fuse_ino_t ino,
			 struct fuse_file_info *fi)
{
	struct volume *volume = volume_of(req);
	int fd = volume_use(req, ino), err;
	struct stat st;

	(void)fi;
	if (fd < 0)
		return;
	if (loop_newer()->opcode == NEWER_STATX) {
		meta_statx(req, fd);
		return;
	}
	err = volume_getattr(volume, fd, &st);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_attr(req, &st, volume->options.attr_timeout);
}

/*
 * Something was changed by one who is not in the file's group: below, where
 * we may do anything, the set-group-ID bit would stay.
 */
static void meta_kill_setgid(int fd)
{
	struct volume_path path = volume_path(fd);
	struct stat st;

	if (!fstatat(fd, "", &st, AT_EMPTY_PATH) &&
	    st.st_mode & S_ISGID)
		chmod(path.name, st.st_mode & 07777 & ~S_ISGID);
}

/*
 * Does the file lose the bit when the caller, who may be its owner, changes
 * the owner? If its group may execute it, it does so below as well.
 */
static bool meta_loses_setgid(fuse_req_t req, int fd)
{
	const struct fuse_setattr_in *in = loop_request();
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct stat st;

	return in->valid & FATTR_KILL_SUIDGID && ctx->uid &&
	       !fstatat(fd, "", &st, AT_EMPTY_PATH) &&
	       st.st_mode & S_ISGID && st.st_gid != ctx->gid;
}

static int meta_set_owner(fuse_req_t req, int fd, const struct stat *st,
			  int valid)
{
	uid_t uid = valid & FUSE_SET_ATTR_UID ? st->st_uid : (uid_t)-1;
	gid_t gid = valid & FUSE_SET_ATTR_GID ? st->st_gid : (gid_t)-1;
	bool loses = meta_loses_setgid(req, fd);

	if (AGAIN(fchownat(fd, "", uid, gid,
			   AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)))
		return -1;
	if (loses)
		meta_kill_setgid(fd);
	return 0;
}

static void meta_fill_time(struct timespec *time, struct timespec value,
			   bool set, bool now)
{
	*time = value;
	if (now)
		time->tv_nsec = UTIME_NOW;
	else if (!set)
		time->tv_nsec = UTIME_OMIT;
}

static int meta_set_times(int fd, const struct stat *st, int valid)
{
	struct volume_path path = volume_path(fd);
	struct timespec times[2];

	meta_fill_time(&times[0], st->st_atim, valid & FUSE_SET_ATTR_ATIME,
		       valid & FUSE_SET_ATTR_ATIME_NOW);
	meta_fill_time(&times[1], st->st_mtim, valid & FUSE_SET_ATTR_MTIME,
		       valid & FUSE_SET_ATTR_MTIME_NOW);
	return AGAIN(utimensat(AT_FDCWD, path.name, times, 0));
}

static int meta_truncate(fuse_req_t req, int fd, off_t size, uint32_t valid)
{
	if (AGAIN(ftruncate(fd, size)))
		return -1;
	if (valid & FATTR_KILL_SUIDGID)
		file_kill_setid(fd, fuse_req_ctx(req)->gid);
	return 0;
}

static int meta_set_size(fuse_req_t req, int path_fd, const struct stat *st,
			 const struct file *file)
{
	const struct fuse_setattr_in *in = loop_request();
	struct volume_path path = volume_path(path_fd);
	int fd, err;

	/* Who has it open may, whatever its mode says by now. */
	if (file && (file->flags & O_ACCMODE) != O_RDONLY)
		return meta_truncate(req, file->fd, st->st_size, in->valid);
	if (!(in->valid & FATTR_KILL_SUIDGID))
		return AGAIN(truncate(path.name, st->st_size));
	fd = AGAIN(open(path.name, O_WRONLY | O_CLOEXEC));
	if (fd < 0) {
		errno = -volume_blame(volume_of(req), -errno);
		return -1;
	}
	err = meta_truncate(req, fd, st->st_size, in->valid) ? errno : 0;
	close(fd);
	errno = err;
	return err ? -1 : 0;
}

#define META_OWNER (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
#define META_TIMES (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | \
		    FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)

/*
 * The mode comes after the owner: changing the owner clears the set-id bits,
 * and the times come last because the others change them.
 */
static int meta_apply(fuse_req_t req, int fd, const struct stat *st, int valid,
		      const struct file *file)
{
	struct volume_path path = volume_path(fd);

	if (valid & META_OWNER && meta_set_owner(req, fd, st, valid))
		return -errno;
	if (valid & FUSE_SET_ATTR_SIZE && meta_set_size(req, fd, st, file))
		return -errno;
	if (valid & FUSE_SET_ATTR_MODE &&
	    AGAIN(chmod(path.name, st->st_mode)))
		return -errno;
	if (valid & META_TIMES && meta_set_times(fd, st, valid))
		return -errno;
	return 0;
}

static void meta_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st,
			 int valid, struct fuse_file_info *fi)
{
	int fd = volume_use(req, ino), err;

	if (fd < 0)
		return;
	err = meta_apply(req, fd, st, valid, fi ? file_of(fi) : NULL);

	if (err)
		fuse_reply_err(req, -err);
	else
		meta_getattr(req, ino, fi);
}

static void meta_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	int fd = volume_use(req, ino);
	ssize_t length;

	if (fd < 0)
		return;
	length = AGAIN(readlinkat(fd, "", target, sizeof(target)));
	if (length < 0) {
		fuse_reply_err(req, errno);
	} else if ((size_t)length == sizeof(target)) {
		fuse_reply_err(req, ENAMETOOLONG);
	} else {
		target[length] = '\0';
		fuse_reply_readlink(req, target);
	}
}

static void meta_statfs(fuse_req_t req, fuse_ino_t ino)
{
	int fd = volume_use(req, ino);
	struct statvfs stbuf;

	if (fd < 0)
		return;
	if (AGAIN(fstatvfs(fd, &stbuf)))
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &stbuf);
}

/* Both ways of asking for xattrs: the size needed (size 0), or the bytes. */
static void meta_reply_xattr(fuse_req_t req, size_t size, const char *value,
			     ssize_t length)
{
	if (length < 0)
		fuse_reply_err(req, errno);
	else if (!size)
		fuse_reply_xattr(req, length);
	else
		fuse_reply_buf(req, value, length);
}

static bool meta_is_acl(const char *name)
{
	return !strncmp(name, "system.posix_acl_", 17);
}

static void meta_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			  size_t size)
{
	struct volume_path path;
	char *value = loop_scratch(size);
	char copy[XATTR_NAME_MAX + 1];
	int fd = volume_use(req, ino);
	ssize_t length;

	if (fd < 0)
		return;
	path = volume_path(fd);
	/* @name lies in the request, which @value is about to overwrite. */
	stpncpy(copy, name, sizeof(copy) - 1)[0] = '\0';
	length = AGAIN(getxattr(path.name, copy, value, size));
	/* The kernel takes any other answer for "nobody may do anything". */
	if (length < 0 && errno == EOPNOTSUPP && meta_is_acl(copy))
		errno = ENODATA;
	meta_reply_xattr(req, size, value, length);
}

/*
 * To us the kernel below shows also what it would not show the caller. Take
 * that out of the names in @list. => Their length.
 */
static ssize_t meta_hide_trusted(fuse_req_t req, char *list, ssize_t length)
{
	char *name, *to = list, *next;
	bool asked = false;

	for (name = list; name < list + length; name = next) {
		next = name + strlen(name) + 1;
		if (!strncmp(name, XATTR_TRUSTED_PREFIX,
			     XATTR_TRUSTED_PREFIX_LEN)) {
			if (!asked && caller_is_trusted(req))
				return length;
			asked = true;
			continue;
		}
		memmove(to, name, next - name);
		to += next - name;
	}
	return length < 0 ? length : to - list;
}

static void meta_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *list = loop_scratch(XATTR_LIST_MAX);
	int fd = volume_use(req, ino);
	struct volume_path path;
	ssize_t length;

	if (fd < 0)
		return;
	path = volume_path(fd);
	length = AGAIN(listxattr(path.name, list, XATTR_LIST_MAX));
	length = meta_hide_trusted(req, list, length);
	if (size && length > (ssize_t)size) {
		errno = ERANGE;
		length = -1;
	}
	meta_reply_xattr(req, size, list, length);
}

static void meta_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			  const char *value, size_t size, int flags)
{
	int fd = volume_use(req, ino);
	struct volume_path path;

	if (fd < 0)
		return;
	path = volume_path(fd);
	if (AGAIN(setxattr(path.name, name, value, size, flags))) {
		fuse_reply_err(req, errno);
		return;
	}
	if (loop_newer()->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
		meta_kill_setgid(fd);
	fuse_reply_err(req, 0);
}

static void meta_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	int fd = volume_use(req, ino);
	struct volume_path path;

	if (fd < 0)
		return;
	path = volume_path(fd);
	fuse_reply_err(req, AGAIN(removexattr(path.name, name)) ? errno : 0);
}

void meta_install(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = meta_lookup;
	ops->forget = meta_forget;
	ops->forget_multi = meta_forget_multi;
	ops->getattr = meta_getattr;
	ops->setattr = meta_setattr;
	ops->readlink = meta_readlink;
	ops->statfs = meta_statfs;
	ops->getxattr = meta_getxattr;
	ops->listxattr = meta_listxattr;
	ops->setxattr = meta_setxattr;
	ops->removexattr = meta_removexattr;
}
