/* SPDX-License-Identifier: MIT */
/* A second file of the same program that includes the inline interface: its threads' state is one. */
#ifndef TESTS_COMPAT_SECOND_H
#define TESTS_COMPAT_SECOND_H

struct epoch_domain;

struct epoch_domain *second_current(void);
void second_enter(struct epoch_domain *d);

#endif
