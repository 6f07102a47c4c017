/*
 * layout.h - where things lie in the physical memory of an engine.
 *
 *	0 .. 4 MiB		what the KVM guest needs to live (guest.c)
 *	arena A, 1..64:		4 MiB from A * 4 MiB in each window
 *
 * A window is a stretch of physical memory that starts at some power of two,
 * so that entries have high address bits to get wrong. Cases take the arenas
 * in turn, because KVM does not see edits from outside in tables it has
 * shadowed. Of an arena only a few frames are ever used: they are chosen so
 * that some begin and some end a large page.
 *
 * A frame that is not a table is filled so that whatever is read there tells
 * which frame it is, and holds what a fetch can execute:
 *
 *	0x000	the rest of the instruction that begins at 0xffe
 *	0x800	mov $FRAME, %eax; out %eax, $MC_PORT_FETCH
 *	0x840	a descriptor of a data segment with base FRAME
 *	0xffe	mov $..., %eax, its first two bytes
 *	other	words of eight bytes: the physical address, scrambled
 */
#ifndef MMUCHECK_LAYOUT_H
#define MMUCHECK_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "mmucheck/case.h"

#define MC_ARENAS	64
#define MC_ARENA_SIZE	(4ull << 20)
#define MC_WINDOWS	5
#define MC_WINDOW_SIZE	((MC_ARENAS + 1) * MC_ARENA_SIZE)
#define MC_MEM_SIZE	((1ull << 39) + (1ull << 30))

#define MC_OFF_FETCH	0x800
#define MC_OFF_DESC	0x840
#define MC_OFF_CROSS	0xffe
#define MC_FETCH_LEN	7
#define MC_PORT_FETCH	0xe8

/* Reserve an empty physical memory. => -errno */
int layout_mem_create(struct mc_mem *mem);
void layout_mem_destroy(struct mc_mem *mem);

uint64_t layout_window(unsigned window);

/*
 * The frames of @arena that an entry of @bits physical address bits can name,
 * low ones first; @nlow of them are below 4 GiB. => how many, <= MC_FRAMES
 */
unsigned layout_frames(unsigned arena, unsigned bits, uint64_t *frame,
		       unsigned *nlow);

/* Fill the frame at @pa as above. */
void layout_fill(const struct mc_mem *mem, uint64_t pa);

/* What is read, eight bytes of it, from the descriptor of frame @number. */
uint64_t layout_descriptor(uint64_t number);

/* Is [@pa, @pa + 4096) memory that exists in every engine? */
bool layout_exists(uint64_t pa);

#endif
