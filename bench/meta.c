/*
 * meta.c - many small files in one directory: made, asked for, listed, gone.
 *
 *	build/bench/meta [-n FILES] [-p PID] DIRECTORY
 *
 * One line: seconds for making FILES empty files (default 100,000) in a new
 * directory below DIRECTORY, for stat(2) of each, for reading the directory,
 * for reading it with a stat(2) of each entry, as ls -l does, for removing
 * them all. Before what asks for attributes the time is over for which the
 * kernel trusts those it has, so that it is the server who answers. With -p two
 * more: by how many bytes the memory of process PID has grown while all are
 * known, for each of them, and by how many descriptors.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/lib/measure.h"

static unsigned files = 100000;
static int dir;

static void name_of(unsigned i, char name[32])
{
	snprintf(name, 32, "file-%07u", i);
}

static void make_all(void)
{
	char name[32];
	int fd;

	for (unsigned i = 0; i < files; i++) {
		name_of(i, name);
		fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0)
			die(name, errno);
		close(fd);
	}
}

static void stat_all(void)
{
	char name[32];
	struct stat st;

	for (unsigned i = 0; i < files; i++) {
		name_of(i, name);
		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
			die(name, errno);
	}
}

static void list(bool with_stat)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY));
	unsigned n = 0;
	struct dirent *entry;
	struct stat st;

	if (!d)
		die("opendir", errno);
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		if (with_stat && fstatat(dirfd(d), entry->d_name, &st,
					 AT_SYMLINK_NOFOLLOW))
			die(entry->d_name, errno);
	}
	closedir(d);
	if (n != files)
		die("the directory shows another number of files", 0);
}

static void list_names(void)
{
	list(false);
}

static void list_long(void)
{
	list(true);
}

static void remove_all(void)
{
	char name[32];

	for (unsigned i = 0; i < files; i++) {
		name_of(i, name);
		if (unlinkat(dir, name, 0))
			die(name, errno);
	}
}

/* Bytes of memory that process @pid has. */
static double memory_of(int pid)
{
	unsigned long total, resident = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lu %lu", &total, &resident) != 2)
		die(path, errno);
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double descriptors_of(int pid)
{
	char path[64];
	double n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		die(path, errno);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Attributes and names are trusted for a second (attr_timeout). */
static void forget_attributes(void)
{
	usleep(1100000);
}

static void timed(void (*phase)(void))
{
	double start = now_s();

	phase();
	printf("%.6f ", now_s() - start);
	fflush(stdout);
}

static void all(int pid)
{
	double memory = 0, descriptors = 0;

	if (pid) {
		memory = memory_of(pid);
		descriptors = descriptors_of(pid);
	}
	timed(make_all);
	forget_attributes();
	timed(stat_all);
	timed(list_names);
	forget_attributes();
	timed(list_long);
	if (pid) {
		memory = memory_of(pid) - memory;
		descriptors = descriptors_of(pid) - descriptors;
	}
	forget_attributes();
	timed(remove_all);
	if (pid)
		printf("%.1f %.0f", memory / files, descriptors);
	printf("\n");
}

int main(int argc, char **argv)
{
	char path[4096];
	int opt, pid = 0;

	while ((opt = getopt(argc, argv, "n:p:")) != -1) {
		if (opt == 'n')
			files = (unsigned)atoi(optarg);
		else if (opt == 'p')
			pid = atoi(optarg);
		else
			return 2;
	}
	if (optind + 1 != argc)
		return 2;
	snprintf(path, sizeof(path), "%s/many-files", argv[optind]);
	if (mkdir(path, 0755))
		die(path, errno);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		die(path, errno);
	all(pid);
	close(dir);
	if (rmdir(path))
		die(path, errno);
	return 0;
}
