/* SPDX-License-Identifier: MIT */
#ifndef TS_OBS_SEGMENT_H
#define TS_OBS_SEGMENT_H

#include <stdint.h>

/* Memory that other processes can see; 0 when there is none. Async-signal-safe. */
uint64_t ts_segment_visible_bytes(void);

#endif
