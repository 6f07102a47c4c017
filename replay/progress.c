/*
 * progress.c - a bar on the terminal, for what takes over two seconds.
 *
 * On standard error, and only if that is a terminal. One thread.
 */
#include "replay/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_AFTER_MS	2000
#define PROGRESS_EVERY_MS	100
#define PROGRESS_WIDTH		40

static struct {
	const char *what;
	bool on, drawn;
	int64_t start, last;
} bar;

static int64_t progress_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

void progress_start(const char *what)
{
	progress_clear();
	bar.what = what;
	bar.on = isatty(STDERR_FILENO);
	bar.start = progress_now();
	bar.last = 0;
}

void progress_tick(uint64_t done, uint64_t all)
{
	static const char full[] = "########################################";
	int64_t now;
	int part;

	if (!bar.on || !all)
		return;
	now = progress_now();
	if (now - bar.start < PROGRESS_AFTER_MS ||
	    now - bar.last < PROGRESS_EVERY_MS)
		return;
	bar.last = now;
	bar.drawn = true;
	part = done >= all ? PROGRESS_WIDTH : done * PROGRESS_WIDTH / all;
	fprintf(stderr, "\r%-10s [%-*.*s] %3d%% %llds ", bar.what,
		PROGRESS_WIDTH, part, full, part * 100 / PROGRESS_WIDTH,
		(long long)(now - bar.start) / 1000);
}

void progress_clear(void)
{
	if (bar.drawn)
		fputs("\r\033[K", stderr);
	bar.drawn = false;
}
