/*
 * each_check.h - run the check on the state that was built.
 */
#ifndef REPLAY_EACH_CHECK_H
#define REPLAY_EACH_CHECK_H

#include "replay/each.h"

/*
 * Run each->command on the state, and say so if it fails. @how and @list:
 * which state it is, see each_try(). => 0 or -errno.
 */
int each_check(struct each *each, const char *how, const char *list);

#endif
