/*
 * names.h - which changes of names go with which.
 *
 * In order (as a journal has it) a change is on the disk only with all before
 * it. In strict mode it is there only with those before it which it builds
 * upon: that touch one of its names, made its directory or its file, emptied
 * the directory that it removes; and directories are moved in order.
 */
#ifndef REPLAY_NAMES_H
#define REPLAY_NAMES_H

#include "replay/state.h"

/* Does @fsync cover one of @names that ended after record @since and is not
 * @must yet? */
bool names_any_covered(const struct changes *names, const struct change *fsync,
		       bool strict, uint64_t since);

/*
 * @fsync has ended: mark as @must those of @names which it covers, and those
 * which they build upon.
 */
void names_sync(struct changes *names, const struct change *fsync,
		bool strict);

/* Of @names, take @keep from those that build upon one which is not kept. */
void names_legalise(struct changes *names, bool strict);

#endif
