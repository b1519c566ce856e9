/* SPDX-License-Identifier: MIT */
/* RISC-V backend of arch.h: rv64gc, as all Linux distributions have it. */
#ifndef TS_ARCH_IMPL_H
#define TS_ARCH_IMPL_H

#if !defined(__riscv) || __riscv_xlen != 64
#error "src/arch/riscv64 is on the include path, but the compiler's target is another CPU"
#endif

#include "../atomics_ao.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TS_ARCH_NAME "riscv64"
#define TS_ARCH_ELF_MACHINE 243
#define TS_ARCH_CACHE_LINE_BYTES 64

/* `pause` of Zihintpause, written as the FENCE that it is to CPUs and assemblers without it: no operation. */
#define ts_arch_pause ts_arch_pause
static inline void ts_arch_pause(void)
{
	__asm__ __volatile__(".4byte 0x0100000f" ::: "memory");
}

/* The real-time counter, the same on all harts. `cycle` follows the core's clock, and Linux forbids it. */
#define ts_arch_cycles ts_arch_cycles
static inline uint64_t ts_arch_cycles(void)
{
	uint64_t value;

	__asm__ __volatile__("rdtime %0" : "=r"(value)::"memory");
	return value;
}

/* What riscv_hwprobe says about all harts, Linux Documentation/arch/riscv/hwprobe.rst; 0 if it does not. */
static inline uint64_t ts_riscv_probe(int64_t key)
{
	struct {
		int64_t key;
		uint64_t value;
	} pair = { key, 0 };

	/* 258 is riscv_hwprobe. An unknown key comes back as -1. */
	return syscall(258, &pair, 1L, 0L, NULL, 0L) || pair.key != key ? 0 : pair.value;
}

/* Key 8 is the frequency of `time`; kernels that do not know it tell only in the device tree. */
#define ts_arch_cycles_hz ts_arch_cycles_hz
static inline uint64_t ts_arch_cycles_hz(void)
{
	return ts_riscv_probe(8);
}

/* `time` ticks at 1 to 100 MHz, not at the core clock: one tick is the resolution. */
#define ts_arch_cycles_step ts_arch_cycles_step
static inline uint64_t ts_arch_cycles_step(void)
{
	return 1;
}

/* Bits of key 4: stronger order, compare-and-swap in one instruction, the spin hint. */
#define ts_arch_features ts_arch_features
static inline void ts_arch_features(char *buf, size_t bytes)
{
	uint64_t extensions = ts_riscv_probe(4);
	char list[32];

	snprintf(list, sizeof(list), "%s%s%s", extensions & UINT64_C(1) << 33 ? " ztso" : "",
		 extensions & UINT64_C(1) << 34 ? " zacas" : "",
		 extensions & UINT64_C(1) << 36 ? " zihintpause" : "");
	snprintf(buf, bytes, "%s", list[0] == ' ' ? list + 1 : list);
}

#endif
