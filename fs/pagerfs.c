/*
 * pagerfs.c - main(): the store daemon, put together.
 *
 *	options		the command line
 *	mountpoint	may we mount there
 *	daemon		leave the terminal
 *	volume		SOURCE and its inodes
 *	recorder	what is done to them, written down (-o record)
 *	session		mount, serve (loop; meta, name, dir, file, data), end
 *	inject		faults on command: rules, verdicts, what they do
 */
#include "fs/daemon.h"
#include "fs/inject.h"
#include "fs/mountpoint.h"
#include "fs/options.h"
#include "fs/recorder.h"
#include "fs/remount.h"
#include "fs/report.h"
#include "fs/session.h"
#include "fs/volume.h"

#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGERFS_VERSION "0.1"

static void pagerfs_stay(void)
{
}

static int pagerfs_serve(struct volume *volume)
{
	struct options *options = &volume->options;
	int err;

	if (options->remount)
		return remount(options);
	err = mountpoint_check(options);
	if (!err)
		err = inject_load(options);
	if (!err && !options->foreground)
		err = daemon_start();
	if (!err)
		err = volume_open(volume);
	if (err)
		return err;
	err = recorder_open(volume);
	if (!err)
		err = session_serve(volume, options->foreground ?
				    pagerfs_stay : daemon_ready);
	recorder_close();
	volume_close(volume);
	return err;
}

/* Whom we were started by may have closed them; what we open must not become
 * our standard output. They stay as good as closed. */
static void std_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct volume volume;
	int err = 0;

	std_files();
	switch (options_parse(&volume.options, argc, argv)) {
	case OPTIONS_SERVE:
		err = pagerfs_serve(&volume);
		break;
	case OPTIONS_HELP:
		options_usage();
		break;
	case OPTIONS_VERSION:
		printf("pagerfs %s, libfuse %s\n", PAGERFS_VERSION,
		       fuse_pkgversion());
		break;
	default:
		err = 1;
	}
	options_free(&volume.options);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
