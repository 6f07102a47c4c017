/*
 * report.c - the daemon's one-line messages: standard error, later syslog.
 *
 * Each message is formatted into one buffer and leaves in one call, so that
 * lines of two threads never mix. libfuse's own messages take the same way.
 * No locks: @report_most is set before other threads exist. @to_syslog is not:
 * the watchdog and the serving threads may have something to say while the
 * daemon leaves its terminal.
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
