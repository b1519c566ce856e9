/* SPDX-License-Identifier: MIT */
/*
 * For tests only (configure --enable-yields): before each atomic operation the thread gives way now and then,
 * rarely for longer, so that other threads get in between where they would in a long run only. Each operation
 * becomes a macro of its own name, which the preprocessor does not expand again.
 */
#ifndef TS_ARCH_YIELDS_H
#define TS_ARCH_YIELDS_H

#include <sched.h>
#include <time.h>

static inline void ts_arch_maybe_yield(void)
{
	static const struct timespec moment = { 0, 20000 };
	static __thread uint32_t random;

	if (!random)
		random = (uint32_t)((uintptr_t)&random >> 4) | 1;
	random ^= random << 13;
	random ^= random >> 17;
	random ^= random << 5;
	if (__builtin_expect(random < 1u << 22, 0))
		sched_yield();
	if (__builtin_expect(random < 1u << 14, 0))
		nanosleep(&moment, NULL);
}

#define TS_YIELD(operation) (ts_arch_maybe_yield(), operation)

#define ts_a64_load_rlx(a) TS_YIELD(ts_a64_load_rlx(a))
#define ts_a64_load_acq(a) TS_YIELD(ts_a64_load_acq(a))
#define ts_a64_load_sc(a) TS_YIELD(ts_a64_load_sc(a))
#define ts_a64_store_rlx(a, x) TS_YIELD(ts_a64_store_rlx(a, x))
#define ts_a64_store_rel(a, x) TS_YIELD(ts_a64_store_rel(a, x))
#define ts_a64_cas_rlx(a, e, x) TS_YIELD(ts_a64_cas_rlx(a, e, x))
#define ts_a64_cas_acq(a, e, x) TS_YIELD(ts_a64_cas_acq(a, e, x))
#define ts_a64_cas_rel(a, e, x) TS_YIELD(ts_a64_cas_rel(a, e, x))
#define ts_a64_cas_acqrel(a, e, x) TS_YIELD(ts_a64_cas_acqrel(a, e, x))
#define ts_a64_cas_sc(a, e, x) TS_YIELD(ts_a64_cas_sc(a, e, x))
#define ts_a64_xchg_acq(a, x) TS_YIELD(ts_a64_xchg_acq(a, x))
#define ts_a64_xchg_acqrel(a, x) TS_YIELD(ts_a64_xchg_acqrel(a, x))
#define ts_a64_or_rlx(a, x) TS_YIELD(ts_a64_or_rlx(a, x))
#define ts_a64_or_rel(a, x) TS_YIELD(ts_a64_or_rel(a, x))
#define ts_a64_or_acqrel(a, x) TS_YIELD(ts_a64_or_acqrel(a, x))
#define ts_a64_and_acq(a, x) TS_YIELD(ts_a64_and_acq(a, x))
#define ts_a64_and_rel(a, x) TS_YIELD(ts_a64_and_rel(a, x))
#define ts_a64_add_rlx(a, x) TS_YIELD(ts_a64_add_rlx(a, x))
#define ts_a64_add_acqrel(a, x) TS_YIELD(ts_a64_add_acqrel(a, x))
#define ts_a64_sub_acqrel(a, x) TS_YIELD(ts_a64_sub_acqrel(a, x))
#define ts_a32_load_rlx(a) TS_YIELD(ts_a32_load_rlx(a))
#define ts_a32_load_acq(a) TS_YIELD(ts_a32_load_acq(a))
#define ts_a32_store_rlx(a, x) TS_YIELD(ts_a32_store_rlx(a, x))
#define ts_a32_store_rel(a, x) TS_YIELD(ts_a32_store_rel(a, x))
#define ts_a32_cas_acqrel(a, e, x) TS_YIELD(ts_a32_cas_acqrel(a, e, x))
#define ts_a32_add_rlx(a, x) TS_YIELD(ts_a32_add_rlx(a, x))

#endif
