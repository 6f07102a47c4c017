/*
 * control.c - the hidden directory's side of FUSE's protocol.
 *
 * Requests are answered as they came, without libfuse, whose table of
 * handlers has room for one file system only. Nodes need no memory: the kind
 * of a file is its number, so looking up and forgetting cost nothing.
 *
 * No answer may be ENOSYS: the kernel would take it for the whole mount and
 * never ask again.
 */
#include "fs/control.h"
#include "fs/control_file.h"
#include "fs/gate.h"
#include "fs/loop.h"
#include "fs/newer.h"
#include "fs/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_BIT	(1ull << 63)
#define CONTROL_VALID	1	/* seconds names and attributes are trusted */

static struct volume *control_volume;	/* NULL: there is none */
static struct loop *control_loop;
static time_t control_since;

void control_open(struct volume *volume, struct loop *loop)
{
	struct stat st;

	control_volume = volume;
	control_loop = loop;
	control_since = time(NULL);
	if (!fstatat(volume->inodes.root.fd, CONTROL_NAME, &st,
		     AT_SYMLINK_NOFOLLOW))
		report("SOURCE %s: its own entry %s is out of reach behind "
		       "the control directory; rename it, or mount with -o "
		       "nocontrol", volume->options.source, CONTROL_NAME);
}

static bool control_is_name(uint64_t parent, const char *name)
{
	return parent == FUSE_ROOT_ID && name && !strcmp(name, CONTROL_NAME);
}

bool control_hides(const struct volume *volume, const struct inode *parent,
		   const char *name)
{
	return control_volume && parent == &volume->inodes.root &&
	       !strcmp(name, CONTROL_NAME);
}

bool control_wants(const struct fuse_in_header *in,
		   const struct op_target *target)
{
	if (!control_volume)
		return false;
	if ((in->nodeid | target->other) & CONTROL_BIT)
		return true;
	return control_is_name(in->nodeid, target->name) ||
	       control_is_name(target->other, target->other_name);
}

void control_scrub(struct fuse_in_header *in)
{
	struct fuse_batch_forget_in *batch = (void *)(in + 1);
	struct fuse_forget_one *one = (void *)(batch + 1);
	uint32_t i;

	for (i = 0; i < batch->count; i++)
		if (one[i].nodeid & CONTROL_BIT)
			one[i].nodeid = FUSE_ROOT_ID;	/* never forgotten */
}

/* ---- answers ---- */

static enum control_kind control_kind(const struct fuse_in_header *in)
{
	return in->nodeid & ~CONTROL_BIT;
}

static void control_fill_attr(struct fuse_attr *attr, enum control_kind kind)
{
	mode_t mode = 0;

	control_file_name(kind, &mode);
	*attr = (struct fuse_attr){
		.ino = CONTROL_BIT | kind,
		.atime = control_since,
		.mtime = control_since,
		.ctime = control_since,
		.mode = mode,
		.nlink = kind == CONTROL_DIR ? 2 : 1,
		.uid = getuid(),
		.gid = getgid(),
		.blksize = 4096,
	};
}

static void control_reply_attr(struct slot *slot, enum control_kind kind)
{
	struct fuse_attr_out out = { .attr_valid = CONTROL_VALID };

	control_fill_attr(&out.attr, kind);
	gate_reply(slot, 0, &out, sizeof(out));
}

/* What stat(1) asks, because there might be a birth time. */
static void control_reply_statx(struct slot *slot, enum control_kind kind)
{
	struct newer_statx_out out;
	struct fuse_attr attr;

	control_fill_attr(&attr, kind);
	newer_fill_statx(&out, &(struct statx){
		.stx_mask = STATX_BASIC_STATS,
		.stx_blksize = attr.blksize,
		.stx_nlink = attr.nlink,
		.stx_uid = attr.uid,
		.stx_gid = attr.gid,
		.stx_mode = attr.mode,
		.stx_ino = attr.ino,
		.stx_atime.tv_sec = attr.atime,
		.stx_mtime.tv_sec = attr.mtime,
		.stx_ctime.tv_sec = attr.ctime,
	}, CONTROL_VALID);
	gate_reply(slot, 0, &out, sizeof(out));
}

/* The file system is the same as all around. */
static void control_reply_statfs(struct slot *slot)
{
	struct fuse_statfs_out out = { 0 };
	struct statvfs st;
	int err;

	loop_slow_enter();
	err = fstatvfs(control_volume->inodes.root.fd, &st) ? errno : 0;
	loop_slow_leave();
	if (!err)
		out.st = (struct fuse_kstatfs){
			.blocks = st.f_blocks,
			.bfree = st.f_bfree,
			.bavail = st.f_bavail,
			.files = st.f_files,
			.ffree = st.f_ffree,
			.bsize = st.f_bsize,
			.namelen = st.f_namemax,
			.frsize = st.f_frsize,
		};
	gate_reply(slot, err, &out, sizeof(out));
}

static void control_reply_entry(struct slot *slot, enum control_kind kind)
{
	struct fuse_entry_out out = {
		.nodeid = CONTROL_BIT | kind,
		.entry_valid = CONTROL_VALID,
		.attr_valid = CONTROL_VALID,
	};

	control_fill_attr(&out.attr, kind);
	gate_reply(slot, 0, &out, sizeof(out));
}

static void control_lookup(struct slot *slot, const char *name)
{
	enum control_kind kind;
	mode_t mode;

	if (!(loop_message(slot)->nodeid & CONTROL_BIT)) {
		control_reply_entry(slot, CONTROL_DIR);
		return;
	}
	for (kind = CONTROL_RULES; kind < CONTROL_KINDS; kind++) {
		if (!strcmp(control_file_name(kind, &mode), name)) {
			control_reply_entry(slot, kind);
			return;
		}
	}
	gate_reply(slot, ENOENT, NULL, 0);
}

/* Only what O_TRUNC and touch(1) ask for. */
static void control_setattr(struct slot *slot)
{
	const struct fuse_in_header *in = loop_message(slot);
	const struct fuse_setattr_in *set = (const void *)(in + 1);

	if (set->valid & (FATTR_MODE | FATTR_UID | FATTR_GID))
		gate_reply(slot, EPERM, NULL, 0);
	else
		control_reply_attr(slot, control_kind(in));
}

/* ---- files ---- */

static struct control_file *control_file_of(const struct op_target *target)
{
	return (struct control_file *)(uintptr_t)target->fh;
}

static void control_open_file(struct slot *slot)
{
	const struct fuse_in_header *in = loop_message(slot);
	const struct fuse_open_in *open = (const void *)(in + 1);
	struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };
	enum control_kind kind = control_kind(in);
	bool writes = (open->flags & O_ACCMODE) != O_RDONLY;
	struct control_file *file;
	mode_t mode;

	if (!control_file_name(kind, &mode) || (writes && !(mode & 0200))) {
		gate_reply(slot, EACCES, NULL, 0);
		return;
	}
	loop_slow_enter();	/* a name may be asked for in SOURCE */
	file = control_file_open(kind, control_volume, control_loop,
				 writes && open->flags & O_TRUNC);
	loop_slow_leave();
	out.fh = (uintptr_t)file;
	gate_reply(slot, file ? 0 : ENOMEM, &out, sizeof(out));
}

static void control_read(struct slot *slot, const struct op_target *target)
{
	size_t size = target->length < SLOT_PAYLOAD ? target->length :
						      SLOT_PAYLOAD;
	char *to = slot->payload;

	size = control_file_read(control_file_of(target), to, size,
				 target->offset);
	gate_reply(slot, 0, to, size);
}

static void control_write(struct slot *slot, const struct op_target *target)
{
	const struct fuse_in_header *in = loop_message(slot);
	const struct fuse_write_in *write = (const void *)(in + 1);
	struct fuse_write_out out = { .size = write->size };
	int err;

	loop_slow_enter();	/* a command may write to files */
	err = control_file_write(control_file_of(target),
				 (const char *)(write + 1), write->size,
				 target->offset);
	loop_slow_leave();
	gate_reply(slot, -err, &out, sizeof(out));
}

static void control_flush(struct slot *slot, const struct op_target *target)
{
	int err;

	loop_slow_enter();
	err = control_file_flush(control_file_of(target));
	loop_slow_leave();
	gate_reply(slot, -err, NULL, 0);
}

static void control_release(struct slot *slot, const struct op_target *target)
{
	loop_slow_enter();	/* emptied rules let go of held writes */
	control_file_close(control_file_of(target));
	loop_slow_leave();
	gate_reply(slot, 0, NULL, 0);
}

/* ---- the directory ---- */

/* => The bytes the entry takes, 0 if there is no room for it. */
static size_t control_put(char *to, size_t room, const char *name,
			  enum control_kind kind, uint64_t next, bool plus)
{
	size_t before = plus ? sizeof(struct fuse_entry_out) : 0;
	size_t length = strlen(name);
	size_t size = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + length);
	struct fuse_dirent *entry = (void *)(to + before);

	if (size > room)
		return 0;
	/* Without attributes: the kernel takes the name and looks it up. */
	memset(to, 0, size);
	entry->ino = CONTROL_BIT | kind;
	entry->off = next;
	entry->namelen = length;
	entry->type = kind == CONTROL_DIR ? DT_DIR : DT_REG;
	memcpy(entry->name, name, length);
	return size;
}

static void control_readdir(struct slot *slot, bool plus)
{
	const struct fuse_in_header *in = loop_message(slot);
	const struct fuse_read_in *read = (const void *)(in + 1);
	size_t room = read->size < SLOT_PAYLOAD ? read->size : SLOT_PAYLOAD;
	uint64_t at = read->offset;
	char *to = slot->payload;
	size_t used = 0, size = 1;
	const char *name;
	mode_t mode;

	/* 0 is ".", 1 is "..", then the kinds from 2 on */
	for (; size && at < CONTROL_KINDS; at++, used += size) {
		name = at == 0 ? "." : at == 1 ? ".." :
			control_file_name(at, &mode);
		size = control_put(to + used, room - used, name,
				   at < 2 ? CONTROL_DIR : at, at + 1, plus);
	}
	gate_reply(slot, 0, to, used);
}

/* ---- requests ---- */

/* Nothing is made here, nor the directory itself once more. */
static void control_refuse(struct slot *slot, uint32_t opcode)
{
	int err = EPERM;

	switch (opcode) {
	case FUSE_GETXATTR:
		err = ENODATA;
		break;
	case FUSE_LISTXATTR:
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_POLL:
		err = EOPNOTSUPP;
		break;
	case FUSE_IOCTL:
		err = ENOTTY;
		break;
	case FUSE_LSEEK:
	case FUSE_READLINK:
		err = EINVAL;
		break;
	}
	gate_reply(slot, err, NULL, 0);
}

/* With or without default_permissions. The kernel closes for anybody. */
static bool control_allows(const struct fuse_in_header *in)
{
	switch (in->opcode) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case NEWER_STATX:
	case FUSE_STATFS:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
		return true;
	default:
		return !in->uid || in->uid == getuid();
	}
}

/* What is asked of a node that is not open. */
static void control_serve_closed(struct slot *slot, uint32_t opcode)
{
	switch (opcode) {
	case FUSE_GETATTR:
		control_reply_attr(slot, control_kind(loop_message(slot)));
		break;
	case NEWER_STATX:
		control_reply_statx(slot, control_kind(loop_message(slot)));
		break;
	case FUSE_STATFS:
		control_reply_statfs(slot);
		break;
	case FUSE_SETATTR:
		control_setattr(slot);
		break;
	case FUSE_ACCESS:
		gate_reply(slot, 0, NULL, 0);
		break;
	default:
		control_refuse(slot, opcode);
	}
}

static void control_serve_node(struct slot *slot,
			       const struct op_target *target,
			       uint32_t opcode)
{
	const struct fuse_open_out directory = { 0 };

	switch (opcode) {
	case FUSE_OPEN:
		control_open_file(slot);
		break;
	case FUSE_READ:
		control_read(slot, target);
		break;
	case FUSE_WRITE:
		control_write(slot, target);
		break;
	case FUSE_FLUSH:
		control_flush(slot, target);
		break;
	case FUSE_RELEASE:
		control_release(slot, target);
		break;
	case FUSE_OPENDIR:
		gate_reply(slot, 0, &directory, sizeof(directory));
		break;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		control_readdir(slot, opcode == FUSE_READDIRPLUS);
		break;
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		gate_reply(slot, 0, NULL, 0);
		break;
	default:
		control_serve_closed(slot, opcode);
	}
}

void control_serve(struct slot *slot, const struct op_target *target)
{
	const struct fuse_in_header *in = loop_message(slot);

	if (in->opcode == FUSE_FORGET)
		return;
	if (!control_allows(in))
		gate_reply(slot, EACCES, NULL, 0);
	else if (in->opcode == FUSE_LOOKUP)
		control_lookup(slot, target->name);
	else if (in->nodeid & CONTROL_BIT)
		control_serve_node(slot, target, in->opcode);
	else
		control_refuse(slot, in->opcode);
}
