/* SPDX-License-Identifier: MIT */
/*
 * check.h: assertions at three prices and a walker for each structure.
 *
 *   TS_ASSERT  --enable-debug=1 and up: O(1), own cache line
 *   TS_CHECK   2 and up: O(1), may touch other lines
 *   TS_WALK    3: O(n)
 * At level 4 objects have red zones as well (redzone.h).
 * Level 0 is the release. A disabled assertion still compiles its expression. Programmer errors at the
 * API are refused at every level and are no business of these.
 */
#ifndef TS_CORE_CHECK_H
#define TS_CORE_CHECK_H

#include "config.h" /* TSLAB_DEBUG */
#include "lane.h"

/* A broken invariant of the library itself: prints the text with write(2) and aborts. */
void ts_die(const char *text) __attribute__((noreturn));

#define TS_HOLDS(level, condition, text)                                                           \
	do {                                                                                       \
		if (TSLAB_DEBUG >= (level) && !(condition))                                        \
			ts_die("tslab: " text "\n");                                               \
	} while (0)
#define TS_ASSERT(condition, text) TS_HOLDS(1, condition, text)
#define TS_CHECK(condition, text) TS_HOLDS(2, condition, text)
#define TS_WALK(condition, text) TS_HOLDS(3, condition, text)

/*
 * Holder of a lane that nobody frees into meanwhile: bits, stacks, chains and counters agree. True if
 * they do; otherwise *why is a fixed text.
 */
bool ts_check_lane(struct ts_lane *lane, const char **why);

#endif
