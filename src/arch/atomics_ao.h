/* SPDX-License-Identifier: MIT */
/*
 * The ordered operations on libatomic_ops (header-only use). AO_PREFER_BUILTIN_ATOMICS makes it emit
 * the compiler's atomics, so that ThreadSanitizer sees them and the instructions equal C11's.
 */
#ifndef TS_ARCH_ATOMICS_AO_H
#define TS_ARCH_ATOMICS_AO_H

#ifndef AO_PREFER_BUILTIN_ATOMICS
#define AO_PREFER_BUILTIN_ATOMICS 1
#endif
#include <atomic_ops.h>
#include <stdbool.h>
#include <stdint.h>

#include "atomics_fix.h"

_Static_assert(sizeof(AO_t) == 8, "tslab needs a 64-bit machine word");

typedef struct {
	AO_t v;
} ts_a64;
#define TS_ARCH_A64_DEFINED 1

static inline uint64_t ts_a64_load_rlx(const ts_a64 *a)
{
	return AO_load(&a->v);
}

static inline uint64_t ts_a64_load_acq(const ts_a64 *a)
{
	return AO_load_acquire(&a->v);
}

static inline void ts_a64_store_rlx(ts_a64 *a, uint64_t value)
{
	AO_store(&a->v, value);
}

static inline void ts_a64_store_rel(ts_a64 *a, uint64_t value)
{
	AO_store_release(&a->v, value);
}

#define TS_AO_CAS(name, before, op)                                                                \
	static inline bool ts_a64_cas_##name(ts_a64 *a, uint64_t *expected, uint64_t desired)      \
	{                                                                                          \
		AO_t want = *expected, seen;                                                       \
                                                                                                   \
		before;                                                                            \
		seen = op(&a->v, want, desired);                                                   \
		*expected = seen;                                                                  \
		return seen == want;                                                               \
	}

TS_AO_CAS(rlx, (void)0, AO_fetch_compare_and_swap)
TS_AO_CAS(acq, (void)0, AO_fetch_compare_and_swap_acquire)
TS_AO_CAS(rel, TS_BEFORE_RELEASING_CAS(), AO_fetch_compare_and_swap_release)
TS_AO_CAS(sc, TS_BEFORE_RELEASING_CAS(), AO_fetch_compare_and_swap_full)

static inline uint64_t ts_a64_add_rlx(ts_a64 *a, uint64_t value)
{
	return AO_fetch_and_add(&a->v, value);
}

/*
 * AO_load_full is a load between two fences; the C11 sequentially consistent load is what ORD-12 and
 * ORD-13 need and what ThreadSanitizer understands.
 */
static inline uint64_t ts_a64_load_sc(const ts_a64 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);
}

#include "atomics_builtin.h"

#endif
