/*
 * volume.c - ways into SOURCE: from a name, from an inode, to an entry.
 *
 * A lookup first stats the name: the usual case is an inode which the table
 * knows, and then no descriptor is opened. It is safe to go by (dev, ino)
 * because the inode's own descriptor pins it. For one that is not pinned the
 * name is asked for its handle. If that is the inode's, the file was there all
 * the time since the inode became known, so nothing else had its number when
 * the name was stat'ed. Only an unknown one is opened and stat'ed again
 * through the descriptor, which is what counts.
 *
 * No locks of its own; the inode table has one.
 */
#include "fs/volume.h"
#include "fs/again.h"
#include "fs/held.h"
#include "fs/path.h"
#include "fs/recorder.h"
#include "fs/report.h"
#include "fs/unnamed.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/*
 * How the descriptors we may have are shared out: inodes without which we
 * can do, what clients open, and our own, a few for each thread.
 */
#define VOLUME_FD_WISH		1048576
#define VOLUME_FD_OWN		512
#define VOLUME_INODES_MIN	64
#define VOLUME_INODES_SHARE	16	/* of what there is, if we have handles */

#define VOLUME_REPORT_SECONDS	60

/* Descriptors which this request opened to use an inode that has none. */
#define VOLUME_USED	16	/* by handlers, rules and quotas together */
static __thread int volume_used[VOLUME_USED];
static __thread unsigned int volume_nused;

static size_t volume_raise_descriptors(void)
{
	struct rlimit limit, wish = { VOLUME_FD_WISH, VOLUME_FD_WISH };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (setrlimit(RLIMIT_NOFILE, &wish)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}

/* => Descriptors for inodes; what clients may open goes to @volume. */
static size_t volume_share_out(struct volume *volume)
{
	size_t limit = volume_raise_descriptors(), inodes;

	limit -= limit > 2 * VOLUME_FD_OWN ? VOLUME_FD_OWN : limit / 2;
	inodes = volume->mount_fd < 0 ? limit / 2 :
		limit / VOLUME_INODES_SHARE;
	if (volume->options.inode_fds)
		inodes = volume->options.inode_fds;
	if (inodes < VOLUME_INODES_MIN && !volume->options.inode_fds)
		inodes = VOLUME_INODES_MIN;
	if (inodes > limit / 2)
		inodes = limit / 2;
	volume->open_room = limit - inodes;
	report_at(REPORT_INFO, "descriptors: %zu for open files, %zu for "
		  "inodes, %s", volume->open_room, inodes,
		  volume->mount_fd < 0 ? "no more" : "more by file handle");
	return inodes;
}

/* May we open by handle here? */
static void volume_open_handles(struct volume *volume, int root_fd)
{
	int fd;

	volume->root_handle = handle_of(root_fd);
	volume->mount_fd = open(volume->options.source, O_RDONLY |
				O_DIRECTORY | O_CLOEXEC);
	if (volume->mount_fd < 0)
		return;
	fd = volume->root_handle ? handle_open(volume->mount_fd,
					       volume->root_handle, O_PATH) :
		-1;
	if (fd >= 0) {
		close(fd);
	} else {
		close(volume->mount_fd);
		volume->mount_fd = -1;
	}
}

/* Is a file system's memory of a file as good as asking it? */
static bool volume_type_is_local(long type)
{
	static const long types[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC, TMPFS_MAGIC, RAMFS_MAGIC,
	};
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (type == types[i])
			return true;
	return false;
}

static bool volume_is_memory(long type)
{
	return type == TMPFS_MAGIC || type == (long)RAMFS_MAGIC;
}

static int volume_know_root(struct volume *volume, int fd)
{
	struct statfs fs;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID,
		  &stx))
		return -errno;
	volume->root_mount = stx.stx_mnt_id;
	if (fstatfs(fd, &fs))
		return 0;
	volume->local = volume_type_is_local(fs.f_type);
	volume->in_memory = volume_is_memory(fs.f_type);
	return 0;
}

static int volume_open_source(struct volume *volume)
{
	int fd = open(volume->options.source, O_PATH | O_DIRECTORY |
		      O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	volume_open_handles(volume, fd);
	err = volume_know_root(volume, fd) ?:
	      inode_table_create(&volume->inodes, fd,
				 volume_share_out(volume));
	if (err)
		close(fd);
	return err;
}

int volume_open(struct volume *volume)
{
	int err;

	volume->privileged = geteuid() == 0;
	volume->proc_fd = open("/proc/self/fd", O_PATH | O_CLOEXEC);
	if (volume->proc_fd < 0) {
		err = -errno;
		report("/proc/self/fd: %s: mount proc on /proc first",
		       strerror(-err));
		return err;
	}
	err = volume_open_source(volume);
	if (err) {
		report("SOURCE %s: %s", volume->options.source,
		       strerror(-err));
		close(volume->proc_fd);
	}
	return err;
}

void volume_close(struct volume *volume)
{
	inode_table_destroy(&volume->inodes);
	if (volume->mount_fd >= 0)
		close(volume->mount_fd);
	free(volume->root_handle);
	close(volume->proc_fd);
}

bool volume_name_ok(const char *name)
{
	return name[0] && strcmp(name, ".") && strcmp(name, "..") &&
	       !strchr(name, '/');
}

struct volume_path volume_path(int fd)
{
	struct volume_path path;

	snprintf(path.name, sizeof(path.name), "/proc/self/fd/%d", fd);
	return path;
}

static time_t volume_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + VOLUME_REPORT_SECONDS;
}

int volume_blame(struct volume *volume, int err)
{
	long now = volume_now(), last = volume->exhausted;

	if (err != -EMFILE && err != -ENFILE)
		return err;
	if (now - last >= VOLUME_REPORT_SECONDS &&
	    atomic_compare_exchange_strong(&volume->exhausted, &last, now))
		report_at(REPORT_WARNING, "out of descriptors: clients have %zu "
			  "open, %zu inodes have one: clients are told "
			  "ENFILE: allow the daemon more (ulimit -n; systemd: "
			  "LimitNOFILE=)", volume->opened,
			  volume->inodes.pinned);
	return -ENFILE;
}

int volume_take_fd(struct volume *volume)
{
	if (atomic_fetch_add(&volume->opened, 1) < volume->open_room)
		return 0;
	volume->opened--;
	return volume_blame(volume, -ENFILE);
}

void volume_give_fd(struct volume *volume)
{
	volume->opened--;
}

void volume_close_fd(struct volume *volume, int fd)
{
	close(fd);
	volume->opened--;
}

/* Open @inode by its handle or through the magic link of its descriptor. */
static int volume_open_inode(struct volume *volume, const struct inode *inode,
			     int flags)
{
	char number[16];
	int fd = inode->fd;

	if (fd < 0)
		return handle_open(volume->mount_fd, inode->handle, flags);
	snprintf(number, sizeof(number), "%d", fd);
	fd = AGAIN(openat(volume->proc_fd, number,
			  flags | O_CLOEXEC | O_NOCTTY));
	return fd < 0 ? -errno : fd;
}

/* => An O_PATH descriptor of @name, or -1 and errno. */
static int volume_find(int dir_fd, const char *name)
{
	return AGAIN(openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
}

int volume_reopen(struct volume *volume, const struct inode *inode,
		  int flags)
{
	int fd;

	/* Special files are the kernel's: opening one here might block. */
	if (inode->type != S_IFREG && inode->type != S_IFDIR)
		return -ENXIO;
	fd = volume_take_fd(volume);
	if (fd)
		return fd;
	fd = volume_open_inode(volume, inode, flags & ~(O_NOFOLLOW | O_CREAT |
							O_EXCL));
	if (fd >= 0)
		return fd;
	volume->opened--;
	return volume_blame(volume, fd);
}

int volume_fd(struct volume *volume, const struct inode *inode)
{
	int fd = inode->fd;

	if (fd >= 0)
		return fd;
	assert(volume_nused < VOLUME_USED);
	fd = handle_open(volume->mount_fd, inode->handle, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return volume_blame(volume, fd);
	volume_used[volume_nused++] = fd;
	return fd;
}

int volume_use(fuse_req_t req, fuse_ino_t ino)
{
	int fd = volume_fd(volume_of(req), volume_target(req, ino));

	if (fd >= 0)
		return fd;
	fuse_reply_err(req, -fd);
	return -1;
}

void volume_let_go(void)
{
	while (volume_nused)
		close(volume_used[--volume_nused]);
}

/*
 * A mount has one device number, so files of another file system mounted
 * inside SOURCE must not look like hard links of ours with the same inode
 * number. The same goes for what is seen twice because it is bound into
 * SOURCE at a second place: a directory can have one place only.
 */
static dev_t volume_identity(const struct volume *volume,
			     const struct statx *stx)
{
	dev_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);

	if (stx->stx_mnt_id == volume->root_mount)
		return dev;
	return dev ^ stx->stx_mnt_id << 32 ^ 1ull << 63;
}

ino_t volume_ino(const struct volume *volume, dev_t dev, ino_t ino)
{
	if (dev == volume->inodes.root.dev)
		return ino;
	return ino ^ (ino_t)dev * 0x9e3779b97f4a7c15u;
}

static struct timespec volume_time(const struct statx_timestamp *time)
{
	return (struct timespec){ time->tv_sec, time->tv_nsec };
}

void volume_to_stat(const struct volume *volume, const struct statx *stx,
		    struct stat *st)
{
	*st = (struct stat){
		.st_dev = volume_identity(volume, stx),
		.st_ino = stx->stx_ino,
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = stx->stx_blocks,
		.st_atim = volume_time(&stx->stx_atime),
		.st_mtim = volume_time(&stx->stx_mtime),
		.st_ctim = volume_time(&stx->stx_ctime),
	};
}

static bool volume_is_own(struct volume *volume, const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor) ==
	       atomic_load_explicit(&volume->own_dev, memory_order_relaxed);
}

/*
 * statx(2) of @name in @dir_fd or, if it is empty, of @dir_fd, that never
 * waits for ourselves. => 0 or -errno; -ELOOP: it is our own mount.
 */
static int volume_ask(struct volume *volume, int dir_fd, const char *name,
		      unsigned int mask, struct statx *stx)
{
	const int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW |
			  AT_NO_AUTOMOUNT;

	mask |= STATX_BASIC_STATS | STATX_MNT_ID;
	if (AGAIN(statx(dir_fd, name, flags | AT_STATX_DONT_SYNC, mask, stx)))
		return -errno;
	if (volume_is_own(volume, stx))
		return -ELOOP;
	if (volume->local && stx->stx_mnt_id == volume->root_mount)
		return 0;
	return AGAIN(statx(dir_fd, name, flags, mask, stx)) ? -errno : 0;
}

/* With what is held of the file, which was asked for after @moment. => false:
 * held_show(). */
static bool volume_show(const struct volume *volume, uint64_t moment,
			struct statx *stx)
{
	struct held_shown shown = { stx->stx_size, stx->stx_blocks };

	if (!held_show(moment, volume_identity(volume, stx), stx->stx_ino,
		       stx->stx_mode, &shown))
		return false;
	stx->stx_size = shown.size;
	stx->stx_blocks = shown.blocks;
	return true;
}

/* => 0 or -errno; @st->st_dev: volume_identity(). */
static int volume_stat(struct volume *volume, int dir_fd, const char *name,
		       struct stat *st)
{
	struct statx stx;
	uint64_t moment;
	int err;

	do {
		moment = held_moment();
		err = volume_ask(volume, dir_fd, name, 0, &stx);
		if (err)
			return err;
	} while (!volume_show(volume, moment, &stx));
	volume_to_stat(volume, &stx, st);
	return 0;
}

int volume_getattr(struct volume *volume, int fd, struct stat *st)
{
	int err = volume_stat(volume, fd, "", st);

	if (!err)
		st->st_ino = volume_ino(volume, st->st_dev, st->st_ino);
	return err;
}

int volume_statx(struct volume *volume, int fd, int flags, struct statx *stx)
{
	const unsigned int mask = STATX_BASIC_STATS | STATX_BTIME |
				  STATX_MNT_ID;
	uint64_t moment;

	do {
		moment = held_moment();
		if (AGAIN(statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW |
				(flags & AT_STATX_SYNC_TYPE), mask, stx)))
			return -errno;
	} while (!volume_show(volume, moment, stx));
	stx->stx_ino = volume_ino(volume, volume_identity(volume, stx),
				  stx->stx_ino);
	return 0;
}

/* Is it one that can be opened by its handle through SOURCE's mount? */
static bool volume_reopens(const struct volume *volume,
			   const struct handle *handle)
{
	return handle && volume->mount_fd >= 0 &&
	       handle_same_mount(handle, volume->root_handle);
}

static struct inode *volume_add(struct volume *volume, int fd,
				const struct stat *st, bool by_handle)
{
	struct handle *handle = by_handle ? handle_of(fd) : NULL;
	struct inode *inode;

	inode = inode_add(&volume->inodes, fd, st, handle,
			  volume_reopens(volume, handle));
	if (!inode)
		free(handle);
	return inode;
}

/* => The inode of @fd, O_PATH and of @st, having taken over @fd; NULL, errno. */
static struct inode *volume_enter(struct volume *volume, int fd,
				  const struct stat *st)
{
	struct inode *inode;
	int err;

	if (fd < 0) {
		errno = -volume_blame(volume, -errno);
		return NULL;
	}
	inode = volume_add(volume, fd, st,
			   inode_table_wants_handles(&volume->inodes));
	if (!inode && errno == EAGAIN)
		inode = volume_add(volume, fd, st, true);
	if (!inode) {
		err = volume_blame(volume, -errno);
		close(fd);
		errno = -err;
	}
	return inode;
}

/* The same, and *@st is what @fd says it is. */
static struct inode *volume_learn(struct volume *volume, int fd,
				  struct stat *st)
{
	int err = fd < 0 ? 0 : volume_stat(volume, fd, "", st);

	if (!err)
		return volume_enter(volume, fd, st);
	close(fd);
	errno = -err;
	return NULL;
}

bool volume_is_local(const struct volume *volume, const struct inode *inode)
{
	return volume->local && inode->dev == volume->inodes.root.dev;
}

bool volume_in_memory(const struct volume *volume, const struct inode *inode,
		      int fd)
{
	struct statfs fs;

	if (inode->dev == volume->inodes.root.dev)
		return volume->in_memory;
	return !fstatfs(fd, &fs) && volume_is_memory(fs.f_type);
}

bool volume_has_room(struct volume *volume)
{
	return volume->mount_fd >= 0 ||
	       volume->inodes.pinned < volume->inodes.room / 8 * 7;
}

void volume_leave(struct volume *volume, int dir_fd, const char *name,
		  struct volume_leaving *leaving)
{
	leaving->fd = -1;
	leaving->handle = NULL;
	if (!atomic_load(&volume->inodes.unpinned) ||
	    volume_stat(volume, dir_fd, name, &leaving->st) ||
	    !inode_is_unsure(&volume->inodes, &leaving->st))
		return;
	leaving->fd = volume_find(dir_fd, name);
	if (leaving->fd >= 0)
		leaving->handle = handle_of(leaving->fd);
}

/* A file that has lost its last name gets no other. */
static bool volume_is_nameless(const struct volume_leaving *leaving)
{
	struct stat st;

	return S_ISDIR(leaving->st.st_mode) || fstat(leaving->fd, &st) ||
	       !st.st_nlink;
}

void volume_left(struct volume *volume, struct volume_leaving *leaving,
		 bool gone)
{
	if (gone && leaving->handle && volume_is_nameless(leaving))
		inode_pin(&volume->inodes, leaving->fd, &leaving->st,
			  leaving->handle);
	else if (leaving->fd >= 0)
		close(leaving->fd);
	free(leaving->handle);
}

static void volume_fill(struct volume *volume, struct inode *inode,
			struct stat *st, struct fuse_entry_param *entry)
{
	if (st->st_nlink != 1 && !S_ISDIR(st->st_mode))
		inode->linked = true;
	st->st_ino = volume_ino(volume, st->st_dev, st->st_ino);
	*entry = (struct fuse_entry_param){
		.ino = inode == &volume->inodes.root ?
			FUSE_ROOT_ID : (uintptr_t)inode,
		.generation = inode->generation,
		.attr = *st,
		.attr_timeout = volume->options.attr_timeout,
		.entry_timeout = volume->options.entry_timeout,
	};
}

/*
 * The inode which @name in @dir_fd, or @dir_fd itself, of @st is known as. One
 * that could have a descriptor by now is left to be opened and get it.
 */
static struct inode *volume_know(struct volume *volume, int dir_fd,
				 const char *name, const struct stat *st)
{
	struct inode *inode = inode_find(&volume->inodes, st);
	struct handle *handle;

	if (inode || !inode_table_is_full(&volume->inodes) ||
	    !inode_is_unsure(&volume->inodes, st))
		return inode;
	handle = handle_at(dir_fd, name);
	if (volume_reopens(volume, handle))
		inode = inode_find_by(&volume->inodes, st, handle);
	free(handle);
	return inode;
}

int volume_lookup(struct volume *volume, int dir_fd, const char *name,
		  struct fuse_entry_param *entry)
{
	struct inode *inode;
	struct stat st;
	int err;

	if (!volume_name_ok(name))
		return -EINVAL;
	err = volume_stat(volume, dir_fd, name, &st);
	if (err)
		return err;
	inode = volume_know(volume, dir_fd, name, &st);
	if (inode && inode->linked)
		path_renew(volume, inode, dir_fd, name);
	if (!inode)
		inode = volume_learn(volume, volume_find(dir_fd, name), &st);
	if (!inode)
		return -errno;
	volume_fill(volume, inode, &st, entry);
	return 0;
}

/* The inode of the open file @fd, by handle only. => NULL: that cannot be. */
static struct inode *volume_add_bare(struct volume *volume, int fd,
				     const struct stat *st)
{
	struct handle *handle = handle_of(fd);
	struct inode *inode = NULL;

	if (volume_reopens(volume, handle))
		inode = inode_add(&volume->inodes, -1, st, handle, true);
	if (!inode)
		free(handle);
	return inode;
}

/* => An O_PATH descriptor of what is open as @fd; -1 and errno. */
static int volume_path_fd(const struct volume *volume, int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	return openat(volume->proc_fd, number, O_PATH | O_CLOEXEC);
}

int volume_adopt(struct volume *volume, int fd,
		 struct fuse_entry_param *entry)
{
	struct inode *inode;
	struct stat st;
	int err = volume_stat(volume, fd, "", &st);

	if (err)
		return err;
	/* What is open does not turn into another file meanwhile. */
	inode = volume_know(volume, fd, "", &st);
	if (!inode && inode_table_is_full(&volume->inodes))
		inode = volume_add_bare(volume, fd, &st);
	if (!inode)
		inode = volume_enter(volume, volume_path_fd(volume, fd), &st);
	if (!inode)
		return -errno;
	volume_fill(volume, inode, &st, entry);
	return 0;
}

void volume_forget(struct volume *volume, struct inode *inode,
		   uint64_t nlookup)
{
	dev_t dev = inode->dev;
	ino_t ino = inode->ino;
	uint32_t generation = inode->generation;
	int held = recorder_hold(inode->fd);
	bool gone = inode_forget(&volume->inodes, inode, nlookup);

	if (gone) {
		held_forget(volume, dev, ino);
		unnamed_forget(inode, generation);
	}
	recorder_let_go(held, gone, dev, ino);
}

int volume_make(struct volume *volume, const struct inode *parent, int fd)
{
	struct handle *handle;
	bool reopens;

	/* By handle, if there is no room. */
	if (volume->mount_fd >= 0 && parent->dev == volume->inodes.root.dev)
		return 0;
	if (inode_reserve(&volume->inodes))
		return 0;
	handle = handle_of(fd);
	reopens = volume_reopens(volume, handle);
	free(handle);
	return reopens ? 0 : volume_blame(volume, -ENFILE);
}

void volume_made(struct volume *volume)
{
	inode_unreserve(&volume->inodes);
}

void volume_unlookup(struct volume *volume,
		     const struct fuse_entry_param *entry)
{
	volume_forget(volume, volume_inode(volume, entry->ino), 1);
}
