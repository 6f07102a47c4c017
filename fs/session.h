/*
 * session.h - one mount: libfuse's session, our threads, the way to the end.
 */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include "fs/volume.h"

/*
 * Serve @volume until it is unmounted or a signal (INT, TERM, HUP) asks to
 * end; calls @ready once the mount answers. => 0, or -errno after having
 * reported what is wrong. No mount of ours is left behind, but one whose
 * connection was aborted (/sys/fs/fuse/connections): that is dead, and cannot
 * be told from another that was mounted there since.
 */
int session_serve(struct volume *volume, void (*ready)(void));

/*
 * A session that talks to @fd, a socket which keeps messages apart, instead
 * of the kernel: so that a test can be the kernel. Nothing is mounted. It
 * closes @fd when it is destroyed. => NULL: libfuse has said why.
 */
struct fuse_session *session_on(struct volume *volume, int fd);

#endif
