/* SPDX-License-Identifier: MIT */
/* Portable backend of arch.h: the compiler's atomics and the system clock. Correct on any 64-bit CPU. */
#ifndef TS_ARCH_IMPL_H
#define TS_ARCH_IMPL_H

#include "../atomics_builtin.h"

#include <stdio.h>
#include <time.h>

#define TS_ARCH_NAME "generic"
#define TS_ARCH_ELF_MACHINE 0
#define TS_ARCH_CACHE_LINE_BYTES 128

/* Nanoseconds serve as cycles. */
#define ts_arch_cycles ts_arch_cycles
static inline uint64_t ts_arch_cycles(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#define ts_arch_cycles_hz ts_arch_cycles_hz
static inline uint64_t ts_arch_cycles_hz(void)
{
	return 1000000000u;
}

#define ts_arch_cycles_step ts_arch_cycles_step
static inline uint64_t ts_arch_cycles_step(void)
{
	struct timespec ts;

	clock_getres(CLOCK_MONOTONIC, &ts);
	return ts.tv_nsec > 0 ? (uint64_t)ts.tv_nsec : 1;
}

#define ts_arch_features ts_arch_features
static inline void ts_arch_features(char *buf, size_t bytes)
{
	snprintf(buf, bytes, "generic");
}

#endif
