/* SPDX-License-Identifier: MIT */
/*
 * workload.h: one pass over everything by which the library may need the OS. Each call gives what it
 * should or a documented error, and no object is harmed; else the process ends (REQUIRE).
 */
#ifndef TESTS_ROBUST_WORKLOAD_H
#define TESTS_ROBUST_WORKLOAD_H

#include <stdbool.h>

void workload(void);
extern unsigned workload_failures; /* calls that failed, so far */
/* Does the child of fork that a pass makes fail if a call failed? May it abort instead of going on? */
extern bool workload_must_succeed, workload_child_may_abort;

/* Nothing lives, and all figures balance: after whole passes. */
void workload_check_figures(void);

#endif
