/*
 * swapout.h - dirty anonymous pages go to swap, and areas that take no writes.
 *
 * Each area is judged by itself: one that refused a write rests, and pages go
 * to the others meanwhile, whatever the priorities. Then one page alone tries
 * it; when that is written, it is as good as before. Allocates nothing. Lock:
 * the core lock, for all of these.
 */
#ifndef PAGER_SWAPOUT_H
#define PAGER_SWAPOUT_H

#include <stdint.h>

#include "pager/core.h"

/* Write @n dirty anonymous frames, unmapped and shot down. What finds no slot
 * or descriptor stays, dirty. => how many are under way. */
unsigned swapout_write(struct vm *vm, const uint32_t *pfn, unsigned n);
/* A write from @slot on has failed: its area rests until @retry_ns. */
void swapout_failed(struct vm *vm, uint32_t slot, uint64_t retry_ns);
/* @n slots from @slot on have been written. */
void swapout_wrote(struct vm *vm, uint32_t slot, unsigned n);
/*
 * The medium refused @slot, alone. It is bad if others of its area take
 * writes: that is seen at the next one. If none does, it is no matter of
 * slots, and the area is to be found whole when the store is back.
 */
void swapout_suspect(struct vm *vm, uint32_t slot);

#endif
