/*
 * reader.h - read a record file, as far as it is good.
 *
 * The file may be written to meanwhile, cut off or damaged: reading goes to
 * the last whole record before the first fault, and @fault says what stands
 * there. Payloads stay in the file and are read when they are wanted.
 */
#ifndef RECORD_READER_H
#define RECORD_READER_H

#include "record/format.h"

#include <sys/types.h>

struct record_reader {
	int fd;
	struct record_file head;
	uint64_t size;		/* of the file, when it was opened */
	uint64_t at;		/* of the next record */
	uint64_t number;	/* of the last good one */
	enum record_fault fault;
	uint8_t *buffer;	/* a record */
};

/*
 * Takes over @fd. => 0; -errno; -EINVAL: not a record, and @fault says in
 * which way. The caller ends with record_reader_close() in every case.
 */
int record_reader_open(struct record_reader *reader, int fd);

/*
 * The next record. @payload is its payload, good until the next call.
 * => 1; 0: there is no further one (RECORD_OK: the file ends here; else what
 * is at fault); -errno.
 */
int record_reader_next(struct record_reader *reader, struct record *record,
		       const uint8_t **payload);

/*
 * @size bytes of the file from @at, in a payload. => 0 or -errno (-EIO when
 * the file has become shorter).
 */
int record_reader_fetch(const struct record_reader *reader, uint64_t at,
			void *to, size_t size);

void record_reader_close(struct record_reader *reader);

#endif
