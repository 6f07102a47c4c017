/*
 * under_way.h - tables of what there is: requests in hand, inodes known.
 */
#ifndef FS_UNDER_WAY_H
#define FS_UNDER_WAY_H

#include "fs/volume.h"

#include <stdio.h>

struct loop;

/* Inodes listed at most; how many more there are is said. */
#define UNDER_WAY_INODES	100000

void under_way_print_requests(FILE *out, struct volume *volume,
			      struct loop *loop);
void under_way_print_inodes(FILE *out, struct volume *volume);

#endif
