/*
 * remount.c - mount -o remount,...: see remount.h.
 *
 * Reads the option words that options_parse() left for libfuse, and makes
 * one mount(2). Only ever called instead of serving; no threads.
 */
#include "fs/remount.h"
#include "fs/report.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>

struct remount {
	unsigned long set;
};

static const struct {
	const char *word;
	unsigned long flag;
} remount_words[] = {
	{ "ro", MS_RDONLY }, { "nosuid", MS_NOSUID }, { "nodev", MS_NODEV },
	{ "noexec", MS_NOEXEC }, { "sync", MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC }, { "noatime", MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME },
};

static int remount_take(void *data, const char *arg, int key,
			struct fuse_args *rest)
{
	struct remount *wanted = data;
	size_t i;

	(void)key;
	(void)rest;
	for (i = 0; i < sizeof(remount_words) / sizeof(*remount_words); i++)
		if (!strcmp(arg, remount_words[i].word))
			wanted->set |= remount_words[i].flag;
	return 1;
}

int remount(const struct options *options)
{
	static const struct fuse_opt none[] = { FUSE_OPT_END };
	struct fuse_args args = options->rest;
	struct remount wanted = {
		.set = options->noatime ? MS_NOATIME : 0,
	};
	int err = 0;

	args.allocated = 0;	/* parsing makes a copy of its own */
	if (fuse_opt_parse(&args, &wanted, none, remount_take))
		return -EINVAL;
	if (mount(NULL, options->mountpoint, NULL, MS_REMOUNT | wanted.set,
		  NULL))
		err = -errno;
	fuse_opt_free_args(&args);
	if (err)
		report("%s: cannot remount: %s%s", options->mountpoint,
		       strerror(-err), err == -EINVAL ?
		       ": is anything mounted there?" : "");
	return err;
}
