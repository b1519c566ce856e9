/* SPDX-License-Identifier: MIT */
/* tap.h: TAP without a framework: these programs know nothing of the library under them. */
#ifndef TESTS_SHIM_TAP_H
#define TESTS_SHIM_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned tap_count;
static bool tap_failed;

static inline void tap_ok(bool ok, const char *name)
{
	tap_failed |= !ok;
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++tap_count, name);
	fflush(stdout);
}

static inline int tap_end(void)
{
	printf("1..%u\n", tap_count);
	fflush(stdout);
	return tap_failed;
}

/* In the middle of a test: tells the line and makes the test fail. An int: all of several are asked. */
#define EXPECT(condition) expect_at((condition), #condition, __LINE__)
static inline int expect_at(int ok, const char *text, int line)
{
	if (!ok)
		printf("# line %d: not true: %s\n", line, text);
	return ok;
}

#endif
