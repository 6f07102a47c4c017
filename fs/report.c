/*
 * report.c - the daemon's one-line messages: standard error, later syslog.
 *
 * Each message is formatted into one buffer and leaves in one call, so that
 * lines of two threads never mix. libfuse's own messages take the same way.
 * No locks: @report_most is set before other threads exist. @to_syslog is not:
 * the watchdog and the serving threads may have something to say while the
 * daemon leaves its terminal. What libfuse says while it mounts comes from the
 * one thread that there is then.
 */
#include "fs/report.h"

#include <errno.h>
#include <fuse_log.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static atomic_bool to_syslog;
static enum report_level report_most = REPORT_WARNING;

static void report_line(enum report_level level, const char *format,
			va_list args)
{
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO };

	char line[1024];
	size_t length;

	if (level > report_most)
		return;
	vsnprintf(line, sizeof(line), format, args);
	length = strlen(line);
	if (length && line[length - 1] == '\n')
		line[length - 1] = '\0';
	if (atomic_load(&to_syslog))
		syslog(priorities[level], "%s", line);
	else
		fprintf(stderr, "pagerfs: %s\n", line);
}

void report(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(REPORT_ERROR, format, args);
	va_end(args);
}

void report_at(enum report_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(level, format, args);
	va_end(args);
}

int report_limit(const char *name)
{
	static const char *const names[] = { "error", "warning", "info" };
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i])) {
			report_most = i;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *report_mountpoint;
static char report_begun[512];	/* libfuse gives lines by pieces */

static void report_end_line(void)
{
	const char *line = report_begun;

	if (!*line)
		return;
	if (!strncmp(line, "fuse: ", 6))
		line += 6;
	report("MOUNTPOINT %s: %s%s", report_mountpoint, line,
	       strstr(line, "unknown option") ?
	       ": 'pagerfs -h' has those there are" : "");
	report_begun[0] = '\0';
}

static void report_library_mounts(enum fuse_log_level level,
				  const char *format, va_list args)
{
	size_t length = strlen(report_begun);

	if (level > FUSE_LOG_WARNING) {		/* -d */
		vfprintf(stderr, format, args);
		return;
	}
	vsnprintf(report_begun + length, sizeof(report_begun) - length, format,
		  args);
	length = strcspn(report_begun, "\n");
	if (!report_begun[length])
		return;
	report_begun[length] = '\0';
	report_end_line();
}

void report_mounting(const char *mountpoint)
{
	if (!mountpoint)
		report_end_line();
	report_mountpoint = mountpoint;
	fuse_set_log_func(mountpoint ? report_library_mounts : NULL);
}

static void report_library(enum fuse_log_level level, const char *format,
			   va_list args)
{
	report_line(level <= FUSE_LOG_ERR ? REPORT_ERROR :
		    level == FUSE_LOG_WARNING ? REPORT_WARNING : REPORT_INFO,
		    format, args);
}

void report_to_syslog(void)
{
	openlog("pagerfs", LOG_PID, LOG_DAEMON);
	atomic_store(&to_syslog, true);
	fuse_set_log_func(report_library);
}
