/*
 * newer.c - requests which the kernel knows and this libfuse does not.
 *
 * Works on the request in place, before libfuse reads it; nothing is kept.
 * Lengths are the kernel's, but nothing is believed that the length of the
 * request does not cover.
 *
 * One thing is kept, because the kernel says it once, in INIT, before any
 * other request: which form its setxattr has.
 */
#include "fs/newer.h"

#include <stdatomic.h>
#include <string.h>

static atomic_bool newer_extended;

uint32_t newer_init_flags(uint32_t offers)
{
	/*
	 * Without KILLPRIV_V2 the kernel asks for the xattr
	 * security.capability before every single write, which more than
	 * doubles the cost of one; with it, the set-id bits are ours to clear
	 * (file_kill_setid()).
	 *
	 * Without PARALLEL_DIROPS the kernel looks up one name at a time in a
	 * directory, and one that hangs in SOURCE blocks all others. libfuse
	 * calls it a default, and knows it, but does not ask for it.
	 */
	newer_extended = offers & FUSE_SETXATTR_EXT;
	return offers & (FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT |
			 FUSE_PARALLEL_DIROPS);
}

/* Keep the extra word, and close the gap it leaves. */
static size_t newer_setxattr(struct fuse_in_header *request, size_t length,
			     struct newer *newer)
{
	const size_t whole = sizeof(struct fuse_setxattr_in);
	const size_t old = FUSE_COMPAT_SETXATTR_IN_SIZE;
	struct fuse_setxattr_in in;
	char *body = (char *)(request + 1);

	if (length < sizeof(*request) + whole)
		return length;
	memcpy(&in, body, whole);
	newer->setxattr_flags = in.setxattr_flags;
	memmove(body + old, body + whole, length - sizeof(*request) - whole);
	request->len -= whole - old;
	return length - (whole - old);
}

static void newer_statx(struct fuse_in_header *request, size_t length,
			struct newer *newer)
{
	const size_t at = sizeof(*request) + sizeof(struct fuse_getattr_in);

	request->opcode = FUSE_GETATTR;
	if (length >= at + sizeof(newer->statx_flags))
		memcpy(&newer->statx_flags, (char *)request + at,
		       sizeof(newer->statx_flags));
}

size_t newer_translate(struct fuse_in_header *request, size_t length,
		       struct newer *newer)
{
	*newer = (struct newer){ .opcode = request->opcode };
	if (request->opcode == FUSE_TMPFILE)
		request->opcode = FUSE_CREATE;
	else if (request->opcode == NEWER_STATX)
		newer_statx(request, length, newer);
	else if (request->opcode == FUSE_SETXATTR && newer_extended)
		return newer_setxattr(request, length, newer);
	return length;
}

static struct newer_time newer_time(const struct statx_timestamp *time)
{
	return (struct newer_time){ .sec = time->tv_sec,
				    .nsec = time->tv_nsec };
}

void newer_fill_statx(struct newer_statx_out *out, const struct statx *stx,
		      double timeout)
{
	_Static_assert(sizeof(*out) == 32 + 256, "as on the wire");
	*out = (struct newer_statx_out){
		.attr_valid = timeout,
		.attr_valid_nsec = (timeout - (uint64_t)timeout) * 1e9,
		.mask = stx->stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
		.blksize = stx->stx_blksize,
		.nlink = stx->stx_nlink,
		.uid = stx->stx_uid,
		.gid = stx->stx_gid,
		.mode = stx->stx_mode,
		.ino = stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.atime = newer_time(&stx->stx_atime),
		.btime = newer_time(&stx->stx_btime),
		.ctime = newer_time(&stx->stx_ctime),
		.mtime = newer_time(&stx->stx_mtime),
		.rdev_major = stx->stx_rdev_major,
		.rdev_minor = stx->stx_rdev_minor,
	};
}
