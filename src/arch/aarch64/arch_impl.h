/* SPDX-License-Identifier: MIT */
/* AArch64 backend of arch.h: armv8.0-a baseline, LSE through the compiler's outline atomics. */
#ifndef TS_ARCH_IMPL_H
#define TS_ARCH_IMPL_H

#if !defined(__aarch64__)
#error "src/arch/aarch64 is on the include path, but the compiler's target is another CPU"
#endif
#if defined(__AARCH64EB__)
#error "tslab's stats segment is little-endian; big-endian AArch64 is not supported"
#endif

#include "../atomics_ao.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/auxv.h>

#define TS_ARCH_NAME "aarch64"
#define TS_ARCH_ELF_MACHINE 183
/* 64 on the Neoverse and Cortex servers; 128 on Apple and some Kunpeng parts, so pad for the larger. */
#define TS_ARCH_CACHE_LINE_BYTES 128

/*
 * `isb` and not `yield`: YIELD is a no-op on every server core, so it spins at full speed, while ISB
 * flushes the pipeline (tens of cycles), which is what a spin hint is for. Source: the comment at
 * MySQL's and jemalloc's CPU_SPINWAIT for aarch64, and Rust's core::hint::spin_loop.
 */
#define ts_arch_pause ts_arch_pause
static inline void ts_arch_pause(void)
{
	__asm__ __volatile__("isb" ::: "memory");
}

/* CNTVCT_EL0 may be read early without the ISB: "Arm ARM", D13.8, self-synchronised views need ECV. */
#define ts_arch_cycles ts_arch_cycles
static inline uint64_t ts_arch_cycles(void)
{
	uint64_t value;

	__asm__ __volatile__("isb\n\tmrs %0, cntvct_el0" : "=r"(value)::"memory");
	return value;
}

#define ts_arch_cycles_hz ts_arch_cycles_hz
static inline uint64_t ts_arch_cycles_hz(void)
{
	uint64_t value;

	__asm__ __volatile__("mrs %0, cntfrq_el0" : "=r"(value));
	return value;
}

/* The counter ticks at cntfrq (25 MHz to 1 GHz), not at the core clock: one tick is the resolution. */
#define ts_arch_cycles_step ts_arch_cycles_step
static inline uint64_t ts_arch_cycles_step(void)
{
	return 1;
}

/*
 * What the outline atomics of libgcc and compiler-rt choose by, where a build has them; they ask the kernel
 * before main. Without them the compiler's flags have chosen: LL/SC unless -march has LSE.
 */
#if defined(__ARM_FEATURE_ATOMICS)
#define TS_AARCH64_USES_LSE 1
#else
extern bool __aarch64_have_lse_atomics __attribute__((weak, visibility("hidden")));
#define TS_AARCH64_USES_LSE (&__aarch64_have_lse_atomics && __aarch64_have_lse_atomics)
#endif

/*
 * Bits of AT_HWCAP and AT_HWCAP2, Linux arch/arm64/include/uapi/asm/hwcap.h. `lse` is what the library uses,
 * `lse_unused` what it could: with neither its atomic operations are LL/SC loops because the CPU is older.
 */
#define ts_arch_features ts_arch_features
static inline void ts_arch_features(char *buf, size_t bytes)
{
	unsigned long caps = getauxval(AT_HWCAP);
	unsigned long caps2 = getauxval(AT_HWCAP2);
	const char *lse = !(caps & (1ul << 8)) ? "" : TS_AARCH64_USES_LSE ? " lse" : " lse_unused";
	char list[64];

	snprintf(list, sizeof(list), "%s%s%s%s", lse, (caps & (1ul << 15)) ? " lrcpc" : "",
		 (caps2 & (1ul << 19)) ? " ecv" : "", (caps2 & (1ul << 18)) ? " mte" : "");
	snprintf(buf, bytes, "%s", list[0] == ' ' ? list + 1 : list);
}

#endif
