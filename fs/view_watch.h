/*
 * view_watch.h - somebody to take the view away when its machine is killed.
 */
#ifndef FS_VIEW_WATCH_H
#define FS_VIEW_WATCH_H

#include <sys/types.h>

struct view_watch {
	pid_t pid;		/* 0: nobody watches */
	int pipe;		/* our end, held open for as long as we live */
};

/* Have the view at @path watched. => 0 or -errno: a killed machine then
 * leaves a dead view behind, which the next start clears. */
int view_watch_start(struct view_watch *watch, const char *path);
/* The view is gone in good order. A watch of {0}: nothing. */
void view_watch_stop(struct view_watch *watch);

#endif
