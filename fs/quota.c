/*
 * quota.c - room that is taken and given back, as the file system below has
 * it: FIEMAP, which knows also what is allocated ahead, or else SEEK_DATA.
 */
#include "fs/quota.h"
#include "fs/file.h"
#include "fs/path.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define QUOTA_EXTENTS	32

bool quota_watches(unsigned int opcode)
{
	switch (opcode) {
	case FUSE_WRITE:
	case FUSE_FALLOCATE:
	case FUSE_CREATE:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_SETATTR:
	case FUSE_OPEN:
	case FUSE_UNLINK:
	case FUSE_RENAME2:
		return true;
	default:
		return false;
	}
}

static uint64_t quota_round_up(uint64_t offset)
{
	return (offset + QUOTA_BLOCK - 1) & ~(uint64_t)(QUOTA_BLOCK - 1);
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
	extent.first = data;
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
		extent->first = ask.one.fe_logical;
		extent->end = quota_round_up(ask.one.fe_logical +
					     ask.one.fe_length);
	}
	return true;
}

/* Bytes of [@from, @to) for which @fd has no room. */
static uint64_t quota_absent(int fd, uint64_t from, uint64_t to)
{
	struct quota_extent extent;
	uint64_t absent = 0;

	from &= ~(uint64_t)(QUOTA_BLOCK - 1);
	to = quota_round_up(to);
	while (from < to) {
		if (!quota_map(fd, from, to, &extent))
			extent = quota_seek(fd, from, to);
		if (extent.first > from)
			absent += extent.first - from;
		from = extent.end > from ? extent.end : to;
	}
	return absent;
}

uint64_t quota_need(struct volume *volume, unsigned int opcode,
		    fuse_ino_t ino, const struct op_target *target)
{
	const struct file *file = (const void *)(uintptr_t)target->fh;

	(void)volume;
	(void)ino;
	switch (opcode) {
	case FUSE_FALLOCATE:
		if (target->mode & (FALLOC_FL_PUNCH_HOLE |
				    FALLOC_FL_COLLAPSE_RANGE))
			return 0;
		/* fall through */
	case FUSE_WRITE:
		return quota_absent(file->fd, target->offset,
				    target->offset + target->length);
	case FUSE_CREATE:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
		return 1;
	default:
		return 0;
	}
}

static uint64_t quota_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) || !S_ISREG(st.st_mode) ? 0 :
		st.st_blocks * 512ull;
}

/* Of an entry, if it is the file's last name. */
static uint64_t quota_of_entry(int parent, const char *name)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode) || st.st_nlink > 1)
		return 0;
	return st.st_blocks * 512ull;
}

uint64_t quota_now(struct volume *volume, unsigned int opcode,
		   fuse_ino_t ino, const struct op_target *target)
{
	switch (opcode) {
	case FUSE_SETATTR:
	case FUSE_OPEN:
	case FUSE_FALLOCATE:
		return quota_of(path_fd(volume, ino));
	case FUSE_UNLINK:
		return quota_of_entry(path_fd(volume, ino), target->name);
	case FUSE_RENAME2:
		return quota_of_entry(path_fd(volume, target->other),
				      target->other_name);
	default:
		return 0;
	}
}

uint64_t quota_freed(struct volume *volume, unsigned int opcode,
		     fuse_ino_t ino, uint64_t before)
{
	uint64_t now = 0;

	if (opcode == FUSE_SETATTR || opcode == FUSE_OPEN ||
	    opcode == FUSE_FALLOCATE)
		now = quota_of(path_fd(volume, ino));
	return before > now ? before - now : 0;
}
