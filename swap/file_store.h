/*
 * file_store.h - a mapped file as a store.
 *
 * Reads and writes by O_DIRECT where the file system lets us. The end of the
 * file is found anew at each I/O, so another program may truncate the file
 * under the mapping: a read tells pages past the end by npast, a write never
 * moves the end.
 */
#ifndef SWAP_FILE_STORE_H
#define SWAP_FILE_STORE_H

#include <stdbool.h>

#include "pager/store.h"
#include "swap/aio.h"

/*
 * Open @path on @aio. May wait.
 * => 0 and *store, closed by store->ops->close(); -errno from open(2) or
 *    fstat(2); -EISDIR: a directory, -ENODEV: else not a regular file;
 *    -ELOOP: it is on the device @forbidden (0: none); -ENOMEM.
 */
int file_store_open(struct aio *aio, const char *path, bool writable,
		    uint64_t forbidden, struct store **store);

/* Whether @store goes past the host's page cache. */
bool file_store_is_direct(const struct store *store);

#endif
