/*
 * volume.h - what is served: SOURCE, its inodes, and the ways into it.
 *
 * Everything below SOURCE is reached from descriptors: a name is one
 * component relative to an O_PATH descriptor and is never followed when it
 * is a symbolic link; a known inode is opened through the magic link of its
 * own descriptor. So nothing outside SOURCE can be reached, whatever the
 * names and links in it say.
 *
 * SOURCE may contain mounts of other file systems, and the daemon's own mount
 * may come to be bound into it. To ask that one for attributes would be to
 * wait for oneself, so a file is first asked which device it is on, with
 * what the kernel knows without asking the file system.
 */
#ifndef FS_VOLUME_H
#define FS_VOLUME_H

#include "fs/inode.h"
#include "fs/options.h"

#include <fuse_lowlevel.h>
#include <stdbool.h>

struct volume {
	struct options options;
	struct inode_table inodes;
	struct fuse_session *se;
	int proc_fd;		/* /proc/self/fd */
	bool privileged;	/* we are root: new files go to the caller */
	bool direct_mapped;	/* the kernel maps files open for direct I/O */
	bool greeted;		/* FUSE_INIT is answered */
	int mount_fd;		/* SOURCE, to open by handle; -1: we may not */
	struct handle *root_handle;
	uint64_t root_mount;	/* the id of the mount that SOURCE lies in */
	atomic_ulong own_dev;	/* the device of our own mount */
	bool local;		/* what is known of its files is always true */
	bool in_memory;		/* SOURCE is a tmpfs or ramfs */
	unsigned int max_read;	/* bytes in a request; 0: the kernel's own */
	size_t open_room;	/* descriptors for what clients open */
	atomic_size_t opened;	/* and how many are in use */
	atomic_long exhausted;	/* when we last said that they were */
};

/* Room for "/proc/self/fd/" and a number. */
struct volume_path {
	char name[40];
};

/* => 0, or -errno after having reported what is wrong. */
int volume_open(struct volume *volume);
void volume_close(struct volume *volume);

static inline struct volume *volume_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct inode *volume_inode(struct volume *volume, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &volume->inodes.root :
				     (struct inode *)(uintptr_t)ino;
}

/* Shorthand: the inode @ino of the request's volume. */
static inline struct inode *volume_target(fuse_req_t req, fuse_ino_t ino)
{
	return volume_inode(volume_of(req), ino);
}

/* Is @name one plain component? Anything else is refused with EINVAL. */
bool volume_name_ok(const char *name);

/*
 * An O_PATH descriptor of the inode @ino, good until volume_let_go() at the
 * end of the request. => It; or -1, the request having been answered.
 */
int volume_use(fuse_req_t req, fuse_ino_t ino);
/* The same without a request to answer. => -errno. */
int volume_fd(struct volume *volume, const struct inode *inode);
/* Close what these two opened in this thread. */
void volume_let_go(void);

/*
 * What a client is told of @err, with which a call of ours failed: that we
 * are out of descriptors is ENFILE, and reported. => -errno.
 */
int volume_blame(struct volume *volume, int err);

/* A path that leads to exactly @fd, for calls which take no descriptor. */
struct volume_path volume_path(int fd);

/* Open @inode itself. => A descriptor, for volume_close_fd(), or -errno. */
int volume_reopen(struct volume *volume, const struct inode *inode,
		  int flags);

/*
 * Room for one more descriptor on behalf of a client. => 0, or -ENFILE after
 * having reported it: it is not the client who has too many.
 */
int volume_take_fd(struct volume *volume);
void volume_give_fd(struct volume *volume);
/* Close @fd, which is not -1, and give its room back. */
void volume_close_fd(struct volume *volume, int fd);

/* @entry was found in @parent: if something is mounted there, note that asking
 * for it again may hang, wherever @parent itself is. */
static inline void volume_cross(struct volume *volume, struct inode *parent,
				const struct fuse_entry_param *entry)
{
	if (volume_inode(volume, entry->ino)->dev != parent->dev)
		parent->crossed = true;
}

/* Is @inode on a local file system: one that is told by others of nothing? */
bool volume_is_local(const struct volume *volume, const struct inode *inode);

/* Is the open file @fd of @inode on a tmpfs or ramfs: a read cannot wait? */
bool volume_in_memory(const struct volume *volume, const struct inode *inode,
		      int fd);

/* Would a lookup that nobody waits for still be welcome? */
bool volume_has_room(struct volume *volume);

/*
 * @name in @dir_fd is about to go, perhaps the last of its file, which can
 * then no longer be opened by handle: hold what it is. volume_left() follows;
 * @gone: so it did. Then a file without a name is pinned.
 */
struct volume_leaving {
	int fd;			/* -1: nothing that is to be held */
	struct handle *handle;
	struct stat st;
};
void volume_leave(struct volume *volume, int dir_fd, const char *name,
		  struct volume_leaving *leaving);
void volume_left(struct volume *volume, struct volume_leaving *leaving,
		 bool gone);

/* What @stx, with its STATX_MNT_ID, says of a file; @st->st_dev is as an inode
 * has it, which tells mounts apart. */
void volume_to_stat(const struct volume *volume, const struct statx *stx,
		    struct stat *st);

/* What a client sees of @ino, the number of a file on @dev (struct inode). */
ino_t volume_ino(const struct volume *volume, dev_t dev, ino_t ino);

/* Attributes of @fd as a client sees them. => 0 or -errno. */
int volume_getattr(struct volume *volume, int fd, struct stat *st);
/* The same in the longer form. */
int volume_statx(struct volume *volume, int fd, int flags, struct statx *stx);

/*
 * Look @name up in @dir_fd and fill @entry, counting one lookup for the
 * kernel. => 0 or -errno; @entry is filled only on 0.
 */
int volume_lookup(struct volume *volume, int dir_fd, const char *name,
		  struct fuse_entry_param *entry);

/* The same for @fd, an open file which was just made below SOURCE. */
int volume_adopt(struct volume *volume, int fd,
		 struct fuse_entry_param *entry);

/* The kernel has @nlookup lookups of @inode less. Writes that are held of it go
 * if nobody has a way to it any more. */
void volume_forget(struct volume *volume, struct inode *inode,
		   uint64_t nlookup);

/*
 * A file is to be made in @parent, open as @fd: may it become known? => 0 or
 * -ENFILE; after 0, volume_made() when it has been looked up or adopted, or
 * was not made.
 */
int volume_make(struct volume *volume, const struct inode *parent, int fd);
void volume_made(struct volume *volume);

/* Take back the lookup of an @entry which never reached the kernel. */
void volume_unlookup(struct volume *volume,
		     const struct fuse_entry_param *entry);

#endif
