/*
 * reader.c - read a record file, as far as it is good.
 *
 * By pread(2), not mapped: a file that gets shorter under us is then an
 * error and no SIGBUS. Everything is checked before it is given out. No
 * locks: one thread.
 */
#include "record/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* => Bytes that are there, at most @size; -errno. */
static ssize_t reader_read(const struct record_reader *reader, uint64_t at,
			   uint8_t *to, size_t size)
{
	size_t done = 0;
	ssize_t got;

	while (done < size) {
		got = pread(reader->fd, to + done, size - done, at + done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		done += got;
	}
	return done;
}

int record_reader_open(struct record_reader *reader, int fd)
{
	uint8_t head[RECORD_FILE_HEAD];
	struct stat st;
	ssize_t got;

	*reader = (struct record_reader){
		.fd = fd,
		.buffer = malloc(RECORD_HEAD_MAX + RECORD_PAYLOAD_MAX),
	};
	if (!reader->buffer)
		return -ENOMEM;
	if (fstat(fd, &st))
		return -errno;
	reader->size = st.st_size;
	got = reader_read(reader, 0, head, sizeof(head));
	if (got < 0)
		return got;
	reader->fault = record_get_file(head, got, &reader->head);
	reader->at = reader->head.size;
	return reader->fault ? -EINVAL : 0;
}

/* Read and check the record at reader->at. => Bytes or -errno. */
static ssize_t reader_take(struct record_reader *reader,
			   struct record *record)
{
	uint8_t *head = reader->buffer;
	ssize_t got = reader_read(reader, reader->at, head, RECORD_HEAD);
	size_t whole;

	if (got <= 0)
		return got;
	reader->fault = record_get(head, got, record);
	if (reader->fault)
		return 0;
	whole = record->size + (size_t)record->payload;
	got = reader_read(reader, reader->at + RECORD_HEAD,
			  head + RECORD_HEAD, whole - RECORD_HEAD);
	if (got < 0)
		return got;
	if ((size_t)got < whole - RECORD_HEAD)
		reader->fault = RECORD_SHORT;
	else
		reader->fault = record_check(head, record,
					     head + record->size);
	return reader->fault ? 0 : (ssize_t)whole;
}

int record_reader_next(struct record_reader *reader, struct record *record,
		       const uint8_t **payload)
{
	ssize_t got = 0;

	do {
		if (reader->fault)
			return 0;
		if (reader->at >= reader->size) {
			if (reader->head.state != RECORD_RUNNING &&
			    reader->number < reader->head.count)
				reader->fault = RECORD_MISSING;
			return 0;
		}
		got = reader_take(reader, record);
		if (got <= 0)
			return got;
		if (record->number != reader->number + 1) {
			reader->fault = RECORD_GAP;
			return 0;
		}
		reader->number++;
		record->at = reader->at + record->size;
		reader->at += got;
	} while (record->type >= RECORD_TYPES || !record->type);
	*payload = reader->buffer + record->size;
	return 1;
}

int record_reader_fetch(const struct record_reader *reader, uint64_t at,
			void *to, size_t size)
{
	ssize_t got = reader_read(reader, at, to, size);

	if (got < 0)
		return got;
	return (size_t)got == size ? 0 : -EIO;
}

void record_reader_close(struct record_reader *reader)
{
	free(reader->buffer);
	close(reader->fd);
}
