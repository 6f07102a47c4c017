/*
 * test_overtaken.c - the second piece of an appending write overtakes the
 * first between /dev/fuse and its handler; this program is the kernel.
 *
 * read(2) is ours here: the thread that has taken the first piece is kept in
 * it until another has had all the time it needs for the second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fuzz_request.c"

#include <semaphore.h>
#include <sys/syscall.h>

#define PIECE	4096
#define ENOUGH_MS	30	/* for a piece that does not wait */

static bool able;
static struct fuse_entry_out entry;
static struct fuse_open_out file;
static _Atomic uint64_t late = UINT64_MAX; /* the offset of who is kept */
static sem_t taken, go;

ssize_t read(int fd, void *to, size_t size)
{
	struct {
		struct fuse_in_header in;
		struct fuse_write_in write;
	} *message = to;
	ssize_t got = syscall(SYS_read, fd, to, size);

	if (got < (ssize_t)sizeof(*message) ||
	    message->in.opcode != FUSE_WRITE)
		return got;
	sem_post(&taken);
	if (message->write.offset == late)
		sem_wait(&go);
	return got;
}

static void create(void)
{
	struct fuse_create_in *in = fuzz_begin(FUSE_CREATE, FUSE_ROOT_ID);

	*in = (struct fuse_create_in){
		.flags = O_RDWR | O_APPEND | O_DIRECT, .mode = S_IFREG | 0600,
	};
	strcpy((char *)(in + 1), "log");
	fuzz_ask(sizeof(fuzz_out.in) + sizeof(*in) + 4);
	fuzz_assert(!fuzz_answer.out.error, "not made");
	memcpy(&entry, &fuzz_answer.out + 1, sizeof(entry));
	memcpy(&file, (char *)(&fuzz_answer.out + 1) + sizeof(entry),
	       sizeof(file));
}

static int begin(void **state)
{
	(void)state;
	sem_init(&taken, 0, 0);
	sem_init(&go, 0, 0);
	/* Half of them take requests, one for each CPU. */
	fuzz_threads = 4;
	able = sysconf(_SC_NPROCESSORS_ONLN) > 1 && fuzz_start();
	if (able)
		create();
	return 0;
}

static int end(void **state)
{
	(void)state;
	return fuzz_end();
}

static void send_piece(uint64_t offset, char byte)
{
	struct fuse_write_in *in = fuzz_begin(FUSE_WRITE, entry.nodeid);
	size_t length = sizeof(fuzz_out.in) + sizeof(*in) + PIECE;

	*in = (struct fuse_write_in){
		.fh = file.fh, .offset = offset, .size = PIECE,
		.flags = O_RDWR | O_APPEND | O_DIRECT,
	};
	memset(in + 1, byte, PIECE);
	fuzz_out.in.len = length;
	fuzz_out.in.unique = fuzz_unique += 2;
	assert_int_equal(send(fuzz_fd, &fuzz_out, length, 0), length);
	assert_int_equal(sem_wait(&taken), 0);
}

static void get_answer(void)
{
	ssize_t got = recv(fuzz_fd, &fuzz_answer, sizeof(fuzz_answer), 0);

	assert_int_equal(got, sizeof(fuzz_answer.out) +
			 sizeof(struct fuse_write_out));
	assert_int_equal(fuzz_answer.out.error, 0);
}

/* The file has @size bytes, and the kernel takes it for @kernel. */
static void overtaken(off_t size, uint64_t kernel)
{
	struct pollfd ready = { .fd = fuzz_fd, .events = POLLIN };
	char got[2 * PIECE], wanted[2 * PIECE];
	int fd = open("src/log", O_RDWR);
	struct stat st;

	assert_false(ftruncate(fd, size));
	late = kernel;
	send_piece(kernel, 1);
	send_piece(kernel + PIECE, 2);
	poll(&ready, 1, ENOUGH_MS);
	sem_post(&go);
	get_answer();
	get_answer();
	memset(wanted, 1, PIECE);
	memset(wanted + PIECE, 2, PIECE);
	assert_false(fstat(fd, &st));
	assert_int_equal(st.st_size, size + 2 * PIECE);
	assert_int_equal(pread(fd, got, sizeof(got), size), sizeof(got));
	assert_memory_equal(got, wanted, sizeof(got));
	close(fd);
}

static void test_overtaken(void **state)
{
	(void)state;
	if (!able) {
		print_message("# SKIP: one CPU, or not root\n");
		skip();
	}
	overtaken(3 * PIECE, 3 * PIECE);
	overtaken(3 * PIECE, 2 * PIECE);
	overtaken(9 * PIECE, 5 * PIECE + 7);
	overtaken(PIECE, 3 * PIECE);
	overtaken(0, 3 * PIECE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overtaken),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
