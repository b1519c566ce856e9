/* SPDX-License-Identifier: MIT */
/*
 * The ordered operations on the compiler's builtins. `generic` uses all of them; the other backends
 * take from here only what libatomic_ops 7.6 has not: exchange, acquire+release together, and or/and
 * that return the old value (see atomics_ao.h).
 */
#ifndef TS_ARCH_ATOMICS_BUILTIN_H
#define TS_ARCH_ATOMICS_BUILTIN_H

#include <stdbool.h>
#include <stdint.h>

#include "atomics_fix.h"

typedef struct {
	uint32_t v;
} ts_a32;

typedef struct {
	uint16_t v;
} ts_a16;

#ifndef TS_ARCH_A64_DEFINED
typedef struct {
	uint64_t v;
} ts_a64;

#define TS_BUILTIN_LOAD(name, order)                                                               \
	static inline uint64_t ts_a64_load_##name(const ts_a64 *a)                                 \
	{                                                                                          \
		return __atomic_load_n(&a->v, order);                                              \
	}
#define TS_BUILTIN_STORE(name, order)                                                              \
	static inline void ts_a64_store_##name(ts_a64 *a, uint64_t value)                          \
	{                                                                                          \
		__atomic_store_n(&a->v, value, order);                                             \
	}
#define TS_BUILTIN_CAS(name, before, success, failure)                                             \
	static inline bool ts_a64_cas_##name(ts_a64 *a, uint64_t *expected, uint64_t desired)      \
	{                                                                                          \
		before;                                                                            \
		return __atomic_compare_exchange_n(&a->v, expected, desired, false, success,       \
						   failure);                                       \
	}
#define TS_BUILTIN_ADD(name, order)                                                                \
	static inline uint64_t ts_a64_add_##name(ts_a64 *a, uint64_t value)                        \
	{                                                                                          \
		return __atomic_fetch_add(&a->v, value, order);                                    \
	}

TS_BUILTIN_LOAD(rlx, __ATOMIC_RELAXED)
TS_BUILTIN_LOAD(acq, __ATOMIC_ACQUIRE)
TS_BUILTIN_LOAD(sc, __ATOMIC_SEQ_CST)
TS_BUILTIN_STORE(rlx, __ATOMIC_RELAXED)
TS_BUILTIN_STORE(rel, __ATOMIC_RELEASE)
TS_BUILTIN_CAS(rlx, (void)0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
TS_BUILTIN_CAS(acq, (void)0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
TS_BUILTIN_CAS(rel, TS_BEFORE_RELEASING_CAS(), __ATOMIC_RELEASE, __ATOMIC_RELAXED)
TS_BUILTIN_CAS(sc, TS_BEFORE_RELEASING_CAS(), __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
TS_BUILTIN_ADD(rlx, __ATOMIC_RELAXED)
#endif

static inline bool ts_a64_cas_acqrel(ts_a64 *a, uint64_t *expected, uint64_t desired)
{
	TS_BEFORE_RELEASING_CAS();
	return __atomic_compare_exchange_n(&a->v, expected, desired, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

#define TS_BUILTIN_RMW(op, name, order)                                                            \
	static inline uint64_t ts_a64_##op##_##name(ts_a64 *a, uint64_t value)                     \
	{                                                                                          \
		return __atomic_fetch_##op(&a->v, value, order);                                   \
	}

TS_BUILTIN_RMW(or, rlx, __ATOMIC_RELAXED)
TS_BUILTIN_RMW(or, rel, __ATOMIC_RELEASE)
TS_BUILTIN_RMW(or, acqrel, __ATOMIC_ACQ_REL)
TS_BUILTIN_RMW(and, acq, __ATOMIC_ACQUIRE)
TS_BUILTIN_RMW(and, rel, __ATOMIC_RELEASE)
TS_BUILTIN_RMW(add, acqrel, __ATOMIC_ACQ_REL)
TS_BUILTIN_RMW(sub, acqrel, __ATOMIC_ACQ_REL)

/* A word that one thread alone writes: no read-modify-write is needed. */
#ifndef ts_a64_bump_rlx
static inline void ts_a64_bump_rlx(ts_a64 *a, uint64_t amount)
{
	__atomic_store_n(&a->v, __atomic_load_n(&a->v, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
}

static inline void ts_a64_bump_rel(ts_a64 *a, uint64_t amount)
{
	__atomic_store_n(&a->v, __atomic_load_n(&a->v, __ATOMIC_RELAXED) + amount, __ATOMIC_RELEASE);
}
#endif

static inline uint64_t ts_a64_xchg_acq(ts_a64 *a, uint64_t value)
{
	return __atomic_exchange_n(&a->v, value, __ATOMIC_ACQUIRE);
}

static inline uint64_t ts_a64_xchg_acqrel(ts_a64 *a, uint64_t value)
{
	return __atomic_exchange_n(&a->v, value, __ATOMIC_ACQ_REL);
}

static inline uint32_t ts_a32_load_rlx(const ts_a32 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}

static inline uint32_t ts_a32_load_acq(const ts_a32 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);
}

static inline void ts_a32_store_rlx(ts_a32 *a, uint32_t value)
{
	__atomic_store_n(&a->v, value, __ATOMIC_RELAXED);
}

static inline void ts_a32_store_rel(ts_a32 *a, uint32_t value)
{
	__atomic_store_n(&a->v, value, __ATOMIC_RELEASE);
}

static inline bool ts_a32_cas_acqrel(ts_a32 *a, uint32_t *expected, uint32_t desired)
{
	TS_BEFORE_RELEASING_CAS();
	return __atomic_compare_exchange_n(&a->v, expected, desired, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

static inline uint32_t ts_a32_add_rlx(ts_a32 *a, uint32_t value)
{
	return __atomic_fetch_add(&a->v, value, __ATOMIC_RELAXED);
}

static inline uint16_t ts_a16_load_rlx(const ts_a16 *a)
{
	return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}

static inline void ts_a16_store_rlx(ts_a16 *a, uint16_t value)
{
	__atomic_store_n(&a->v, value, __ATOMIC_RELAXED);
}

#define TS_ARCH_ATOMICS 1

#endif
