/*
 * test_held.c - what is said of a file's size while its held writes become
 * real, and what is asked when files are forgotten. statx(2) and fstat(2) are
 * ours here: after the kernel has answered, and before who asked goes on, they
 * let held writes become real. So are, for the end, the clock, what waits for
 * it to go on, and a SOURCE that takes its time.
 */
#include "fs/file.h"
#include "fs/held_int.h"
#include "fs/loop_int.h"
#include "fs/recorder_int.h"
#include "fs/volume.h"

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#define SIZE	8192

static char source[] = "/tmp/test_held.XXXXXX";
static struct volume volume;
static struct fuse_entry_param entry;
static struct inode *inode;
static int fd;			/* of the file, O_PATH */
static void (*between)(void);	/* once */
static unsigned int asked;	/* fstat()s */
static unsigned int looked;	/* statx()s */

static void interrupt_here(void)
{
	void (*run)(void) = between;

	between = NULL;
	if (run)
		run();
}

int statx(int at, const char *name, int flags, unsigned int mask,
	  struct statx *stx)
{
	int result = syscall(SYS_statx, at, name, flags, mask, stx);

	looked++;
	interrupt_here();
	return result;
}

int fstat(int file, struct stat *st)
{
	int result = syscall(SYS_newfstatat, file, "", st, AT_EMPTY_PATH);

	asked++;
	interrupt_here();
	return result;
}

/* ---- a time of our own: the ms that somebody waited for ---- */

static atomic_bool own_time;
static atomic_ulong waited;
static unsigned long stop_at, stop_seconds;	/* we are stopped then */

int clock_gettime(clockid_t clock, struct timespec *now)
{
	unsigned long ms = waited;

	if (!own_time)
		return syscall(SYS_clock_gettime, clock, now);
	now->tv_sec = 1000 + ms / 1000 + (ms < stop_at ? 0 : stop_seconds);
	now->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

int poll(struct pollfd *fds, nfds_t count, int ms)
{
	(void)fds, (void)count;
	if (!own_time)
		return usleep(ms * 1000);
	waited += ms;
	return sched_yield();
}

/* A SOURCE that takes what is written, one after another. */
static pthread_mutex_t source_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long (*source_needs)(size_t length);	/* => ms */

ssize_t pwritev2(int file, const struct iovec *iov, int count, off_t offset,
		 int flags)
{
	unsigned long until;

	if (own_time) {
		pthread_mutex_lock(&source_lock);
		until = waited + source_needs(iov->iov_len);
		while (waited < until)
			sched_yield();
		pthread_mutex_unlock(&source_lock);
	}
	return syscall(SYS_pwritev2, file, iov, (long)count, (long)offset, 0l,
		       flags);
}

static void put(uint64_t offset, size_t length)
{
	static const char data[SIZE] = "held";
	struct held *held = held_enter(&volume, inode, true);

	assert_non_null(held);
	assert_int_equal(held_tree_put(&held->tree, data, length, offset), 0);
	held_account(held);
	held_leave(held);
}

static void flush(void)
{
	struct held *held = held_enter(&volume, inode, false);

	assert_non_null(held);
	assert_int_equal(held_flush(held), 0);
	held_leave(held);
}

/* One of two, and it is the last of the file: seed 1 picks it. */
static void spill(void)
{
	struct held *held = held_enter(&volume, inode, false);

	assert_non_null(held);
	held_spill(held, 1, 1);
	assert_int_equal(held_tree_end(&held->tree), 512);
	held_leave(held);
}

/* ... and then another write to the same file is held. */
static void flush_and_put(void)
{
	flush();
	put(0, 512);
}

static int begin(void **state)
{
	(void)state;
	strcpy(source + sizeof(source) - 7, "XXXXXX");
	if (!mkdtemp(source))
		return -1;
	volume = (struct volume){ .options = { .source = source } };
	if (volume_open(&volume))
		return -1;
	fd = openat(volume.inodes.root.fd, "f", O_CREAT | O_WRONLY, 0644);
	close(fd);
	if (volume_lookup(&volume, volume.inodes.root.fd, "f", &entry))
		return -1;
	inode = volume_inode(&volume, entry.ino);
	fd = volume_fd(&volume, inode);
	return fd < 0;
}

static int end(void **state)
{
	(void)state;
	held_end();
	unlinkat(volume.inodes.root.fd, "f", 0);
	volume_close(&volume);
	return rmdir(source);
}

static void expect_size(void)
{
	struct stat st;

	assert_int_equal(volume_getattr(&volume, fd, &st), 0);
	assert_null(between);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks >= 1);
}

static void test_flush(void **state)
{
	struct statx stx;

	(void)state;
	put(0, SIZE);
	expect_size();
	between = flush;
	expect_size();
	put(SIZE, SIZE);
	between = flush;
	assert_int_equal(volume_statx(&volume, fd, 0, &stx), 0);
	assert_int_equal(stx.stx_size, 2 * SIZE);
}

static void test_spill(void **state)
{
	(void)state;
	put(0, 512);
	put(SIZE - 512, 512);
	between = spill;
	expect_size();
}

static void test_again(void **state)
{
	(void)state;
	put(0, SIZE);
	between = flush_and_put;
	expect_size();
}

/* Where a recorder says that an appending write goes. */
static void test_recorder(void **state)
{
	struct recorder recorder = {
		.volume = &volume, .lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct file file = { .fd = fd, .inode = inode, .volume = &volume };
	struct {
		struct fuse_in_header in;
		struct fuse_write_in write;
		char data[512];
	} message = {
		.in = { .opcode = FUSE_WRITE, .nodeid = FUSE_ROOT_ID },
		.write = {
			.fh = (uintptr_t)&file, .size = 512, .flags = O_APPEND,
		},
	};
	struct recorder_id root = {
		.key = { volume.inodes.root.dev, volume.inodes.root.ino },
	};
	struct recorder_begin record;

	(void)state;
	HASH_ADD(hh, recorder.ids, key, sizeof(root.key), &root);
	put(0, SIZE);
	between = flush;
	assert_true(recorder_parse(&recorder, &message.in, sizeof(message),
				   &record));
	assert_null(between);
	assert_int_equal(record.record.offset, SIZE);
	HASH_DELETE(hh, recorder.ids, &root);
}

static uint64_t moment;

static void still_there(void)
{
	assert_int_equal(held_moment(), moment);
	moment = 0;
}

static void noted(void)
{
	moment = held_moment();
	between = still_there;
}

/* Who changes its attributes waits for its lock, until they are put back. */
static void test_put_back(void **state)
{
	(void)state;
	put(0, SIZE);
	between = noted;
	moment = 1;
	flush();
	assert_null(between);
	assert_int_equal(moment, 0);
}

static struct inode *other;

static void flush_other(void)
{
	struct inode *first = inode;

	inode = other;
	flush();
	inode = first;
}

/* Held writes of other files become real: nobody need ask again for that. */
static void test_others(void **state)
{
	struct fuse_entry_param others[4];
	struct inode *first = inode;
	char name[] = "0";
	unsigned int once, sum = 0;

	(void)state;
	put(0, SIZE);
	looked = 0;
	expect_size();
	once = looked;
	for (; *name < '4'; ++*name) {
		close(openat(volume.inodes.root.fd, name, O_CREAT, 0644));
		assert_int_equal(volume_lookup(&volume, volume.inodes.root.fd,
					       name, &others[*name - '0']), 0);
		other = inode = volume_inode(&volume, others[*name - '0'].ino);
		put(0, SIZE);
		inode = first;
		between = flush_other;
		looked = 0;
		expect_size();
		sum += looked;
		unlinkat(volume.inodes.root.fd, name, 0);
	}
	/* One of them may have the same chain by chance. */
	assert_true(sum <= 5 * once);
	flush();
}

static bool is_held(struct inode *one)
{
	struct held *held = held_enter(&volume, one, false);

	if (held)
		held_leave(held);
	return held;
}

/* ---- the end ---- */

#define LARGE	(1u << 20)

static unsigned long once;

static unsigned long needs_once(size_t length)
{
	unsigned long ms = once;

	(void)length;
	once = 0;
	return ms;
}

static unsigned long needs_bandwidth(size_t length)
{
	return length / 20;	/* 20 kB a second */
}

static void end_in(unsigned long (*needs)(size_t length), uint64_t size)
{
	struct stat st;

	source_needs = needs;
	waited = 0;
	own_time = true;
	assert_true(held_end());
	own_time = false;
	assert_int_equal(stat(volume_path(fd).name, &st), 0);
	assert_int_equal(st.st_size, size);
}

/* Nothing moves for a while, and then all does. */
static void test_end_pause(void **state)
{
	(void)state;
	put(0, SIZE);
	once = 25000;
	end_in(needs_once, SIZE);
}

/* The clock runs on while we are stopped. */
static void test_end_stopped(void **state)
{
	(void)state;
	put(0, SIZE);
	once = 500;
	stop_at = 200;
	stop_seconds = 3600;
	end_in(needs_once, SIZE);
	stop_seconds = 0;
}

/* All moves, and so slowly that a large write takes most of a minute. */
static void test_end_slow(void **state)
{
	static const char data[LARGE];
	struct held *held = held_enter(&volume, inode, true);

	(void)state;
	assert_int_equal(held_tree_put(&held->tree, data, LARGE, 0), 0);
	held_leave(held);
	end_in(needs_bandwidth, LARGE);
	assert_true(waited > 50000);
}

/* An inode whose number another file has by now has nothing of that. */
static void test_stale(void **state)
{
	struct inode gone = {
		.dev = inode->dev, .ino = inode->ino, .fd = -1, .stale = true,
	};
	uint64_t first, end;

	(void)state;
	put(0, SIZE);
	assert_null(held_enter(&volume, &gone, false));
	assert_null(held_enter(&volume, &gone, true));
	assert_false(held_room(&volume, &gone, 0, SIZE, &first, &end));
	assert_true(is_held(inode));
	flush();
}

/* Of a file that has no name; and of others nothing is asked. */
static void test_forget(void **state)
{
	struct worker worker = { .slow_depth = 1 };
	struct fuse_entry_param others[10];
	struct inode file = { .dev = inode->dev, .ino = inode->ino };
	struct inode last;
	char name[] = "0";

	(void)state;
	loop_self = &worker;
	put(0, SIZE);
	for (; *name < '9'; ++*name) {
		close(openat(volume.inodes.root.fd, name, O_CREAT, 0644));
		assert_int_equal(volume_lookup(&volume, volume.inodes.root.fd,
					       name, &others[*name - '0']), 0);
		inode = volume_inode(&volume, others[*name - '0'].ino);
		put(0, SIZE);
		unlinkat(volume.inodes.root.fd, name, 0);
	}
	last = (struct inode){ .dev = inode->dev, .ino = inode->ino };
	assert_true(is_held(&last));
	asked = 0;
	volume_unlookup(&volume, &others[8]);
	assert_int_equal(asked, 1);
	assert_false(is_held(&last));
	volume_unlookup(&volume, &entry);
	assert_int_equal(asked, 2);
	assert_true(is_held(&file));
	loop_self = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flush, begin, end),
		cmocka_unit_test_setup_teardown(test_spill, begin, end),
		cmocka_unit_test_setup_teardown(test_again, begin, end),
		cmocka_unit_test_setup_teardown(test_recorder, begin, end),
		cmocka_unit_test_setup_teardown(test_put_back, begin, end),
		cmocka_unit_test_setup_teardown(test_others, begin, end),
		cmocka_unit_test_setup_teardown(test_end_pause, begin, end),
		cmocka_unit_test_setup_teardown(test_end_stopped, begin, end),
		cmocka_unit_test_setup_teardown(test_end_slow, begin, end),
		cmocka_unit_test_setup_teardown(test_stale, begin, end),
		cmocka_unit_test_setup_teardown(test_forget, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
