/*
 * preflight.h - whether a machine can be made as its command line says.
 */
#ifndef PAGER_PREFLIGHT_H
#define PAGER_PREFLIGHT_H

struct options;

/* => NULL: as far as one can tell; else what is wrong and what to do, a line
 * to be freed. Makes nothing. */
char *preflight(const struct options *o);

#endif
