/* SPDX-License-Identifier: MIT */
/* tap.h: TAP without a framework, for programs that know nothing of the library under them, or too much. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned tap_count;
static bool tap_failed;

static inline void __attribute__((format(printf, 2, 3))) tap_ok(bool ok, const char *format, ...)
{
	va_list arguments;

	tap_failed |= !ok;
	printf("%s %u - ", ok ? "ok" : "not ok", ++tap_count);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
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
