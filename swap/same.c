/*
 * same.c - see same.h.
 */
#include "swap/same.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

int same_ask(int fd, struct same *same)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		  STATX_TYPE | STATX_INO | STATX_BTIME, &st))
		return -errno;
	*same = (struct same){
		.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
		.ino = st.stx_ino,
		.born = st.stx_btime,
		.says_born = st.stx_mask & STATX_BTIME,
	};
	if (S_ISDIR(st.stx_mode))
		return -EISDIR;
	return S_ISREG(st.stx_mode) ? 0 : -ENODEV;
}

bool same_is(const struct same *before, const struct same *now)
{
	if (before->ino != now->ino)
		return false;
	return !before->says_born || !now->says_born ||
	       (before->born.tv_sec == now->born.tv_sec &&
		before->born.tv_nsec == now->born.tv_nsec);
}
