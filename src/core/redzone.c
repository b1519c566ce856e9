/* SPDX-License-Identifier: MIT */
#include "redzone.h"

#include <stdio.h>

#include "fork.h"
#include "label.h"
#include "large.h"
#include "os.h"
#include "paint.h"
#include "process.h"
#include "report.h"
#include "site.h"
#include "slab.h"
#include "thread.h"

/*
 * The word of a slot: state 2 | bytes asked for 38 | site 20 | label id 4. Whoever looks at the bytes of a
 * red zone or of a freed slot, or marks them, has made the state BUSY before: a walk of the lane's holder and
 * the free by another thread do not meet.
 */
enum { NONE, LIVE, FREED, BUSY };
#define STATE 3u
#define BYTES_SHIFT 2
#define BYTES_MASK (((uint64_t)1 << 38) - 1)
#define SITE_SHIFT 40
#define SITE_MASK 0xfffffu
#define LABEL_SHIFT 60

/* Behind a large object no more is marked: its pages need not be touched to the last. */
#define ZONE_MAX_BYTES 4096u

static ts_a64 *word_of(uint64_t t)
{
	return &ts_range.redzones[t];
}

static size_t bytes_of(uint64_t word)
{
	return word >> BYTES_SHIFT & BYTES_MASK;
}

/* The word, BUSY from now on, if its state is one of the set; else 0. */
static uint64_t claim(uint64_t t, unsigned states)
{
	uint64_t seen = ts_a64_load_rlx(word_of(t));

	for (unsigned rounds = 0;;) {
		if ((seen & STATE) == BUSY) {
			ts_os_wait_a_little(&rounds);
			seen = ts_a64_load_rlx(word_of(t));
			continue;
		}
		if (!(states >> (seen & STATE) & 1))
			return 0;
		/* ORD-26 acquire: pairs with settle(); the marks that are looked at were all made before. */
		if (ts_a64_cas_acq(word_of(t), &seen, seen | BUSY))
			return seen;
	}
}

static void settle(uint64_t t, uint64_t word, unsigned state)
{
	/* ORD-26 release: pairs with claim(). */
	ts_a64_store_rel(word_of(t), (word & ~(uint64_t)STATE) | state);
}

static struct ts_bin *bin_of(uint64_t t)
{
	return (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
}

static size_t marked_bytes(size_t bytes, size_t slot_bytes)
{
	return slot_bytes - bytes < ZONE_MAX_BYTES ? slot_bytes :
						     (bytes + ZONE_MAX_BYTES) & ~(size_t)7;
}

/* -- what is found ------------------------------------------------------------------------------ */

/* `bin`: whose the slot is now, or NULL. */
static void report(uint64_t t, const struct ts_bin *bin, uint64_t word, const char *what, size_t at)
{
	const struct ts_lane *lane = bin ? ts_lane_of_bin(bin) : NULL;
	const struct ts_epoch *epoch = lane ? ts_lane_epoch(lane) : NULL;
	unsigned label_id = (unsigned)(word >> LABEL_SHIFT);
	char site[96], detail[160];

	/* The lane may serve another epoch by now: then the label is what is left of the object's own. */
	if (epoch && ts_a64_load_rlx(&epoch->stat->label_id) != label_id)
		epoch = NULL;
	ts_site_describe((uint32_t)(word >> SITE_SHIFT & SITE_MASK), site, sizeof(site));
	snprintf(detail, sizeof(detail), "size=%zu offset=%zu site=%s", bytes_of(word), at, site);
	ts_refused(.what = what, .heap = lane ? ts_lane_heap(lane) : NULL, .epoch = epoch,
		   .label = ts_label_text(label_id), .address = (uintptr_t)ts_range_address(t),
		   .detail = detail);
}

static void check_live(uint64_t t, const struct ts_bin *bin, uint64_t word, size_t slot_bytes)
{
	char *p = ts_range_address(t);
	size_t bytes = bytes_of(word), end = marked_bytes(bytes, slot_bytes);
	size_t at = ts_paint_zone_damage(p, bytes, end);

	if (at == end)
		return;
	ts_count(overflows_found, 1);
	report(t, bin, word, "overflow of an object", at);
	ts_paint_live(p, bytes, end);
}

static void check_freed(uint64_t t, const struct ts_bin *bin, uint64_t word, size_t slot_bytes)
{
	char *p = ts_range_address(t);
	size_t at;

	/* A large one is its chunks, see ts_redzone_take. */
	if (slot_bytes > TS_SMALL_MAX_BYTES)
		return;
	at = ts_paint_freed_damage(p, slot_bytes);
	if (at == slot_bytes)
		return;
	ts_count(freed_writes_found, 1);
	report(t, bin, word, "write into a freed object", at);
	ts_paint_freed(p, bytes_of(word), slot_bytes);
}

/* -- objects ------------------------------------------------------------------------------------ */

/* Where the scope was entered that the object lies in, else where it was allocated. */
static uint64_t site_of(const struct ts_lane *lane, const void *pc)
{
	const struct ts_scope *scope = ts_thread_scope_in(lane);

	if (scope)
		return scope->site;
	return pc ? ts_site_id(pc) : 0;
}

void ts_redzone_arm(void *p, size_t bytes, const void *pc)
{
	uint64_t t = ts_range_granule(p);
	const struct ts_bin *bin = bin_of(t);
	const struct ts_lane *lane = bin ? ts_lane_of_bin(bin) : NULL;
	const struct ts_epoch *epoch = lane ? ts_lane_epoch(lane) : NULL;
	uint64_t word, slot_bytes;

	if (!bin || bytes > BYTES_MASK)
		return;
	slot_bytes = ts_slot_bytes(bin, t);
	word = claim(t, 1u << NONE | 1u << LIVE | 1u << FREED);
	if ((word & STATE) == FREED)
		check_freed(t, bin, word, slot_bytes);
	ts_paint_live(p, bytes, marked_bytes(bytes, slot_bytes));
	word = (uint64_t)bytes << BYTES_SHIFT | (site_of(lane, pc) & SITE_MASK) << SITE_SHIFT |
	       (epoch ? ts_a64_load_rlx(&epoch->stat->label_id) : 0) << LABEL_SHIFT;
	settle(t, word, LIVE);
}

void ts_redzone_disarm(uint64_t t)
{
	const struct ts_bin *bin = bin_of(t);
	uint64_t word = claim(t, 1u << LIVE);
	size_t slot_bytes;

	if (!word)
		return;
	slot_bytes = ts_slot_bytes(bin, t);
	check_live(t, bin, word, slot_bytes);
	ts_paint_freed(ts_range_address(t), bytes_of(word), slot_bytes);
	settle(t, word, FREED);
}

void ts_redzone_free(const void *p)
{
	const struct ts_bin *bin;
	uint64_t t;

	ts_fork_check();
	if (!p)
		return;
	t = ts_range_granule(p);
	if (t >= ts_a64_load_rlx(&ts_range.granules))
		return;
	bin = bin_of(t);
	if (bin && !(ts_lane_flags(ts_lane_of_bin(bin)) & TS_LANE_HANDLES))
		ts_redzone_disarm(t);
}

void *ts_redzone_resize(void *p, size_t bytes, size_t slot_bytes)
{
	uint64_t t = ts_range_granule(p);
	const struct ts_bin *bin = bin_of(t);
	uint64_t word = claim(t, 1u << LIVE);

	if (!word)
		return p;
	check_live(t, bin, word, slot_bytes);
	ts_paint_resized(p, bytes_of(word), bytes, marked_bytes(bytes, ts_slot_bytes(bin, t)));
	settle(t, (word & ~(BYTES_MASK << BYTES_SHIFT)) | (uint64_t)bytes << BYTES_SHIFT, LIVE);
	return p;
}

size_t ts_redzone_usable(uint64_t t, size_t slot_bytes)
{
	uint64_t word = ts_a64_load_rlx(word_of(t));

	return (word & STATE) == NONE || bytes_of(word) > slot_bytes ? slot_bytes : bytes_of(word);
}

/* -- slabs and lanes ---------------------------------------------------------------------------- */

void ts_redzone_open(uint32_t first_unit, unsigned units)
{
	ts_paint_open(ts_range_address((uint64_t)first_unit * TS_UNIT_GRANULES),
		      (size_t)units << TS_UNIT_SHIFT);
}

static void visit_slot(uint64_t t, bool discard)
{
	uint64_t word = ts_a64_load_rlx(word_of(t));
	const struct ts_bin *bin = bin_of(t);
	size_t slot_bytes;

	if ((word & STATE) == NONE || !bin)
		return;
	word = claim(t, 1u << LIVE | 1u << FREED);
	if (!word)
		return;
	slot_bytes = ts_slot_bytes(bin, t);
	if ((word & STATE) == FREED) {
		check_freed(t, bin, word, slot_bytes);
		settle(t, word, FREED);
		return;
	}
	check_live(t, bin, word, slot_bytes);
	if (discard)
		ts_paint_freed(ts_range_address(t), bytes_of(word), slot_bytes);
	settle(t, word, discard ? FREED : LIVE);
}

static void visit_chunk(uint32_t chunk, bool discard)
{
	uint64_t t = (uint64_t)chunk * TS_CHUNK_GRANULES;
	uint64_t end = t + ts_range.chunks[chunk].units_used * TS_UNIT_GRANULES;

	for (; t < end; t++)
		visit_slot(t, discard);
}

static void visit(struct ts_lane *lane, bool discard)
{
	for (uint32_t chunk = lane->chunks; chunk; chunk = ts_range.chunks[chunk].next)
		visit_chunk(chunk, discard);
	for (uint32_t chunk = lane->larges; chunk; chunk = ts_range.chunks[chunk].next)
		visit_slot((uint64_t)chunk * TS_CHUNK_GRANULES, discard);
}

void ts_redzone_check(struct ts_lane *lane)
{
	visit(lane, false);
}

void ts_redzone_check_chunk(uint32_t chunk)
{
	visit_chunk(chunk, false);
}

void ts_redzone_discard(struct ts_lane *lane)
{
	visit(lane, true);
}

/* -- free chunks -------------------------------------------------------------------------------- */

enum { PAINTED = 2 }; /* ts_chunk.dirty: as ts_paint_closed left it */

void ts_redzone_put(uint32_t start, uint32_t chunks)
{
	ts_paint_closed(ts_chunk_address(start), (size_t)chunks * TS_CHUNK_BYTES);
	for (uint32_t i = start; i < start + chunks; i++)
		ts_range.chunks[i].dirty = PAINTED;
}

/* The freed object that granule `at` was a part of; its word, or 0. Large ones begin in a chunk before. */
static uint64_t object_at(uint64_t *t, uint64_t at)
{
	for (*t = at; *t > TS_CHUNK_GRANULES; --*t) {
		uint64_t word = ts_a64_load_rlx(word_of(*t));

		if ((word & STATE) == FREED)
			return bytes_of(word) > (at - *t) * TS_GRANULE_BYTES ? word : 0;
	}
	return 0;
}

static void report_chunk(uint32_t chunk, size_t at)
{
	uint64_t t, damaged = (uint64_t)chunk * TS_CHUNK_GRANULES + at / TS_GRANULE_BYTES;
	uint64_t word = object_at(&t, damaged);

	ts_count(freed_writes_found, 1);
	if (word)
		report(t, NULL, word, "write into a freed object",
		       (damaged - t) * TS_GRANULE_BYTES + at % TS_GRANULE_BYTES);
	else
		ts_refused(.what = "write into freed memory",
			   .address = (uintptr_t)ts_chunk_address(chunk) + at);
}

void ts_redzone_take(uint32_t start, uint32_t chunks)
{
	for (uint32_t i = start; i < start + chunks; i++) {
		uint8_t dirty = ts_range.chunks[i].dirty;
		const char *p = ts_chunk_address(i);
		size_t at = TS_CHUNK_BYTES;

		if (dirty == PAINTED)
			at = ts_paint_freed_damage(p, TS_CHUNK_BYTES);
		else if (!dirty)
			at = ts_paint_zero_damage(p, TS_CHUNK_BYTES);
		if (at < TS_CHUNK_BYTES)
			report_chunk(i, at);
	}
	for (uint64_t t = (uint64_t)start * TS_CHUNK_GRANULES,
		      end = t + (uint64_t)chunks * TS_CHUNK_GRANULES;
	     t < end; t++)
		if (ts_a64_load_rlx(word_of(t)))
			ts_a64_store_rlx(word_of(t), NONE);
}

void ts_redzone_recover(void)
{
	uint64_t end = (uint64_t)ts_chunk_end() * TS_CHUNK_GRANULES;

	for (uint64_t t = TS_CHUNK_GRANULES; t < end; t++)
		if ((ts_a64_load_rlx(word_of(t)) & STATE) == BUSY)
			ts_a64_store_rlx(word_of(t), NONE);
}
