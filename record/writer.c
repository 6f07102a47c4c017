/*
 * writer.c - append records to a file.
 *
 * Way of a record: its payload's sum is taken by the caller's thread; then,
 * under the lock, it gets number, time and place and goes out in one
 * pwritev(2). The lock is held across that write on purpose: a reader can
 * then rely on every record before a whole one being whole, also when the
 * process is killed while several threads append.
 */
#define XXH_INLINE_ALL
#include "record/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static uint64_t writer_ns(const struct timespec *time)
{
	return time->tv_sec * 1000000000ull + time->tv_nsec;
}

static uint64_t writer_time(const struct record_writer *writer)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return writer_ns(&now) - writer_ns(&writer->began);
}

static int writer_put_head(struct record_writer *writer)
{
	uint8_t head[RECORD_FILE_HEAD];
	ssize_t put;

	record_put_file(head, &writer->head);
	put = pwrite(writer->fd, head, sizeof(head), 0);
	if (put < 0)
		return -errno;
	return put == sizeof(head) ? 0 : -ENOSPC;
}

int record_writer_open(struct record_writer *writer, const char *path,
		       bool base)
{
	struct timespec now;
	int err;

	clock_gettime(CLOCK_REALTIME, &now);
	*writer = (struct record_writer){
		.end = RECORD_FILE_HEAD,
		.head = {
			.base = base,
			.began = writer_ns(&now),
			.state = RECORD_RUNNING,
		},
	};
	clock_gettime(CLOCK_MONOTONIC, &writer->began);
	/* As private as all that it will hold must be. */
	writer->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (writer->fd < 0)
		return -errno;
	err = writer_put_head(writer);
	if (err) {
		close(writer->fd);
		unlink(path);
		return err;
	}
	pthread_mutex_init(&writer->lock, NULL);
	return 0;
}

/* Forget the first @done bytes of what is to be written. */
static void writer_advance(struct iovec **iov, int *count, size_t done)
{
	while (*count && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/* => 0 or -errno; then the file may hold a part of it. */
static int writer_put(struct record_writer *writer, struct iovec *iov,
		      int count)
{
	uint64_t at = writer->end;
	ssize_t put;

	while (count) {
		put = pwritev(writer->fd, iov, count, at);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -ENOSPC;
		at += put;
		writer_advance(&iov, &count, put);
	}
	return 0;
}

/* => The writer's lock is held. */
static void writer_stop(struct record_writer *writer, int err)
{
	writer->err = err;
	writer->head.state = RECORD_STOPPED;
	writer->head.err = -err;
	/* Should these fail as well, the torn record still says so. */
	if (!ftruncate(writer->fd, writer->end))
		writer_put_head(writer);
}

static uint64_t writer_sum(const struct iovec *pieces, int count)
{
	XXH3_state_t state;
	int i;

	if (count == 1)
		return record_sum(pieces->iov_base, pieces->iov_len);
	XXH3_64bits_reset(&state);
	for (i = 0; i < count; i++)
		XXH3_64bits_update(&state, pieces[i].iov_base,
				   pieces[i].iov_len);
	return XXH3_64bits_digest(&state);
}

uint64_t record_writer_append(struct record_writer *writer,
			      struct record *record,
			      const struct iovec *pieces, int count, int *err)
{
	struct iovec iov[1 + RECORD_PARTS];
	uint64_t sum = writer_sum(pieces, count), number = 0;
	uint8_t head[RECORD_HEAD];
	int i, failed = 0;

	assert(count <= RECORD_PARTS);
	iov[0] = (struct iovec){ head, sizeof(head) };
	record->payload = 0;
	for (i = 0; i < count; i++) {
		iov[1 + i] = pieces[i];
		record->payload += pieces[i].iov_len;
	}
	pthread_mutex_lock(&writer->lock);
	if (!writer->err) {
		record->number = writer->head.count + 1;
		record->time = writer_time(writer);
		record_put(head, record, sum);
		failed = writer_put(writer, iov, 1 + count);
		if (failed)
			writer_stop(writer, failed);
	}
	if (!writer->err) {
		number = ++writer->head.count;
		writer->end += RECORD_HEAD + record->payload;
	}
	pthread_mutex_unlock(&writer->lock);
	if (err)
		*err = failed;
	return number;
}

int record_writer_close(struct record_writer *writer)
{
	int err = 0;

	if (!writer->err) {
		writer->head.state = RECORD_COMPLETE;
		err = writer_put_head(writer);
	}
	if (close(writer->fd) && !err)
		err = -errno;
	pthread_mutex_destroy(&writer->lock);
	return err;
}
