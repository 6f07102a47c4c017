/*
 * mmucheck.h - the face of `pagervm mmu-check'.
 */
#ifndef MMUCHECK_MMUCHECK_H
#define MMUCHECK_MMUCHECK_H

/*
 * Judge the emulated MMU, as the options say. => the exit status: 0 no
 * disagreement, 1 some, 64 wrong usage, 77 the judge is not to be had here,
 * 130 interrupted.
 */
int mmucheck_main(int argc, char **argv);

#endif
