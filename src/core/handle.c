/* SPDX-License-Identifier: MIT */
/*
 * handle.c: checked references. A handle is generation 24 | granule 32 | heap 8. An object's generation
 * is its slot's plus its chunk's; a free raises the first, a discard or the return of the chunk the
 * second, and neither ever falls, so no handle is issued twice. At 2^24 - 1 a slot is retired.
 *
 * Handle objects live in lanes of their own, which are held only for the length of a call.
 */
#include <errno.h>

#include <tslab/tslab.h>

#include "epoch.h"
#include "failure.h"
#include "fork.h"
#include "heap.h"
#include "meta.h"
#include "os.h"
#include "process.h"
#include "redzone.h"
#include "report.h"
#include "slab.h"
#include "thread.h"

#define GENERATION_BITS 24
#define GENERATION_END (((uint32_t)1 << GENERATION_BITS) - 1)

static uint64_t make_handle(uint32_t generation, uint64_t t, uint32_t heap_id)
{
	return (uint64_t)generation << 40 | t << 8 | heap_id;
}

static uint64_t handle_granule(uint64_t handle)
{
	return handle >> 8 & 0xffffffffu;
}

static uint32_t handle_generation(uint64_t handle)
{
	return (uint32_t)(handle >> 40);
}

static ts_a32 *slot_generation(uint64_t t)
{
	struct ts_chunk *chunk = &ts_range.chunks[t / TS_CHUNK_GRANULES];
	uint64_t table = ts_a64_load_acq(&chunk->gens); /* ORD-17 acquire */

	return table ? (ts_a32 *)table + t % TS_CHUNK_GRANULES : NULL;
}

/*
 * The generation of the object at t now. ORD-17 acquire: the base before and after the slot's own, so
 * that a discard in between is noticed. 0 while it cannot be told.
 */
static uint32_t generation_now(uint64_t t)
{
	struct ts_chunk *chunk = &ts_range.chunks[t / TS_CHUNK_GRANULES];
	ts_a32 *slot = slot_generation(t);
	uint32_t base, own;

	if (!slot)
		return 0;
	base = ts_a32_load_acq(&chunk->gen_base);                              /* ORD-17 */
	own = ts_a32_load_acq(slot);                                           /* ORD-17 */
	return ts_a32_load_acq(&chunk->gen_base) == base ? base + own + 1 : 0; /* ORD-17 */
}

/* Holder. Makes sure that the chunk has its table of generations. */
static bool prepare_chunk(uint64_t t)
{
	struct ts_chunk *chunk = &ts_range.chunks[t / TS_CHUNK_GRANULES];
	void *table;

	if (ts_a64_load_rlx(&chunk->gens))
		return true;
	table = ts_meta_alloc(TS_CHUNK_GRANULES * sizeof(ts_a32));
	if (!table)
		return false;
	/* ORD-17 release: pairs with slot_generation. */
	ts_a64_store_rel(&chunk->gens, (uint64_t)table);
	return true;
}

/*
 * A slot whose generations are used up is retired: free by its bit, but on no stack, until the chunk
 * serves another epoch and it is retired again.
 */
static void retire_slot(struct ts_lane *lane, unsigned c, uint64_t t)
{
	ts_a64 *local = &ts_range.nodes[t >> 6].local;

	ts_a64_store_rlx(local, ts_a64_load_rlx(local) | (uint64_t)1 << (t & 63));
	ts_count_free(lane, &lane->bin[c]);
	lane->unlisted = true;
}

/* Holder. A slot that still has generations. */
static void *alloc_slot(struct ts_lane *lane, unsigned c, uint32_t *generation)
{
	for (;;) {
		char *p = ts_lane_alloc(lane, c);
		uint64_t t;

		if (!p)
			return NULL;
		t = (uint64_t)(p - ts_range.base) >> TS_GRANULE_SHIFT;
		if (t > 0xffffffffu || !prepare_chunk(t)) {
			ts_lane_free(lane, &lane->bin[c], t);
			ts_failed(TS_FAILED_EXHAUSTED);
			errno = ENOMEM;
			return NULL;
		}
		*generation = generation_now(t);
		if (*generation < GENERATION_END) {
			ts_range.chunks[t / TS_CHUNK_GRANULES].handles_issued = 1;
			return p;
		}
		retire_slot(lane, c, t);
	}
}

/* A red zone only where a class has room for it: handles know no large objects. */
static unsigned handle_class(size_t bytes)
{
	bool room = bytes <= TS_SMALL_MAX_BYTES - TS_REDZONE_BYTES;

	return ts_sizeclass_find(room ? bytes + TS_REDZONE_BYTES : bytes);
}

static int alloc_handle(tslab_epoch_t id, size_t bytes, const void *pc, tslab_handle_t *handle)
{
	struct ts_epoch *epoch;
	struct ts_lane *lane;
	uint32_t generation = 0;
	uint32_t heap_id;
	char *p;

	if (!handle || !bytes || bytes > TS_SMALL_MAX_BYTES) {
		ts_failed(TS_FAILED_INVALID);
		return -EINVAL;
	}
	ts_fork_check();
	ts_thread_self();
	epoch = ts_epoch_find(id);
	lane = epoch ? ts_epoch_take_lane(epoch, id, TS_LW_TRANSIENT, TS_LANE_HANDLES) : NULL;
	if (!lane) {
		if (epoch && errno == ENOMEM)
			return -ENOMEM;
		ts_failed(TS_FAILED_CLOSING);
		return -ESTALE;
	}
	p = alloc_slot(lane, handle_class(bytes), &generation);
	heap_id = ts_lane_heap(lane)->id;
	ts_lane_release(lane);
	if (!p)
		return -ENOMEM;
	ts_redzone_arm(p, bytes, pc);
	*handle = make_handle(generation, (uint64_t)(p - ts_range.base) >> TS_GRANULE_SHIFT, heap_id);
	return 0;
}

int tslab_handle_alloc(tslab_epoch_t id, size_t bytes, tslab_handle_t *handle)
{
	int error = alloc_handle(id, bytes, __builtin_return_address(0), handle);

	if (error)
		ts_failure_record(id, bytes, -error, __builtin_return_address(0));
	return error;
}

static struct ts_lane *handle_lane(uint64_t t)
{
	struct ts_bin *bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	struct ts_lane *lane = bin ? ts_lane_of_bin(bin) : NULL;

	return lane && (ts_lane_flags(lane) & TS_LANE_HANDLES) ? lane : NULL;
}

/* The epoch named is the one whose memory the slot is now, if it is a handle slot still. */
static int refuse_stale(const struct tslab_heap *heap, uint64_t t)
{
	const struct ts_lane *lane = handle_lane(t);

	ts_count(refused_stale_handle, 1);
	ts_refused(.what = "stale handle", .heap = heap, .epoch = lane ? ts_lane_epoch(lane) : NULL,
		   .address = (uintptr_t)ts_range_address(t));
	return -ESTALE;
}

/* Handed out and not free: what a forged handle with the right generation may not be. A look. */
static bool live_slot(uint64_t t)
{
	const struct ts_bin *bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);

	return handle_lane(t) && ts_slab_handed_out(bin, t) &&
	       !(ts_a64_load_rlx(&ts_range.nodes[t >> 6].local) >> (t & 63) & 1);
}

/* Is the handle one of this heap, and of memory that exists? */
static bool plausible(tslab_heap **heap, uint64_t handle)
{
	*heap = ts_heap_of(*heap);
	if (*heap && handle && (handle & 0xff) == (*heap)->id &&
	    handle_granule(handle) < ts_a64_load_rlx(&ts_range.granules))
		return true;
	ts_count(refused_wrong_handle, 1);
	ts_refused(.what = "not a handle of this heap", .heap = *heap);
	return false;
}

void *tslab_handle_get(tslab_heap *heap, tslab_handle_t handle)
{
	uint64_t t = handle_granule(handle);

	if (!plausible(&heap, handle)) {
		errno = EINVAL;
		return NULL;
	}
	if (generation_now(t) != handle_generation(handle) || !live_slot(t)) {
		errno = -refuse_stale(heap, t);
		return NULL;
	}
	return ts_arch_tagged(ts_range_address(t));
}

/* Under hold or pin: raise the slot's generation; one caller wins. */
static bool claim(struct ts_lane *lane, uint64_t t, uint32_t generation)
{
	struct ts_chunk *chunk = &ts_range.chunks[t / TS_CHUNK_GRANULES];
	ts_a32 *slot = slot_generation(t);
	uint32_t base = ts_a32_load_acq(&chunk->gen_base); /* ORD-17 acquire */
	uint32_t own = generation - base - 1;

	if (handle_lane(t) != lane || !live_slot(t) || !slot || generation <= base)
		return false;
	/* ORD-17 acq_rel: the winner's free is ordered after the last use through the handle. */
	return ts_a32_cas_acqrel(slot, &own, own + 1);
}

int tslab_handle_free(tslab_heap *heap, tslab_handle_t handle)
{
	uint64_t t = handle_granule(handle);
	uint64_t bit = (uint64_t)1 << (t & 63);
	unsigned rounds = 0;

	if (!plausible(&heap, handle))
		return -EINVAL;
	ts_fork_check();
	for (;;) {
		struct ts_lane *lane = handle_lane(t);
		enum ts_lw_result got;

		if (!lane)
			return refuse_stale(heap, t);
		got = ts_lw_take_or_pin(&lane->w, ts_a64_load_rlx(&lane->w) & TS_LW_TAG);
		if (got == TS_LW_GONE)
			return refuse_stale(heap, t);
		if (got == TS_LW_WAIT) {
			ts_os_wait_a_little(&rounds);
			continue;
		}
		if (!claim(lane, t, handle_generation(handle))) {
			if (got == TS_LW_TAKEN || ts_lw_unpin(&lane->w) == TS_LW_TAKEN)
				ts_lane_release(lane);
			return refuse_stale(heap, t);
		}
		ts_redzone_disarm(t);
		if (got == TS_LW_PINNED) {
			ts_lane_free_remote(lane, t, bit, TS_LW_PIN);
			return 0;
		}
		if (!ts_node_free(&ts_range.nodes[t >> 6], bit))
			ts_lane_collect(lane, (uint32_t)(t >> 6));
		ts_lane_release(lane);
		return 0;
	}
}
