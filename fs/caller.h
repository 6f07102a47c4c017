/*
 * caller.h - make new files in the caller's name.
 *
 * A daemon run by root creates files as root; the caller should own them.
 * Between caller_enter() and caller_leave() this thread's file-system user
 * and group are the caller's, so owner, quota and setgid directories come
 * out as they would without us. The kernel has already checked permission
 * (default_permissions), with the caller's other groups which we do not
 * know, so the capabilities which override the check are kept.
 *
 * The caller's umask comes with it: only the file system below can tell
 * whether it counts, for a directory with a default ACL has that instead.
 *
 * User and group stay when the daemon is not root or the caller is.
 */
#ifndef FS_CALLER_H
#define FS_CALLER_H

#include "fs/volume.h"

struct caller {
	bool switched;
};

/*
 * Give this thread a umask of its own, 0. Once, before it serves.
 * => 0 or -errno.
 */
int caller_start(void);

/* Only a few system calls may lie between the two; no waiting. */
struct caller caller_enter(fuse_req_t req);
void caller_leave(struct caller caller);

/* Is the caller one whom the kernel below shows trusted attributes? */
bool caller_is_trusted(fuse_req_t req);
/* Do the set-id bits of a file he changes stay, where the kernel does not say?
 * Those of user 0 do unless he is known to lack CAP_FSETID. */
bool caller_keeps_setid(fuse_req_t req);

#endif
