/* SPDX-License-Identifier: MIT */
/*
 * failure.h: allocations that failed: counted by reason where it is found, recorded with size and call
 * site where the program's call ends.
 */
#ifndef TS_CORE_FAILURE_H
#define TS_CORE_FAILURE_H

#include <stddef.h>
#include <stdint.h>

enum ts_failure {
	TS_FAILED_UNKNOWN = 0,
	TS_FAILED_THRESHOLD = 1, /* larger than the largest size */
	TS_FAILED_EXHAUSTED = 2, /* a limit or the reserved range is used up */
	TS_FAILED_MAPPING = 3,   /* the OS refused memory */
	TS_FAILED_CLOSING = 4,   /* the epoch is closing or over */
	TS_FAILED_INVALID = 5,   /* bad argument */
};

/* Counts, and remembers the reason for ts_failure_record. */
void ts_failed(enum ts_failure reason);

/*
 * The program gets NULL: one event with the last reason of this thread and the program's call site.
 * `epoch_id` 0: not known. Always NULL; leaves errno alone.
 */
void *ts_failure_record(uint64_t epoch_id, size_t bytes, int error, const void *site);

#endif
