/*
 * newer.h - requests which the kernel knows and this libfuse does not.
 *
 * Linux asks for unnamed files, birth times and the extended form of
 * setxattr in requests which libfuse 3.14 would answer with ENOSYS, or
 * misread. Each has an older sibling with the same beginning, so before
 * libfuse sees one it is turned into that, and what is particular about it
 * is kept beside, where the sibling's handler looks for it:
 *
 *	FUSE_TMPFILE		as FUSE_CREATE, without a name
 *	FUSE_STATX		as FUSE_GETATTR, with a longer reply
 *	FUSE_SETXATTR		with FUSE_SETXATTR_EXT: two words fewer
 */
#ifndef FS_NEWER_H
#define FS_NEWER_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Linux 6.6, newer than Debian 12's headers. */
#define NEWER_STATX	52

struct newer {
	uint32_t opcode;	/* what the kernel asked for */
	uint32_t setxattr_flags; /* FUSE_SETXATTR_ACL_KILL_SGID */
	uint32_t statx_flags;	/* AT_STATX_* */
};

/*
 * INIT flags to ask for besides libfuse's, of those the kernel @offers. Call
 * it when INIT is answered: what it says holds for all requests that follow.
 */
uint32_t newer_init_flags(uint32_t offers);

/*
 * Turn @request (header first, @length bytes) into one that libfuse knows.
 * => Its new length.
 */
size_t newer_translate(struct fuse_in_header *request, size_t length,
		       struct newer *newer);

/* The reply to NEWER_STATX, as on the wire. */
struct newer_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};

struct newer_statx_out {
	uint64_t attr_valid;	/* seconds, and nanoseconds below */
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	uint32_t mask;		/* from here on: struct statx */
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct newer_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor;
	uint32_t dev_major, dev_minor;
	uint64_t spare2[14];
};

void newer_fill_statx(struct newer_statx_out *out, const struct statx *stx,
		      double timeout);

#endif
