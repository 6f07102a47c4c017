/*
 * view_fuse.h - the live view's answers to FUSE requests. The session's user
 * data is a struct view_server.
 */
#ifndef FS_VIEW_FUSE_H
#define FS_VIEW_FUSE_H

#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "fs/view_call.h"
#include "fs/view_table.h"

struct view_board;

struct view_server {
	struct view_source src;
	struct view_jobs *accesses;	/* for requests that may wait: mem, */
	struct view_jobs *commands;	/* and ctl */
	struct view_calls calls;	/* those requests */
	struct view_board *board;	/* answers of the control files */
	uid_t uid;			/* who owns the files */
	gid_t gid;
	pthread_mutex_t lock;		/* files */
	LIST_HEAD(view_open_files, open_file) files;
};

extern const struct fuse_lowlevel_ops view_fuse_ops;

/* Free what is still open: no more requests come, not even to release it. */
void view_fuse_close_all(struct view_server *server);

#endif
