/*
 * remount.c - mount -o remount,...: see remount.h.
 *
 * Reads the option words that options_parse() left for libfuse, and makes
 * one mount(2). Only ever called instead of serving; no threads.
 */
#include "fs/remount.h"
#include "fs/mountpoint.h"
#include "fs/report.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>

#define REMOUNT_ATIME	(MS_NOATIME | MS_RELATIME | MS_STRICTATIME)

/* What is said last holds: mount(8) puts what there was before it. */
static const struct remount_word {
	const char *word;
	unsigned long clear, set;
} remount_words[] = {
	{ "rw", MS_RDONLY, 0 }, { "ro", 0, MS_RDONLY },
	{ "suid", MS_NOSUID, 0 }, { "nosuid", 0, MS_NOSUID },
	{ "dev", MS_NODEV, 0 }, { "nodev", 0, MS_NODEV },
	{ "exec", MS_NOEXEC, 0 }, { "noexec", 0, MS_NOEXEC },
	{ "async", MS_SYNCHRONOUS, 0 }, { "sync", 0, MS_SYNCHRONOUS },
	{ "dirsync", 0, MS_DIRSYNC },
	{ "diratime", MS_NODIRATIME, 0 }, { "nodiratime", 0, MS_NODIRATIME },
	{ "noatime", REMOUNT_ATIME, MS_NOATIME },
	{ "relatime", REMOUNT_ATIME, MS_RELATIME },
	{ "atime", REMOUNT_ATIME, MS_RELATIME },
	{ "strictatime", REMOUNT_ATIME, MS_STRICTATIME },
	/* What mounting takes, and the kernel shows, and stays as it is. */
	{ "default_permissions", 0, 0 }, { "allow_other", 0, 0 },
	{ "allow_root", 0, 0 }, { "blkdev", 0, 0 }, { "debug", 0, 0 },
	{ "-d", 0, 0 }, { "user_id=", 0, 0 }, { "group_id=", 0, 0 },
	{ "fd=", 0, 0 }, { "rootmode=", 0, 0 }, { "fsname=", 0, 0 },
	{ "subtype=", 0, 0 }, { "max_read=", 0, 0 }, { "blksize=", 0, 0 },
	{ "context=", 0, 0 }, { "fscontext=", 0, 0 },
	{ "defcontext=", 0, 0 }, { "rootcontext=", 0, 0 },
};

static bool remount_is(const struct remount_word *word, const char *arg)
{
	size_t length = strlen(word->word);

	return word->word[length - 1] == '=' ?
		!strncmp(arg, word->word, length) : !strcmp(arg, word->word);
}

static int remount_take(void *data, const char *arg, int key,
			struct fuse_args *rest)
{
	const size_t count = sizeof(remount_words) / sizeof(*remount_words);
	unsigned long *flags = data;
	size_t i;

	(void)key;
	(void)rest;
	for (i = 0; i < count && !remount_is(&remount_words[i], arg); i++)
		;
	if (i == count) {
		report("remount: there is no option '%s' that could be "
		       "changed: say ro, rw, nosuid, noatime or the like", arg);
		return -1;
	}
	*flags = (*flags & ~remount_words[i].clear) | remount_words[i].set;
	return 1;
}

int remount(const struct options *options)
{
	static const struct fuse_opt none[] = { FUSE_OPT_END };
	struct fuse_args args = options->rest;
	unsigned long flags = 0;
	int err = 0;

	if (!mountpoint_is_pagerfs(options->mountpoint)) {
		report("MOUNTPOINT %s: cannot remount: no pagerfs is mounted "
		       "there", options->mountpoint);
		return -EINVAL;
	}
	args.allocated = 0;	/* parsing makes a copy of its own */
	if (fuse_opt_parse(&args, &flags, none, remount_take))
		return -EINVAL;
	if (mount(NULL, options->mountpoint, NULL, MS_REMOUNT | flags, NULL))
		err = -errno;
	fuse_opt_free_args(&args);
	if (err)
		report("%s: cannot remount: %s", options->mountpoint,
		       strerror(-err));
	return err;
}
