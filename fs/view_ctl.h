/*
 * view_ctl.h - control files: lines of the workload language in, messages out.
 * Nothing of FUSE in here.
 *
 * Whoever wants the answer to his own command reads it back through the same
 * open file. The board keeps the last answers, for those who open anew.
 */
#ifndef FS_VIEW_CTL_H
#define FS_VIEW_CTL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct view_source;
struct view_board;
struct view_ctl;

struct view_board *view_board_create(void);
void view_board_destroy(struct view_board *board);

/* A control file of @pid (0: the machine's) being opened; it will read as
 * the last answer any of that pid's control files gave. => NULL: no memory */
struct view_ctl *view_ctl_open(struct view_board *board, int pid);
/* A command may outlive the file it was written to: whoever works with one
 * holds a reference. Opening gives the first. */
struct view_ctl *view_ctl_get(struct view_ctl *ctl);
void view_ctl_put(struct view_ctl *ctl);

/* Run the whole lines there are now; keep what follows the last newline. May
 * wait, but not for long once *@gone is set (NULL: never). => @len; -E2BIG: a line too long; the error of the commands, and then
 * all of @data is taken. */
ssize_t view_ctl_write(struct view_ctl *ctl, const struct view_source *src,
		       const char *data, size_t len, const atomic_bool *gone);
/* Is there a line without its newline yet? Does not wait. */
bool view_ctl_partial(struct view_ctl *ctl);
/* Run it. May wait. => 0 or its error. */
int view_ctl_flush(struct view_ctl *ctl, const struct view_source *src,
		   const atomic_bool *gone);
/* The next bytes of the last answer; 0 at its end. Does not wait. */
size_t view_ctl_read(struct view_ctl *ctl, char *buf, size_t len);

#endif
