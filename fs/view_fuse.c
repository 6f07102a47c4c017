/*
 * view_fuse.c - the live view's answers to FUSE requests.
 *
 * A request names a node by number and the table says what it is. Opening a
 * directory or a text takes the snapshot and keeps it in the open file, so
 * that reads are slices of one picture; like Linux's own, a text is made anew
 * for a reader who comes back to its beginning. pagemap is looked up as it is
 * read. Whatever may wait for I/O (mem, commands) becomes a call for the pool
 * and is answered from there; nothing else here waits for anything but the
 * snapshots' short locks.
 *
 * All files are direct_io: the kernel keeps none of it and their size is 0,
 * as in /proc. Names that may go away are not cached for a moment.
 *
 * Locks: one per open text, around its picture; one around the list of open
 * files, innermost. Control files have their own.
 */
#include "fs/view_fuse.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/view_call.h"
#include "fs/view_ctl.h"
#include "pager/snapshot.h"

#define FIXED_TIMEOUT 60.0	/* seconds, for names that stay */
#define PAGE_BYTES 4096
#define PAGEMAP_MAX (128u << 10)	/* entries per read */

struct open_file {
	struct view_node node;
	const struct view_entry *entry;
	pthread_mutex_t lock;		/* text, begun */
	struct view_text text;
	bool begun;			/* its first byte has been read */
	struct view_name *names;	/* of a directory */
	size_t nnames;
	struct view_ctl *ctl;
	LIST_ENTRY(open_file) link;	/* in the server's list */
};

static struct view_server *request_server(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static struct open_file *request_file(const struct fuse_file_info *fi)
{
	return (struct open_file *)(uintptr_t)fi->fh;
}

/* ---- names and attributes ---- */

/* The same for every opening of one file. */
static uint64_t node_ino(const struct view_node *node,
			 const struct view_entry *entry)
{
	struct view_node first = *node;

	if (entry->kind == VIEW_MEM || entry->kind == VIEW_CTL)
		first.arg = 0;
	return view_node_id(&first);
}

static mode_t entry_mode(const struct view_entry *entry)
{
	return entry->mode | (entry->kind == VIEW_DIR ? S_IFDIR : S_IFREG);
}

/* The root's attributes are asked for to see whether anybody serves it. */
static double node_timeout(const struct view_node *node,
			   const struct view_entry *entry)
{
	return node->pid || node->arg || !entry->name || !entry->parent ||
		entry->kind == VIEW_CTL ? 0 : FIXED_TIMEOUT;
}

static void node_stat(const struct view_server *server,
		      const struct view_node *node,
		      const struct view_entry *entry, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = node_ino(node, entry);
	st->st_mode = entry_mode(entry);
	st->st_nlink = entry->kind == VIEW_DIR ? 2 : 1;
	st->st_uid = server->uid;
	st->st_gid = server->gid;
	st->st_blksize = PAGE_BYTES;
	clock_gettime(CLOCK_REALTIME, &st->st_mtim);
	st->st_atim = st->st_ctim = st->st_mtim;
}

/* => its row, alive; or NULL, and -errno in *err. */
static const struct view_entry *request_node(fuse_req_t req, fuse_ino_t ino,
					     struct view_node *node, int *err)
{
	const struct view_entry *entry = view_node_entry(ino, node);

	*err = entry ? view_node_check(&request_server(req)->src, node) :
		-ENOENT;
	return *err ? NULL : entry;
}

static void view_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct view_server *server = request_server(req);
	struct fuse_entry_param param = {0};
	const struct view_entry *entry;
	struct view_node dir, node;
	int err = -ENOENT;

	if (view_node_entry(parent, &dir))
		err = view_node_lookup(&server->src, &dir, name, &node);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	param.ino = view_node_id(&node);
	entry = view_node_entry(param.ino, &node);
	node_stat(server, &node, entry, &param.attr);
	param.attr_timeout = param.entry_timeout = node_timeout(&node, entry);
	fuse_reply_entry(req, &param);
}

static void view_getattr(fuse_req_t req, fuse_ino_t ino,
			 struct fuse_file_info *fi)
{
	const struct view_entry *entry;
	struct view_node node;
	struct stat st;
	int err;

	(void)fi;
	entry = request_node(req, ino, &node, &err);
	if (!entry) {
		fuse_reply_err(req, -err);
		return;
	}
	node_stat(request_server(req), &node, entry, &st);
	fuse_reply_attr(req, &st, node_timeout(&node, entry));
}

/* A shell's "> ctl" truncates: let it. Nothing else can be changed. */
static void view_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
			 int to_set, struct fuse_file_info *fi)
{
	const int harmless = FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_ATIME |
		FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW |
		FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;

	(void)attr;
	if (to_set & ~harmless)
		fuse_reply_err(req, EPERM);
	else
		view_getattr(req, ino, fi);
}

/* ---- opening and closing ---- */

/* The read before may have answered but not let go of the lock yet: its
 * reader was quick to close. */
static void file_free(struct open_file *file)
{
	pthread_mutex_lock(&file->lock);
	pthread_mutex_unlock(&file->lock);
	if (file->ctl)
		view_ctl_put(file->ctl);
	view_text_free(&file->text);
	free(file->names);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

/* => file->lock is held, or nobody else has @file yet. */
static int file_make_text(struct open_file *file,
			  const struct view_source *src)
{
	int err;

	view_text_free(&file->text);
	err = file->entry->format(src, &file->node, &file->text);
	return !err && file->text.failed ? -ENOMEM : err;
}

static int file_fill(struct open_file *file, struct view_server *server)
{
	switch (file->entry->kind) {
	case VIEW_DIR:
		return view_node_list(&server->src, &file->node, &file->names,
				      &file->nnames);
	case VIEW_TEXT:
		return file_make_text(file, &server->src);
	case VIEW_CTL:
		file->ctl = view_ctl_open(server->board, file->node.pid);
		return file->ctl ? 0 : -ENOMEM;
	default:
		return 0;
	}
}

static void file_link(struct open_file *file, struct view_server *server)
{
	pthread_mutex_lock(&server->lock);
	LIST_INSERT_HEAD(&server->files, file, link);
	pthread_mutex_unlock(&server->lock);
}

static void file_close(struct open_file *file, struct view_server *server)
{
	pthread_mutex_lock(&server->lock);
	LIST_REMOVE(file, link);
	pthread_mutex_unlock(&server->lock);
	file_free(file);
}

void view_fuse_close_all(struct view_server *server)
{
	struct open_file *file;

	while ((file = LIST_FIRST(&server->files)))
		file_close(file, server);
}

/* => 0 and the open file in *filep; -errno. */
static int file_open(fuse_req_t req, fuse_ino_t ino, struct open_file **filep)
{
	const struct view_entry *entry;
	struct open_file *file;
	struct view_node node;
	int err;

	entry = request_node(req, ino, &node, &err);
	if (!entry)
		return err;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->node = node;
	file->entry = entry;
	pthread_mutex_init(&file->lock, NULL);
	err = file_fill(file, request_server(req));
	if (err) {
		file_free(file);
		return err;
	}
	file_link(file, request_server(req));
	*filep = file;
	return 0;
}

/* Root passes the kernel's check of the mode, so it is made here as well. */
static bool open_allowed(fuse_ino_t ino, int flags)
{
	struct view_node node;
	const struct view_entry *entry = view_node_entry(ino, &node);

	return (flags & O_ACCMODE) == O_RDONLY || (entry && entry->mode & 0200);
}

/* A control file has no position: it is lines in and lines out, and a shell
 * that thinks it can seek in what it read would lose some. */
static void view_open(fuse_req_t req, fuse_ino_t ino,
		      struct fuse_file_info *fi)
{
	struct view_server *server = request_server(req);
	struct open_file *file;
	int err = -EACCES;

	if (open_allowed(ino, fi->flags))
		err = file_open(req, ino, &file);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = (uintptr_t)file;
	fi->direct_io = 1;
	fi->nonseekable = file->entry->kind == VIEW_CTL;
	/* The opener was interrupted: there will be no release. */
	if (fuse_reply_open(req, fi) == -ENOENT)
		file_close(file, server);
}

static void view_opendir(fuse_req_t req, fuse_ino_t ino,
			 struct fuse_file_info *fi)
{
	struct view_server *server = request_server(req);
	struct open_file *file;
	int err = file_open(req, ino, &file);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = (uintptr_t)file;
	if (fuse_reply_open(req, fi) == -ENOENT)
		file_close(file, server);
}

static void view_release(fuse_req_t req, fuse_ino_t ino,
			 struct fuse_file_info *fi)
{
	(void)ino;
	file_close(request_file(fi), request_server(req));
	fuse_reply_err(req, 0);
}

/* ---- directories ---- */

/* Entry @index of a directory: . and .. come first. */
static const char *dir_entry(const struct open_file *dir, size_t index,
			     struct stat *st)
{
	const struct view_entry *entry = dir->entry;
	struct view_node node = dir->node;

	if (index >= 2) {
		node = dir->names[index - 2].node;
		entry = view_node_entry(view_node_id(&node), &node);
	}
	st->st_ino = node_ino(&node, entry);
	st->st_mode = entry_mode(entry);
	return index == 0 ? "." : index == 1 ? ".." :
		dir->names[index - 2].name;
}

static void view_readdir(fuse_req_t req, fuse_ino_t ino, size_t size,
			 off_t off, struct fuse_file_info *fi)
{
	const struct open_file *dir = request_file(fi);
	char *buf = malloc(size);
	size_t used = 0, need;
	struct stat st = {0};
	const char *name;

	(void)ino;
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (size_t i = off; i < dir->nnames + 2; i++) {
		name = dir_entry(dir, i, &st);
		need = fuse_add_direntry(req, buf + used, size - used, name,
					 &st, i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

/* ---- texts, pagemap, answers: reads that do not wait ---- */

static void read_text(fuse_req_t req, struct open_file *file, size_t size,
		      off_t off)
{
	size_t at = off, left;
	int err = 0;

	pthread_mutex_lock(&file->lock);
	if (at == 0 && file->begun)
		err = file_make_text(file, &request_server(req)->src);
	file->begun |= at == 0;
	left = at < file->text.len ? file->text.len - at : 0;
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, left ? file->text.data + at : NULL,
			       size < left ? size : left);
	pthread_mutex_unlock(&file->lock);
}

/* => entries read into *entries, which the caller frees; -errno. */
static ssize_t pagemap_get(struct vm *vm, int pid, uint64_t vpn, size_t n,
			   uint64_t **entries)
{
	uint64_t limit = snap_pagemap_limit(vm);
	int err;

	if (n > PAGEMAP_MAX)
		n = PAGEMAP_MAX;
	if (vpn >= limit)
		n = 0;
	else if (n > limit - vpn)
		n = limit - vpn;
	*entries = malloc(n * sizeof(**entries) + 1);
	if (!*entries)
		return -ENOMEM;
	err = n ? snap_pagemap(vm, pid, vpn, n, *entries) : 0;
	return err ? err : (ssize_t)n;
}

static void read_pagemap(fuse_req_t req, const struct open_file *file,
			 size_t size, off_t off)
{
	uint64_t *entries = NULL;
	ssize_t n = -EINVAL;

	if (size % sizeof(*entries) == 0 && off % sizeof(*entries) == 0)
		n = pagemap_get(request_server(req)->src.vm, file->node.pid,
				off / sizeof(*entries),
				size / sizeof(*entries), &entries);
	if (n < 0)
		fuse_reply_err(req, -n);
	else
		fuse_reply_buf(req, (char *)entries, n * sizeof(*entries));
	free(entries);
}

static void read_ctl(fuse_req_t req, struct open_file *file, size_t size)
{
	char *buf = malloc(size);

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	fuse_reply_buf(req, buf, view_ctl_read(file->ctl, buf, size));
	free(buf);
}

/* ---- memory and commands: calls that may wait ---- */

struct mem_call {
	struct view_call call;
	const struct view_server *server;
	int pid;
	uint64_t addr;
	size_t len;
	char data[];
};

/* Linux's mem says EIO where nothing is mapped. */
static int mem_error(ssize_t n)
{
	return n == 0 || n == -EFAULT ? EIO : (int)-n;
}

static void mem_read_run(struct view_job *job, bool cancelled)
{
	struct mem_call *mem = (struct mem_call *)job;
	const struct view_ops *ops = &mem->server->src.ops;
	ssize_t n = cancelled ? -EINTR : ops->peek(ops->ctx, mem->pid,
					mem->addr, mem->data, mem->len);

	if (view_call_claim(&mem->call)) {
		if (n > 0)
			fuse_reply_buf(mem->call.req, mem->data, n);
		else
			fuse_reply_err(mem->call.req, mem_error(n));
	}
	view_call_end(&mem->call);
	free(mem);
}

static void mem_write_run(struct view_job *job, bool cancelled)
{
	struct mem_call *mem = (struct mem_call *)job;
	const struct view_ops *ops = &mem->server->src.ops;
	ssize_t n = cancelled ? -EINTR : ops->poke(ops->ctx, mem->pid,
					mem->addr, mem->data, mem->len);

	if (view_call_claim(&mem->call)) {
		if (n > 0)
			fuse_reply_write(mem->call.req, n);
		else
			fuse_reply_err(mem->call.req, mem_error(n));
	}
	view_call_end(&mem->call);
	free(mem);
}

static void mem_start(fuse_req_t req, const struct open_file *file,
		      const char *data, size_t len, off_t off)
{
	struct view_server *server = request_server(req);
	struct mem_call *mem = malloc(sizeof(*mem) + len);

	if (!mem) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (data)
		memcpy(mem->data, data, len);
	mem->call.job.run = data ? mem_write_run : mem_read_run;
	mem->server = server;
	mem->pid = file->node.pid;
	mem->addr = off;
	mem->len = len;
	view_call_start(&mem->call, req, &server->calls, server->accesses);
}

struct ctl_call {
	struct view_call call;
	const struct view_server *server;
	struct view_ctl *ctl;
	size_t len;
	char data[];
};

static void ctl_call_end(struct ctl_call *c)
{
	view_call_end(&c->call);
	view_ctl_put(c->ctl);
	free(c);
}

static void ctl_write_run(struct view_job *job, bool cancelled)
{
	struct ctl_call *c = (struct ctl_call *)job;
	ssize_t n = cancelled ? -EINTR : view_ctl_write(c->ctl,
					&c->server->src, c->data, c->len,
					&c->call.gone);

	if (view_call_claim(&c->call)) {
		if (n >= 0)
			fuse_reply_write(c->call.req, n);
		else
			fuse_reply_err(c->call.req, -n);
	}
	ctl_call_end(c);
}

static void ctl_flush_run(struct view_job *job, bool cancelled)
{
	struct ctl_call *c = (struct ctl_call *)job;
	int err = cancelled ? -EINTR : view_ctl_flush(c->ctl,
					&c->server->src, &c->call.gone);

	if (view_call_claim(&c->call))
		fuse_reply_err(c->call.req, -err);
	ctl_call_end(c);
}

static void ctl_start(fuse_req_t req, struct open_file *file,
		      const char *data, size_t len)
{
	struct view_server *server = request_server(req);
	struct ctl_call *c = malloc(sizeof(*c) + len);

	if (!c) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (data)
		memcpy(c->data, data, len);
	c->call.job.run = data ? ctl_write_run : ctl_flush_run;
	c->server = server;
	c->ctl = view_ctl_get(file->ctl);
	c->len = len;
	view_call_start(&c->call, req, &server->calls, server->commands);
}

/* ---- reads and writes ---- */

static void view_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	struct open_file *file = request_file(fi);

	(void)ino;
	switch (file->entry->kind) {
	case VIEW_TEXT:
		read_text(req, file, size, off);
		break;
	case VIEW_PAGEMAP:
		read_pagemap(req, file, size, off);
		break;
	case VIEW_MEM:
		mem_start(req, file, NULL, size, off);
		break;
	case VIEW_CTL:
		read_ctl(req, file, size);
		break;
	default:
		fuse_reply_err(req, EISDIR);
	}
}

static void view_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		       size_t size, off_t off, struct fuse_file_info *fi)
{
	struct open_file *file = request_file(fi);

	(void)ino;
	if (file->entry->kind == VIEW_MEM && request_server(req)->src.ops.poke)
		mem_start(req, file, buf, size, off);
	else if (file->entry->kind == VIEW_CTL)
		ctl_start(req, file, buf, size);
	else
		fuse_reply_err(req, EACCES);
}

/* close(2) waits for this, not for the release: a last line without its
 * newline runs now, and its error still has somebody to go to. */
static void view_flush(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct open_file *file = request_file(fi);

	(void)ino;
	if (file->ctl && view_ctl_partial(file->ctl))
		ctl_start(req, file, NULL, 0);
	else
		fuse_reply_err(req, 0);
}

/* ---- what cannot be done: names come and go with the machine's state ---- */

static void refuse_name(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void refuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
			 mode_t mode, dev_t rdev)
{
	(void)mode;
	(void)rdev;
	refuse_name(req, parent, name);
}

static void refuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
			 mode_t mode)
{
	(void)mode;
	refuse_name(req, parent, name);
}

static void refuse_symlink(fuse_req_t req, const char *target,
			   fuse_ino_t parent, const char *name)
{
	(void)target;
	refuse_name(req, parent, name);
}

static void refuse_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
			const char *name)
{
	(void)ino;
	refuse_name(req, parent, name);
}

static void refuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
			  fuse_ino_t to, const char *new, unsigned int flags)
{
	(void)to;
	(void)new;
	(void)flags;
	refuse_name(req, parent, name);
}

const struct fuse_lowlevel_ops view_fuse_ops = {
	.lookup = view_lookup,
	.getattr = view_getattr,
	.setattr = view_setattr,
	.open = view_open,
	.opendir = view_opendir,
	.readdir = view_readdir,
	.read = view_read,
	.write = view_write,
	.flush = view_flush,
	.release = view_release,
	.releasedir = view_release,
	.mknod = refuse_mknod,		/* and so open(2) with O_CREAT */
	.mkdir = refuse_mkdir,
	.unlink = refuse_name,
	.rmdir = refuse_name,
	.symlink = refuse_symlink,
	.link = refuse_link,
	.rename = refuse_rename,
};
