/*
 * writer.h - append records to a file.
 *
 * Each record goes out with one write(2) of its own before
 * record_writer_append() returns: it outlives the process, however that ends
 * (though not a power cut: the file is not synced). Records of several
 * threads are numbered in the order in which they reach the file.
 *
 * The first write that fails ends the recording for good: a record with a
 * piece missing in the middle would be worse than none. The file is cut back
 * to its last whole record and its header says RECORD_STOPPED and why.
 */
#ifndef RECORD_WRITER_H
#define RECORD_WRITER_H

#include "record/format.h"

#include <pthread.h>
#include <sys/uio.h>
#include <time.h>

#define RECORD_PARTS	4	/* pieces of a payload */

struct record_writer {
	pthread_mutex_t lock;	/* all below; held across the write */
	int fd;
	uint64_t end;		/* where the next record goes */
	struct record_file head;
	struct timespec began;
	int err;		/* -errno that stopped it */
};

/* Make @path, which must not exist. => 0 or -errno. */
int record_writer_open(struct record_writer *writer, const char *path,
		       bool base);

/*
 * Number @record, give it the time, and append it with the payload that the
 * @count pieces make up. => Its number, 0 when it is not in the file; then
 * @err, if not NULL, tells why: -errno to the one who met the error, 0 to all
 * after it.
 */
uint64_t record_writer_append(struct record_writer *writer,
			      struct record *record,
			      const struct iovec *pieces, int count,
			      int *err);

/* => 0, or -errno when the end could not be noted. */
int record_writer_close(struct record_writer *writer);

#endif
