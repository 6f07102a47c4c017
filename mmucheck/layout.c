/*
 * layout.c - where things lie in the physical memory of an engine: layout.h.
 */
#include "mmucheck/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* The second page number of each puts bits into more than one index. */
static const uint64_t window_base[MC_WINDOWS] = {
	0,
	1ull << 32,
	(1ull << 35) + (1ull << 30),
	(1ull << 37) + (1ull << 34),
	1ull << 39,
};

/* Frames of an arena: both ends of its 2 and 4 MiB pages, and the middle. */
static const uint16_t low_frames[] = {
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
	0, 511, 512, 1023,
};
static const uint16_t high_frames[] = { 5, 0, 1023, 511, 70 };

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

int layout_mem_create(struct mc_mem *mem)
{
	void *p = mmap(NULL, MC_MEM_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	madvise(p, MC_MEM_SIZE, MADV_NOHUGEPAGE);
	madvise(p, MC_MEM_SIZE, MADV_DONTDUMP);
	mem->base = p;
	mem->size = MC_MEM_SIZE;
	return 0;
}

void layout_mem_destroy(struct mc_mem *mem)
{
	munmap(mem->base, mem->size);
	mem->base = NULL;
}

uint64_t layout_window(unsigned window)
{
	return window_base[window];
}

static unsigned add_frames(uint64_t base, const uint16_t *from, unsigned n,
			   uint64_t *frame)
{
	for (unsigned i = 0; i < n; i++)
		frame[i] = base + from[i] * 4096ull;
	return n;
}

unsigned layout_frames(unsigned arena, unsigned bits, uint64_t *frame,
		       unsigned *nlow)
{
	uint64_t off = arena * MC_ARENA_SIZE;
	unsigned n;

	n = add_frames(off, low_frames, COUNT(low_frames), frame);
	*nlow = n;
	for (unsigned w = 1; w < MC_WINDOWS; w++)
		if ((window_base[w] + MC_WINDOW_SIZE - 1) >> bits == 0)
			n += add_frames(window_base[w] + off, high_frames,
					COUNT(high_frames), frame + n);
	return n;
}

uint64_t layout_descriptor(uint64_t number)
{
	/* SDM 3A 3.4.5: present, DPL 3, data, read/write, accessed. */
	return 0xffff | (number & 0xffffff) << 16 | 0xf3ull << 40 |
	       (number >> 24 & 0xff) << 56;
}

void layout_fill(const struct mc_mem *mem, uint64_t pa)
{
	uint8_t *p = mem->base + pa;
	uint64_t number = pa >> 12, word;
	uint8_t fetch[MC_FETCH_LEN] = {
		0xb8, number, number >> 8, number >> 16, number >> 24,
		0xe7, MC_PORT_FETCH,
	};

	for (unsigned i = 0; i < 4096; i += 8) {
		word = (pa + i) * 0x9e3779b97f4a7c15ull;
		memcpy(p + i, &word, 8);
	}
	memcpy(p + MC_OFF_FETCH, fetch, sizeof(fetch));
	word = layout_descriptor(number);
	memcpy(p + MC_OFF_DESC, &word, 8);
	memcpy(p + MC_OFF_CROSS, fetch, 2);
	memcpy(p, fetch + 2, 5);
}

bool layout_exists(uint64_t pa)
{
	for (unsigned w = 0; w < MC_WINDOWS; w++)
		if (pa - window_base[w] < MC_WINDOW_SIZE)
			return true;
	return false;
}
