/*
 * recorder.c - what is done to the files, written to a record as it is done.
 *
 * A file is named in the record by an id which it gets when it is made or
 * first met, and which stays when names change; a new file gets a new id,
 * even if it has a dead file's inode number. (dev, ino) tells files apart
 * while they live, because the daemon holds a descriptor of each one that a
 * client knows. One that has no name any more and that the kernel gives back is
 * forgotten here, too, before its number can be a new file's: somebody may find
 * that one before it is told that it was made. All others stay: some 100 bytes
 * for each file.
 *
 * When FILE cannot be written to any more (a full disk), recording stops: one
 * line in the log, and FILE's header says so for ever. Clients notice
 * nothing; a write of theirs must not fail for the sake of a record.
 *
 * A request that was begun is kept by the kernel's name for it (@unique) until
 * its answer passes. Lock: @lock guards ids and those requests, for a look-up,
 * and while a stranger is put into the record, so that it stands there before
 * what others do to it; the writer has its own, taken after it or alone.
 */
#include "fs/recorder.h"
#include "fs/recorder_int.h"
#include "fs/mountpoint.h"
#include "fs/report.h"
#include "fs/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct recorder *recorder_running;

/* ---- ids ---- */

struct recorder_id *recorder_entry(struct recorder_id **ids, dev_t dev,
				   ino_t ino, bool *known)
{
	struct recorder_id *entry, want = { .key = { dev, ino } };

	HASH_FIND(hh, *ids, &want.key, sizeof(want.key), entry);
	*known = entry;
	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->key.dev = dev;
	entry->key.ino = ino;
	HASH_ADD(hh, *ids, key, sizeof(entry->key), entry);
	return entry;
}

void recorder_free_ids(struct recorder_id **ids)
{
	struct recorder_id *entry, *next;

	HASH_ITER(hh, *ids, entry, next) {
		HASH_DEL(*ids, entry);
		free(entry);
	}
}

/* => As recorder_id_of(); the lock is held. */
static uint64_t recorder_identify(struct recorder *recorder, dev_t dev,
				  ino_t ino, bool *known)
{
	struct recorder_id *entry;

	entry = recorder_entry(&recorder->ids, dev, ino, known);
	if (entry && !*known)
		entry->id = ++recorder->last_id;
	return entry ? entry->id : 0;
}

uint64_t recorder_id_of(struct recorder *recorder, dev_t dev, ino_t ino,
			bool *known)
{
	uint64_t id;

	pthread_mutex_lock(&recorder->lock);
	id = recorder_identify(recorder, dev, ino, known);
	pthread_mutex_unlock(&recorder->lock);
	return id;
}

uint64_t recorder_new_id(struct recorder *recorder)
{
	uint64_t id;

	pthread_mutex_lock(&recorder->lock);
	id = ++recorder->last_id;
	pthread_mutex_unlock(&recorder->lock);
	return id;
}

/*
 * @id was made and is now (@dev, @ino). => The id which the new file was given
 * by who found it before that was told; 0: nobody did.
 */
static uint64_t recorder_bind(struct recorder *recorder, dev_t dev, ino_t ino,
			      uint64_t id)
{
	struct recorder_id *entry;
	uint64_t early = 0;
	bool known;

	pthread_mutex_lock(&recorder->lock);
	entry = recorder_entry(&recorder->ids, dev, ino, &known);
	if (entry) {
		early = entry->id > id ? entry->id : 0;
		entry->id = id;
	}
	pthread_mutex_unlock(&recorder->lock);
	return early;
}

/* (Whoever is asked about SOURCE is not waited for.) */
int recorder_hold_dead(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_NLINK,
		  &stx) || stx.stx_nlink)
		return -1;
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static void recorder_drop_id(struct recorder *recorder, dev_t dev, ino_t ino)
{
	struct recorder_id *entry, want = { .key = { dev, ino } };

	pthread_mutex_lock(&recorder->lock);
	HASH_FIND(hh, recorder->ids, &want.key, sizeof(want.key), entry);
	if (entry)
		HASH_DEL(recorder->ids, entry);
	pthread_mutex_unlock(&recorder->lock);
	free(entry);
}

void recorder_forget(int held, bool gone, dev_t dev, ino_t ino)
{
	struct recorder *recorder = recorder_running;

	if (gone && recorder)
		recorder_drop_id(recorder, dev, ino);
	close(held);
}

/* It may have come behind our back. */
uint64_t recorder_id_of_node(struct recorder *recorder, uint64_t nodeid)
{
	const struct inode *inode = volume_inode(recorder->volume, nodeid);
	struct record record = { .type = RECORD_STRANGER };
	bool known;

	pthread_mutex_lock(&recorder->lock);
	record.file = recorder_identify(recorder, inode->dev, inode->ino,
					&known);
	if (!known)
		recorder_put(recorder, &record, NULL, 0);
	pthread_mutex_unlock(&recorder->lock);
	return record.file;
}

/* ---- appending ---- */

uint64_t recorder_put(struct recorder *recorder, struct record *record,
		      const struct iovec *pieces, int count)
{
	uint64_t number;
	int err;

	number = record_writer_append(&recorder->writer, record, pieces,
				      count, &err);
	if (err)
		report("record %s: %s: recording stops after record %llu, "
		       "and the file says so; serving goes on",
		       recorder->path, strerror(-err),
		       (unsigned long long)recorder->writer.head.count);
	return number;
}

/* ---- requests and answers ---- */

static void recorder_note(struct recorder *recorder,
			  const struct fuse_in_header *in, uint64_t number,
			  uint64_t makes)
{
	struct recorder_op *op = malloc(sizeof(*op));

	if (!op)
		return;		/* it then never ends, which is bad enough */
	op->unique = in->unique;
	op->number = number;
	op->makes = makes;
	op->opcode = in->opcode;
	pthread_mutex_lock(&recorder->lock);
	HASH_ADD(hh, recorder->ops, unique, sizeof(op->unique), op);
	pthread_mutex_unlock(&recorder->lock);
}

void recorder_take_request(const struct fuse_in_header *in, size_t length)
{
	struct recorder *recorder = recorder_running;
	struct recorder_begin begin;
	uint64_t number;

	if (!recorder_parse(recorder, in, length, &begin))
		return;
	number = recorder_put(recorder, &begin.record, begin.pieces,
			      begin.count);
	if (number)
		recorder_note(recorder, in, number,
			      begin.record.type == RECORD_MAKE ?
			      begin.record.file : 0);
}

/* => The request that @unique is the answer to, or NULL; to be freed. */
static struct recorder_op *recorder_find(struct recorder *recorder,
					 uint64_t unique)
{
	struct recorder_op *op;

	pthread_mutex_lock(&recorder->lock);
	HASH_FIND(hh, recorder->ops, &unique, sizeof(unique), op);
	if (op)
		HASH_DEL(recorder->ops, op);
	pthread_mutex_unlock(&recorder->lock);
	return op;
}

/* A file was made: what the kernel is about to be told of it. */
static struct iovec recorder_made(struct recorder *recorder,
				  const struct recorder_op *op,
				  const struct fuse_entry_out *entry,
				  struct record *end,
				  uint8_t bytes[RECORD_ATTR])
{
	const struct inode *inode = volume_inode(recorder->volume,
						 entry->nodeid);
	struct record_attr attr = { entry->attr.mode, entry->attr.uid,
				    entry->attr.gid, entry->attr.rdev };

	end->file = recorder_bind(recorder, inode->dev, inode->ino, op->makes);
	record_put_attr(bytes, &attr);
	return (struct iovec){ bytes, RECORD_ATTR };
}

/* Bytes, of an answer. Of a write that failed, but whose client is not told
 * how far it came, they are @moved. */
static size_t recorder_moved(const struct recorder_op *op,
			     const struct iovec *iov, int count, size_t moved)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	const struct fuse_write_out *written;
	int i;

	if (out->error)
		return op->opcode == FUSE_WRITE ? moved : 0;
	if (op->opcode == FUSE_WRITE && count > 1) {
		written = iov[1].iov_base;
		return written->size;
	}
	moved = 0;
	for (i = 1; op->opcode == FUSE_READ && i < count; i++)
		moved += iov[i].iov_len;
	return moved;
}

void recorder_take_answer(const struct iovec *iov, int count, size_t moved,
			  int64_t place, bool late)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	struct recorder *recorder = recorder_running;
	struct record record = {
		.type = RECORD_END,
		.flags = late ? RECORD_LATE : 0,
	};
	uint8_t bytes[RECORD_ATTR];
	struct recorder_op *op;
	struct iovec piece;

	/* What is no answer (a notification) has no number. */
	op = out->unique ? recorder_find(recorder, out->unique) : NULL;
	if (!op)
		return;
	record.op = op->number;
	record.arg = out->error;
	if (op->makes && !out->error && count > 1 &&
	    iov[1].iov_len >= sizeof(struct fuse_entry_out)) {
		piece = recorder_made(recorder, op, iov[1].iov_base, &record,
				      bytes);
		recorder_put(recorder, &record, &piece, 1);
	} else {
		record.length = recorder_moved(op, iov, count, moved);
		if (op->opcode == FUSE_WRITE && record.length && place >= 0) {
			record.flags |= RECORD_PLACED;
			record.offset = place;
		}
		recorder_put(recorder, &record, NULL, 0);
	}
	free(op);
}

/* ---- beginning and end of it all ---- */

/* FILE, as a path from the root; it need not exist, its directory must. */
static int recorder_check_place(const struct options *options)
{
	char *copy = strdup(options->record), *directory;
	struct stat source, mountpoint;
	int in_source, in_mount, err = 0;

	if (!copy)
		return -ENOMEM;
	directory = dirname(copy);
	if (stat(directory, &source))
		err = -errno;
	if (!err && (stat(options->source, &source) ||
		     stat(options->mountpoint, &mountpoint)))
		err = -errno;
	if (err) {
		report("record=%s: %s: name a file in a directory that there "
		       "is", options->record, strerror(-err));
		free(copy);
		return err;
	}
	in_source = mountpoint_is_below(directory, &source);
	in_mount = mountpoint_is_below(directory, &mountpoint);
	free(copy);
	if (!in_source && !in_mount)
		return 0;
	report("record=%s lies in %s, which would record itself: choose a "
	       "place outside SOURCE and MOUNTPOINT", options->record,
	       in_source ? "SOURCE" : "MOUNTPOINT");
	return -EINVAL;
}

static int recorder_make_file(struct recorder *recorder,
			      const struct options *options)
{
	int err;

	err = record_writer_open(&recorder->writer, options->record,
				 options->record_base);
	if (err == -EEXIST)
		report("record=%s exists: a record is not written over: "
		       "remove it or name another", options->record);
	else if (err)
		report("record=%s: %s", options->record, strerror(-err));
	return err;
}

static int recorder_start(struct recorder *recorder, struct volume *volume)
{
	const struct inode *root = &volume->inodes.root;
	bool known;
	int err;

	recorder->volume = volume;
	err = recorder_make_file(recorder, &volume->options);
	if (err)
		return err;
	recorder_id_of(recorder, root->dev, root->ino, &known);
	err = recorder_put_base(recorder, root->fd);
	if (!err)
		return 0;
	record_writer_close(&recorder->writer);
	unlink(volume->options.record);
	return err;
}

static void recorder_free(struct recorder *recorder)
{
	struct recorder_op *op, *next_op;

	recorder_free_ids(&recorder->ids);
	HASH_ITER(hh, recorder->ops, op, next_op) {
		HASH_DEL(recorder->ops, op);
		free(op);
	}
	pthread_mutex_destroy(&recorder->lock);
	free(recorder);
}

int recorder_open(struct volume *volume)
{
	struct recorder *recorder;
	int err;

	if (!volume->options.record)
		return 0;
	err = recorder_check_place(&volume->options);
	if (err)
		return err;
	recorder = calloc(1, sizeof(*recorder));
	if (!recorder)
		return -ENOMEM;
	recorder->path = volume->options.record;
	pthread_mutex_init(&recorder->lock, NULL);
	/* A limit on file sizes is to stop the recording, not us. */
	signal(SIGXFSZ, SIG_IGN);
	err = recorder_start(recorder, volume);
	if (err)
		recorder_free(recorder);
	else
		recorder_running = recorder;
	return err;
}

void recorder_close(void)
{
	struct recorder *recorder = recorder_running;
	int err;

	if (!recorder)
		return;
	recorder_running = NULL;
	err = record_writer_close(&recorder->writer);
	if (err)
		report("record %s: %s: its end is not noted in it",
		       recorder->path, strerror(-err));
	recorder_free(recorder);
}
