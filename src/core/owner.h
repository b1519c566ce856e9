/* SPDX-License-Identifier: MIT */
/*
 * owner.h: whose each chunk is, shown to readers outside, who can then tell by epoch what the kernel knows
 * by page. Nothing here reads it.
 */
#ifndef TS_CORE_OWNER_H
#define TS_CORE_OWNER_H

#include <stdint.h>

/* A run of chunks is this lane's (its index + 1), or nobody's (0). By whoever has them. */
void ts_owner_show(uint32_t chunk, uint32_t chunks, uint32_t lane);

#endif
