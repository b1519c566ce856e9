/* SPDX-License-Identifier: MIT */
/*
 * Memory tags of armv8.5 (configure --enable-mte): each 16 bytes of memory carry four bits, and so do bits 56 to
 * 59 of an address; an access where they differ traps. Memory that is not the heap's has tag 0.
 */
#ifndef TS_ARCH_TAGS_H
#define TS_ARCH_TAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

#define TS_ARCH_TAGS 1
#define TS_ARCH_PROT 0x20 /* PROT_MTE, Linux arch/arm64/include/uapi/asm/mman.h */

#define TS_AARCH64_TAG ((uintptr_t)0xf << 56)
/* The assembler alone is told: the compiler builds for armv8.0, as everywhere. */
#define TS_AARCH64_MEMTAG ".arch armv8.5-a+memtag\n\t"

#define ts_arch_tags_begin ts_arch_tags_begin
static inline bool ts_arch_tags_begin(void)
{
	unsigned long any_tag_but_0 = 0xfffeul << PR_MTE_TAG_SHIFT;
	int mode = prctl(PR_GET_TAGGED_ADDR_CTRL, 0, 0, 0, 0);

	/* What the program has chosen, asynchronous traps perhaps, stays. */
	if (mode >= 0 && (mode & PR_MTE_TCF_MASK))
		return true;
	return !prctl(PR_SET_TAGGED_ADDR_CTRL,
		      PR_TAGGED_ADDR_ENABLE | PR_MTE_TCF_SYNC | any_tag_but_0, 0, 0, 0);
}

#define ts_arch_untag ts_arch_untag
static inline void *ts_arch_untag(const void *p)
{
	return (void *)((uintptr_t)p & ~TS_AARCH64_TAG);
}

#define ts_arch_tagged ts_arch_tagged
static inline void *ts_arch_tagged(void *p)
{
	__asm__ __volatile__(TS_AARCH64_MEMTAG "ldg %0, [%0]" : "+r"(p)::"memory");
	return p;
}

#define ts_arch_tag_fits ts_arch_tag_fits
static inline bool ts_arch_tag_fits(const void *p)
{
	return ts_arch_tagged(ts_arch_untag(p)) == p;
}

/* `start` and `bytes` are multiples of 32. */
#define ts_arch_tag_as ts_arch_tag_as
static inline void ts_arch_tag_as(const void *tagged, void *start, size_t bytes)
{
	char *end = (char *)start + bytes;

	for (char *p = start; p < end; p += 32)
		__asm__ __volatile__(TS_AARCH64_MEMTAG "st2g %1, [%0]" ::"r"(p), "r"(tagged)
				     : "memory");
}

/*
 * The next tag: a pointer from before fits again after 14 more. Memory fresh from the kernel has 0 and gets any,
 * so that what is given back and comes again is not the same each time. Neither instruction makes 0.
 */
#define ts_arch_retag ts_arch_retag
static inline void ts_arch_retag(void *start, size_t bytes)
{
	void *tagged = ts_arch_tagged(start);

	if (tagged == start)
		__asm__ __volatile__(TS_AARCH64_MEMTAG "irg %0, %0" : "+r"(tagged));
	else
		__asm__(TS_AARCH64_MEMTAG "addg %0, %0, #0, #1" : "+r"(tagged));
	ts_arch_tag_as(tagged, start, bytes);
}

#endif
