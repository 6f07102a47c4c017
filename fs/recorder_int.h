/*
 * recorder_int.h - what the files of the recorder share:
 *
 *	recorder	FILE, beginning and end; ids; answers
 *	recorder_base	the tree at the start
 *	recorder_parse	a request of the kernel's, as a record
 */
#ifndef FS_RECORDER_INT_H
#define FS_RECORDER_INT_H

#include "record/writer.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>
#include <uthash.h>

/* The id by which the record names a file. */
struct recorder_id {
	struct {
		dev_t dev;
		ino_t ino;
	} key;
	uint64_t id;
	UT_hash_handle hh;
};

/* A request that has no answer yet. */
struct recorder_op {
	uint64_t unique;	/* the kernel's name for it */
	uint64_t number;	/* of its beginning */
	uint64_t makes;		/* id of the file that it is to make, or 0 */
	uint32_t opcode;
	UT_hash_handle hh;
};

struct recorder {
	struct record_writer writer;
	struct volume *volume;
	char *path;		/* FILE */
	pthread_mutex_t lock;	/* all below */
	struct recorder_id *ids;
	uint64_t last_id;
	struct recorder_op *ops;
};

/* A record to be, with what its payload is made of. */
struct recorder_begin {
	struct record record;
	struct iovec pieces[RECORD_PARTS];
	int count;
	uint32_t uid, gid;	/* who asks */
	uint8_t attr[RECORD_ATTR];
};

/* => The entry of (@dev, @ino) in @ids, made if it was not there (*@known says
 * so); NULL: no memory. recorder->lock is held if they are the recorder's. */
struct recorder_id *recorder_entry(struct recorder_id **ids, dev_t dev,
				   ino_t ino, bool *known);
void recorder_free_ids(struct recorder_id **ids);

/* The id of a file, which @dev and @ino are as an inode has them; *@known says
 * whether there was one before. 0: no memory */
uint64_t recorder_id_of(struct recorder *recorder, dev_t dev, ino_t ino,
			bool *known);
/* The id of the kernel's @nodeid, which a client uses. */
uint64_t recorder_id_of_node(struct recorder *recorder, uint64_t nodeid);
/* An id for a file that is to be made. */
uint64_t recorder_new_id(struct recorder *recorder);

/* Append; an error is reported, once. => The record's number, or 0. */
uint64_t recorder_put(struct recorder *recorder, struct record *record,
		      const struct iovec *pieces, int count);

/*
 * What @in, of @length bytes, is in a record. => false: nothing that would be
 * recorded, or nothing that makes sense.
 */
bool recorder_parse(struct recorder *recorder, const struct fuse_in_header *in,
		    size_t length, struct recorder_begin *begin);

/*
 * Put the tree below @root_fd into the record. => 0 or -errno after having
 * reported what is wrong.
 */
int recorder_put_base(struct recorder *recorder, int root_fd);

#endif
