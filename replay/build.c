/*
 * build.c - put the files of an outcome into a directory.
 *
 * The names on the floor are changed into those of the outcome, all that can
 * be reached from the root is made, and the names are changed back. Modes and
 * owners of directories come when all names are made: only root can make one
 * through a directory of mode 0. Each file is the extents of its floor and
 * then, in order, what is kept of the changes after it, as system calls on the
 * new file: a truncation is ftruncate(2).
 *
 * Everything is made relative to a directory's descriptor, by names that
 * history.c has checked, and exclusively: whatever a record says, nothing
 * outside the new directory is touched.
 */
#include "replay/build.h"
#include "replay/need.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUILD_CHUNK	(1u << 20)
#define BUILD_DEEPEST	1000	/* directories; each takes a descriptor */

/* ---- contents ---- */

static int build_put(int fd, const char *from, uint64_t offset, size_t size)
{
	ssize_t put;

	while (size) {
		put = pwrite(fd, from, size, offset);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -ENOSPC;
		from += put;
		offset += put;
		size -= put;
	}
	return 0;
}

/* Copy what is in the record (or in @base) at @at to @offset of @fd. */
static int build_copy(const struct state *state, int base, int fd,
		      uint64_t offset, uint64_t length, uint64_t at)
{
	char *chunk = need(malloc(BUILD_CHUNK));
	struct record_reader from = state->history->reader;
	size_t size;
	int err = 0;

	if (base >= 0)
		from.fd = base;
	while (!err && length) {
		size = length < BUILD_CHUNK ? length : BUILD_CHUNK;
		err = record_reader_fetch(&from, at, chunk, size);
		if (!err)
			err = build_put(fd, chunk, offset, size);
		offset += size;
		at += size;
		length -= size;
	}
	free(chunk);
	return err;
}

static int build_floor(const struct build *build, const struct state *state,
		       struct file *file, int fd)
{
	struct extent *extent;
	int base = -1, err = 0;

	if (file->base) {
		base = openat(build->base, file->base, O_RDONLY | O_CLOEXEC);
		if (base < 0)
			return -errno;
	}
	for (extent = extents_first(&file->data); !err && extent;
	     extent = extents_next(extent))
		err = build_copy(state, extent->base ? base : -1, fd,
				 extent->offset, extent->length, extent->at);
	if (base >= 0)
		close(base);
	if (!err && ftruncate(fd, file->size))
		err = -errno;
	return err;
}

/* The bytes of sectors [@first, @last) of a write. */
static int build_sectors(const struct state *state,
			 const struct change *change, int fd, uint64_t first,
			 uint64_t last)
{
	uint64_t sector = change->offset / RECORD_SECTOR;
	uint64_t from = (sector + first) * RECORD_SECTOR;
	uint64_t to = (sector + last) * RECORD_SECTOR;
	uint64_t end = change->offset + change_reach(change);

	if (from < change->offset)
		from = change->offset;
	if (to > end)
		to = end;
	return build_copy(state, -1, fd, from, to - from,
			  change->at + (from - change->offset));
}

/* A write of which all is kept, or nothing. */
static int build_whole(const struct state *state, const struct change *change,
		       int fd)
{
	return build_copy(state, -1, fd, change->offset,
			  change->keep ? change_reach(change) : 0,
			  change->at);
}

static int build_masked(const struct state *state, const struct change *change,
			int fd)
{
	uint64_t i, first, count = change_sectors(change);
	int err = 0;

	for (i = 0; !err && i < count; i++) {
		first = i;
		while (i < count && change_has_sector(change, i))
			i++;
		if (i > first)
			err = build_sectors(state, change, fd, first, i);
	}
	return err;
}

static int build_write(const struct state *state, const struct change *change,
		       int fd)
{
	uint64_t reach = change_reach(change), end = change->offset + reach;
	struct stat st;
	int err;

	if (change->mask)
		err = build_masked(state, change, fd);
	else
		err = build_whole(state, change, fd);
	if (err || !change->keep || !reach)
		return err;
	if (fstat(fd, &st) || ((uint64_t)st.st_size < end &&
			       ftruncate(fd, end)))
		return -errno;
	return 0;
}

/* Zero a range where there may be no fallocate(2). Behind the file's end there
 * is nothing, and no length that a file system here might refuse. */
static int build_zero(int fd, uint64_t offset, uint64_t length)
{
	static const char zeros[4096];
	struct stat st;
	size_t size;
	int err = 0;

	if (fstat(fd, &st))
		return -errno;
	if (offset >= (uint64_t)st.st_size)
		return 0;
	if (length > st.st_size - offset)
		length = st.st_size - offset;
	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
		       length))
		return 0;
	while (!err && length) {
		size = length < sizeof(zeros) ? length : sizeof(zeros);
		err = build_put(fd, zeros, offset, size);
		offset += size;
		length -= size;
	}
	return err;
}

static int build_fallocate(const struct change *change, int fd)
{
	uint64_t end = change->offset + change->length;
	struct stat st;
	int err = 0;

	if (change->arg & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		err = build_zero(fd, change->offset, change->length);
	if (err || change->arg & FALLOC_FL_KEEP_SIZE)
		return err;
	if (fstat(fd, &st) || ((uint64_t)st.st_size < end &&
			       ftruncate(fd, end)))
		return -errno;
	return 0;
}

/* All that is kept of the changes after the floor; @fd -1: no data. */
static int build_changes(const struct state *state, struct file *file, int fd,
			 struct record_attr *attr)
{
	struct change *change;
	int err = 0;

	TAILQ_FOREACH(change, &file->pending, pending) {
		if (change->type == RECORD_SETATTR && change->keep)
			change_attr(change, attr);
		if (fd < 0 || err)
			continue;
		if (change->type == RECORD_WRITE)
			err = build_write(state, change, fd);
		else if (!change->keep)
			continue;
		else if (change->type == RECORD_FALLOCATE)
			err = build_fallocate(change, fd);
		else if (change->arg & RECORD_SET_SIZE &&
			 ftruncate(fd, change->length))
			err = -errno;
	}
	return err;
}

/* ---- files ---- */

static int build_owner(int dir, const char *name,
		       const struct record_attr *attr)
{
	if (geteuid() || !fchownat(dir, name, attr->uid, attr->gid,
				   AT_SYMLINK_NOFOLLOW))
		return 0;
	return -errno;
}

/* The owner comes first: that takes set-id bits away. */
static int build_attr(int fd, const struct record_attr *attr)
{
	if (!geteuid() && fchown(fd, attr->uid, attr->gid))
		return -errno;
	return fchmod(fd, attr->mode & 07777) ? -errno : 0;
}

static int build_regular(struct build *build, struct state *state,
			 struct file *file, int dir, const char *name)
{
	struct record_attr attr = file->attr;
	int fd, err;

	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
		    O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = build_floor(build, state, file, fd);
	if (!err)
		err = build_changes(state, file, fd, &attr);
	if (!err)
		err = build_attr(fd, &attr);
	close(fd);
	return err;
}

/* A link, FIFO, socket or device. */
static int build_special(struct build *build, struct state *state,
			 struct file *file, int dir, const char *name)
{
	struct record_attr attr = file->attr;
	int err;

	build_changes(state, file, -1, &attr);
	if (S_ISLNK(attr.mode)) {
		if (symlinkat(file->target, dir, name))
			return -errno;
		return build_owner(dir, name, &attr);
	}
	if (mknodat(dir, name, attr.mode, attr.rdev)) {
		if (errno != EPERM)
			return -errno;
		build->unmade++;
		*file->built = '\0';	/* nor its other names */
		return 0;
	}
	err = build_owner(dir, name, &attr);
	return err ? err : fchmodat(dir, name, attr.mode & 07777, 0) ?
		-errno : 0;
}

static int build_names(struct build *build, struct state *state, uint64_t id,
		       int fd, const char *path, int depth);

static int build_open_dir(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
			O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int build_dir(struct build *build, struct state *state,
		     struct file *file, int dir, const char *name,
		     const char *path, int depth)
{
	int fd, err;

	if (mkdirat(dir, name, 0700))
		return -errno;
	fd = build_open_dir(dir, name);
	if (fd < 0)
		return fd;
	err = build_names(build, state, file->id, fd, path, depth + 1);
	close(fd);
	return err;
}

static int build_name(struct build *build, struct state *state,
		      struct file *file, int dir, const char *name,
		      const char *path, int depth)
{
	bool directory = S_ISDIR(file->attr.mode);

	/* No file system has this; a record that is wrong may. */
	if (directory && file->built)
		return -ELOOP;
	if (directory && depth >= BUILD_DEEPEST)
		return -ENAMETOOLONG;
	if (file->built && !*file->built)
		return 0;
	/* As long as there is room for: it may be cut off, and mean another. */
	if (file->built && strlen(file->built) == sizeof(build->path) - 1)
		return -ENAMETOOLONG;
	if (file->built)
		return linkat(build->top, file->built, dir, name, 0) ?
			-errno : 0;
	file->built = need(strdup(path));
	if (directory)
		return build_dir(build, state, file, dir, name, path, depth);
	return S_ISREG(file->attr.mode) ?
		build_regular(build, state, file, dir, name) :
		build_special(build, state, file, dir, name);
}

/* All names of the directory @id, at @path below the top, into @fd. */
static int build_names(struct build *build, struct state *state, uint64_t id,
		       int fd, const char *path, int depth)
{
	struct tree_name *name, *next;
	char below[sizeof(build->path)];
	struct file *file;
	int err = 0;

	HASH_ITER(hh, tree_names(&state->floor, id), name, next) {
		file = state_file(state, name->id);
		if (!file)
			continue;
		snprintf(below, sizeof(below), "%s%s%s", path,
			 *path ? "/" : "", name->name);
		err = build_name(build, state, file, fd, name->name, below,
				 depth);
		if (!err)
			continue;
		/* The innermost one is what it is about. */
		if (!*build->path)
			snprintf(build->path, sizeof(build->path), "%s",
				 below);
		return err;
	}
	return 0;
}

/* ---- what directories are to have, last ---- */

static int build_dirs(struct build *build, struct state *state,
		      struct file *file, int fd);

static int build_dir_below(struct build *build, struct state *state,
			   struct file *file, int dir, const char *name)
{
	int fd = build_open_dir(dir, name), err;

	if (fd < 0)
		return fd;
	err = build_dirs(build, state, file, fd);
	close(fd);
	return err;
}

/* The directory @file, open as @fd, after those below it. */
static int build_dirs(struct build *build, struct state *state,
		      struct file *file, int fd)
{
	struct record_attr attr = file->attr;
	struct tree_name *name, *next;
	struct file *below;
	int err = 0;

	HASH_ITER(hh, tree_names(&state->floor, file->id), name, next) {
		below = state_file(state, name->id);
		if (below && S_ISDIR(below->attr.mode))
			err = build_dir_below(build, state, below, fd,
					      name->name);
		if (err)
			return err;
	}
	build_changes(state, file, -1, &attr);
	err = build_attr(fd, &attr);
	if (err)
		snprintf(build->path, sizeof(build->path), "%s",
			 file->built ? file->built : "");
	return err;
}

/* ---- names of an outcome, and back ---- */

struct undo {
	struct naming naming;
	struct undo *before;
};

static struct undo *build_enter(struct state *state)
{
	struct undo *last = NULL, *undo;
	struct naming names[2];
	struct change *change;
	int i, count;

	TAILQ_FOREACH(change, &state->names, pending) {
		count = change->keep ? change_names(change, names) : 0;
		for (i = 0; i < count; i++) {
			undo = need(malloc(sizeof(*undo)));
			undo->naming = names[i];
			undo->naming.id = tree_set(&state->floor, names[i].dir,
						   names[i].name, names[i].id);
			undo->before = last;
			last = undo;
		}
	}
	return last;
}

static void build_leave(struct state *state, struct undo *last)
{
	struct undo *before;
	struct file *file, *next;

	for (; last; last = before) {
		before = last->before;
		tree_set(&state->floor, last->naming.dir, last->naming.name,
			 last->naming.id);
		free(last);
	}
	HASH_ITER(hh, state->files, file, next) {
		free(file->built);
		file->built = NULL;
	}
}

/* ---- the whole ---- */

static int build_is_empty(int fd)
{
	DIR *stream = fdopendir(dup(fd));
	struct dirent *entry;
	int count = 0;

	if (!stream)
		return -errno;
	while ((entry = readdir(stream)))
		count += strcmp(entry->d_name, ".") &&
			strcmp(entry->d_name, "..");
	closedir(stream);
	return count ? -ENOTEMPTY : 0;
}

int build_outcome(struct build *build, struct outcome *outcome,
		  const char *dir)
{
	struct state *state = outcome->state;
	struct undo *undo;
	int fd, err;

	build->path[0] = '\0';
	build->unmade = 0;
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = build_is_empty(fd);
	if (!err) {
		build->top = fd;
		undo = build_enter(state);
		err = build_names(build, state, RECORD_ROOT, fd, "", 0);
		if (!err)
			err = build_dirs(build, state,
					 state_file(state, RECORD_ROOT), fd);
		build_leave(state, undo);
	}
	close(fd);
	return err;
}

/* So that we may empty the directory. */
static void build_unlock(int dir, const char *name)
{
	fchmodat(dir, name, 0700, AT_SYMLINK_NOFOLLOW);
}

static int build_empty(int fd)
{
	DIR *stream = fdopendir(fd);
	struct dirent *entry;
	int sub, err = 0;

	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	while (!err && (entry = readdir(stream))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!unlinkat(fd, entry->d_name, 0))
			continue;
		if (errno != EISDIR && errno != EPERM) {
			err = -errno;
			break;
		}
		build_unlock(fd, entry->d_name);
		sub = build_open_dir(fd, entry->d_name);
		err = sub < 0 ? sub : build_empty(sub);
		if (!err && unlinkat(fd, entry->d_name, AT_REMOVEDIR))
			err = -errno;
	}
	closedir(stream);
	return err;
}

int build_remove(const char *dir)
{
	int fd, err;

	build_unlock(AT_FDCWD, dir);
	fd = build_open_dir(AT_FDCWD, dir);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = build_empty(fd);
	return err ? err : rmdir(dir) ? -errno : 0;
}

/* ---- contents from elsewhere ---- */

static int build_take_file(struct build *build, struct file *file,
			   const char *path)
{
	struct stat st;
	int fd;

	snprintf(build->path, sizeof(build->path), "%s", path);
	if (!S_ISREG(file->attr.mode) || file->base || !file->size)
		return 0;
	fd = openat(build->base, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	close(fd);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != file->size)
		return -ESTALE;
	file->base = need(strdup(path));
	extents_put(&file->data, 0, file->size, 0, true);
	return 0;
}

const char *build_base_fault(int err)
{
	return err == -ESTALE ?
		"is not as it was when the recording began" : strerror(-err);
}

int build_take_base(struct build *build, struct state *state)
{
	char path[sizeof(build->path)];
	struct file *file, *next;
	int err = 0;

	HASH_ITER(hh, state->files, file, next) {
		if (err || file->id == RECORD_ROOT)
			continue;
		err = build_take_file(build, file,
				      state_path(state, file->id, path,
						 sizeof(path)));
	}
	return err;
}
