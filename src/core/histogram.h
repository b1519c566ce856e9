/* SPDX-License-Identifier: MIT */
/*
 * histogram.h: how times are spread. Two buckets an octave: bucket b holds times below
 * ts_histogram_bound(b), the last one the rest. Counted off the fast paths only.
 */
#ifndef TS_CORE_HISTOGRAM_H
#define TS_CORE_HISTOGRAM_H

#include "blocks.h"

static inline uint64_t ts_histogram_bound(unsigned bucket)
{
	return (uint64_t)(bucket % 2 ? 3 : 2) << (bucket / 2 + 3); /* 16, 24, 32, 48, 64, ... ns */
}

void ts_histogram_count(enum ts_histogram histogram, uint64_t ns);

/* Once. */
void ts_histogram_start(void);
/* The child of fork starts anew. */
void ts_histogram_clear(void);

#endif
