/*
 * build.h - put the files of an outcome into a directory.
 */
#ifndef REPLAY_BUILD_H
#define REPLAY_BUILD_H

#include "replay/outcome.h"

struct build {
	int base;		/* --base directory, or -1 */
	int top;		/* the new directory */
	uint64_t unmade;	/* device files that we may not make */
	char path[4096];	/* what the last error is about */
};

/*
 * Put what there is in @outcome, legalised, into the new directory @dir:
 * names, contents, links, modes; owners too, for root. @dir itself gets those
 * of SOURCE. It must not exist or be empty. => 0 or -errno, and build->path
 * names the file.
 */
int build_outcome(struct build *build, struct outcome *outcome,
		  const char *dir);

/* Remove @dir and all below. It is not followed out of. => 0 or -errno. */
int build_remove(const char *dir);

/*
 * Take the contents at the start from build->base, for a record that was made
 * without them. @state has come to the end of the tree at the start. => 0 or
 * -errno; -ESTALE: the file build->path is not as it was.
 */
int build_take_base(struct build *build, struct state *state);
/* What its error @err means, in words that follow the file's name. */
const char *build_base_fault(int err);

#endif
