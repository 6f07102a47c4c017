/*
 * options.h - the command line of pagerfs.
 *
 *	pagerfs [-f] [-d] [-s] [-o OPTION[,OPTION...]] SOURCE MOUNTPOINT
 *
 * options_parse() takes what is ours and what only mount(8) and fstab(5)
 * understand; what is left in @rest are the mount options for libfuse, which
 * refuses those it does not know.
 */
#ifndef FS_OPTIONS_H
#define FS_OPTIONS_H

#include <fuse_opt.h>
#include <stdbool.h>

enum options_action {
	OPTIONS_SERVE,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

/* When does what is cached of a file stay when it is opened again? */
enum options_cache {
	OPTIONS_CACHE_AUTO,	/* if nobody can have changed it: keep.h */
	OPTIONS_CACHE_NEVER,
	OPTIONS_CACHE_ALWAYS,	/* the user says that nobody else does */
};

struct options {
	char *source;		/* absolute, symlinks resolved later */
	char *mountpoint;
	int help, version;
	int foreground;		/* -f, and -d and -s imply nothing else */
	int debug;		/* -d: libfuse prints every request */
	int single;		/* -s: one serving thread */
	int allow_other;
	int noatime;		/* -o noatime: nor do we below */
	int auto_unmount;	/* -o auto_unmount: whatever ends the daemon */
	int remount;		/* -o remount: change a mount that is there */
	int writeback;		/* -o writeback: the kernel caches writes */
	int cache;		/* of a file that is opened: OPTIONS_CACHE_* */
	char *record;		/* -o record=FILE, or NULL */
	int record_base;	/* with the files as they are at the start */
	double attr_timeout;	/* seconds the kernel trusts attributes */
	double entry_timeout;	/* ... and names */
	double negative_timeout; /* ... and the absence of names */
	char *inject;		/* -o inject: rules, set apart by ";" */
	char *rules;		/* -o rules: a file of them */
	unsigned long seed;	/* of random choices; 0: made up */
	int nocontrol;		/* no .pagerfs */
	double timeout;		/* seconds until a request hangs; 0: never */
	unsigned int inode_fds;	/* descriptors for inodes; 0: a share */
	unsigned int threads;	/* serving threads; 0: by the CPUs */
	char *log_level;	/* of report_limit(), or NULL */
	struct fuse_args rest;
};

/*
 * => OPTIONS_*, or -EINVAL after having reported what is wrong.
 * The caller ends with options_free() in every case.
 */
int options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

/* What -h prints. */
void options_usage(void);

#endif
