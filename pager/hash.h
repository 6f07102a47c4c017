/*
 * hash.h - uthash, which by default ends the program when memory is short.
 */
#ifndef PAGER_HASH_H
#define PAGER_HASH_H

#ifdef UTHASH_H
#error "uthash.h was included before: it would end the program"
#endif
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* After HASH_ADD of @elt: is it in? */
#define hash_added(elt)	((elt)->hh.tbl != NULL)

#endif
