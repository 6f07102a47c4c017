/*
 * keep.c - may the kernel keep what it has cached of a file being opened?
 *
 * An open after which the kernel drops the file's pages takes a sample: size,
 * mtime and ctime. If a later open finds them the same, and the sample was a
 * good one, then every page read in between is still as in the file. A good
 * sample:
 *
 *  - Its ctime has passed: by the clock that file systems take the time from
 *    any later change brings another one. (As git does with its index.)
 *  - Nobody had the file open for writing. A write sets the times before it
 *    moves the bytes, which may take long, and stores through a mapping do so
 *    only with the first to each page. A later writer, or mapping, begins
 *    with a change of ctime.
 *  - The kernel has dropped the older pages. It does so when it has the
 *    answer to the open; until then another open, which may be on its way at
 *    the same time, must not keep them. Closing the file shows that it has.
 *    (What the kernel opens for itself drops none: file_is_clients().)
 *  - No faults were injected, no writes held or failed, from then to now.
 *  - Nobody had the file open on the mount to write with O_DIRECT, from the
 *    start or (fcntl(2)) as of the first such write. The kernel drops pages when
 *    such a write begins; one that is read while it is on its way may be of
 *    before it.
 *
 * After writes through the mount ctime is another one and the next open takes
 * a new sample, not the last close: somebody may have written in SOURCE
 * meanwhile, and the times cannot tell whose write they are of.
 *
 * Only SOURCE's own file system is trusted with this, if it is one whose
 * times are known to be set that way. On tmpfs and ramfs stores through a
 * mapping never set them; there a file must also have no writer now.
 *
 * With -o kernel_cache the user says that nobody changes SOURCE but through
 * the mount, and the kernel itself sees to it that what it has cached follows
 * such changes. Then the file is not looked at, in no file system; of a good
 * sample remain that the older pages are dropped, and the faults.
 *
 * Lock: keep_lock guards struct keep of all inodes, for a few instructions.
 */
#include "fs/keep.h"
#include "fs/file.h"
#include "fs/gate.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define KEEP_SECOND	1000000000
/* How long ago the last change must be; where times are in whole seconds. */
#define KEEP_AGE	20000000
#define KEEP_AGE_COARSE	(2ll * KEEP_SECOND)

static pthread_mutex_t keep_lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t keep_ns(struct timespec time)
{
	return (int64_t)((uint64_t)time.tv_sec * KEEP_SECOND + time.tv_nsec);
}

/*
 * Does anybody but @file have it open for writing? If nobody does, we can
 * have a lease. It is given back at once; who opens the file meanwhile waits
 * for that (or is told EAGAIN, with O_NONBLOCK), and we get a SIGIO, which is
 * ignored. Having the file open for writing ourselves we can only have the
 * lease that readers are in the way of, too. => true: or we cannot tell.
 */
static bool keep_writers(const struct file *file)
{
	bool reads = (file->flags & O_ACCMODE) == O_RDONLY;

	if (fcntl(file->fd, F_SETLEASE, reads ? F_RDLCK : F_WRLCK))
		return true;
	fcntl(file->fd, F_SETLEASE, F_UNLCK);
	return false;
}

static bool keep_same(const struct keep *a, const struct keep *b)
{
	return a->size == b->size && a->mtime == b->mtime &&
	       a->ctime == b->ctime && a->disturbed == b->disturbed;
}

/* => false: this is no time for it. */
static bool keep_undisturbed(struct keep *sample)
{
	bool quiet;

	*sample = (struct keep){ .disturbed = gate_disturbed(&quiet) };
	return quiet;
}

/*
 * => false: it cannot be told. *@passed: has the ctime, so that a change from
 * now on brings another one?
 */
static bool keep_times(const struct file *file, struct keep *sample,
		       bool *passed)
{
	struct timespec now;
	struct stat st;

	/* Not what the time is, but what a file changed now would get. */
	if (clock_gettime(CLOCK_REALTIME_COARSE, &now) || fstat(file->fd, &st))
		return false;
	sample->size = st.st_size;
	sample->mtime = keep_ns(st.st_mtim);
	sample->ctime = keep_ns(st.st_ctim);
	*passed = keep_ns(now) - sample->ctime >
		(st.st_ctim.tv_nsec ? KEEP_AGE : KEEP_AGE_COARSE);
	return true;
}

static unsigned int keep_start(struct inode *inode, const struct keep *sample)
{
	unsigned int round;

	pthread_mutex_lock(&keep_lock);
	round = inode->keep.round + 1;
	round += !round;
	inode->keep = *sample;
	inode->keep.round = round;
	pthread_mutex_unlock(&keep_lock);
	return round;
}

/* There is no good sample of @inode: what is seen now may go unseen later. */
static void keep_forget(struct inode *inode)
{
	pthread_mutex_lock(&keep_lock);
	inode->keep.size = -1;
	pthread_mutex_unlock(&keep_lock);
}

/* => Is @sample that of a good one before? *@round: which, if it still waits
 * to be settled; 0: it does not. */
static bool keep_known(struct inode *inode, const struct keep *sample,
		       unsigned int *round)
{
	bool known;

	pthread_mutex_lock(&keep_lock);
	known = inode->keep.round && keep_same(&inode->keep, sample);
	*round = known && !inode->keep.settled ? inode->keep.round : 0;
	pthread_mutex_unlock(&keep_lock);
	return known;
}

/* May a file system's times be trusted? */
static bool keep_trusts(const struct volume *volume, const struct inode *inode)
{
	return volume->local && inode->dev == volume->inodes.root.dev;
}

bool keep_open(struct volume *volume, struct inode *inode, struct file *file)
{
	bool others = volume->options.cache != OPTIONS_CACHE_ALWAYS;
	bool passed = true;
	struct keep sample;

	if (volume->options.cache == OPTIONS_CACHE_NEVER ||
	    atomic_load(&inode->past_cache) || !keep_undisturbed(&sample) ||
	    (others && !(keep_trusts(volume, inode) &&
			 keep_times(file, &sample, &passed))))
		return false;
	if (keep_known(inode, &sample, &file->keep_round) &&
	    !(others && file->in_memory && keep_writers(file)))
		return !file->keep_round;
	file->keep_round = 0;
	if (!passed || (others && keep_writers(file)))
		keep_forget(inode);
	else
		file->keep_round = keep_start(inode, &sample);
	return false;
}

void keep_settle(struct inode *inode, unsigned int round)
{
	if (!round)
		return;
	pthread_mutex_lock(&keep_lock);
	if (inode->keep.round == round)
		inode->keep.settled = true;
	pthread_mutex_unlock(&keep_lock);
}

void keep_past_cache(struct inode *inode, bool comes)
{
	if (comes)
		atomic_fetch_add(&inode->past_cache, 1);
	keep_forget(inode);
	if (!comes)
		atomic_fetch_sub(&inode->past_cache, 1);
}
