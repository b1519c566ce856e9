/* SPDX-License-Identifier: MIT */
#ifndef TS_CORE_HEAP_H
#define TS_CORE_HEAP_H

#include <tslab/tslab.h>

#include "arch.h"

#define TS_HEAPS_MAX 255

struct tslab_heap {
	uint32_t id; /* 0 = the default heap; what handles carry */
	ts_a32 alive;
	uint64_t limit_bytes;
	uint64_t retain_bytes;
	ts_a64 charged_bytes;
	ts_a64 default_epoch;
	ts_a64 ring[TSLAB_RING_EPOCHS];
	ts_a32 ring_current;
	uint64_t ring_era; /* of its newest epoch */
	char name[32];
};

/* Brings the library to life on first use. False: no address space; allocations fail with ENOMEM. */
bool ts_start(void);

/* The heap that an API argument names: the default one for NULL; NULL if it is destroyed. */
struct tslab_heap *ts_heap_of(tslab_heap *heap);
struct tslab_heap *ts_heap_by_id(uint32_t id);

#endif
