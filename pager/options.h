/*
 * options.h - what `pagervm run' is told: its command line as a struct.
 *
 *	options_machine(argc, argv, &opt);
 *
 * Wrong usage ends the process here, with a line that says what is wrong and
 * status 64; --help, --version and the lists end it with 0. Strings point
 * into argv. Locks: none.
 */
#ifndef PAGER_OPTIONS_H
#define PAGER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/vm.h"

#define OPTIONS_SWAPS	15
#define OPTIONS_FILES	1024

struct swap_arg {
	char *path;
	uint64_t size;			/* 0: the file must be there */
	int priority;
};

struct options {
	const char *dir;		/* the mounted store */
	const char *name;		/* of the machine, in dir/vm */
	uint64_t ram;
	unsigned cpus, cluster, spread;
	enum vm_mode mode;
	const struct model_preset *tlb;	/* NULL: full speed */
	bool check_tlb;
	uint64_t seed;
	struct swap_arg swap[OPTIONS_SWAPS];
	unsigned nswaps;
	bool no_swap, no_view, plain, hold, stats;
	char *file[OPTIONS_FILES + 1];	/* room for standard input */
	unsigned nfiles;
};

void options_machine(int argc, char **argv, struct options *o);

#endif
