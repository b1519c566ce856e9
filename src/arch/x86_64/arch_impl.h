/* SPDX-License-Identifier: MIT */
/* x86-64 backend of arch.h. */
#ifndef TS_ARCH_IMPL_H
#define TS_ARCH_IMPL_H

#if !defined(__x86_64__)
#error "src/arch/x86_64 is on the include path, but the compiler's target is another CPU"
#endif

/*
 * One instruction, unlocked, where the compiler makes three of a relaxed load and store. Its store is
 * one access for a reader, and a release as every store of this CPU is. ThreadSanitizer needs the other.
 */
#if !defined(__SANITIZE_THREAD__)
#define ts_a64_bump_rlx(a, amount)                                                                 \
	__asm__("addq %1, %0" : "+m"((a)->v) : "er"((uint64_t)(amount)) : "cc")
#define ts_a64_bump_rel(a, amount)                                                                 \
	__asm__ volatile("addq %1, %0" : "+m"((a)->v) : "er"((uint64_t)(amount)) : "cc", "memory")
#endif

#include "../atomics_ao.h"

#include <cpuid.h>
#include <stdio.h>

/* One instruction each, where the compiler makes two or three; worth a twentieth of a free. */
#if !defined(__SANITIZE_THREAD__)
#define ts_arch_or_load ts_arch_or_load
static inline uint64_t ts_arch_or_load(uint64_t bits, const ts_a64 *a)
{
	__asm__("orq %1, %0" : "+r"(bits) : "m"(a->v) : "cc");
	return bits;
}

#define ts_arch_below_load ts_arch_below_load
static inline bool ts_arch_below_load(uint64_t n, const ts_a64 *a)
{
	bool below;

	__asm__("cmpq %2, %1" : "=@ccb"(below) : "r"(n), "m"(a->v));
	return below;
}

#define ts_arch_above_load ts_arch_above_load
static inline bool ts_arch_above_load(uint64_t n, const ts_a64 *a)
{
	bool above;

	__asm__("cmpq %2, %1" : "=@cca"(above) : "r"(n), "m"(a->v));
	return above;
}
#endif

#define ts_arch_with_bit ts_arch_with_bit
static inline uint64_t ts_arch_with_bit(uint64_t bits, uint64_t n)
{
	__asm__("btsq %1, %0" : "+r"(bits) : "r"(n) : "cc");
	return bits;
}

#define TS_ARCH_NAME "x86_64"
#define TS_ARCH_ELF_MACHINE 62
/* Lines are 64 bytes; the adjacent-line prefetcher makes pairs of them travel together. */
#define TS_ARCH_CACHE_LINE_BYTES 64

#define ts_arch_pause ts_arch_pause
static inline void ts_arch_pause(void)
{
	__builtin_ia32_pause();
}

#define ts_arch_cycles ts_arch_cycles
static inline uint64_t ts_arch_cycles(void)
{
	return __builtin_ia32_rdtsc();
}

/* CPUID leaf 0x15: TSC = crystal Hz * EBX / EAX. Many hypervisors leave it out; then 0. */
#define ts_arch_cycles_hz ts_arch_cycles_hz
static inline uint64_t ts_arch_cycles_hz(void)
{
	unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;

	if (!__get_cpuid_count(0x15, 0, &eax, &ebx, &ecx, &edx) || !eax || !ebx || !ecx)
		return 0;
	return (uint64_t)ecx * ebx / eax;
}

/* All that the architecture promises; some parts count in steps of their crystal ratio (2, 36, ...). */
#define ts_arch_cycles_step ts_arch_cycles_step
static inline uint64_t ts_arch_cycles_step(void)
{
	return 1;
}

#define ts_arch_features ts_arch_features
static inline void ts_arch_features(char *buf, size_t bytes)
{
	unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
	bool invariant = __get_cpuid(0x80000007u, &eax, &ebx, &ecx, &edx) && (edx & (1u << 8));

	snprintf(buf, bytes, "%s", invariant ? "invariant_tsc" : "");
}

#endif
