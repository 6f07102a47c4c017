/*
 * quota.c - room of files, as the file system below has it: FIEMAP, which
 * knows also what is allocated ahead, or else SEEK_DATA, which does not.
 *
 * XFS allocates behind the end of a file what it may need for writes to come,
 * and takes it back when it likes. There nothing behind the end is room.
 */
#include "fs/quota.h"
#include "fs/file.h"
#include "fs/held.h"
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#define QUOTA_END	(1ull << 62)	/* no file reaches so far */

enum quota_kind quota_kind(unsigned int opcode,
			   const struct op_target *target)
{
	switch (opcode) {
	case FUSE_WRITE:
		return QUOTA_TAKE;
	case FUSE_FALLOCATE:
		if (target->mode & FALLOC_FL_INSERT_RANGE)
			return QUOTA_NONE;
		return target->mode & (FALLOC_FL_PUNCH_HOLE |
				       FALLOC_FL_COLLAPSE_RANGE) ?
			QUOTA_FREE : QUOTA_TAKE;
	case FUSE_CREATE:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
		return QUOTA_NAME;
	case FUSE_SETATTR:
		return target->ranged ? QUOTA_FREE : QUOTA_NONE;
	case FUSE_OPEN:
		return target->flags & O_TRUNC ? QUOTA_FREE : QUOTA_NONE;
	case FUSE_UNLINK:
		return QUOTA_FREE;
	case FUSE_LINK:
		return QUOTA_LINK;
	case FUSE_RENAME2:
		return target->flags & RENAME_EXCHANGE ? QUOTA_NONE :
							 QUOTA_FREE;
	default:
		return QUOTA_NONE;
	}
}

static uint64_t quota_round_down(uint64_t offset)
{
	return offset & ~(uint64_t)(QUOTA_BLOCK - 1);
}

static uint64_t quota_round_up(uint64_t offset)
{
	return quota_round_down(offset + QUOTA_BLOCK - 1);
}

/* Where the first room at or behind @from begins (@to: none) and ends. */
struct quota_extent {
	uint64_t first, end;
};

static struct quota_extent quota_seek(int fd, uint64_t from, uint64_t to)
{
	struct quota_extent extent = { to, to };
	off_t data = lseek(fd, from, SEEK_DATA), hole;

	if (data < 0 || (uint64_t)data >= to)
		return extent;
	hole = lseek(fd, data, SEEK_HOLE);
	extent.first = quota_round_down(data);
	extent.end = hole < 0 ? to : quota_round_up(hole);
	return extent;
}

/* => false: the file system below does not say. */
static bool quota_map(int fd, uint64_t from, uint64_t to,
		      struct quota_extent *extent)
{
	struct {
		struct fiemap map;
		struct fiemap_extent one;
	} ask = {
		.map = {
			.fm_start = from,
			.fm_length = to - from,
			.fm_extent_count = 1,
		},
	};

	if (ioctl(fd, FS_IOC_FIEMAP, &ask))
		return false;
	*extent = (struct quota_extent){ to, to };
	if (ask.map.fm_mapped_extents && ask.one.fe_logical < to) {
		extent->first = quota_round_down(ask.one.fe_logical);
		extent->end = quota_round_up(ask.one.fe_logical +
					     ask.one.fe_length);
	}
	return true;
}

/* What [@from, @to) of a file looks like. */
struct quota_range {
	struct volume *volume;
	struct inode *inode;
	int fd;
	uint64_t from, to;	/* whole blocks */
	uint64_t last;		/* there is none in the file from here on */
};

static struct quota_range quota_whole(struct volume *volume, fuse_ino_t ino,
				      int fd)
{
	struct quota_range range = {
		.volume = volume, .inode = volume_inode(volume, ino),
		.fd = fd, .to = QUOTA_END, .last = QUOTA_END,
	};
	struct statfs below;
	struct stat st;

	if (!fstatfs(fd, &below) && below.f_type == XFS_SUPER_MAGIC &&
	    !fstat(fd, &st))
		range.last = quota_round_up(st.st_size);
	return range;
}

/* The first room from @from on. Held writes first: they may be written
 * meanwhile, and then the file has it. */
static struct quota_extent quota_next(const struct quota_range *range)
{
	struct quota_extent real, held = { .first = range->to };
	bool some = held_room(range->volume, range->inode, range->from,
			      range->to, &held.first, &held.end);

	if (!quota_map(range->fd, range->from, range->to, &real))
		real = quota_seek(range->fd, range->from, range->to);
	if (real.first >= range->last)
		real = (struct quota_extent){ range->to, range->to };
	else if (real.end > range->last)
		real.end = range->last;
	held.first = quota_round_down(held.first);
	held.end = quota_round_up(held.end);
	return some && held.first < real.first ? held : real;
}

/* Bytes for which there is no room. */
static uint64_t quota_absent(struct quota_range range)
{
	struct quota_extent extent;
	uint64_t absent = 0;

	while (range.from < range.to) {
		extent = quota_next(&range);
		if (extent.first > range.from)
			absent += extent.first - range.from;
		range.from = extent.end > range.from ? extent.end : range.to;
	}
	return absent;
}

void quota_blocks(const struct op_target *target, uint64_t *from,
		  uint64_t *to)
{
	*from = quota_round_down(target->offset);
	*to = quota_round_up(target->offset + target->length);
}

uint64_t quota_need(struct volume *volume, fuse_ino_t ino,
		    const struct op_target *target)
{
	const struct file *file = (const void *)(uintptr_t)target->fh;
	struct quota_range range = quota_whole(volume, ino, file->fd);

	quota_blocks(target, &range.from, &range.to);
	return quota_absent(range);
}

/* As far as it can be told without opening it: not more than it has. */
static uint64_t quota_room_closed(const struct stat *st)
{
	uint64_t blocks = st->st_blocks * 512ull;
	uint64_t size = quota_round_up(st->st_size);

	return blocks < size ? blocks : size;
}

/* Its map may be asked for by who may not read it. */
static int quota_open(int path)
{
	struct volume_path at = volume_path(path);
	int fd = open(at.name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == EACCES)
		fd = open(at.name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd;
}

uint64_t quota_room(struct volume *volume, fuse_ino_t ino)
{
	int path = path_fd(volume, ino), fd;
	uint64_t room, closed = 0;
	struct stat st;

	if (path < 0 || fstat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	fd = quota_open(path);
	room = QUOTA_END - quota_absent(quota_whole(volume, ino, fd));
	if (fd < 0)
		closed = quota_room_closed(&st);	/* @room: what is held */
	else
		close(fd);
	return room > closed ? room : closed;
}
