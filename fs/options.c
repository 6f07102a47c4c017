/*
 * options.c - the command line: ours, mount(8)'s and libfuse's, told apart.
 *
 * fuse_opt walks the arguments once. Ours fill struct options; words which
 * only mount(8) and fstab(5) care about are dropped, because `mount -t
 * fuse.pagerfs` hands them to us all the same; the rest stays for libfuse.
 *
 * Invariant: allow_other never goes without default_permissions. Without the
 * check in the kernel, one user's cached permission would serve another, so
 * default_permissions is simply always on.
 */
#include "fs/options.h"
#include "fs/report.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_THREADS_MAX	64

#define OPTIONS_SECONDS_MAX	1e9	/* 31 years: fits in nanoseconds */
#define OPTIONS_SECONDS_MIN	1e-9	/* less would be none in nanoseconds */

enum {
	KEY_MOUNT_ONLY,
	KEY_NUMBER,
};

#define FIELD(name, field, value) \
	{ name, offsetof(struct options, field), value }
#define DROPPED(name) FUSE_OPT_KEY(name, KEY_MOUNT_ONLY)
#define NUMBER(name) FUSE_OPT_KEY(name, KEY_NUMBER)

static const struct fuse_opt options_table[] = {
	FIELD("-h", help, 1), FIELD("--help", help, 1),
	FIELD("-V", version, 1), FIELD("--version", version, 1),
	FIELD("-f", foreground, 1),
	FIELD("-d", debug, 1), FIELD("debug", debug, 1),
	FIELD("-s", single, 1),
	FIELD("allow_other", allow_other, 1),
	FUSE_OPT_KEY("allow_other", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_KEY("debug", FUSE_OPT_KEY_KEEP),
	FUSE_OPT_KEY("-d", FUSE_OPT_KEY_KEEP),
	FIELD("noatime", noatime, 1),
	FUSE_OPT_KEY("noatime", FUSE_OPT_KEY_KEEP),
	FIELD("remount", remount, 1),
	FIELD("auto_unmount", auto_unmount, 1),
	FIELD("writeback", writeback, 1),
	FIELD("no_writeback", writeback, 0),
	FIELD("auto_cache", cache, OPTIONS_CACHE_AUTO),
	FIELD("noauto_cache", cache, OPTIONS_CACHE_NEVER),
	FIELD("kernel_cache", cache, OPTIONS_CACHE_ALWAYS),
	FIELD("record=%s", record, 0),
	FIELD("record_base=yes", record_base, 1),
	FIELD("record_base=no", record_base, 0),
	NUMBER("attr_timeout="),
	NUMBER("entry_timeout="),
	NUMBER("negative_timeout="),
	NUMBER("threads="),
	FIELD("inject=%s", inject, 0),
	FIELD("rules=%s", rules, 0),
	NUMBER("seed="),
	FIELD("control", nocontrol, 0), FIELD("nocontrol", nocontrol, 1),
	NUMBER("timeout="),
	NUMBER("inode_fds="),
	FIELD("log_level=%s", log_level, 0),
	DROPPED("defaults"), DROPPED("auto"), DROPPED("noauto"),
	DROPPED("user"), DROPPED("user="), DROPPED("nouser"),
	DROPPED("users"), DROPPED("group"), DROPPED("owner"),
	DROPPED("_netdev"), DROPPED("nofail"), DROPPED("comment="),
	DROPPED("x-"), DROPPED("nonempty"),
	FUSE_OPT_END
};

/*
 * libfuse would read a number with sscanf(), and so take 4x for 4, nan for a
 * time and 2^32 for 0.
 */
static const struct options_number {
	const char *name;
	size_t offset;
	unsigned long least, most;	/* most 0: a number of seconds */
	bool is_long;
} options_numbers[] = {
	{ "attr_timeout", offsetof(struct options, attr_timeout), 0, 0, 0 },
	{ "entry_timeout", offsetof(struct options, entry_timeout), 0, 0, 0 },
	{ "negative_timeout", offsetof(struct options, negative_timeout), 0, 0,
	  0 },
	{ "timeout", offsetof(struct options, timeout), 0, 0, 0 },
	{ "threads", offsetof(struct options, threads), 1, OPTIONS_THREADS_MAX,
	  0 },
	{ "inode_fds", offsetof(struct options, inode_fds), 1, INT_MAX, 0 },
	{ "seed", offsetof(struct options, seed), 1, ULONG_MAX, 1 },
};

static bool options_read_seconds(const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	return !text[strspn(text, "0123456789.")] && *text && !*end &&
	       *seconds <= OPTIONS_SECONDS_MAX &&
	       (*seconds == 0 || *seconds >= OPTIONS_SECONDS_MIN);
}

static int options_set_number(struct options *options,
			      const struct options_number *number,
			      const char *arg, const char *text)
{
	void *field = (char *)options + number->offset;
	unsigned long value;
	char *end;

	if (!number->most) {
		if (options_read_seconds(text, field))
			return 0;
		report("%s: expected a number of seconds, 0 or a nanosecond "
		       "or more, as in %s=0.5", arg, number->name);
		return -1;
	}
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' ||
	    value < number->least || value > number->most) {
		report("%s: expected a number from %lu to %lu", arg,
		       number->least, number->most);
		return -1;
	}
	if (number->is_long)
		*(unsigned long *)field = value;
	else
		*(unsigned int *)field = value;
	return 0;
}

/* @arg is NAME=TEXT, and the name is one of the table's. */
static int options_take_number(struct options *options, const char *arg)
{
	const struct options_number *number = options_numbers;
	size_t length = strcspn(arg, "=");

	while (strlen(number->name) != length ||
	       strncmp(number->name, arg, length))
		number++;
	return options_set_number(options, number, arg, arg + length + 1);
}

static int options_take_path(struct options *options, const char *path)
{
	char **place = !options->source ? &options->source :
					  &options->mountpoint;

	if (*place) {
		report("one argument too many, '%s': pagerfs takes SOURCE and "
		       "MOUNTPOINT (see pagerfs -h)", path);
		return -1;
	}
	if (!*path) {
		report("%s is empty: name a directory (a shell variable that "
		       "is not set?)", place == &options->source ? "SOURCE" :
		       "MOUNTPOINT");
		return -1;
	}
	*place = strdup(path);
	return *place ? 0 : -1;
}

static int options_take(void *data, const char *arg, int key,
			struct fuse_args *rest)
{
	(void)rest;
	switch (key) {
	case KEY_MOUNT_ONLY:
		return 0;
	case KEY_NUMBER:
		return options_take_number(data, arg);
	case FUSE_OPT_KEY_NONOPT:
		return options_take_path(data, arg);
	default:
		/* systemd's and other tools' private words in fstab */
		return strncmp(arg, "x-", 2) && strncmp(arg, "X-", 2);
	}
}

/* @name=FILE, if it was given. */
static int options_check_file(const char *name, const char *file)
{
	if (!file || *file)
		return 0;
	report("%s= is empty: name a file (a shell variable that is not set?)",
	       name);
	return -EINVAL;
}

static int options_check(const struct options *options)
{
	if (!options->source || !options->mountpoint) {
		report("%s is missing: say pagerfs SOURCE MOUNTPOINT (see "
		       "pagerfs -h)",
		       options->source ? "MOUNTPOINT" : "SOURCE");
		return -EINVAL;
	}
	if (options->log_level && report_limit(options->log_level)) {
		report("log_level=%s: say error, warning or info",
		       options->log_level);
		return -EINVAL;
	}
	return options_check_file("record", options->record) ?:
	       options_check_file("rules", options->rules);
}

/* What a new mount has without a word; libfuse balks. */
static int options_drop_relatime(struct options *options)
{
	static const struct fuse_opt relatime[] = {
		FUSE_OPT_KEY("relatime", FUSE_OPT_KEY_DISCARD), FUSE_OPT_END
	};

	return options->remount ? 0 :
		fuse_opt_parse(&options->rest, NULL, relatime, NULL);
}

int options_parse(struct options *options, int argc, char **argv)
{
	*options = (struct options){
		.attr_timeout = 1.0,
		.entry_timeout = 1.0,
		.record_base = 1,
		.rest = FUSE_ARGS_INIT(argc, argv),
	};
	if (fuse_opt_parse(&options->rest, options, options_table,
			   options_take) || options_drop_relatime(options))
		return -EINVAL;
	if (options->help)
		return OPTIONS_HELP;
	if (options->version)
		return OPTIONS_VERSION;
	if (options->debug)
		options->foreground = 1;
	return options_check(options) ?: OPTIONS_SERVE;
}

void options_free(struct options *options)
{
	free(options->record);
	free(options->source);
	free(options->mountpoint);
	free(options->inject);
	free(options->rules);
	free(options->log_level);
	fuse_opt_free_args(&options->rest);
}

void options_usage(void)
{
	printf("usage: pagerfs [options] SOURCE MOUNTPOINT\n"
	       "Serve the directory SOURCE at MOUNTPOINT, as it is.\n\n"
	       "    -f                   stay in the foreground\n"
	       "    -d, -o debug         print every request (implies -f)\n"
	       "    -s                   one serving thread\n"
	       "    -h, -V               this text, the version\n"
	       "    -o attr_timeout=S    trust attributes for S seconds (1)\n"
	       "    -o entry_timeout=S   trust names for S seconds (1)\n"
	       "    -o negative_timeout=S  trust a name's absence (0)\n"
	       "    -o threads=N         serving threads (one per CPU, 4-8)\n"
	       "    -o inode_fds=N       descriptors for remembered files\n"
	       "    -o log_level=LEVEL   error, warning (default) or info\n"
	       "    -o writeback         let the kernel cache writes\n"
	       "    -o noauto_cache      read a file anew each time it is opened\n"
	       "    -o kernel_cache      never do: nobody else changes SOURCE\n"
	       "    -o record=FILE       write what is done to the files to FILE\n"
	       "    -o record_base=no    ... without the files as they are now\n"
	       "    -o allow_other       let other users in\n"
	       "    -o timeout=S         end requests that hang for S seconds\n"
	       "    -o inject=RULES      faults, rules set apart by ';'\n"
	       "    -o rules=FILE        a file of such rules\n"
	       "    -o seed=N            of their random choices\n"
	       "    -o nocontrol         no hidden directory .pagerfs\n"
	       "    -o noatime           no times of access\n"
	       "    -o auto_unmount      unmount when the daemon dies\n"
	       "    -o ro,nosuid,...     mount options as for any mount\n"
	       "    -o remount,...       change those of a mount that is there\n\n"
	       "Unmount with fusermount3 -u MOUNTPOINT or umount.\n");
}
