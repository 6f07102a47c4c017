/*
 * test_record.c - the format and its file: there and back, cut off at every
 * byte, every bit turned round, a full disk, several threads, any bytes.
 */
#include "record/reader.h"
#include "record/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/record/fuzz_record.c"

#define BIG	5000

static char top[] = "/tmp/test_record.XXXXXX";
static char path[64];
static char payload[BIG];

static int make_dir(void **state)
{
	(void)state;
	memset(payload, 'p', sizeof(payload));
	if (!mkdtemp(top))
		return -1;
	snprintf(path, sizeof(path), "%s/record", top);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(top);
}

static uint64_t append(struct record_writer *writer, unsigned int type,
		       uint64_t op, size_t size, int *err)
{
	struct iovec pieces[2] = {
		{ payload, size / 2 },
		{ payload + size / 2, size - size / 2 },
	};
	struct record record = {
		.type = type,
		.flags = RECORD_SYNC,
		.op = op,
		.file = 7,
		.offset = 0x1122334455667788,
		.length = size,
		.arg = -5,
	};

	return record_writer_append(writer, &record, pieces, 2, err);
}

static void writer_new(struct record_writer *writer)
{
	unlink(path);
	assert_int_equal(record_writer_open(writer, path, true), 0);
}

/* Records of 3, 0 and BIG bytes, closed in order. */
static void make_record(void)
{
	struct record_writer writer;

	writer_new(&writer);
	assert_int_equal(append(&writer, RECORD_WRITE, 0, 3, NULL), 1);
	assert_int_equal(append(&writer, RECORD_END, 1, 0, NULL), 2);
	assert_int_equal(append(&writer, RECORD_WRITE, 0, BIG, NULL), 3);
	assert_int_equal(record_writer_close(&writer), 0);
}

/* What stands in the file, to be freed. */
static uint8_t *slurp(size_t *size)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	uint8_t *bytes;

	assert_int_equal(fstat(fd, &st), 0);
	*size = st.st_size;
	bytes = malloc(*size);
	assert_int_equal(read(fd, bytes, *size), *size);
	close(fd);
	return bytes;
}

/* => The number of good records in @bytes, and what comes behind them. */
static uint64_t count(const uint8_t *bytes, size_t size,
		      enum record_fault *fault)
{
	int fd = memfd_create("record", MFD_CLOEXEC);
	struct record_reader reader;
	const uint8_t *data;
	struct record record;
	uint64_t good = 0;

	assert_int_equal(write(fd, bytes, size), size);
	if (!record_reader_open(&reader, fd))
		while (record_reader_next(&reader, &record, &data) > 0)
			good++;
	*fault = reader.fault;
	record_reader_close(&reader);
	return good;
}

/* ---- there and back ---- */

static void test_round_trip(void **state)
{
	struct record_reader reader;
	const uint8_t *data;
	struct record record;
	char fetched[10];

	(void)state;
	make_record();
	assert_int_equal(record_reader_open(&reader, open(path, O_RDONLY)), 0);
	assert_true(reader.head.base);
	assert_int_equal(reader.head.state, RECORD_COMPLETE);
	assert_int_equal(reader.head.count, 3);
	assert_int_equal(record_reader_next(&reader, &record, &data), 1);
	assert_int_equal(record.type, RECORD_WRITE);
	assert_int_equal(record.flags, RECORD_SYNC);
	assert_int_equal(record.file, 7);
	assert_true(record.offset == 0x1122334455667788);
	assert_int_equal(record.arg, -5);
	assert_int_equal(record.payload, 3);
	assert_memory_equal(data, "ppp", 3);
	assert_int_equal(record_reader_next(&reader, &record, &data), 1);
	assert_int_equal(record.op, 1);
	assert_int_equal(record_reader_next(&reader, &record, &data), 1);
	assert_int_equal(record.payload, BIG);
	assert_memory_equal(data, payload, BIG);
	assert_int_equal(record_reader_fetch(&reader, record.at + BIG - 10,
					     fetched, 10), 0);
	assert_memory_equal(fetched, payload, 10);
	assert_int_equal(record_reader_fetch(&reader, record.at + BIG - 9,
					     fetched, 10), -EIO);
	assert_int_equal(record_reader_next(&reader, &record, &data), 0);
	assert_int_equal(reader.fault, RECORD_OK);
	record_reader_close(&reader);
}

static void test_attr(void **state)
{
	struct record_attr attr = { 0100644, 12, 34, 0x123456789a }, back;
	uint8_t bytes[RECORD_ATTR];

	(void)state;
	record_put_attr(bytes, &attr);
	assert_true(record_get_attr(bytes, sizeof(bytes), &back));
	assert_int_equal(back.mode, attr.mode);
	assert_int_equal(back.uid, 12);
	assert_int_equal(back.gid, 34);
	assert_true(back.rdev == attr.rdev);
	assert_false(record_get_attr(bytes, sizeof(bytes) - 1, &back));
}

/* The bytes themselves, so that no later change passes unnoticed. */
static void test_bytes(void **state)
{
	static const uint8_t begin[] = {
		'P', 'A', 'G', 'E', 'R', 'R', 'E', 'C', 1, 0, 0, 0, 64, 0, 0,
		0, 1, 0, 0, 0,
	};
	static const uint8_t record[] = {
		'P', 'R', 'E', 'C', 6, 0, 2, 0, 80, 0, 0, 0, 3, 0, 0, 0, 1, 0,
		0, 0, 0, 0, 0, 0,
	};
	size_t size;
	uint8_t *bytes;

	(void)state;
	make_record();
	bytes = slurp(&size);
	assert_int_equal(size, 64 + 3 * 80 + 3 + BIG);
	assert_memory_equal(bytes, begin, sizeof(begin));
	assert_memory_equal(bytes + 64, record, sizeof(record));
	assert_int_equal(bytes[64 + 40], 7);
	assert_int_equal(bytes[64 + 48], 0x88);
	free(bytes);
}

/* ---- damaged ---- */

static void test_cut_off(void **state)
{
	enum record_fault fault;
	size_t size, cut;
	uint8_t *bytes;
	uint64_t good;

	(void)state;
	make_record();
	bytes = slurp(&size);
	for (cut = 0; cut < size; cut++) {
		good = cut < 147 ? 0 : cut < 227 ? 1 : 2;
		assert_int_equal(count(bytes, cut, &fault), good);
		/* Also where it is cut between two records. */
		assert_int_not_equal(fault, RECORD_OK);
	}
	assert_int_equal(count(bytes, size, &fault), 3);
	assert_int_equal(fault, RECORD_OK);
	free(bytes);
}

static void test_bits(void **state)
{
	enum record_fault fault;
	size_t size, bit;
	uint8_t *bytes;
	uint64_t good;

	(void)state;
	make_record();
	bytes = slurp(&size);
	for (bit = 0; bit < size * 8; bit += bit < 400 * 8 ? 1 : 61) {
		bytes[bit / 8] ^= 1u << bit % 8;
		good = count(bytes, size, &fault);
		assert_int_equal(good, bit < 147 * 8 ? 0 :
				 bit < 227 * 8 ? 1 : 2);
		assert_int_not_equal(fault, RECORD_OK);
		bytes[bit / 8] ^= 1u << bit % 8;
	}
	free(bytes);
}

/* A record repeated, or one left out, is noticed. */
static void test_order(void **state)
{
	enum record_fault fault;
	size_t size;
	uint8_t *bytes;

	(void)state;
	make_record();
	bytes = slurp(&size);
	memmove(bytes + 147, bytes + 227, size - 227);
	assert_int_equal(count(bytes, size - 80, &fault), 1);
	assert_int_equal(fault, RECORD_GAP);
	free(bytes);
}

/* ---- of another version ---- */

/* A head longer by 8 bytes, as a later version may write it. */
static void test_longer_head(void **state)
{
	uint8_t bytes[RECORD_FILE_HEAD + RECORD_HEAD + 8 + 3] = { 0 };
	struct record_file head = { .state = RECORD_RUNNING };
	struct record record = { .type = RECORD_WRITE, .payload = 3 };
	uint8_t *at = bytes + RECORD_FILE_HEAD;
	enum record_fault fault;

	(void)state;
	record_put_file(bytes, &head);
	record_put(at, &record, 0);
	at[8] = RECORD_HEAD + 8;
	memcpy(at + RECORD_HEAD, "newernew", 8);
	memcpy(at + RECORD_HEAD + 8, "abc", 3);
	fuzz_repair(bytes, sizeof(bytes));
	assert_int_equal(count(bytes, sizeof(bytes), &fault), 1);
	assert_int_equal(fault, RECORD_OK);
	at[RECORD_HEAD] ^= 1;
	assert_int_equal(count(bytes, sizeof(bytes), &fault), 0);
	assert_int_equal(fault, RECORD_BAD_SUM);
}

/* Types we do not know: skipped if they say so, else the end. */
static void test_unknown_type(void **state)
{
	uint8_t bytes[RECORD_FILE_HEAD + 2 * RECORD_HEAD] = { 0 };
	struct record_file head = { .state = RECORD_RUNNING };
	struct record record = { .type = 99, .flags = RECORD_OPTIONAL };
	uint8_t *at = bytes + RECORD_FILE_HEAD;
	enum record_fault fault;

	(void)state;
	record_put_file(bytes, &head);
	record_put(at, &record, 0);
	record = (struct record){ .type = RECORD_FSYNC };
	record_put(at + RECORD_HEAD, &record, 0);
	fuzz_repair(bytes, sizeof(bytes));
	assert_int_equal(count(bytes, sizeof(bytes), &fault), 1);
	assert_int_equal(fault, RECORD_OK);
	at[7] = 0;	/* not optional */
	fuzz_repair(bytes, sizeof(bytes));
	assert_int_equal(count(bytes, sizeof(bytes), &fault), 0);
	assert_int_equal(fault, RECORD_NEWER);
	bytes[8] = 2;	/* version */
	fuzz_repair(bytes, sizeof(bytes));
	count(bytes, sizeof(bytes), &fault);
	assert_int_equal(fault, RECORD_NEWER);
}

/* ---- writing ---- */

static void test_exists(void **state)
{
	struct record_writer writer;

	(void)state;
	make_record();
	assert_int_equal(record_writer_open(&writer, path, true), -EEXIST);
}

/* What is appended is in the file at once. */
static void test_killed(void **state)
{
	struct record_writer writer;
	enum record_fault fault;
	uint8_t *bytes;
	size_t size;

	(void)state;
	writer_new(&writer);
	append(&writer, RECORD_WRITE, 0, BIG, NULL);
	append(&writer, RECORD_END, 1, 0, NULL);
	bytes = slurp(&size);
	assert_int_equal(count(bytes, size, &fault), 2);
	assert_int_equal(fault, RECORD_OK);
	assert_int_equal(bytes[32], RECORD_RUNNING);
	free(bytes);
	record_writer_close(&writer);
}

/*
 * The file may not grow any more: the record that does not fit is not in it,
 * not even in part, one caller is told why, and no further record comes.
 */
static void test_full(void **state)
{
	struct rlimit old, limit;
	struct record_writer writer;
	struct record_reader reader;
	enum record_fault fault;
	uint8_t *bytes;
	size_t size;
	int err;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	writer_new(&writer);
	assert_int_equal(append(&writer, RECORD_WRITE, 0, 3, &err), 1);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){ writer.end + 3000, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(append(&writer, RECORD_WRITE, 0, BIG, &err), 0);
	assert_int_equal(err, -EFBIG);
	assert_int_equal(append(&writer, RECORD_WRITE, 0, 3, &err), 0);
	assert_int_equal(err, 0);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(append(&writer, RECORD_WRITE, 0, 3, &err), 0);
	assert_int_equal(record_writer_close(&writer), 0);
	bytes = slurp(&size);
	assert_int_equal(size, 147);
	assert_int_equal(count(bytes, size, &fault), 1);
	assert_int_equal(fault, RECORD_OK);
	free(bytes);
	assert_int_equal(record_reader_open(&reader, open(path, O_RDONLY)), 0);
	assert_int_equal(reader.head.state, RECORD_STOPPED);
	assert_int_equal(reader.head.err, EFBIG);
	record_reader_close(&reader);
}

#define THREADS	4
#define EACH	500

static void *append_many(void *arg)
{
	uint64_t last = 0, number;
	int i;

	for (i = 0; i < EACH; i++) {
		number = append(arg, RECORD_WRITE, 0, i, NULL);
		if (number <= last)
			return arg;
		last = number;
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct record_writer writer;
	pthread_t threads[THREADS];
	enum record_fault fault;
	uint8_t *bytes;
	void *result;
	size_t size;
	int i;

	(void)state;
	writer_new(&writer);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, append_many, &writer);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_int_equal(record_writer_close(&writer), 0);
	bytes = slurp(&size);
	assert_int_equal(count(bytes, size, &fault), THREADS * EACH);
	assert_int_equal(fault, RECORD_OK);
	free(bytes);
}

/* ---- any bytes ---- */

static void put(struct record_writer *writer, struct record record,
		const void *data, size_t size)
{
	struct iovec piece = { (void *)data, size };

	record_writer_append(writer, &record, &piece, 1, NULL);
}

/* One of everything, to be mutated. */
static void make_sample(void)
{
	struct record_attr dir = { S_IFDIR | 0755, 0, 0, 0 };
	struct record_attr reg = { S_IFREG | 0644, 0, 0, 0 };
	struct record_writer writer;
	uint8_t names[RECORD_ATTR + 4];
	struct record end = { .type = RECORD_END };

	writer_new(&writer);
	record_put_attr(names, &dir);
	memcpy(names + RECORD_ATTR, "", 1);
	put(&writer, (struct record){ .type = RECORD_MAKE, .flags = RECORD_BASE,
				      .file = 1 }, names, RECORD_ATTR + 1);
	memcpy(names + RECORD_ATTR, "d", 2);
	put(&writer, (struct record){ .type = RECORD_MAKE, .file = 2,
				      .parent = 1 }, names, RECORD_ATTR + 2);
	put(&writer, (end.op = 2, end), names, RECORD_ATTR);
	record_put_attr(names, &reg);
	memcpy(names + RECORD_ATTR, "f", 2);
	put(&writer, (struct record){ .type = RECORD_MAKE, .file = 3,
				      .parent = 2 }, names, RECORD_ATTR + 2);
	put(&writer, (end.op = 4, end), names, RECORD_ATTR);
	put(&writer, (struct record){ .type = RECORD_WRITE, .file = 3,
				      .length = 1300, .offset = 100 },
	    payload, 1300);
	put(&writer, (struct record){ .type = RECORD_SETATTR, .file = 3,
				      .arg = 15, .length = 700 }, names,
	    RECORD_ATTR);
	put(&writer, (end.op = 7, end), "", 0);
	put(&writer, (struct record){ .type = RECORD_LINK, .file = 3,
				      .parent = 1 }, "g", 2);
	put(&writer, (end.op = 9, end), "", 0);
	put(&writer, (struct record){ .type = RECORD_FSYNC, .file = 3 }, "", 0);
	put(&writer, (end.op = 11, end), "", 0);
	put(&writer, (struct record){ .type = RECORD_RENAME, .parent = 1,
				      .parent2 = 2 }, "g\0h", 4);
	put(&writer, (end.op = 13, end), "", 0);
	put(&writer, (struct record){ .type = RECORD_FALLOCATE, .file = 3,
				      .offset = 64, .length = 64, .arg = 3 },
	    "", 0);
	put(&writer, (struct record){ .type = RECORD_REMOVE, .parent = 2 },
	    "f", 2);
	record_writer_close(&writer);
}

/* The sample is what `make fuzz-record` begins with. */
static void keep_sample(const uint8_t *sample, size_t size)
{
	const char *where = getenv("SAMPLE");
	FILE *file = where ? fopen(where, "w") : NULL;

	if (!file)
		return;
	fwrite(sample, 1, size, file);
	fclose(file);
}

static void test_any_bytes(void **state)
{
	uint8_t *sample, *bytes;
	unsigned int i, n, seed = 1;
	size_t size;

	(void)state;
	make_sample();
	sample = slurp(&size);
	keep_sample(sample, size);
	bytes = malloc(size);
	LLVMFuzzerTestOneInput(sample, size);
	for (i = 0; i < 300; i++) {
		memcpy(bytes, sample, size);
		for (n = 0; n < 1 + i % 5; n++)
			bytes[64 + rand_r(&seed) % (size - 64)] =
				rand_r(&seed) % 2 ? rand_r(&seed) :
				rand_r(&seed) % 5;
		LLVMFuzzerTestOneInput(bytes, size - (i % 7 ? 0 :
				       rand_r(&seed) % size));
	}
	free(bytes);
	free(sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_attr),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_longer_head),
		cmocka_unit_test(test_unknown_type),
		cmocka_unit_test(test_exists),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
