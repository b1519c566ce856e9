/* SPDX-License-Identifier: MIT */
/*
 * os.h: memory and time from the operating system, with the rules that keep neighbours safe.
 *
 * Every purge is shrunk inward to the run-time page; every commit is widened outward inside its
 * reservation. Failures are counted here, once, by the result of the call. Nothing loops on EAGAIN.
 */
#ifndef TS_CORE_OS_H
#define TS_CORE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest kernel page: what is reserved is aligned and padded for it, whatever page runs now. */
#define TS_OS_PAGE_MAX_BYTES 65536u
/* Page size of the running kernel, read once. */
size_t ts_os_page_bytes(void);
/* RLIMIT_AS; UINT64_MAX if there is none. */
uint64_t ts_os_address_space_bytes(void);

/* Address space aligned to `align` (a power of two). NULL if refused. */
void *ts_os_reserve(size_t bytes, size_t align);
void ts_os_release(void *addr, size_t bytes);

/* 0 or -ENOMEM (whatever the reason). */
int ts_os_commit(void *addr, size_t bytes);

/*
 * Both. What a try reserved and could not commit waits in *reserved, at first NULL, for the next one: while memory is
 * out, tries take no more address space. NULL if refused.
 */
void *ts_os_obtain(void **reserved, size_t bytes, size_t align);

/* Give back the whole pages inside the range. Returns the bytes given back; 0 if the OS refused. */
size_t ts_os_purge(void *addr, size_t bytes);

/* Whole committed pages that trap, or that serve again and read as anything. False = the OS refused. */
bool ts_os_trap(void *addr, size_t bytes);
bool ts_os_untrap(void *addr, size_t bytes);

/* CLOCK_MONOTONIC_COARSE plus the boot offset: nanoseconds since boot, 1-4 ms steps, no system call. */
uint64_t ts_os_coarse_ns(void);
/* Resident set of the process, from /proc/self/statm: microseconds. 0 where it cannot be read. */
uint64_t ts_os_rss_bytes(void);

/* CLOCK_MONOTONIC, for durations off the hot paths. */
uint64_t ts_os_clock_ns(void);
/* CPU time of the calling thread: a system call. */
uint64_t ts_os_thread_cpu_ns(void);
/* Look at the boot offset again (it grows while the machine sleeps). Cold paths only. */
void ts_os_clock_sync(void);

/* Waits for another thread that is about to be done: a moment, or from the 64th round on the processor. */
void ts_os_wait_a_little(unsigned *rounds);

#endif
