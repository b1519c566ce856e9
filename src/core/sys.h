/* SPDX-License-Identifier: MIT */
/*
 * sys.h: the system calls that core makes, and nothing around them. sys_linux.c makes them; test
 * builds link sys_sim.c instead, which plays a kernel with larger pages and fails calls by plan.
 * All return 0 or a negative errno. The list of system calls in docs/syscalls.md follows this file.
 */
#ifndef TS_CORE_SYS_H
#define TS_CORE_SYS_H

#include <stddef.h>
#include <stdint.h>

size_t ts_sys_page_bytes(void);
/* Address space without memory (PROT_NONE). */
int ts_sys_reserve(size_t bytes, void **addr);
/* Make a part of a reservation readable and writable. */
int ts_sys_commit(void *addr, size_t bytes);
/* Give the memory back, keep the address space: MADV_DONTNEED. */
int ts_sys_purge(void *addr, size_t bytes);
int ts_sys_unmap(void *addr, size_t bytes);
/* Committed pages that trap from now on, their bytes gone, and the other way round. */
int ts_sys_trap(void *addr, size_t bytes);
int ts_sys_untrap(void *addr, size_t bytes);
/* Advice that may fail without harm: no huge pages. */
void ts_sys_no_huge_pages(void *addr, size_t bytes);

#endif
