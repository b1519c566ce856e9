/* SPDX-License-Identifier: MIT */
/* What compilers leave out. ci/ordering-code compiles each operation and looks. */
#ifndef TS_ARCH_ATOMICS_FIX_H
#define TS_ARCH_ATOMICS_FIX_H

/*
 * GCC 12 for RISC-V takes the fence in front of a compare-and-swap from the order of its failure alone, so
 * that one which releases, and whose failure is relaxed or acquire, does not release: `lr; sc` or
 * `lr; sc.aq`. GCC of 2025 takes the union of both (riscv_union_memmodels in gcc/config/riscv/sync.md); with 13
 * and 14, which were not looked at, a fence may be one too many.
 */
#if defined(__riscv) && !defined(__clang__) && __GNUC__ < 15
#define TS_BEFORE_RELEASING_CAS() __atomic_thread_fence(__ATOMIC_RELEASE)
#else
#define TS_BEFORE_RELEASING_CAS() ((void)0)
#endif

#endif
