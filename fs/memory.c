/*
 * memory.c - a daemon that may serve the system's swap: see memory.h.
 *
 * libfuse takes some 200 bytes from malloc() for each request. They come out
 * of the arena of the thread, which is given MEMORY_HEAP at the start and
 * never gives it back.
 */
#include "fs/memory.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMORY_HEAP	(256u << 10)

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER	57
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif

static bool memory_capable(unsigned int capability)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	return !syscall(SYS_capget, &header, data) &&
	       data[capability / 32].effective & 1u << capability % 32;
}

/* All is locked: may it be more than the limit of who lacks the capability? */
static bool memory_is_unlimited(void)
{
	struct rlimit limit;
	void *more;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY)
		return true;
	more = mmap(NULL, limit.rlim_cur + 1, PROT_NONE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (more == MAP_FAILED)
		return false;
	munmap(more, limit.rlim_cur + 1);
	return true;
}

/*
 * Without the capability there is a limit, and locking what is still to come
 * would make later mappings fail at it. In a user namespace we seem to have
 * the capability and the limit holds all the same. => 0 or errno.
 */
static int memory_lock_all(void)
{
	if (!memory_capable(CAP_IPC_LOCK))
		return EPERM;
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		return errno;
	if (memory_is_unlimited())
		return 0;
	munlockall();
	return EPERM;
}

static void memory_lock(void)
{
	int err = memory_lock_all();

	report_at(REPORT_INFO, err ? "memory is not locked: %s" :
		  "memory is locked", strerror(err));
}

/* Allocations of ours neither write to a file system nor wait for one. */
static void memory_flusher(void)
{
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		report_at(REPORT_INFO, "not marked as a writer of pages "
			  "(PR_SET_IO_FLUSHER): %s", strerror(errno));
}

/* Killing the store frees little, and takes all that is swapped to it. */
static void memory_spare(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) != 5)
		report_at(REPORT_INFO, "not spared when memory runs out "
			  "(oom_score_adj): %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

void memory_prepare(void)
{
	memory_lock();
	memory_flusher();
	memory_spare();
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_MMAP_THRESHOLD, 16 << 20);
	mallopt(M_TOP_PAD, MEMORY_HEAP);
}

void memory_prepare_thread(void)
{
	char *volatile heap = malloc(MEMORY_HEAP);

	if (heap)
		memset(heap, 1, MEMORY_HEAP);
	free(heap);
}

void memory_populate(void *start, size_t length)
{
	/* Before 5.14 there is no such thing, and it is touched in time. */
	if (madvise(start, length, MADV_POPULATE_WRITE) && errno != EINVAL)
		report_at(REPORT_INFO, "%zu bytes could not be set aside: %s",
			  length, strerror(errno));
}
