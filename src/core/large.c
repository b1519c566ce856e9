/* SPDX-License-Identifier: MIT */
#include "large.h"

#include <errno.h>

#include "epoch.h"
#include "failure.h"
#include "heap.h"
#include "owner.h"
#include "process.h"
#include "thread.h"

static void show(struct ts_lane *lane, uint32_t chunk, bool born)
{
	uint64_t bytes = (uint64_t)ts_range.chunks[chunk].run_chunks * TS_CHUNK_BYTES;

	if (born)
		ts_bump_word(&lane->stat->w.large_allocs, 1);
	else
		ts_bump_word(&lane->stat->w.large_frees, 1);
	ts_bump_word(&lane->stat->w.large_bytes, born ? bytes : -bytes);
}

static void link_run(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];

	c->next = lane->larges;
	c->prev = 0;
	if (lane->larges)
		ts_range.chunks[lane->larges].prev = chunk;
	lane->larges = chunk;
	ts_a32_store_rlx(&c->lane, lane->index + 1);
	ts_owner_show(chunk, c->run_chunks, lane->index + 1);
}

static void unlink_run(struct ts_lane *lane, uint32_t chunk)
{
	struct ts_chunk *c = &ts_range.chunks[chunk];

	if (c->prev)
		ts_range.chunks[c->prev].next = c->next;
	else
		lane->larges = c->next;
	if (c->next)
		ts_range.chunks[c->next].prev = c->prev;
	ts_a32_store_rlx(&c->lane, 0);
	ts_owner_show(chunk, c->run_chunks, 0);
}

/* One slot, at the first granule; every other address of the run is interior. */
static void open_run(struct ts_lane *lane, uint32_t chunk, uint32_t chunks)
{
	uint32_t unit = chunk * TS_CHUNK_UNITS;
	uint64_t t = (uint64_t)chunk * TS_CHUNK_GRANULES;

	ts_chunk_seal(chunk);
	ts_a32_store_rlx(ts_range_chain(unit), 0);
	/* ORD-24 release, as in slab.c: a fork before the last line finds no object. */
	ts_a64_store_rel(&ts_range.headers[unit], (uintptr_t)&lane->large);
	for (uint32_t i = 0; i < chunks; i++) {
		ts_a32_store_rlx(&ts_range.chunks[chunk + i].state,
				 i ? TS_CHUNK_LARGE_TAIL : TS_CHUNK_LARGE);
		ts_chunk_charge_to(chunk + i, TS_CLASS_LARGE);
	}
	/* The unit's other nodes stay sealed. */
	ts_node_open(&ts_range.nodes[t >> 6], ~(uint64_t)1);
}

void *ts_large_alloc(struct ts_lane *lane, size_t bytes, size_t align)
{
	uint64_t chunks = (bytes + !bytes + TS_CHUNK_BYTES - 1) >> TS_CHUNK_SHIFT;
	uint32_t align_chunks = align > TS_CHUNK_BYTES ? (uint32_t)(align >> TS_CHUNK_SHIFT) : 1;
	uint32_t chunk;

	if (chunks >= ts_range.chunk_count) {
		ts_failed(TS_FAILED_THRESHOLD);
		errno = ENOMEM;
		return NULL;
	}
	chunk = ts_lane_take_chunks(lane, (uint32_t)chunks, align_chunks, TS_CLASS_LARGE);
	if (!chunk)
		return NULL;
	ts_range.chunks[chunk].run_chunks = (uint32_t)chunks;
	ts_range.chunks[chunk].large_bytes = bytes;
	link_run(lane, chunk);
	open_run(lane, chunk, (uint32_t)chunks);
	ts_arch_retag(ts_chunk_address(chunk), chunks << TS_CHUNK_SHIFT);
	show(lane, chunk, true);
	return ts_chunk_address(chunk);
}

void ts_large_release(struct ts_lane *lane, uint64_t t)
{
	uint32_t chunk = (uint32_t)(t / TS_CHUNK_GRANULES);
	uint32_t chunks = ts_range.chunks[chunk].run_chunks;
	uint64_t retain_bytes = ts_lane_heap(lane)->retain_bytes;
	struct ts_chunk_batch batch = { 0, 0, ts_lane_never_ends(lane) };

	/* A second free that got in between is on its way to this lane's queue: it is collected, and
	 * refused, first. Its thread waits for nobody, so this ends when that thread runs. */
	while (!ts_node_seal(&ts_range.nodes[t >> 6])) {
		ts_lane_drain(lane);
		ts_arch_pause();
	}
	ts_a64_store_rlx(&ts_range.headers[chunk * TS_CHUNK_UNITS], 0);
	show(lane, chunk, false);
	unlink_run(lane, chunk);
	ts_epoch_uncharge(lane, (uint64_t)chunks << TS_CHUNK_SHIFT);
	ts_arch_retag(ts_chunk_address(chunk), (size_t)chunks << TS_CHUNK_SHIFT);
	ts_chunk_put(ts_tls.self, retain_bytes, chunk, chunks, &batch);
	ts_chunk_flush(&batch);
}

bool ts_large_grow(struct ts_lane *lane, uint64_t t, size_t bytes)
{
	uint32_t chunk = (uint32_t)(t / TS_CHUNK_GRANULES);
	uint32_t have = ts_range.chunks[chunk].run_chunks;
	uint64_t want = (bytes + TS_CHUNK_BYTES - 1) >> TS_CHUNK_SHIFT;
	uint64_t more_bytes = (want - have) << TS_CHUNK_SHIFT;

	if (want >= ts_range.chunk_count || !ts_epoch_charge(lane, more_bytes))
		return false;
	if (!ts_chunk_extend(chunk, have, (uint32_t)(want - have))) {
		ts_epoch_uncharge(lane, more_bytes);
		return false;
	}
	for (uint64_t i = have; i < want; i++) {
		ts_a32_store_rlx(&ts_range.chunks[chunk + i].state, TS_CHUNK_LARGE_TAIL);
		ts_chunk_charge_to((uint32_t)(chunk + i), TS_CLASS_LARGE);
	}
	ts_arch_tag_as(ts_arch_tagged(ts_chunk_address(chunk)), ts_chunk_address(chunk + have),
		       more_bytes);
	ts_owner_show(chunk + have, (uint32_t)want - have, lane->index + 1);
	ts_range.chunks[chunk].run_chunks = (uint32_t)want;
	ts_range.chunks[chunk].large_bytes = bytes;
	ts_bump_word(&lane->stat->w.large_bytes, more_bytes);
	return true;
}

size_t ts_large_usable(uint64_t t)
{
	return (size_t)ts_range.chunks[t / TS_CHUNK_GRANULES].run_chunks * TS_CHUNK_BYTES;
}
