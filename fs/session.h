/*
 * session.h - one mount: libfuse's session, our threads, the way to the end.
 */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include "fs/volume.h"

/*
 * Serve @volume until it is unmounted or a signal (INT, TERM, HUP) asks to
 * end; calls @ready once the mount answers. => 0, or -errno after having
 * reported what is wrong; in no case a mount of ours is left behind.
 */
int session_serve(struct volume *volume, void (*ready)(void));

#endif
