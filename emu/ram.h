/*
 * ram.h - the machine's physical memory: one memfd mapping, frames by number.
 *
 * A frame is 4 KiB; frame n holds physical addresses [n * 4096, n * 4096 +
 * 4095]. The mapping never moves, so pointers into it stay good until
 * ram_destroy(). No locks: who may touch which frame is the pager's business.
 */
#ifndef EMU_RAM_H
#define EMU_RAM_H

#include <stdint.h>

#define RAM_FRAME_SHIFT		12
#define RAM_FRAME_SIZE		4096u

struct ram {
	uint8_t *base;		/* host address of physical address 0 */
	uint64_t size;		/* bytes, a multiple of RAM_FRAME_SIZE */
	uint32_t nframes;
	int memfd;
};

/*
 * Make @size bytes of RAM, all zero. @size is rounded down to whole frames.
 * => -EINVAL: no whole frame, or 2^32 frames and more; -ENOMEM and what
 *    memfd_create(2), ftruncate(2), mmap(2) say.
 */
int ram_create(struct ram *ram, uint64_t size);
void ram_destroy(struct ram *ram);

/* Host address of frame @pfn. => @pfn < ram->nframes. */
static inline void *ram_frame(const struct ram *ram, uint32_t pfn)
{
	return ram->base + ((uint64_t)pfn << RAM_FRAME_SHIFT);
}

#endif
