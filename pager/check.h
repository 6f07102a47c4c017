/*
 * check.h - what must hold between the pager's parts.
 */
#ifndef PAGER_CHECK_H
#define PAGER_CHECK_H

#include "pager/core.h"

/* Assert it. => core lock held. */
void check_machine(const struct vm *vm);

#endif
