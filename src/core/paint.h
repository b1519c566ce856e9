/* SPDX-License-Identifier: MIT */
/*
 * paint.h: how redzone.c marks memory, one set of functions for each kind of build.
 *
 *   ts_paint_live     an object of `bytes` begins at p; [bytes, end) is its red zone
 *   ts_paint_resized  it has another length from now on
 *   ts_paint_freed    the object is over; the slot is nobody's
 *   ts_paint_closed   whole chunks are nobody's
 *   ts_paint_open     units become a slab of which no slot is anybody's
 *   ts_paint_zone_damage, ts_paint_freed_damage, ts_paint_zero_damage
 *                     offset of the first byte that is not as marked, or is not 0; or the end
 */
#ifndef TS_CORE_PAINT_H
#define TS_CORE_PAINT_H

#include "redzone.h"

#if TSLAB_REDZONE == TS_REDZONE_CANARIES
#include <string.h>

/*
 * Eight bytes of a pattern that depends on the address, so that a copied object shows as well. Canaries are
 * 0x80 to 0xbf, poison 0xc0 to 0xfe: text, its end and small numbers are neither.
 */
#define TS_PAINT_CANARY 0x8080808080808080u
#define TS_PAINT_POISON 0xc0c0c0c0c0c0c0c0u

static inline uint64_t ts_paint_word(uintptr_t address, uint64_t kind)
{
	uint64_t mixed = (address >> 3) * 0x9e3779b97f4a7c15u;

	mixed ^= mixed >> 32;
	return kind | (mixed & 0x3e3e3e3e3e3e3e3eu);
}

static inline unsigned char ts_paint_byte(uintptr_t address, uint64_t kind)
{
	return (unsigned char)(ts_paint_word(address, kind) >> address % 8 * 8);
}

static inline void ts_paint(char *p, size_t from, size_t to, uint64_t kind)
{
	for (; from < to && from % 8; from++)
		p[from] = (char)ts_paint_byte((uintptr_t)p + from, kind);
	for (; from < to; from += 8) {
		uint64_t word = ts_paint_word((uintptr_t)p + from, kind);

		memcpy(p + from, &word, sizeof(word));
	}
}

/* `to` is the end of a slot, or a multiple of eight behind the beginning. */
static inline size_t ts_paint_damage(const char *p, size_t from, size_t to, uint64_t kind)
{
	for (; from < to && from % 8; from++)
		if ((unsigned char)p[from] != ts_paint_byte((uintptr_t)p + from, kind))
			return from;
	for (; from < to; from += 8) {
		uint64_t word = ts_paint_word((uintptr_t)p + from, kind);

		if (!memcmp(p + from, &word, sizeof(word)))
			continue;
		while ((unsigned char)p[from] == ts_paint_byte((uintptr_t)p + from, kind))
			from++;
		return from;
	}
	return to;
}

static inline void ts_paint_live(char *p, size_t bytes, size_t end)
{
	ts_paint(p, bytes, end, TS_PAINT_CANARY);
}

static inline void ts_paint_resized(char *p, size_t old_bytes, size_t bytes, size_t end)
{
	(void)old_bytes;
	ts_paint(p, bytes, end, TS_PAINT_CANARY);
}

/* Large ones go back to the pool and the OS: their pages are not touched for it. */
static inline void ts_paint_freed(char *p, size_t bytes, size_t slot_bytes)
{
	(void)bytes;
	if (slot_bytes <= TS_SMALL_MAX_BYTES)
		ts_paint(p, 0, slot_bytes, TS_PAINT_POISON);
}

static inline void ts_paint_closed(char *p, size_t bytes)
{
	ts_paint(p, 0, bytes, TS_PAINT_POISON);
}

static inline void ts_paint_open(char *p, size_t bytes)
{
	(void)p;
	(void)bytes;
}

static inline size_t ts_paint_zone_damage(const char *p, size_t bytes, size_t end)
{
	return ts_paint_damage(p, bytes, end, TS_PAINT_CANARY);
}

static inline size_t ts_paint_freed_damage(const char *p, size_t slot_bytes)
{
	return ts_paint_damage(p, 0, slot_bytes, TS_PAINT_POISON);
}

static inline size_t ts_paint_zero_damage(const char *p, size_t bytes)
{
	const uint64_t *word = (const uint64_t *)p;
	size_t at = 0;

	while (at < bytes && !word[at / 8])
		at += 8;
	while (at < bytes && !p[at])
		at++;
	return at;
}

#else
#if TSLAB_REDZONE == TS_REDZONE_ASAN
#include <sanitizer/asan_interface.h>

static inline void ts_paint_live(char *p, size_t bytes, size_t end)
{
	ASAN_UNPOISON_MEMORY_REGION(p, bytes);
	ASAN_POISON_MEMORY_REGION(p + bytes, end - bytes);
}

static inline void ts_paint_resized(char *p, size_t old_bytes, size_t bytes, size_t end)
{
	(void)old_bytes;
	ts_paint_live(p, bytes, end);
}

static inline void ts_paint_freed(char *p, size_t bytes, size_t slot_bytes)
{
	(void)bytes;
	ASAN_POISON_MEMORY_REGION(p, slot_bytes);
}

static inline void ts_paint_closed(char *p, size_t bytes)
{
	ASAN_POISON_MEMORY_REGION(p, bytes);
}
#else
#include <valgrind/memcheck.h>

static inline void ts_paint_live(char *p, size_t bytes, size_t end)
{
	(void)end;
	VALGRIND_MALLOCLIKE_BLOCK(p, bytes, 0, 0);
}

static inline void ts_paint_resized(char *p, size_t old_bytes, size_t bytes, size_t end)
{
	(void)end;
	VALGRIND_RESIZEINPLACE_BLOCK(p, old_bytes, bytes, 0);
}

static inline void ts_paint_freed(char *p, size_t bytes, size_t slot_bytes)
{
	(void)bytes;
	(void)slot_bytes;
	VALGRIND_FREELIKE_BLOCK(p, 0);
}

static inline void ts_paint_closed(char *p, size_t bytes)
{
	(void)VALGRIND_MAKE_MEM_NOACCESS(p, bytes);
}
#endif

static inline void ts_paint_open(char *p, size_t bytes)
{
	ts_paint_closed(p, bytes);
}

/* The tool that the program runs under finds it at once. */
static inline size_t ts_paint_zone_damage(const char *p, size_t bytes, size_t end)
{
	(void)p;
	(void)bytes;
	return end;
}

static inline size_t ts_paint_freed_damage(const char *p, size_t slot_bytes)
{
	(void)p;
	return slot_bytes;
}

static inline size_t ts_paint_zero_damage(const char *p, size_t bytes)
{
	(void)p;
	return bytes;
}
#endif

#endif
