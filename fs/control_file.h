/*
 * control_file.h - what is in the files of the control directory. Nothing of
 * FUSE's protocol in here.
 */
#ifndef FS_CONTROL_FILE_H
#define FS_CONTROL_FILE_H

#include "fs/volume.h"

struct loop;

enum control_kind {
	CONTROL_DIR = 1,
	CONTROL_RULES,
	CONTROL_CTL,
	CONTROL_STATS,
	CONTROL_INFLIGHT,
	CONTROL_INODES,
	CONTROL_KINDS,
};

/* Its name and mode; NULL: no such file. */
const char *control_file_name(enum control_kind kind, mode_t *mode);

struct control_file;

/*
 * Open one; @replace: what is written to rules stands instead of those there
 * are. => NULL: no memory.
 */
struct control_file *control_file_open(enum control_kind kind,
				       struct volume *volume,
				       struct loop *loop, bool replace);
void control_file_close(struct control_file *file);

/* => Bytes put to @to. */
size_t control_file_read(struct control_file *file, char *to, size_t size,
			 uint64_t offset);
/* The whole lines there are now are carried out. => 0 or -errno. */
int control_file_write(struct control_file *file, const char *data,
		       size_t size, uint64_t offset);
/* The rest, too: it is being closed. => 0 or -errno. */
int control_file_flush(struct control_file *file);

#endif
