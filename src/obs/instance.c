/* SPDX-License-Identifier: MIT */
/* instance.c: which instance of the library this is. A preloaded malloc brings another answer. */
#include "obs/format.h"
#include "obs/segment.h"

const char ts_segment_name[] = TS_STATS_NAME;
