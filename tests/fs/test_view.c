/*
 * test_view.c - the live view, mounted, over a machine that is made up here.
 *
 * Every test starts a server process of its own, which mounts the view in a
 * temporary directory, and is itself the reader: the serving process never
 * touches its mount. A test that takes too long kills the server, which ends
 * the connection, and unmounts.
 */
#include "fs/view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/view_mount.h"
#include "pager/snapshot.h"

#define TIME_LIMIT 120		/* seconds, for the whole program */
#define NFRAMES 20000

/* ---- a machine ---- */

#define MEM_PID 3
#define MEM_LOW 0x10000u
#define MEM_HIGH 0x7f0000000000u
#define MEM_SIZE 0x8000u
#define MEM_SLOW 0x800000u	/* waits until the command "go" */
#define LIMIT_PAGE (1ull << 36)

static char memory[2][MEM_SIZE];
static atomic_bool pid_gone, go;
static atomic_uint pictures;

static bool pid_lives(int pid)
{
	return pid == MEM_PID && !pid_gone;
}

int snap_procs(struct vm *vm, struct snap_proc **procs, size_t *n)
{
	(void)vm;
	*procs = calloc(1, sizeof(**procs));
	(*procs)->pid = MEM_PID;
	strcpy((*procs)->name, "made up");
	*n = !pid_gone;
	return 0;
}

int snap_areas(struct vm *vm, int pid, struct snap_area **areas, size_t *n)
{
	struct snap_area *a = calloc(2, sizeof(*a));

	(void)vm;
	*areas = a;
	*n = 2;
	a[0].start = MEM_LOW;
	a[0].end = MEM_LOW + MEM_SIZE;
	a[0].prot = 3;
	strcpy(a[0].path, "/files/low");
	a[1].start = MEM_HIGH;
	a[1].end = MEM_HIGH + MEM_SIZE;
	a[1].prot = 1;
	if (pid_lives(pid))
		return 0;
	free(a);
	return -ESRCH;
}

int snap_pagemap(struct vm *vm, int pid, uint64_t vpn, size_t n,
		 uint64_t *entries)
{
	(void)vm;
	for (size_t i = 0; i < n; i++)
		entries[i] = vpn + i;
	return pid_lives(pid) ? 0 : -ESRCH;
}

uint64_t snap_pagemap_limit(struct vm *vm)
{
	(void)vm;
	return LIMIT_PAGE;
}

int snap_frames(struct vm *vm, struct snap_frame **frames, size_t *n)
{
	(void)vm;
	*n = NFRAMES;
	*frames = calloc(*n, sizeof(**frames));
	for (size_t i = 0; i < *n; i++)
		(*frames)[i].pfn = i;
	return 0;
}

int snap_swaps(struct vm *vm, struct snap_swap **swaps, size_t *n)
{
	(void)vm;
	*n = 2;
	*swaps = calloc(*n, sizeof(**swaps));
	strcpy((*swaps)[0].name, "swap0");
	strcpy((*swaps)[1].name, "swap1");
	return 0;
}

int snap_slots(struct vm *vm, unsigned area, struct snap_slot **slots,
	       size_t *n)
{
	(void)vm;
	*n = 1;
	*slots = calloc(*n, sizeof(**slots));
	(*slots)->index = 100 + area;
	return 0;
}

int snap_objects(struct vm *vm, struct snap_object **objects, size_t *n)
{
	(void)vm;
	*n = 1;
	*objects = calloc(*n, sizeof(**objects));
	(*objects)->kind = 'f';
	return 0;
}

static bool fake_stat(void *ctx, unsigned index, const char **name,
		      uint64_t *value)
{
	(void)ctx;
	if (index == 0) {
		*name = "pictures";
		*value = atomic_fetch_add(&pictures, 1);
	} else {
		*name = "same";
		*value = pictures - 1;
	}
	return index < 2;
}

/* => where in our memory @addr is, and how much follows; NULL: nowhere. */
static char *fake_translate(uint64_t addr, size_t *left)
{
	const uint64_t starts[] = {MEM_LOW, MEM_HIGH};

	for (int i = 0; i < 2; i++) {
		if (addr < starts[i] || addr >= starts[i] + MEM_SIZE)
			continue;
		*left = starts[i] + MEM_SIZE - addr;
		return memory[i] + (addr - starts[i]);
	}
	return NULL;
}

static ssize_t fake_move(int pid, uint64_t addr, void *to, const void *from,
			 size_t len)
{
	size_t left;
	char *at;

	if (!pid_lives(pid))
		return -ESRCH;
	while (addr == MEM_SLOW && !go)
		usleep(1000);
	if (addr == MEM_SLOW)
		addr = MEM_LOW;
	at = fake_translate(addr, &left);
	if (!at)
		return -EFAULT;
	if (len > left)
		len = left;
	memcpy(to ? to : at, from ? from : at, len);
	return len;
}

static ssize_t fake_peek(void *ctx, int pid, uint64_t addr, void *buf,
			 size_t len)
{
	(void)ctx;
	return fake_move(pid, addr, buf, NULL, len);
}

static ssize_t fake_poke(void *ctx, int pid, uint64_t addr, const void *buf,
			 size_t len)
{
	(void)ctx;
	return fake_move(pid, addr, NULL, buf, len);
}

static int fake_command(void *ctx, int pid, const char *text, size_t len,
			const atomic_bool *gone, char *msg, size_t size)
{
	(void)ctx;
	if (len == 3 && !memcmp(text, "go\n", 3)) {
		go = true;
	} else if (len == 5 && !memcmp(text, "stay\n", 5)) {
		while (!go)
			usleep(1000);
	} else if (len == 5 && !memcmp(text, "wait\n", 5)) {
		while (!*gone)
			usleep(1000);
		return -EINTR;
	} else if (len == 5 && !memcmp(text, "exit\n", 5)) {
		pid_gone = true;
	} else {
		snprintf(msg, size, "ctl:1: pid %d: what is '%.*s'?\n", pid,
			 (int)len - 1, text);
		return -EINVAL;
	}
	return 0;
}

/* ---- serving it ---- */

/* libfuse's note of the path, which it forgets only if it may unmount. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:fuse_session_mount\n";
}

struct fixture {
	char dir[64];
	pid_t server;
	int to, from;			/* pipes */
};

static struct fixture *current;		/* for the time limit */

static void serve(const char *dir, int from, int to)
{
	const struct view_ops ops = {
		.peek = fake_peek, .poke = fake_poke, .stat = fake_stat,
		.command = fake_command,
	};
	struct view *view = NULL;
	char why[256], c;
	int err;

	err = view_start(NULL, &ops, dir, &view, why, sizeof(why));
	if (err)
		fprintf(stderr, "server: %s\n", why);
	if (write(to, &err, sizeof(err)) != sizeof(err) || err)
		_exit(1);
	if (read(from, &c, 1) != 1)
		_exit(2);
	err = view_stop(view);
	if (write(to, &err, sizeof(err)) != sizeof(err))
		_exit(3);
	/* exit(), so that leaks are looked for; but not with a thread that
	 * is stuck on purpose. */
	if (err)
		_exit(0);
	exit(0);
}

static void server_fork(struct fixture *f)
{
	int to[2], from[2];

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	f->server = fork();
	assert_true(f->server >= 0);
	if (!f->server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to[1]);
		close(from[0]);
		serve(f->dir, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	f->to = to[1];
	f->from = from[0];
}

/* => its wait status; a sanitizer that found something makes it fail. */
static int server_forget(struct fixture *f)
{
	int status = -1;

	waitpid(f->server, &status, 0);
	close(f->to);
	close(f->from);
	f->server = 0;
	return status;
}

/* => what view_start() said. */
static int server_start(struct fixture *f)
{
	int err;

	server_fork(f);
	assert_int_equal(read(f->from, &err, sizeof(err)), sizeof(err));
	if (err)
		server_forget(f);
	return err;
}

/* => what view_stop() said, and in *ms how long it took. */
static int server_stop(struct fixture *f, unsigned *ms)
{
	struct timespec a, b;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(write(f->to, "s", 1), 1);
	assert_int_equal(read(f->from, &err, sizeof(err)), sizeof(err));
	clock_gettime(CLOCK_MONOTONIC, &b);
	*ms = (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000;
	assert_int_equal(server_forget(f), 0);
	return err;
}

static void server_kill(struct fixture *f)
{
	kill(f->server, SIGKILL);
	server_forget(f);
}

static int up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/test_view.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = current = f;
	assert_int_equal(server_start(f), 0);
	return 0;
}

static int down(void **state)
{
	struct fixture *f = *state;
	int stopped = 0, left;
	unsigned ms;

	if (f->server)
		stopped = server_stop(f, &ms);
	left = view_mount_find(f->dir);
	if (left >= 0)
		view_mount_clear(f->dir);
	assert_int_equal(rmdir(f->dir), 0);
	current = NULL;
	free(f);
	assert_int_equal(stopped, 0);
	assert_int_equal(left, -1);
	return 0;
}

static void time_is_up(int sig)
{
	static const char text[] = "test_view: takes too long, giving up\n";

	(void)sig;
	(void)!write(2, text, sizeof(text) - 1);
	if (current) {
		if (current->server)
			kill(current->server, SIGKILL);
		view_mount_clear(current->dir);
		rmdir(current->dir);
	}
	_exit(1);
}

/* ---- reading it ---- */

static int view_open_at(const struct fixture *f, const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return open(path, flags | O_CLOEXEC);
}

/* => the file read in pieces of @piece bytes; its length in *len. */
static char *slurp_fd(int fd, size_t piece, size_t *len)
{
	size_t cap = 8 << 20;
	char *data = malloc(cap + 1);
	ssize_t n;

	*len = 0;
	while ((n = read(fd, data + *len, piece)) > 0) {
		*len += n;
		assert_true(*len + piece <= cap);
	}
	assert_int_equal(n, 0);
	data[*len] = '\0';
	return data;
}

static char *slurp(const struct fixture *f, const char *name, size_t piece)
{
	int fd = view_open_at(f, name, O_RDONLY);
	size_t len;
	char *data;

	assert_true(fd >= 0);
	data = slurp_fd(fd, piece, &len);
	close(fd);
	return data;
}

static void assert_file(const struct fixture *f, const char *name,
			size_t piece, const char *expected)
{
	char *data = slurp(f, name, piece);

	assert_string_equal(data, expected);
	free(data);
}

static int command(const struct fixture *f, const char *name,
		   const char *text)
{
	int fd = view_open_at(f, name, O_WRONLY | O_TRUNC), err = 0;

	assert_true(fd >= 0);
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	if (close(fd))
		err = -errno;
	return err;
}

/* ---- tests ---- */

static void lists_what_there_is(void **state)
{
	struct fixture *f = *state;
	const char *expected = ". .. 3 ctl frames meminfo objects procs swap "
		"swaps vmstat ";
	struct dirent **list;
	char names[256] = "";
	int n = scandir(f->dir, &list, NULL, alphasort);

	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		strcat(strcat(names, list[i]->d_name), " ");
		free(list[i]);
	}
	free(list);
	assert_string_equal(names, expected);
}

static void assert_mode(const struct fixture *f, const char *name,
			mode_t mode)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, mode);
	assert_int_equal(st.st_uid, geteuid());
}

static void modes_are_procs(void **state)
{
	struct fixture *f = *state;

	assert_mode(f, "", S_IFDIR | 0755);
	assert_mode(f, "3", S_IFDIR | 0555);
	assert_mode(f, "swap/1", S_IFREG | 0444);
	assert_mode(f, "3/maps", S_IFREG | 0444);
	assert_mode(f, "3/mem", S_IFREG | 0600);
	assert_mode(f, "ctl", S_IFREG | 0600);
	assert_int_equal(view_open_at(f, "4", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(view_open_at(f, "03", O_RDONLY), -1);
	assert_int_equal(view_open_at(f, "swap/2", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(view_open_at(f, "3/maps", O_RDWR), -1);
	assert_int_equal(errno, EACCES);
}

static void assert_refused(int result)
{
	assert_int_equal(result, -1);
	assert_int_equal(errno, EPERM);
}

static void names_cannot_be_changed(void **state)
{
	struct fixture *f = *state;
	char new[128], old[128];

	snprintf(new, sizeof(new), "%s/new", f->dir);
	snprintf(old, sizeof(old), "%s/frames", f->dir);
	assert_refused(open(new, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	assert_refused(mkdir(new, 0700));
	assert_refused(symlink("x", new));
	assert_refused(link(old, new));
	assert_refused(rename(old, new));
	assert_refused(unlink(old));
	snprintf(old, sizeof(old), "%s/swap", f->dir);
	assert_refused(rmdir(old));
}

static void texts_read_however_chunked(void **state)
{
	static const char maps[] =
		"00010000-00018000 rw-p 00000000 00:00 0"
		"                                  /files/low\n"
		"7f0000000000-7f0000008000 r--p 00000000 00:00 0 \n";
	struct fixture *f = *state;
	char *small, *large;

	assert_file(f, "3/maps", 1, maps);
	assert_file(f, "3/maps", 4096, maps);
	small = slurp(f, "frames", 1000);
	large = slurp(f, "frames", 1 << 20);
	assert_string_equal(small, large);
	free(small);
	free(large);
	small = slurp(f, "swap/1", 100);
	assert_non_null(strstr(small, "\n     101 "));
	free(small);
}

static void a_reader_has_one_picture(void **state)
{
	struct fixture *f = *state;
	int fd = view_open_at(f, "vmstat", O_RDONLY);
	size_t len;
	char *data;

	assert_file(f, "vmstat", 100, "pictures 1\nsame 1\n");
	data = slurp_fd(fd, 1, &len);
	assert_string_equal(data, "pictures 0\nsame 0\n");
	free(data);
	/* as procps re-reads what it keeps open */
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	data = slurp_fd(fd, 1, &len);
	assert_string_equal(data, "pictures 2\nsame 2\n");
	free(data);
	close(fd);
}

static void pagemap_is_random_access(void **state)
{
	struct fixture *f = *state;
	int fd = view_open_at(f, "3/pagemap", O_RDONLY);
	static uint64_t entries[300000];
	uint64_t last = LIMIT_PAGE - 2;
	size_t size = sizeof(entries), got = 0;
	ssize_t n;

	assert_int_equal(pread(fd, entries, 16, 8 * 77), 16);
	assert_int_equal(entries[1], 78);
	assert_int_equal(pread(fd, entries, 800, 8 * last), 16);
	assert_int_equal(entries[1], LIMIT_PAGE - 1);
	assert_int_equal(pread(fd, entries, 8, 8 * LIMIT_PAGE), 0);
	assert_int_equal(pread(fd, entries, 8, 4), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pread(fd, entries, 12, 8), -1);
	assert_int_equal(errno, EINVAL);
	while (got < size) {
		n = read(fd, (char *)entries + got, size - got);
		assert_true(n > 0);
		got += n;
	}
	for (size_t i = 0; i < size / 8; i++)
		assert_int_equal(entries[i], i);
	close(fd);
}

static void mem_reads_and_writes(void **state)
{
	struct fixture *f = *state;
	int fd = view_open_at(f, "3/mem", O_RDWR);
	char buf[64] = "";

	assert_int_equal(pwrite(fd, "high", 4, MEM_HIGH + 5), 4);
	assert_int_equal(pwrite(fd, "low", 3, MEM_LOW + 4095), 3);
	assert_int_equal(pread(fd, buf, 4, MEM_HIGH + 5), 4);
	assert_memory_equal(buf, "high", 4);
	assert_int_equal(pread(fd, buf, 3, MEM_LOW + 4095), 3);
	assert_memory_equal(buf, "low", 3);
	assert_int_equal(pread(fd, buf, 64, MEM_LOW + MEM_SIZE - 9), 9);
	assert_int_equal(pread(fd, buf, 1, 0), -1);
	assert_int_equal(errno, EIO);
	assert_int_equal(pwrite(fd, buf, 1, 0), -1);
	assert_int_equal(errno, EIO);
	close(fd);
}

/* => the pid of a child that reads where it has to wait. */
static pid_t slow_reader(const struct fixture *f)
{
	pid_t pid = fork();
	char c;
	int fd;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = view_open_at(f, "3/mem", O_RDONLY);
	_exit(pread(fd, &c, 1, MEM_SLOW) == 1 ? 0 : 1);
}

/* => its exit status, -1 when killed, or -2 after 5 seconds. */
static int reaped(pid_t pid)
{
	int status;

	for (int ms = 0; ms < 5000; ms++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		usleep(1000);
	}
	return -2;
}

static void waiting_holds_up_nobody(void **state)
{
	struct fixture *f = *state;
	pid_t readers[24], writer;

	for (int i = 0; i < 24; i++)
		readers[i] = slow_reader(f);
	writer = fork();
	if (!writer)
		_exit(command(f, "ctl", "stay\n"));
	usleep(200000);
	mem_reads_and_writes(state);
	free(slurp(f, "3/maps", 100));
	assert_int_equal(waitpid(readers[0], NULL, WNOHANG), 0);
	assert_int_equal(waitpid(writer, NULL, WNOHANG), 0);
	assert_int_equal(command(f, "ctl", "go\n"), 0);
	for (int i = 0; i < 24; i++)
		assert_int_equal(reaped(readers[i]), 0);
	assert_int_equal(reaped(writer), 0);
}

static void who_waits_can_be_killed(void **state)
{
	struct fixture *f = *state;
	pid_t a = slow_reader(f), b = slow_reader(f);

	usleep(200000);
	kill(a, SIGTERM);
	assert_int_equal(reaped(a), -1);
	assert_int_equal(waitpid(b, NULL, WNOHANG), 0);
	assert_int_equal(command(f, "ctl", "go\n"), 0);
	assert_int_equal(reaped(b), 0);
}

static pid_t waiting_writer(struct fixture *f)
{
	pid_t pid = fork();

	if (!pid) {
		command(f, "3/ctl", "wait\n");
		_exit(0);
	}
	return pid;
}

/* As many as there are threads for; the next one waits for one of them. */
static void whom_nobody_waits_for_goes_away(void **state)
{
	struct fixture *f = *state;
	pid_t writers[64], next;
	int err, fd = view_open_at(f, "3/mem", O_RDONLY);
	char c;

	for (int i = 0; i < 64; i++)
		writers[i] = waiting_writer(f);
	usleep(300000);
	assert_int_equal(pread(fd, &c, 1, MEM_LOW), 1);
	close(fd);
	next = fork();
	if (!next) {
		err = command(f, "3/ctl", "go\n");
		_exit(err ? 1 : 0);
	}
	usleep(100000);
	assert_int_equal(waitpid(next, NULL, WNOHANG), 0);
	for (int i = 0; i < 64; i++)
		kill(writers[i], SIGKILL);
	for (int i = 0; i < 64; i++)
		assert_int_equal(reaped(writers[i]), -1);
	assert_int_equal(reaped(next), 0);
}

static void ctl_answers(void **state)
{
	struct fixture *f = *state;
	int fd = view_open_at(f, "3/ctl", O_RDWR);
	size_t len;
	char *data;

	assert_int_equal(write(fd, "fly\n", 4), -1);
	assert_int_equal(errno, EINVAL);
	data = slurp_fd(fd, 5, &len);
	assert_string_equal(data, "ctl:1: pid 3: what is 'fly'?\n");
	free(data);
	assert_file(f, "3/ctl", 5, "ctl:1: pid 3: what is 'fly'?\n");
	assert_file(f, "ctl", 5, "");
	assert_int_equal(write(fd, "g", 1), 1);
	assert_int_equal(write(fd, "o\n", 2), 2);
	data = slurp_fd(fd, 5, &len);
	assert_string_equal(data, "ok\n");
	free(data);
	close(fd);
	assert_int_equal(command(f, "ctl", "no newline"), -EINVAL);
	assert_file(f, "ctl", 5, "ctl:1: pid 0: what is 'no newlin'?\n");
}

/* In a name space of its own, our maps and smaps in place of our parent's,
 * whom pmap is asked about. */
static void exec_pmap(const struct fixture *f, int out)
{
	const char *names[] = {"maps", "smaps"};
	char from[128], to[64], pid[16];

	if (unshare(CLONE_NEWNS) ||
	    mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(77);
	for (int i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s/3/%s", f->dir, names[i]);
		snprintf(to, sizeof(to), "/proc/%d/%s", getppid(), names[i]);
		if (mount(from, to, NULL, MS_BIND, NULL))
			_exit(77);
	}
	snprintf(pid, sizeof(pid), "%d", getppid());
	dup2(out, 1);
	execlp("pmap", "pmap", "-x", pid, NULL);
	_exit(77);
}

static void pmap_reads_it(void **state)
{
	struct fixture *f = *state;
	size_t len;
	char *out;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (!pid)
		exec_pmap(f, ends[1]);
	close(ends[1]);
	out = slurp_fd(ends[0], 4096, &len);
	close(ends[0]);
	status = reaped(pid);
	if (status == 77) {
		fprintf(stderr, "SKIPPED: pmap_reads_it: no pmap, or not "
			"allowed to bind over /proc\n");
		free(out);
		skip();
	}
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "0000000000010000      32       0"));
	assert_non_null(strstr(out, "rw--- low\n00007f0000000000 "));
	free(out);
}

static void the_dead_are_gone(void **state)
{
	struct fixture *f = *state;
	int mem = view_open_at(f, "3/mem", O_RDWR);
	int map = view_open_at(f, "3/pagemap", O_RDONLY);
	char buf[8];

	free(slurp(f, "3/maps", 100));
	assert_int_equal(command(f, "3/ctl", "exit\n"), 0);
	assert_int_equal(view_open_at(f, "3/maps", O_RDONLY), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(pread(mem, buf, 1, MEM_LOW), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(pread(map, buf, 8, 0), -1);
	assert_int_equal(errno, ESRCH);
	close(mem);
	close(map);
}

static void one_machine_per_name(void **state)
{
	struct fixture *f = *state, second = *f;

	assert_int_equal(server_start(&second), -EBUSY);
	free(slurp(f, "3/maps", 100));
}

static void a_killed_machine_leaves_no_view(void **state)
{
	struct fixture *f = *state;
	pid_t reader = slow_reader(f);

	usleep(200000);
	server_kill(f);
	assert_int_equal(reaped(reader), 1);
	for (int ms = 0; ms < 5000 && view_mount_find(f->dir) >= 0; ms++)
		usleep(1000);
	assert_int_equal(view_mount_find(f->dir), -1);
}

static bool child_of(const char *pid, pid_t parent)
{
	char path[64];
	FILE *stat;
	int ppid = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	stat = fopen(path, "re");
	if (!stat)
		return false;
	if (fscanf(stat, "%*d (%*[^)]) %*c %d", &ppid) != 1)
		ppid = 0;
	fclose(stat);
	return ppid == parent;
}

/* Who would take the view away when its server is killed. */
static void kill_watchers(const struct fixture *f)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	unsigned killed = 0;

	assert_non_null(proc);
	while ((d = readdir(proc)))
		if (atoi(d->d_name) > 0 && child_of(d->d_name, f->server))
			killed += !kill(atoi(d->d_name), SIGKILL);
	closedir(proc);
	assert_int_equal(killed, 1);
}

static void a_dead_view_is_cleared(void **state)
{
	struct fixture *f = *state;
	pid_t reader = slow_reader(f);
	int fd = view_open_at(f, "3/maps", O_RDONLY);
	struct stat st;
	char c;

	assert_int_equal(stat(f->dir, &st), 0);
	usleep(200000);
	kill_watchers(f);
	server_kill(f);
	assert_int_equal(reaped(reader), 1);
	assert_int_equal(read(fd, &c, 1), -1);
	assert_int_equal(server_start(f), 0);
	free(slurp(f, "3/maps", 100));
	close(fd);
}

/* The view of the first goes, as with the store that it is in; the second's
 * is in its place, perhaps by the same number, when the first ends. */
static void assert_anothers_is_left_alone(struct fixture *f, int held)
{
	struct fixture second = *f;
	unsigned ms;

	assert_int_equal(view_mount_clear(f->dir), 0);
	assert_int_equal(server_start(&second), 0);
	assert_int_equal(server_stop(f, &ms), 0);
	free(slurp(&second, "3/maps", 100));
	*f = second;
	close(held);
}

static void anothers_view_is_left_alone(void **state)
{
	struct fixture *f = *state;

	assert_anothers_is_left_alone(f, -1);
	assert_anothers_is_left_alone(f, view_open_at(f, "frames", O_RDONLY));
}

/* As by a store that is mounted where one was. */
static void what_is_covered_is_not_there(void **state)
{
	struct fixture *f = *state;
	long there = view_mount_find(f->dir);
	char above[64], name[] = "/tmp/test_view.XXXXXX";

	assert_true(there >= 0);
	assert_non_null(mkdtemp(name));
	snprintf(above, sizeof(above), "%s/v", name);
	assert_int_equal(mkdir(above, 0755), 0);
	if (mount(f->dir, above, NULL, MS_BIND, NULL)) {
		rmdir(above);
		rmdir(name);
		skip();
	}
	assert_int_equal(view_mount_find(above), there);
	assert_int_equal(mount("none", name, "tmpfs", 0, NULL), 0);
	assert_int_equal(view_mount_find(above), -1);
	assert_int_equal(umount2(name, MNT_DETACH), 0);
	assert_int_equal(view_mount_find(above), there);
	assert_int_equal(umount2(above, MNT_DETACH), 0);
	assert_int_equal(rmdir(above), 0);
	assert_int_equal(rmdir(name), 0);
}

static void the_end_waits_for_no_reader(void **state)
{
	struct fixture *f = *state;
	int fd = view_open_at(f, "frames", O_RDONLY);
	int dir = view_open_at(f, "3", O_RDONLY | O_DIRECTORY);
	unsigned ms;
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(server_stop(f, &ms), 0);
	assert_true(ms < 3000);
	assert_int_equal(read(fd, &c, 1), -1);
	close(fd);
	close(dir);
}

static void the_end_waits_for_no_machine(void **state)
{
	struct fixture *f = *state;
	pid_t reader = slow_reader(f);
	unsigned ms;

	usleep(200000);
	assert_int_equal(server_stop(f, &ms), -EBUSY);
	assert_true(ms < 3000);
	assert_int_equal(reaped(reader), 1);
}

static void the_end_stops_commands(void **state)
{
	struct fixture *f = *state;
	pid_t writer = waiting_writer(f);
	unsigned ms;

	usleep(200000);
	assert_int_equal(server_stop(f, &ms), 0);
	assert_true(ms < 3000);
	assert_int_equal(reaped(writer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
		T(lists_what_there_is),
		T(modes_are_procs),
		T(names_cannot_be_changed),
		T(texts_read_however_chunked),
		T(a_reader_has_one_picture),
		T(pagemap_is_random_access),
		T(mem_reads_and_writes),
		T(waiting_holds_up_nobody),
		T(who_waits_can_be_killed),
		T(whom_nobody_waits_for_goes_away),
		T(ctl_answers),
		T(pmap_reads_it),
		T(the_dead_are_gone),
		T(one_machine_per_name),
		T(a_killed_machine_leaves_no_view),
		T(a_dead_view_is_cleared),
		T(anothers_view_is_left_alone),
		T(what_is_covered_is_not_there),
		T(the_end_waits_for_no_reader),
		T(the_end_waits_for_no_machine),
		T(the_end_stops_commands),
	};
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "SKIPPED: test_view: /dev/fuse: %s\n",
			strerror(errno));
		return 0;
	}
	close(fd);
	signal(SIGALRM, time_is_up);
	alarm(TIME_LIMIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
