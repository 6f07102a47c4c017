/*
 * fuzz_request.c - any requests at all through the gate, libfuse and the
 * handlers, on a directory of its own; this program is the kernel.
 *
 *	make fuzz-requests
 *
 * The kernel is trusted in what only it can know: which inodes and open files
 * there are and how often they were looked up. Everything else of a request
 * is made of the input: operation, length, offsets, sizes, flags, names with
 * or without an end. Each request must be answered, by its number, with a
 * length that is its own and an error that the kernel takes; and SOURCE is
 * never left (a file beside it stays as it is).
 *
 * test_request.c includes this file and runs it over random input in every
 * `make test`; test_overtaken.c, to be the kernel as well.
 */
#include "fs/control.h"
#include "fs/loop.h"
#include "fs/session.h"
#include "fs/volume.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_NODES	24
#define FUZZ_OPENS	16
#define FUZZ_ROOM	(1 << 20)
#define FUZZ_MESSAGE	(1 << 17)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_node {
	uint64_t id, lookups;
};

struct fuzz_open {
	uint64_t node, fh;
	bool dir;
};

static struct volume fuzz_volume;
static struct loop *fuzz_loop;
static unsigned int fuzz_threads = 2;
static int fuzz_fd = -1;		/* the kernel's end */
static uint64_t fuzz_unique;
static unsigned long fuzz_good;		/* requests that could be done */
static struct fuzz_node fuzz_nodes[FUZZ_NODES];
static struct fuzz_open fuzz_opens[FUZZ_OPENS];
static char fuzz_top[] = "/tmp/fuzz-request.XXXXXX";
static union {
	struct fuse_in_header in;
	char bytes[FUZZ_MESSAGE + 256];
} fuzz_out;
static union {
	struct fuse_out_header out;
	char bytes[FUZZ_ROOM + 4096];
} fuzz_answer;

/* What is left of the input; zeros behind its end. */
static const uint8_t *fuzz_data;
static size_t fuzz_left;

static void fuzz_assert(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "opcode %u, %u bytes: %s\n", fuzz_out.in.opcode,
		fuzz_out.in.len, what);
	abort();
}

static void fuzz_take(void *to, size_t size)
{
	size_t have = size < fuzz_left ? size : fuzz_left;

	memset(to, 0, size);
	memcpy(to, fuzz_data, have);
	fuzz_data += have;
	fuzz_left -= have;
}

static unsigned int fuzz_number(unsigned int below)
{
	uint16_t number;

	fuzz_take(&number, sizeof(number));
	return number % below;
}

/* ---- the kernel's side ---- */

/* => Bytes of the answer; its error is in the header. */
static ssize_t fuzz_ask(size_t length)
{
	struct pollfd ready = { .fd = fuzz_fd, .events = POLLIN };
	ssize_t got;

	fuzz_out.in.len = length;
	fuzz_out.in.unique = fuzz_unique += 2;
	fuzz_assert(send(fuzz_fd, &fuzz_out, length, 0) == (ssize_t)length,
		    "not taken");
	if (fuzz_out.in.opcode == FUSE_FORGET ||
	    fuzz_out.in.opcode == FUSE_BATCH_FORGET)
		return 0;
	fuzz_assert(poll(&ready, 1, 10000) == 1, "not answered");
	got = recv(fuzz_fd, &fuzz_answer, sizeof(fuzz_answer), 0);
	fuzz_assert(got >= (ssize_t)sizeof(fuzz_answer.out), "too short");
	fuzz_assert(got == fuzz_answer.out.len, "not its own length");
	fuzz_assert(fuzz_answer.out.unique == fuzz_out.in.unique,
		    "another's answer");
	fuzz_assert(fuzz_answer.out.error <= 0 &&
		    fuzz_answer.out.error > -512, "no error the kernel takes");
	return got;
}

static void *fuzz_begin(uint32_t opcode, uint64_t node)
{
	memset(&fuzz_out.in, 0, sizeof(fuzz_out.in));
	fuzz_out.in.opcode = opcode;
	fuzz_out.in.nodeid = node;
	fuzz_out.in.uid = getuid();
	fuzz_out.in.gid = getgid();
	fuzz_out.in.pid = getpid();
	return &fuzz_out.in + 1;
}

static void fuzz_forget(struct fuzz_node *node)
{
	struct fuse_forget_in *in = fuzz_begin(FUSE_FORGET, node->id);

	in->nlookup = node->lookups;
	fuzz_ask(sizeof(fuzz_out.in) + sizeof(*in));
	node->id = 0;
}

static void fuzz_release(struct fuzz_open *open)
{
	struct fuse_release_in *in =
		fuzz_begin(open->dir ? FUSE_RELEASEDIR : FUSE_RELEASE,
			   open->node);

	memset(in, 0, sizeof(*in));
	in->fh = open->fh;
	fuzz_ask(sizeof(fuzz_out.in) + sizeof(*in));
	fuzz_assert(!fuzz_answer.out.error, "not closed");
	open->fh = 0;
}

static bool fuzz_is_open(uint64_t node)
{
	int i;

	for (i = 0; i < FUZZ_OPENS; i++)
		if (fuzz_opens[i].fh && fuzz_opens[i].node == node)
			return true;
	return false;
}

/* An entry has come: one lookup more. Another makes room. */
static void fuzz_learn(uint64_t id)
{
	struct fuzz_node *room = NULL;
	int i;

	if (!id || id == FUSE_ROOT_ID)
		return;
	for (i = 0; i < FUZZ_NODES; i++) {
		if (fuzz_nodes[i].id == id) {
			fuzz_nodes[i].lookups++;
			return;
		}
		if (!fuzz_nodes[i].id ||
		    (!room && !fuzz_is_open(fuzz_nodes[i].id)))
			room = &fuzz_nodes[i];
	}
	if (room->id)
		fuzz_forget(room);
	room->id = id;
	room->lookups = 1;
}

static void fuzz_opened(uint64_t node, uint64_t fh, bool dir)
{
	struct fuzz_open *open = &fuzz_opens[fuzz_number(FUZZ_OPENS)];

	if (open->fh)
		fuzz_release(open);
	*open = (struct fuzz_open){ node, fh, dir };
}

/* Entries of readdirplus were looked up, too. */
static void fuzz_learn_list(const char *at, const char *end)
{
	uint64_t ids[8192 / sizeof(struct fuse_direntplus)];
	struct fuse_direntplus entry;
	int n = 0;

	for (; at + sizeof(entry) <= end; at += FUSE_DIRENTPLUS_SIZE(&entry)) {
		memcpy(&entry, at, sizeof(entry));
		fuzz_assert(n < (int)(sizeof(ids) / sizeof(*ids)), "many");
		ids[n++] = entry.entry_out.nodeid;
	}
	while (n)
		fuzz_learn(ids[--n]);
}

static void fuzz_understand(uint32_t opcode, uint64_t node, size_t got)
{
	struct fuse_entry_out entry;
	struct fuse_open_out open;
	const char *body = (const char *)(&fuzz_answer.out + 1);

	memcpy(&entry, body, sizeof(entry));
	memcpy(&open, opcode == FUSE_CREATE || opcode == FUSE_TMPFILE ?
	       body + sizeof(entry) : body, sizeof(open));
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		fuzz_learn(entry.nodeid);
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		/* Open first: learning may forget what is not. */
		fuzz_opened(entry.nodeid, open.fh, false);
		fuzz_learn(entry.nodeid);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		fuzz_opened(node, open.fh, opcode == FUSE_OPENDIR);
		break;
	case FUSE_READDIRPLUS:
		fuzz_learn_list(body, fuzz_answer.bytes + got);
		break;
	}
}

/* ---- requests ---- */

static uint64_t fuzz_any_node(void)
{
	uint64_t id = fuzz_nodes[fuzz_number(FUZZ_NODES)].id;

	return id ? id : FUSE_ROOT_ID;
}

static struct fuzz_open *fuzz_any_open(bool dir)
{
	unsigned int from = fuzz_number(FUZZ_OPENS), i;
	struct fuzz_open *open;

	for (i = 0; i < FUZZ_OPENS; i++) {
		open = &fuzz_opens[(from + i) % FUZZ_OPENS];
		if (open->fh && open->dir == dir)
			return open;
	}
	return NULL;
}

enum fuzz_handle { FUZZ_NONE, FUZZ_FILE, FUZZ_DIRECTORY };

static enum fuzz_handle fuzz_handle(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_READ: case FUSE_WRITE: case FUSE_FSYNC: case FUSE_FLUSH:
	case FUSE_FALLOCATE: case FUSE_LSEEK: case FUSE_IOCTL:
	case FUSE_GETLK: case FUSE_SETLK: case FUSE_COPY_FILE_RANGE:
	case FUSE_POLL:
		return FUZZ_FILE;
	case FUSE_READDIR: case FUSE_READDIRPLUS: case FUSE_FSYNCDIR:
		return FUZZ_DIRECTORY;
	default:
		return FUZZ_NONE;
	}
}

/* What only the kernel knows is put right. => false: leave it. */
static bool fuzz_repair(uint32_t opcode, void *body, size_t length)
{
	struct fuse_copy_file_range_in *copy = body;
	struct fuse_setattr_in *set = body;
	struct fuse_link_in *link = body;
	struct fuse_getattr_in *get = body;
	struct fuse_read_in *read = body;
	struct fuzz_open *open = fuzz_any_open(false);

	if (opcode == FUSE_RENAME || opcode == FUSE_RENAME2 ||
	    opcode == FUSE_LINK)
		link->oldnodeid = fuzz_any_node();
	if (opcode == FUSE_SETATTR) {
		set->valid &= ~FATTR_FH;
		set->size %= 1 << 20;
	}
	if (opcode == FUSE_GETATTR)
		get->getattr_flags = 0;
	/* So much that one in two is possible. */
	if (opcode == FUSE_READDIR || opcode == FUSE_READDIRPLUS)
		read->size %= 8192;
	else if (opcode == FUSE_READ || opcode == FUSE_WRITE)
		read->offset %= 1 << 21;
	if (opcode == FUSE_FALLOCATE) {
		((struct fuse_fallocate_in *)body)->offset %= 1 << 20;
		((struct fuse_fallocate_in *)body)->length %= 1 << 20;
	}
	if (opcode == FUSE_COPY_FILE_RANGE && length >= sizeof(*copy)) {
		if (!open)
			return false;
		copy->fh_out = open->fh;
		copy->nodeid_out = open->node;
		copy->len %= 1 << 20;
	}
	return true;
}

/* Names are few, so that they meet. Some have no end, or lead away. */
static size_t fuzz_names(char *to, size_t room)
{
	static const char *const names[] = {
		"a", "b", "c", "d", ".", "..", "../beside", "/etc/passwd",
		"", CONTROL_NAME, "rules", "user.a",
	};
	size_t length, used = 0, n = fuzz_number(4);

	for (; n && used + 16 < room; n--) {
		length = strlen(strcpy(to + used,
				       names[fuzz_number(12)])) + 1;
		used += length;
	}
	return used && fuzz_number(8) == 0 ? used - 1 : used;
}

static size_t fuzz_fixed(uint32_t opcode)
{
	static const uint8_t sizes[64] = {
		[FUSE_GETATTR] = 16, [FUSE_SETATTR] = 88, [FUSE_MKNOD] = 16,
		[FUSE_MKDIR] = 8, [FUSE_RENAME] = 8, [FUSE_RENAME2] = 16,
		[FUSE_LINK] = 8, [FUSE_OPEN] = 8, [FUSE_READ] = 40,
		[FUSE_WRITE] = 40, [FUSE_FSYNC] = 16, [FUSE_SETXATTR] = 8,
		[FUSE_GETXATTR] = 8, [FUSE_LISTXATTR] = 8, [FUSE_FLUSH] = 24,
		[FUSE_OPENDIR] = 8, [FUSE_READDIR] = 40, [FUSE_FSYNCDIR] = 16,
		[FUSE_GETLK] = 48, [FUSE_SETLK] = 48, [FUSE_ACCESS] = 8,
		[FUSE_CREATE] = 16, [FUSE_IOCTL] = 32, [FUSE_FALLOCATE] = 32,
		[FUSE_READDIRPLUS] = 40, [FUSE_LSEEK] = 24,
		[FUSE_COPY_FILE_RANGE] = 56, [FUSE_TMPFILE] = 16,
	};

	return opcode < 64 ? sizes[opcode] : 0;
}

/* => false: the kernel sends it in ways of its own, or waits for it. */
static bool fuzz_may(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_INIT: case FUSE_DESTROY: case FUSE_FORGET:
	case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: case FUSE_RELEASE:
	case FUSE_RELEASEDIR: case FUSE_SETLKW: case FUSE_NOTIFY_REPLY:
		return false;
	default:
		return opcode;
	}
}

static void fuzz_one(void)
{
	uint32_t opcode = fuzz_number(64);
	enum fuzz_handle handle = fuzz_handle(opcode);
	struct fuzz_open *open = fuzz_any_open(handle == FUZZ_DIRECTORY);
	uint64_t node = fuzz_any_node();
	size_t length = fuzz_fixed(opcode);
	char *body;

	if (!fuzz_may(opcode) || (handle != FUZZ_NONE && !open))
		return;
	if (handle != FUZZ_NONE)
		node = open->node;
	/* What is written there are rules, some of which end the process. */
	if (opcode == FUSE_WRITE && node >> 63)
		return;
	body = fuzz_begin(opcode, node);
	memset(body, 0, 128);
	fuzz_take(body, length);
	if (handle != FUZZ_NONE)
		memcpy(body, &open->fh, sizeof(open->fh));
	if (!fuzz_repair(opcode, body, length))
		return;
	length += fuzz_names(body + length, 128);
	if (fuzz_number(3) == 0)
		length += fuzz_number(FUZZ_MESSAGE - 512);
	if (fuzz_number(8) == 0)
		length = fuzz_number(length + 1);
	/* An inode may be wrong only as the kernel may be. */
	if (opcode == FUSE_READ && length >= 24 && fuzz_number(2))
		((struct fuse_read_in *)body)->size %= 70000;
	length = fuzz_ask(length + sizeof(fuzz_out.in));
	if (fuzz_answer.out.error)
		return;
	fuzz_good++;
	fuzz_understand(opcode, node, length);
}

/* ---- its life ---- */

static void fuzz_greet(void)
{
	struct fuse_init_in *in = fuzz_begin(FUSE_INIT, 0);

	memset(in, 0, sizeof(*in));
	in->major = FUSE_KERNEL_VERSION;
	in->minor = FUSE_KERNEL_MINOR_VERSION;
	in->max_readahead = 1 << 17;
	in->flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
		FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT | FUSE_MAX_PAGES;
	fuzz_ask(sizeof(fuzz_out.in) + sizeof(*in));
	fuzz_assert(!fuzz_answer.out.error, "no greeting");
}

/* => false: this machine cannot do it. */
static bool fuzz_start(void)
{
	static char *argv[] = { "fuzz", "src", "mnt", NULL };
	int ends[2], size = 2 * FUZZ_ROOM;
	struct fuse_session *se;

	if (!mkdtemp(fuzz_top) || chdir(fuzz_top) || mkdir("src", 0755) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return false;
	close(open("beside", O_WRONLY | O_CREAT, 0600));
	if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, 4) ||
	    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, 4))
		return false;
	fuzz_fd = ends[0];
	if (options_parse(&fuzz_volume.options, 3, argv) != OPTIONS_SERVE ||
	    volume_open(&fuzz_volume))
		return false;
	se = session_on(&fuzz_volume, ends[1]);
	fuzz_loop = se ? loop_create(se, fuzz_threads) : NULL;
	if (!fuzz_loop)
		return false;
	control_open(&fuzz_volume, fuzz_loop);
	if (loop_start(fuzz_loop))
		return false;
	fuzz_greet();
	return true;
}

/* Serving ends, and nothing of it stays. For tests; a fuzzer never ends. */
__attribute__((unused)) static int fuzz_end(void)
{
	char command[64];

	if (fuzz_loop)
		loop_drain(fuzz_loop, 1000);
	snprintf(command, sizeof(command), "rm -rf %s", fuzz_top);
	if (chdir("/") || system(command))
		return -1;
	return fuzz_loop ? loop_join(fuzz_loop) : 0;
}

static void fuzz_check_beside(void)
{
	struct stat st;

	fuzz_assert(!stat("beside", &st) && !st.st_size &&
		    (st.st_mode & 07777) == 0600 && st.st_nlink == 1,
		    "SOURCE was left");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int i;

	if (fuzz_fd < 0 && !fuzz_start())
		abort();
	fuzz_data = data;
	fuzz_left = size;
	while (fuzz_left)
		fuzz_one();
	for (i = 0; i < FUZZ_OPENS; i++)
		if (fuzz_opens[i].fh)
			fuzz_release(&fuzz_opens[i]);
	for (i = 0; i < FUZZ_NODES; i++)
		if (fuzz_nodes[i].id)
			fuzz_forget(&fuzz_nodes[i]);
	fuzz_check_beside();
	return 0;
}
