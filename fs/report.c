/*
 * report.c - the daemon's one-line messages: standard error, later syslog.
 *
 * Each message is formatted into one buffer and leaves in one call, so that
 * lines of two threads never mix. libfuse's own messages take the same way.
 * No locks: @to_syslog is set once, before other threads exist.
 */
#include "fs/report.h"

#include <fuse_log.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static bool to_syslog;

static void report_line(const char *format, va_list args)
{
	char line[1024];
	size_t length;

	vsnprintf(line, sizeof(line), format, args);
	length = strlen(line);
	if (length && line[length - 1] == '\n')
		line[length - 1] = '\0';
	if (to_syslog)
		syslog(LOG_ERR, "%s", line);
	else
		fprintf(stderr, "pagerfs: %s\n", line);
}

void report(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_line(format, args);
	va_end(args);
}

static void report_library(enum fuse_log_level level, const char *format,
			   va_list args)
{
	(void)level;
	report_line(format, args);
}

void report_to_syslog(void)
{
	openlog("pagerfs", LOG_PID, LOG_DAEMON);
	to_syslog = true;
	fuse_set_log_func(report_library);
}
