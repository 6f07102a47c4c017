/*
 * report.h - the daemon's one-line messages to its user.
 *
 * A line says what failed, on which file, why, and what to do. It goes to
 * standard error while somebody is there to read it, and to syslog once the
 * daemon has left the terminal (report_to_syslog()). Any thread may report.
 */
#ifndef FS_REPORT_H
#define FS_REPORT_H

void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on lines go to syslog: standard error is about to be closed. */
void report_to_syslog(void);

#endif
