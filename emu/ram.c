/*
 * ram.c - physical memory: a memfd, so that it can be mapped again or handed
 * to I/O by descriptor, and one shared mapping of it.
 *
 * In: a size. Out: struct ram, written here and nowhere else. Frames that
 * nobody touched cost nothing: the file is sparse.
 *
 * Invariants: size == nframes * RAM_FRAME_SIZE; base, size and memfd stay
 * what they are from ram_create() to ram_destroy(). Locks: none.
 */
#include "ram.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static int ram_map(struct ram *ram)
{
	void *base;

	/* ftruncate() takes a signed size; nframes keeps it far below. */
	if (ftruncate(ram->memfd, (off_t)ram->size))
		return -errno;
	base = mmap(NULL, ram->size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE, ram->memfd, 0);
	if (base == MAP_FAILED)
		return -errno;
	ram->base = base;
	return 0;
}

int ram_create(struct ram *ram, uint64_t size)
{
	uint64_t nframes = size >> RAM_FRAME_SHIFT;
	int err;

	if (!nframes || nframes > UINT32_MAX)
		return -EINVAL;
	ram->nframes = nframes;
	ram->size = nframes << RAM_FRAME_SHIFT;
	ram->memfd = memfd_create("pagervm-ram", MFD_CLOEXEC);
	if (ram->memfd < 0)
		return -errno;
	err = ram_map(ram);
	if (err)
		close(ram->memfd);
	return err;
}

void ram_destroy(struct ram *ram)
{
	munmap(ram->base, ram->size);
	close(ram->memfd);
	ram->base = NULL;
	ram->memfd = -1;
}
