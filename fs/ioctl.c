/*
 * ioctl.c - the inode flags which chattr(1), lsattr(1) and project quotas
 * use, asked for and set on the file below; and one ioctl of our own.
 *
 * The kernel turns FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR and FSSETXATTR into
 * ioctl requests on a file or directory which it opened for the purpose, and
 * has checked that the caller owns the file; and that he is in the initial
 * user namespace, where he would set its project. (His namespace may be one
 * that we cannot look at.) What only the superuser may change, the immutable
 * and append-only flags, is checked here, because below we may do all of it.
 * Ours is swap/nogrow.h. Others say ENOTTY: what they mean to the file below
 * we cannot know.
 */
#include "fs/file.h"
#include "fs/operations.h"
#include "swap/nogrow.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

/* What takes a capability below, which we have; the last one in ext4 that of
 * CAP_SYS_RESOURCE. */
#define FLAGS_RESERVED	(FS_IMMUTABLE_FL | FS_APPEND_FL | FS_JOURNAL_DATA_FL)
#define XFLAGS_RESERVED	(FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND)

/* An ioctl's argument: what the file below has, or shall have. */
union flags_arg {
	int flags;
	long slack;		/* what GETFLAGS was once declared to take */
	struct fsxattr xattr;
};

static size_t flags_size(unsigned int cmd)
{
	switch (cmd) {
	case FS_IOC_GETFLAGS:
	case FS_IOC_SETFLAGS:
		return sizeof(int);
	case FS_IOC_FSGETXATTR:
	case FS_IOC_FSSETXATTR:
		return sizeof(struct fsxattr);
	default:
		return 0;
	}
}

/* May one who is not root make the flags of @fd these? => 0 or -errno. */
static int flags_allowed(int fd, unsigned int cmd, const union flags_arg *new)
{
	union flags_arg old = { 0 };

	if (cmd == FS_IOC_SETFLAGS) {
		if (ioctl(fd, FS_IOC_GETFLAGS, &old))
			return -errno;
		return (old.flags ^ new->flags) & FLAGS_RESERVED ? -EPERM : 0;
	}
	if (ioctl(fd, FS_IOC_FSGETXATTR, &old))
		return -errno;
	return (old.xattr.fsx_xflags ^ new->xattr.fsx_xflags) & XFLAGS_RESERVED
		? -EPERM : 0;
}

/* Setting changes the time of change, of which the reply says nothing. */
static int flags_call(fuse_req_t req, fuse_ino_t ino, int fd,
		      unsigned int cmd, union flags_arg *arg)
{
	bool sets = cmd == FS_IOC_SETFLAGS || cmd == FS_IOC_FSSETXATTR;
	int err = 0;

	if (sets && volume_of(req)->privileged && fuse_req_ctx(req)->uid)
		err = flags_allowed(fd, cmd, arg);
	if (!err && ioctl(fd, cmd, arg))
		err = -errno;
	if (!err && sets)
		fuse_lowlevel_notify_inval_inode(volume_of(req)->se, ino, -1,
						 0);
	return err;
}

static void flags_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd,
			int fd, const void *in, size_t in_size,
			size_t out_size)
{
	size_t size = flags_size(cmd);
	union flags_arg arg = { 0 };
	int err;

	if (in_size && in_size < size) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	if (in_size)
		memcpy(&arg, in, size);
	err = flags_call(req, ino, fd, cmd, &arg);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_ioctl(req, 0, &arg, out_size < sizeof(arg) ?
				 out_size : sizeof(arg));
}

static void ioctl_any(fuse_req_t req, fuse_ino_t ino, unsigned int cmd,
		      void *arg, struct fuse_file_info *fi,
		      unsigned int flags, const void *in, size_t in_size,
		      size_t out_size)
{
	bool dir = flags & FUSE_IOCTL_DIR;

	(void)arg;
	/* With a writeback cache the kernel itself extends the file first. */
	if (cmd == NOGROW && !dir && !volume_of(req)->options.writeback) {
		file_of(fi)->no_grow = true;
		fuse_reply_ioctl(req, NOGROW_YES, NULL, 0);
	} else if (flags_size(cmd) && !(flags & FUSE_IOCTL_COMPAT)) {
		flags_ioctl(req, ino, cmd, dir ? dir_fd(fi) : file_of(fi)->fd,
			    in, in_size, out_size);
	} else {
		fuse_reply_err(req, ENOTTY);
	}
}

void ioctl_install(struct fuse_lowlevel_ops *ops)
{
	ops->ioctl = ioctl_any;
}
