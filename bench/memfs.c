/*
 * memfs.c - a FUSE server that answers from memory: what FUSE alone costs.
 *
 *	build/bench/memfs MIB MOUNTPOINT [-o clone_fd,max_threads=N...]
 *
 * One file, "memory", of MIB MiB, all of it there, read and written by as
 * many threads as libfuse likes. Nothing is ever waited for and nothing kept:
 * the least a server can do. Files open for direct I/O are opened with the
 * same flags as by pagerfs, and as many requests may be under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "bench/lib/measure.h"

#define FILE_INO	2
#define TIMEOUT		3600.0
#define BACKGROUND	512		/* fs/session.c: as many */

static char *content;
static size_t size;

static void fill_stat(fuse_ino_t ino, struct stat *st)
{
	*st = (struct stat){ .st_ino = ino, .st_nlink = 1, .st_blksize = 4096 };
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0755;
	} else {
		st->st_mode = S_IFREG | 0600;
		st->st_size = (off_t)size;
		st->st_blocks = (blkcnt_t)(size / 512);
	}
}

static void mem_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_background = BACKGROUND;
	conn->congestion_threshold = BACKGROUND * 3 / 4;
	conn->want &= ~(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
			FUSE_CAP_SPLICE_MOVE);
}

static void mem_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {
		.ino = FILE_INO, .attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (parent != FUSE_ROOT_ID || strcmp(name, "memory")) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fill_stat(FILE_INO, &e.attr);
	fuse_reply_entry(req, &e);
}

static void mem_getattr(fuse_req_t req, fuse_ino_t ino,
			struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	fill_stat(ino, &st);
	fuse_reply_attr(req, &st, TIMEOUT);
}

/* By hand: libfuse 3.14 does not know the second flag. */
static void mem_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fuse_open_out out = { .fh = 0 };

	(void)ino;
	if (fi->flags & O_DIRECT)
		out.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
	fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static size_t within(size_t len, off_t off)
{
	if ((size_t)off >= size)
		return 0;
	return len < size - (size_t)off ? len : size - (size_t)off;
}

static void mem_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t off,
		     struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_buf(req, content + off, within(len, off));
}

static void mem_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		      size_t len, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	len = within(len, off);
	if (!len) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	memcpy(content + off, buf, len);
	fuse_reply_write(req, len);
}

static const struct fuse_lowlevel_ops mem_ops = {
	.init = mem_init, .lookup = mem_lookup, .getattr = mem_getattr,
	.open = mem_open, .read = mem_read, .write = mem_write,
};

static void mem_content(const char *mib)
{
	size = strtoull(mib, NULL, 10) << 20;
	content = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (!size || content == MAP_FAILED)
		die("memory", errno);
}

static int mem_serve(struct fuse_session *se,
		     const struct fuse_cmdline_opts *opts)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	fuse_loop_cfg_set_clone_fd(config, (unsigned)opts->clone_fd);
	fuse_loop_cfg_set_max_threads(config, opts->max_threads);
	err = fuse_session_mount(se, opts->mountpoint);
	if (!err) {
		err = fuse_session_loop_mt(se, config);
		fuse_session_unmount(se);
	}
	fuse_loop_cfg_destroy(config);
	return err;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc - 1, argv + 1);
	struct fuse_cmdline_opts opts;
	struct fuse_session *se;

	if (argc < 3 || fuse_parse_cmdline(&args, &opts) || !opts.mountpoint)
		die("memfs MIB MOUNTPOINT [-o ...]", 0);
	mem_content(argv[1]);
	se = fuse_session_new(&args, &mem_ops, sizeof(mem_ops), NULL);
	if (!se || fuse_set_signal_handlers(se))
		die("fuse", 0);
	return mem_serve(se, &opts) ? 1 : 0;
}
