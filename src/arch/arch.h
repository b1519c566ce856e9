/* SPDX-License-Identifier: MIT */
/*
 * arch.h: the one contract between tslab's portable core and a CPU.
 *
 * A backend is a directory src/arch/<cpu>/ with one header, arch_impl.h, that configure puts on the
 * include path; nothing above src/arch branches on the CPU or holds assembly. A backend must provide
 * everything that the list below calls "required"; it may override an "optional" item by defining a
 * macro of the item's own name next to it (`#define ts_arch_pause ts_arch_pause`).
 *
 * Required
 *   TS_ARCH_NAME              string, as `uname -m` prints it
 *   TS_ARCH_ELF_MACHINE       e_machine of the ELF files for this CPU (EM_X86_64 = 62, ...)
 *   TS_ARCH_CACHE_LINE_BYTES  grain of false sharing, a power of two
 *   ts_arch_cycles()          uint64_t, a counter that rises at a constant rate on all cores
 *   ts_arch_cycles_hz()       uint64_t, its rate; 0 when the CPU does not say
 *   ts_arch_cycles_step()     uint64_t, in cycles: no two readings differ by less, unless they are equal
 *   ts_arch_features(buf, n)  writes the CPU features that matter, space-separated, NUL-terminated
 * Optional
 *   ts_arch_pause()           spin hint
 *   ts_arch_page_bytes()      page size of the running kernel, read at run time
 *   ts_arch_or_load(bits, a)  bits | the word, loaded relaxed: for CPUs whose arithmetic takes an operand
 *   ts_arch_below_load(n, a)  from memory, which compilers do not use for atomics. Is n < the word?
 *   ts_arch_above_load(n, a)  is n > the word?
 *   ts_arch_with_bit(bits, n) bits with bit n % 64 set
 * Memory tags, in builds with --enable-mte only: all or none (TS_ARCH_TAGS)
 *   TS_ARCH_PROT              what mprotect needs besides, for memory with tags
 *   ts_arch_tags_begin()      tags are checked in the calling thread; false = the machine has none
 *   ts_arch_untag(p)          p as if memory had no tags
 *   ts_arch_tagged(p)         p, without a tag, with that of its memory
 *   ts_arch_tag_fits(p)       does p have the tag of its memory?
 *   ts_arch_retag(p, n)       another tag for n bytes
 *   ts_arch_tag_as(q, p, n)   for n bytes the tag that q has
 *
 * Ordered atomic operations. The order is in the name and is the whole story: _rlx relaxed, _acq
 * acquire, _rel release, _acqrel both, _sc sequentially consistent. Every read-modify-write returns the
 * OLD value; a compare-and-swap returns true on success and otherwise writes what it saw through
 * `expected`. Plain access to the field inside is an error in review.
 *   ts_a64   load_{rlx,acq,sc} store_{rlx,rel} cas_{rlx,acq,rel,acqrel,sc} xchg_{acq,acqrel}
 *            or_{rlx,rel,acqrel} and_{acq,rel} add_{rlx,acqrel} sub_acqrel
 *   ts_a32   load_{rlx,acq} store_{rlx,rel} cas_acqrel add_rlx
 *   ts_a16   load_rlx store_rlx
 */
#ifndef TS_ARCH_ARCH_H
#define TS_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "arch_impl.h"

#ifndef TS_ARCH_NAME
#error "backend lacks TS_ARCH_NAME"
#endif
#ifndef TS_ARCH_ELF_MACHINE
#error "backend lacks TS_ARCH_ELF_MACHINE"
#endif
#ifndef TS_ARCH_CACHE_LINE_BYTES
#error "backend lacks TS_ARCH_CACHE_LINE_BYTES"
#endif
#ifndef ts_arch_cycles
#error "backend lacks ts_arch_cycles"
#endif
#ifndef ts_arch_cycles_hz
#error "backend lacks ts_arch_cycles_hz"
#endif
#ifndef ts_arch_cycles_step
#error "backend lacks ts_arch_cycles_step"
#endif
#ifndef ts_arch_features
#error "backend lacks ts_arch_features"
#endif
#ifndef TS_ARCH_ATOMICS
#error "backend lacks the ordered atomic operations (TS_ARCH_ATOMICS)"
#endif
#ifdef TSLAB_YIELDS /* on the command line: configure --enable-yields */
#include "yields.h"
#endif

#ifndef ts_arch_pause
#define ts_arch_pause ts_arch_pause
/* A compiler barrier alone: correct everywhere, merely impolite to a sibling hardware thread. */
static inline void ts_arch_pause(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
#endif

#ifndef ts_arch_page_bytes
#define ts_arch_page_bytes ts_arch_page_bytes
static inline size_t ts_arch_page_bytes(void)
{
	long page_bytes = sysconf(_SC_PAGESIZE);

	return page_bytes > 0 ? (size_t)page_bytes : 4096;
}
#endif

#ifndef ts_arch_or_load
#define ts_arch_or_load ts_arch_or_load
static inline uint64_t ts_arch_or_load(uint64_t bits, const ts_a64 *a)
{
	return bits | ts_a64_load_rlx(a);
}
#endif

#ifndef ts_arch_below_load
#define ts_arch_below_load ts_arch_below_load
static inline bool ts_arch_below_load(uint64_t n, const ts_a64 *a)
{
	return n < ts_a64_load_rlx(a);
}
#endif

#ifndef ts_arch_above_load
#define ts_arch_above_load ts_arch_above_load
static inline bool ts_arch_above_load(uint64_t n, const ts_a64 *a)
{
	return n > ts_a64_load_rlx(a);
}
#endif

#ifndef ts_arch_with_bit
#define ts_arch_with_bit ts_arch_with_bit
static inline uint64_t ts_arch_with_bit(uint64_t bits, uint64_t n)
{
	return bits | (uint64_t)1 << (n & 63);
}
#endif

#ifdef TSLAB_MTE /* on the command line: configure --enable-mte */
#include "tags.h"
#else
#define TS_ARCH_TAGS 0
#define TS_ARCH_PROT 0

static inline bool ts_arch_tags_begin(void)
{
	return true;
}

static inline void *ts_arch_untag(const void *p)
{
	return (void *)(uintptr_t)p;
}

static inline void *ts_arch_tagged(void *p)
{
	return p;
}

static inline bool ts_arch_tag_fits(const void *p)
{
	(void)p;
	return true;
}

static inline void ts_arch_retag(void *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}

static inline void ts_arch_tag_as(const void *tagged, void *p, size_t bytes)
{
	(void)tagged;
	(void)p;
	(void)bytes;
}
#endif

/* Data of the library's own: without it position-independent code reads each address from a table. */
#define TS_HIDDEN __attribute__((visibility("hidden")))

/*
 * Page rounding. A range given to the kernel is shrunk inward, because on a kernel with larger pages
 * madvise rounds a length up and would take the neighbour's memory with it.
 */
static inline uintptr_t ts_arch_page_down(uintptr_t addr, size_t page_bytes)
{
	return addr & ~(uintptr_t)(page_bytes - 1);
}

static inline uintptr_t ts_arch_page_up(uintptr_t addr, size_t page_bytes)
{
	return (addr + page_bytes - 1) & ~(uintptr_t)(page_bytes - 1);
}

#endif
