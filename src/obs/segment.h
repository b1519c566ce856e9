/* SPDX-License-Identifier: MIT */
#ifndef TS_OBS_SEGMENT_H
#define TS_OBS_SEGMENT_H

#include <stdint.h>

#include "arch.h"

/*
 * Name of the memfds of this instance of the library; further chunks append "+1", "+2", ... A preloaded
 * malloc is an instance of its own beside the one that the program may use.
 */
extern TS_HIDDEN const char ts_segment_name[];

/* Memory that other processes can see; 0 when there is none. Async-signal-safe. */
uint64_t ts_segment_visible_bytes(void);

#endif
