/*
 * preflight.c - what is wrong with a command line is found before anything is
 * made: swap areas have all their disk space allocated, which takes its time.
 *
 * Programs are looked at, not opened: one may be a FIFO, whose writer would
 * take the opening for its reader. Locks: none.
 */
#include "pager/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pager/options.h"

#define FUSE_MAGIC	0x65735546
#define RAM_MIN		(64ull << 10)
#define RAM_MAX		(16ull << 40)
#define RAM_MAX_32	(4ull << 30)	/* what 32-bit page tables reach */

__attribute__((format(printf, 1, 2))) static char *wrong(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = strdup("out of memory");
	va_end(ap);
	return text;
}

static char *check_dir(const struct options *o)
{
	struct statfs fs;
	int err = statfs(o->dir, &fs) < 0 ? errno : 0;

	if (err == ENOTCONN || err == ECONNABORTED || err == ECONNREFUSED)
		return wrong("%s: the store's daemon has died; clear the mount "
			     "with `fusermount3 -uz %s' and mount it again",
			     o->dir, o->dir);
	if (err == ENOENT)
		return wrong("%s: %s; make it and mount a store there with "
			     "`pagerfs SOURCE %s', or name another with --dir",
			     o->dir, strerror(err), o->dir);
	if (err)
		return wrong("%s: %s", o->dir, strerror(err));
	if (fs.f_type != FUSE_MAGIC && !o->plain)
		return wrong("%s: no store is mounted here; mount one with "
			     "`pagerfs SOURCE %s', or say --plain to page on "
			     "the directory itself", o->dir, o->dir);
	return NULL;
}

/* Far beyond what the host has, the array of frames alone would have us killed,
 * wordless. */
static char *check_ram(const struct options *o)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			(uint64_t)sysconf(_SC_PAGESIZE);

	if (o->ram < RAM_MIN || o->ram >= RAM_MAX)
		return wrong("--ram: there must be at least 64K and less than "
			     "16T of RAM");
	if ((o->mode == VM_MODE_32 || o->mode == VM_MODE_PAE) &&
	    o->ram > RAM_MAX_32)
		return wrong("--ram: 32-bit page tables (--mmu 32, pae) reach "
			     "no more than 4G of RAM");
	if (o->ram > host)
		return wrong("--ram: %llu MiB of RAM are more than the %llu "
			     "MiB of memory of this computer; say less",
			     (unsigned long long)(o->ram >> 20),
			     (unsigned long long)(host >> 20));
	return NULL;
}

static char *check_file(const char *path)
{
	struct stat st;
	int err = 0;

	if (strcmp(path, "-") == 0)
		return NULL;
	if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0)
		err = errno;
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		err = EISDIR;
	return err ? wrong("%s: %s", path, strerror(err)) : NULL;
}

char *preflight(const struct options *o)
{
	char *why = check_dir(o);

	if (!why)
		why = check_ram(o);
	for (unsigned i = 0; i < o->nfiles && !why; i++)
		why = check_file(o->file[i]);
	return why;
}
