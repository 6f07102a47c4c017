/*
 * recorder_base.c - the tree as it is when recording begins.
 *
 * Before the mount is there, SOURCE is walked once: each name becomes a
 * RECORD_MAKE (the first of a file) or a RECORD_LINK, each regular file's
 * size a RECORD_SETATTR, and what is data in it RECORD_WRITEs. All carry
 * RECORD_BASE: they are not operations, but what was there. Each file
 * system that is met is synced: so all this would survive a crash.
 *
 * The walk takes one descriptor for each level, and never follows a link. It
 * tells files apart as the inodes of clients are told apart (volume.c): what is
 * seen through another mount is another file. But if it is the same one, by a
 * bind mount, it is refused: a change of one would be missing in the other, and
 * nothing built from a record has directories of two names.
 * Main thread only, nobody else is there yet.
 */
#include "fs/recorder_int.h"
#include "fs/report.h"
#include "fs/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define BASE_CHUNK	(1u << 20)

struct base {
	struct recorder *recorder;
	char *chunk;
	char *name;		/* that the walk was at when it failed */
	struct stat own;	/* the record's file */
	dev_t synced;		/* the last file system that was */
	struct recorder_id *real; /* files, whatever mount they are seen by */
};

static int base_walk(struct base *base, uint64_t dir, int fd);

static int base_put(struct base *base, struct record *record,
		    const struct iovec *pieces, int count)
{
	int err;

	record->flags = RECORD_BASE;
	if (record_writer_append(&base->recorder->writer, record, pieces,
				 count, &err))
		return 0;
	return err;
}

static int base_put_node(struct base *base, uint64_t id, uint64_t parent,
			 const char *name, const struct stat *st,
			 const char *target)
{
	struct record record = {
		.type = RECORD_MAKE,
		.file = id,
		.parent = parent,
	};
	struct record_attr attr = { st->st_mode, st->st_uid, st->st_gid,
				    st->st_rdev };
	uint8_t bytes[RECORD_ATTR];
	struct iovec pieces[3] = {
		{ bytes, sizeof(bytes) },
		{ (char *)name, strlen(name) + 1 },
	};

	record_put_attr(bytes, &attr);
	if (target)
		pieces[2] = (struct iovec){ (char *)target,
					    strlen(target) + 1 };
	return base_put(base, &record, pieces, target ? 3 : 2);
}

static int base_put_link(struct base *base, uint64_t id, uint64_t parent,
			 const char *name)
{
	struct iovec piece = { (char *)name, strlen(name) + 1 };
	struct record record = {
		.type = RECORD_LINK,
		.file = id,
		.parent = parent,
	};

	return base_put(base, &record, &piece, 1);
}

static int base_put_size(struct base *base, uint64_t id, const struct stat *st)
{
	struct record_attr attr = { st->st_mode, st->st_uid, st->st_gid, 0 };
	struct record record = {
		.type = RECORD_SETATTR,
		.file = id,
		.arg = RECORD_SET_SIZE,
		.length = st->st_size,
	};
	uint8_t bytes[RECORD_ATTR];
	struct iovec piece = { bytes, sizeof(bytes) };

	record_put_attr(bytes, &attr);
	return base_put(base, &record, &piece, 1);
}

/* The data in [@from, @to) of @fd. */
static int base_put_data(struct base *base, uint64_t id, int fd, off_t from,
			 off_t to)
{
	struct record record = { .type = RECORD_WRITE, .file = id };
	struct iovec piece = { base->chunk, 0 };
	size_t want;
	ssize_t got;
	int err = 0;

	while (!err && from < to) {
		want = to - from < BASE_CHUNK ? to - from : BASE_CHUNK;
		got = pread(fd, base->chunk, want, from);
		if (got <= 0)
			return got ? -errno : 0;
		record.offset = from;
		record.length = piece.iov_len = got;
		err = base_put(base, &record, &piece, 1);
		from += got;
	}
	return err;
}

static int base_put_file(struct base *base, uint64_t id, int dir,
			 const char *name, const struct stat *st)
{
	off_t data = 0, hole = 0;
	int fd, err = base_put_size(base, id, st);

	if (err || !base->recorder->writer.head.base || !st->st_size)
		return err;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (!err && (data = lseek(fd, hole, SEEK_DATA)) >= 0) {
		hole = lseek(fd, data, SEEK_HOLE);
		err = hole < 0 ? -errno :
			base_put_data(base, id, fd, data, hole);
	}
	if (!err && data < 0 && errno != ENXIO)
		err = -errno;
	close(fd);
	return err;
}

/* Sync what @fd is on, if that was not the last one. => 0 or -errno. */
static int base_sync(struct base *base, int fd, dev_t dev)
{
	if (base->synced == dev)
		return 0;
	base->synced = dev;
	return syncfs(fd) ? -errno : 0;
}

static int base_put_dir(struct base *base, uint64_t id, int dir,
			const char *name, dev_t dev)
{
	int fd, err;

	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
		    O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = base_sync(base, fd, dev);
	if (!err)
		return base_walk(base, id, fd);
	close(fd);
	return err;
}

/*
 * What @name in @dir is, or @dir itself if it is empty, and its *@id, which may
 * have been *@known. => 0 or -errno; -ELOOP, -EMLINK: base_report().
 */
static int base_identify(struct base *base, int dir, const char *name,
			 struct stat *st, uint64_t *id, bool *known)
{
	struct recorder_id *real;
	struct statx stx;
	bool met;
	dev_t dev;

	if (statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW |
		  AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &stx))
		return -errno;
	volume_to_stat(base->recorder->volume, &stx, st);
	dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	/* By a way which recorder_check_place() cannot see: a bind mount. */
	if (dev == base->own.st_dev && st->st_ino == base->own.st_ino)
		return -ELOOP;
	*id = recorder_id_of(base->recorder, st->st_dev, st->st_ino, known);
	real = recorder_entry(&base->real, dev, st->st_ino, &met);
	if (!*id || !real)
		return -ENOMEM;
	if (!met)
		real->id = *id;
	return real->id == *id ? 0 : -EMLINK;
}

static int base_put_name(struct base *base, uint64_t parent, int dir,
			 const char *name)
{
	char target[PATH_MAX];
	bool known, symlink;
	ssize_t length = 0;
	struct stat st;
	uint64_t id;
	int err;

	err = base_identify(base, dir, name, &st, &id, &known);
	if (err)
		return err;
	symlink = S_ISLNK(st.st_mode);
	if (symlink)
		length = readlinkat(dir, name, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	if (known && S_ISDIR(st.st_mode))
		return -EMLINK;
	if (known)
		return base_put_link(base, id, parent, name);
	err = base_put_node(base, id, parent, name, &st,
			    symlink ? target : NULL);
	if (!err && S_ISREG(st.st_mode))
		err = base_put_file(base, id, dir, name, &st);
	if (!err && S_ISDIR(st.st_mode))
		err = base_put_dir(base, id, dir, name, st.st_dev);
	return err;
}

/* Put all names of directory @dir, and what is below. Closes @fd. */
static int base_walk(struct base *base, uint64_t dir, int fd)
{
	DIR *stream = fdopendir(fd);
	struct dirent *entry;
	int err = 0;

	if (!stream) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err && (errno = 0, entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		err = base_put_name(base, dir, fd, entry->d_name);
		if (err == -ENOENT)	/* somebody took it away just now */
			err = 0;
		if (err && !base->name)
			base->name = strdup(entry->d_name);
	}
	if (!err && !entry && errno)
		err = -errno;
	closedir(stream);
	return err;
}

/* The root itself, under no name, and then everything in it. */
static int base_put_all(struct base *base, int root_fd)
{
	struct record end = { .type = RECORD_BASE_END };
	struct stat st;
	uint64_t id;
	bool known;
	int fd, err;

	fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = base_identify(base, fd, "", &st, &id, &known);
	if (!err)
		err = base_sync(base, fd, st.st_dev);
	if (!err)
		err = base_put_node(base, id, 0, "", &st, NULL);
	if (err) {
		close(fd);
		return err;
	}
	err = base_walk(base, RECORD_ROOT, fd);
	return err ? err : base_put(base, &end, NULL, 0);
}

static void base_report(const struct base *base, int err)
{
	if (err == -ELOOP)
		report("record %s lies in SOURCE, as '%s': choose a place "
		       "outside SOURCE and MOUNTPOINT", base->recorder->path,
		       base->name ? base->name : ".");
	else if (err == -EMLINK && !base->recorder->writer.err)
		report("SOURCE: '%s' is there under another name, too (mount "
		       "--bind): a record could not tell them apart: unmount "
		       "one of them",
		       base->name ? base->name : ".");
	else if (base->recorder->writer.err)
		report("record %s: %s: the files as they are now do not fit: "
		       "make room, or keep a copy of SOURCE elsewhere and say "
		       "record_base=no", base->recorder->path,
		       strerror(-err));
	else
		report("SOURCE: '%s': %s: it is to be put into the record as "
		       "it is now", base->name ? base->name : ".",
		       strerror(-err));
}

int recorder_put_base(struct recorder *recorder, int root_fd)
{
	struct base base = {
		.recorder = recorder,
		.chunk = malloc(BASE_CHUNK),
	};
	int err = base.chunk ? 0 : -ENOMEM;

	if (!err && fstat(recorder->writer.fd, &base.own))
		err = -errno;
	if (!err)
		err = base_put_all(&base, root_fd);
	if (err)
		base_report(&base, err);
	recorder_free_ids(&base.real);
	free(base.name);
	free(base.chunk);
	return err;
}
