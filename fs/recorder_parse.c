/*
 * recorder_parse.c - a request of the kernel's, as a record.
 *
 * A table says for each kind of request how long its fixed part is and who
 * makes a record of it; names follow the fixed part, each with its NUL. What
 * is shorter than that, or has no NUL, is no record: the handlers will refuse
 * it. No state, no locks.
 */
#include "fs/recorder_int.h"
#include "fs/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct recorder_kind {
	size_t fixed;		/* bytes before names or data */
	unsigned int names;
	/* => false: after all it is nothing to be recorded */
	bool (*fill)(struct recorder *recorder, const void *in,
		     const char *const names[2],
		     struct recorder_begin *begin);
};

static void parse_piece(struct recorder_begin *begin, const void *data,
			size_t length)
{
	begin->pieces[begin->count++] = (struct iovec){ (void *)data, length };
}

static void parse_name(struct recorder_begin *begin, const char *name)
{
	parse_piece(begin, name, strlen(name) + 1);
}

static void parse_attr(struct recorder_begin *begin,
		       const struct record_attr *attr)
{
	record_put_attr(begin->attr, attr);
	parse_piece(begin, begin->attr, sizeof(begin->attr));
}

/* ---- data: @record.file is set ---- */

static bool parse_read(struct recorder *recorder, const void *in,
		       const char *const names[2],
		       struct recorder_begin *begin)
{
	const struct fuse_read_in *read = in;

	(void)recorder, (void)names;
	begin->record.type = RECORD_READ;
	begin->record.offset = read->offset;
	begin->record.length = read->size;
	return true;
}

static bool parse_write(struct recorder *recorder, const void *in,
			const char *const names[2],
			struct recorder_begin *begin)
{
	const struct fuse_write_in *write = in;
	const struct file *file = (void *)(uintptr_t)write->fh;

	(void)recorder, (void)names;
	begin->record.type = RECORD_WRITE;
	/* Of others that are to be durable comes an fsync to record. */
	begin->record.flags = file_sync_flags(file, write) ? RECORD_SYNC : 0;
	begin->record.offset = append_find(write);
	begin->record.length = write->size;
	parse_piece(begin, write + 1, write->size);
	return true;
}

static bool parse_fsync(struct recorder *recorder, const void *in,
			const char *const names[2],
			struct recorder_begin *begin)
{
	const struct fuse_fsync_in *fsync = in;

	(void)recorder, (void)names;
	begin->record.type = RECORD_FSYNC;
	begin->record.flags = fsync->fsync_flags & FUSE_FSYNC_FDATASYNC ?
		RECORD_DATASYNC : 0;
	return true;
}

static bool parse_fallocate(struct recorder *recorder, const void *in,
			    const char *const names[2],
			    struct recorder_begin *begin)
{
	const struct fuse_fallocate_in *fallocate = in;

	(void)recorder, (void)names;
	begin->record.type = RECORD_FALLOCATE;
	begin->record.offset = fallocate->offset;
	begin->record.length = fallocate->length;
	begin->record.arg = fallocate->mode;
	return true;
}

static bool parse_setattr(struct recorder *recorder, const void *in,
			  const char *const names[2],
			  struct recorder_begin *begin)
{
	const struct fuse_setattr_in *set = in;
	struct record_attr attr = { set->mode, set->uid, set->gid, 0 };

	(void)recorder, (void)names;
	begin->record.type = RECORD_SETATTR;
	begin->record.arg = (set->valid & FATTR_MODE ? RECORD_SET_MODE : 0) |
		(set->valid & FATTR_UID ? RECORD_SET_UID : 0) |
		(set->valid & FATTR_GID ? RECORD_SET_GID : 0) |
		(set->valid & FATTR_SIZE ? RECORD_SET_SIZE : 0);
	begin->record.length = set->valid & FATTR_SIZE ? set->size : 0;
	parse_attr(begin, &attr);
	return begin->record.arg;
}

static bool parse_open(struct recorder *recorder, const void *in,
		       const char *const names[2],
		       struct recorder_begin *begin)
{
	const struct fuse_open_in *open = in;
	struct record_attr attr = { 0 };

	(void)recorder, (void)names;
	begin->record.type = RECORD_SETATTR;
	begin->record.arg = RECORD_SET_SIZE;
	parse_attr(begin, &attr);
	return open->flags & O_TRUNC;
}

/* ---- names: @record.file is the directory's id ---- */

/* What is asked for; the end says what was made. */
static bool parse_new(struct recorder *recorder, mode_t mode, uint64_t rdev,
		      const char *name, struct recorder_begin *begin)
{
	struct record_attr attr = { mode, begin->uid, begin->gid, rdev };

	begin->record.type = RECORD_MAKE;
	begin->record.parent = begin->record.file;
	begin->record.file = recorder_new_id(recorder);
	parse_attr(begin, &attr);
	parse_name(begin, name);
	return true;
}

static bool parse_create(struct recorder *recorder, const void *in,
			 const char *const names[2],
			 struct recorder_begin *begin)
{
	const struct fuse_create_in *create = in;

	return parse_new(recorder,
			 (create->mode & 07777 & ~create->umask) | S_IFREG, 0,
			 names[0], begin);
}

/* O_TMPFILE: a file with no name, as of no directory. */
static bool parse_tmpfile(struct recorder *recorder, const void *in,
			  const char *const names[2],
			  struct recorder_begin *begin)
{
	(void)names;
	begin->record.file = 0;
	return parse_create(recorder, in, (const char *[]){ "", NULL }, begin);
}

static bool parse_mknod(struct recorder *recorder, const void *in,
			const char *const names[2],
			struct recorder_begin *begin)
{
	const struct fuse_mknod_in *mknod = in;

	return parse_new(recorder, mknod->mode & ~mknod->umask, mknod->rdev,
			 names[0], begin);
}

static bool parse_mkdir(struct recorder *recorder, const void *in,
			const char *const names[2],
			struct recorder_begin *begin)
{
	const struct fuse_mkdir_in *mkdir = in;

	return parse_new(recorder,
			 (mkdir->mode & 07777 & ~mkdir->umask) | S_IFDIR, 0,
			 names[0], begin);
}

static bool parse_symlink(struct recorder *recorder, const void *in,
			  const char *const names[2],
			  struct recorder_begin *begin)
{
	(void)in;
	parse_new(recorder, S_IFLNK | 0777, 0, names[0], begin);
	parse_name(begin, names[1]);
	return true;
}

static bool parse_link(struct recorder *recorder, const void *in,
		       const char *const names[2],
		       struct recorder_begin *begin)
{
	const struct fuse_link_in *link = in;

	begin->record.type = RECORD_LINK;
	begin->record.parent = begin->record.file;
	begin->record.file = recorder_id_of_node(recorder, link->oldnodeid);
	parse_name(begin, names[0]);
	return true;
}

static bool parse_unlink(struct recorder *recorder, const void *in,
			 const char *const names[2],
			 struct recorder_begin *begin)
{
	(void)recorder, (void)in;
	begin->record.type = RECORD_REMOVE;
	begin->record.parent = begin->record.file;
	begin->record.file = 0;
	parse_name(begin, names[0]);
	return true;
}

static bool parse_rmdir(struct recorder *recorder, const void *in,
			const char *const names[2],
			struct recorder_begin *begin)
{
	begin->record.arg = AT_REMOVEDIR;
	return parse_unlink(recorder, in, names, begin);
}

static bool parse_rename(struct recorder *recorder, const void *in,
			 const char *const names[2],
			 struct recorder_begin *begin)
{
	const struct fuse_rename_in *rename = in;

	begin->record.type = RECORD_RENAME;
	begin->record.parent = begin->record.file;
	begin->record.file = 0;
	begin->record.parent2 = recorder_id_of_node(recorder, rename->newdir);
	parse_name(begin, names[0]);
	parse_name(begin, names[1]);
	return true;
}

static bool parse_rename2(struct recorder *recorder, const void *in,
			  const char *const names[2],
			  struct recorder_begin *begin)
{
	const struct fuse_rename2_in *rename = in;

	begin->record.arg = rename->flags;
	return parse_rename(recorder, in, names, begin);
}

/* ---- all kinds ---- */

static const struct recorder_kind *parse_kind(uint32_t opcode)
{
	static const struct recorder_kind kinds[] = {
		[FUSE_READ] = { sizeof(struct fuse_read_in), 0, parse_read },
		[FUSE_WRITE] = { sizeof(struct fuse_write_in), 0,
				 parse_write },
		[FUSE_FSYNC] = { sizeof(struct fuse_fsync_in), 0,
				 parse_fsync },
		[FUSE_FSYNCDIR] = { sizeof(struct fuse_fsync_in), 0,
				    parse_fsync },
		[FUSE_FALLOCATE] = { sizeof(struct fuse_fallocate_in), 0,
				     parse_fallocate },
		[FUSE_SETATTR] = { sizeof(struct fuse_setattr_in), 0,
				   parse_setattr },
		[FUSE_OPEN] = { sizeof(struct fuse_open_in), 0, parse_open },
		[FUSE_CREATE] = { sizeof(struct fuse_create_in), 1,
				  parse_create },
		[FUSE_TMPFILE] = { sizeof(struct fuse_create_in), 0,
				   parse_tmpfile },
		[FUSE_MKNOD] = { sizeof(struct fuse_mknod_in), 1,
				 parse_mknod },
		[FUSE_MKDIR] = { sizeof(struct fuse_mkdir_in), 1,
				 parse_mkdir },
		[FUSE_SYMLINK] = { 0, 2, parse_symlink },
		[FUSE_LINK] = { sizeof(struct fuse_link_in), 1, parse_link },
		[FUSE_UNLINK] = { 0, 1, parse_unlink },
		[FUSE_RMDIR] = { 0, 1, parse_rmdir },
		[FUSE_RENAME] = { sizeof(struct fuse_rename_in), 2,
				  parse_rename },
		[FUSE_RENAME2] = { sizeof(struct fuse_rename2_in), 2,
				   parse_rename2 },
	};

	if (opcode >= sizeof(kinds) / sizeof(*kinds) || !kinds[opcode].fill)
		return NULL;
	return &kinds[opcode];
}

/* Find @count names in the @left bytes @at. */
static bool parse_find_names(const char *at, size_t left, unsigned int count,
			     const char *names[2])
{
	const char *nul;
	unsigned int i;

	for (i = 0; i < count; i++) {
		nul = left ? memchr(at, 0, left) : NULL;
		if (!nul || nul == at)
			return false;
		names[i] = at;
		left -= nul + 1 - at;
		at = nul + 1;
	}
	return true;
}

bool recorder_parse(struct recorder *recorder, const struct fuse_in_header *in,
		    size_t length, struct recorder_begin *begin)
{
	const struct recorder_kind *kind = parse_kind(in->opcode);
	const char *body = (const char *)(in + 1), *names[2];

	if (!kind || length < sizeof(*in) + kind->fixed)
		return false;
	length -= sizeof(*in) + kind->fixed;
	if (!parse_find_names(body + kind->fixed, length, kind->names, names))
		return false;
	if (in->opcode == FUSE_WRITE &&
	    ((const struct fuse_write_in *)body)->size > length)
		return false;
	begin->record = (struct record){
		.file = recorder_id_of_node(recorder, in->nodeid),
	};
	begin->uid = in->uid;
	begin->gid = in->gid;
	begin->count = 0;
	return kind->fill(recorder, body, names, begin);
}
