/*
 * nogrow.h - a promise asked of an open file: writes never extend it.
 *
 * No flag of write(2) says so. A pager needs it, since the file behind a
 * mapping may be truncated at any time, and what is written back must not
 * bring the end of the file back. Without it, every write has to be preceded
 * by a question for the size.
 *
 *	ioctl(fd, NOGROW) == NOGROW_YES
 *
 * and from then on a write by @fd which would end past the end of the file is
 * refused, whole, with EFBIG; so is a copy (copy_file_range(2)) to it, and a
 * fallocate(2) that does not keep the size. ftruncate(2) says what it wants
 * and gets it. pagerfs promises it; others say ENOTTY.
 */
#ifndef SWAP_NOGROW_H
#define SWAP_NOGROW_H

#include <sys/ioctl.h>

#define NOGROW		_IO(0xF5, 0x01)
#define NOGROW_YES	0x6e67

#endif
