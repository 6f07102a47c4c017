/*
 * volume.h - what is served: SOURCE, its inodes, and the ways into it.
 *
 * Everything below SOURCE is reached from descriptors: a name is one
 * component relative to an O_PATH descriptor and is never followed when it
 * is a symbolic link; a known inode is opened through the magic link of its
 * own descriptor. So nothing outside SOURCE can be reached, whatever the
 * names and links in it say, and the daemon can never walk into its own
 * mount.
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
	size_t inode_room;	/* descriptors we may spend on inodes */
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

/* A path that leads to exactly @inode, for calls which take no descriptor. */
struct volume_path volume_path(const struct inode *inode);

/* Open @inode itself. => A descriptor or -errno. */
int volume_reopen(struct volume *volume, const struct inode *inode,
		  int flags);

/* The inode number which a client sees for the file (@dev, @ino) below. */
ino_t volume_ino(const struct volume *volume, dev_t dev, ino_t ino);

/* Attributes as a client sees them. => 0 or -errno. */
int volume_getattr(struct volume *volume, int fd, struct stat *st);

/*
 * Look @name up in @parent and fill @entry, counting one lookup for the
 * kernel. => 0 or -errno; @entry is filled only on 0.
 */
int volume_lookup(struct volume *volume, struct inode *parent,
		  const char *name, struct fuse_entry_param *entry);

/* The same for @fd, an open file which was just made below SOURCE. */
int volume_adopt(struct volume *volume, int fd,
		 struct fuse_entry_param *entry);

/* Take back the lookup of an @entry which never reached the kernel. */
void volume_unlookup(struct volume *volume,
		     const struct fuse_entry_param *entry);

#endif
