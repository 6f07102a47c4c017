/*
 * report.h - the daemon's one-line messages to its user.
 *
 * A line says what failed, on which file, why, and what to do. It goes to
 * standard error while somebody is there to read it, and to syslog once the
 * daemon has left the terminal (report_to_syslog()). Any thread may report.
 */
#ifndef FS_REPORT_H
#define FS_REPORT_H

enum report_level {
	REPORT_ERROR,		/* it does not work, or ends */
	REPORT_WARNING,		/* it goes on, but somebody got less */
	REPORT_INFO,		/* what was found and chosen */
};

/* An error. */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_at(enum report_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Leave out what is less important than the level @name says: error, warning
 * (until this is called) or info. => 0, or -EINVAL: there is no such level.
 */
int report_limit(const char *name);

/*
 * libfuse is about to mount at @mountpoint: what it says is said of that, by
 * whole lines, until NULL is given. The main thread only.
 */
void report_mounting(const char *mountpoint);

/* From now on lines go to syslog: standard error is about to be closed. */
void report_to_syslog(void);

#endif
