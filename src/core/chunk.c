/* SPDX-License-Identifier: MIT */
#include "chunk.h"

#include <errno.h>

#include "lock.h"
#include "os.h"
#include "process.h"
#include "thread.h"

/* All under ts_lock_pool. */
static uint64_t *free_map; /* 1 = free, for chunks below the frontier */
static uint64_t frontier;  /* first chunk that was never handed out */
static uint64_t free_count;
static uint64_t first_free; /* no chunk below is free */

int ts_chunk_start(void)
{
	uint64_t bytes = (ts_range.chunk_count + 63) / 64 * 8;

	free_map = ts_os_reserve(bytes, 64);
	if (!free_map || ts_os_commit(free_map, bytes))
		return -ENOMEM;
	frontier = 1; /* index 0 means "none" */
	first_free = 1;
	return 0;
}

static bool is_free(uint64_t chunk)
{
	return free_map[chunk / 64] >> (chunk % 64) & 1;
}

static void map_set(uint64_t start, uint64_t chunks, bool value)
{
	for (uint64_t i = start; i < start + chunks; i++) {
		uint64_t bit = (uint64_t)1 << (i % 64);

		free_map[i / 64] = value ? free_map[i / 64] | bit : free_map[i / 64] & ~bit;
	}
}

/* First fit among the returned chunks; 0 if there is none. */
static uint64_t find_free(uint64_t chunks, uint64_t align)
{
	uint64_t start = (first_free + align - 1) / align * align;

	while (start + chunks <= frontier) {
		uint64_t n = 0;

		if (chunks == 1 && !free_map[start / 64]) {
			start = (start / 64 + 1) * 64;
			continue;
		}
		while (n < chunks && is_free(start + n))
			n++;
		if (n == chunks)
			return start;
		start = (start + n + align) / align * align;
	}
	return 0;
}

static uint64_t take_free(uint64_t chunks, uint64_t align)
{
	uint64_t start = free_count >= chunks ? find_free(chunks, align) : 0;

	if (!start)
		return 0;
	map_set(start, chunks, false);
	free_count -= chunks;
	while (first_free < frontier && !is_free(first_free))
		first_free++;
	ts_count(chunks_reused, chunks);
	return start;
}

/* Returns the start, 0 when the range is used up, or UINT64_MAX when the OS refuses. */
static uint64_t take_fresh(uint64_t chunks, uint64_t align)
{
	uint64_t start = (frontier + align - 1) / align * align;

	if (start + chunks > ts_range.chunk_count)
		return 0;
	if (ts_range_commit(start + chunks))
		return UINT64_MAX;
	for (uint64_t i = frontier; i < start; i++) {
		map_set(i, 1, true);
		free_count++;
		if (i < first_free)
			first_free = i;
	}
	frontier = start + chunks;
	ts_count(chunks_fresh, chunks);
	return start;
}

static uint32_t take_cached(struct ts_thread *thread, uint32_t chunks)
{
	struct ts_chunk_cache *cache = &thread->cache;

	for (uint32_t i = cache->count; i-- > 0;) {
		uint32_t start = cache->start[i];

		if (cache->chunks[i] < chunks)
			continue;
		cache->start[i] += chunks;
		cache->chunks[i] -= chunks;
		if (!cache->chunks[i]) {
			cache->count--;
			cache->start[i] = cache->start[cache->count];
			cache->chunks[i] = cache->chunks[cache->count];
		}
		ts_thread_retain(thread, -(int64_t)chunks * TS_CHUNK_BYTES);
		ts_count(chunks_cached, chunks);
		return start;
	}
	return 0;
}

uint32_t ts_chunk_take(struct ts_thread *thread, uint32_t chunks, uint32_t align_chunks)
{
	uint64_t start = 0;

	if (thread && align_chunks == 1)
		start = take_cached(thread, chunks);
	if (start)
		return (uint32_t)start;
	ts_lock(&ts_lock_pool);
	start = take_free(chunks, align_chunks);
	if (!start)
		start = take_fresh(chunks, align_chunks);
	ts_unlock(&ts_lock_pool);
	if (start && start != UINT64_MAX)
		return (uint32_t)start;
	if (start)
		ts_count(fail_mapping, 1);
	else
		ts_count(fail_exhausted, 1);
	errno = ENOMEM;
	return 0;
}

bool ts_chunk_extend(uint32_t start, uint32_t chunks, uint32_t more)
{
	uint64_t end = (uint64_t)start + chunks;
	bool done = false;

	ts_lock(&ts_lock_pool);
	if (end == frontier) {
		done = end + more <= ts_range.chunk_count && !ts_range_commit(end + more);
		if (done) {
			frontier += more;
			ts_count(chunks_fresh, more);
		}
	} else {
		uint64_t n = 0;

		while (n < more && end + n < frontier && is_free(end + n))
			n++;
		done = n == more;
		if (done) {
			map_set(end, more, false);
			free_count -= more;
			ts_count(chunks_reused, more);
		}
	}
	ts_unlock(&ts_lock_pool);
	return done;
}

void ts_chunk_flush(struct ts_chunk_batch *batch)
{
	bool purged;

	if (!batch->chunks)
		return;
	purged = ts_os_purge(ts_chunk_address(batch->start),
			     (size_t)batch->chunks * TS_CHUNK_BYTES) != 0;
	for (uint32_t i = batch->start; i < batch->start + batch->chunks; i++) {
		ts_a32_store_rlx(&ts_range.chunks[i].state, TS_CHUNK_FREE);
		ts_range.chunks[i].dirty = !purged;
	}
	ts_lock(&ts_lock_pool);
	map_set(batch->start, batch->chunks, true);
	free_count += batch->chunks;
	if (batch->start < first_free)
		first_free = batch->start;
	ts_unlock(&ts_lock_pool);
	ts_count(chunks_returned, batch->chunks);
	batch->chunks = 0;
}

static bool put_cached(struct ts_thread *thread, uint64_t retain_bytes, uint32_t start,
		       uint32_t chunks)
{
	struct ts_chunk_cache *cache = &thread->cache;
	uint64_t bytes = (uint64_t)chunks * TS_CHUNK_BYTES;

	if (thread->ending || cache->count == TS_CACHE_RUNS ||
	    thread->retained_bytes + bytes > retain_bytes)
		return false;
	for (uint32_t i = start; i < start + chunks; i++) {
		ts_a32_store_rlx(&ts_range.chunks[i].state, TS_CHUNK_CACHED);
		ts_range.chunks[i].dirty = 1;
	}
	cache->start[cache->count] = start;
	cache->chunks[cache->count++] = chunks;
	ts_thread_retain(thread, (int64_t)bytes);
	return true;
}

void ts_chunk_put(struct ts_thread *thread, uint64_t retain_bytes, uint32_t start, uint32_t chunks,
		  struct ts_chunk_batch *batch)
{
	if (thread && put_cached(thread, retain_bytes, start, chunks))
		return;
	if (batch->chunks && batch->start + batch->chunks == start) {
		batch->chunks += chunks;
	} else if (batch->chunks && start + chunks == batch->start) {
		batch->start = start;
		batch->chunks += chunks;
	} else {
		ts_chunk_flush(batch);
		batch->start = start;
		batch->chunks = chunks;
	}
}

void ts_chunk_cache_drain(struct ts_thread *thread)
{
	struct ts_chunk_batch batch = { 0, 0 };
	struct ts_chunk_cache *cache = &thread->cache;

	while (cache->count) {
		uint32_t i = --cache->count;

		ts_thread_retain(thread, -(int64_t)cache->chunks[i] * TS_CHUNK_BYTES);
		ts_chunk_put(NULL, 0, cache->start[i], cache->chunks[i], &batch);
	}
	ts_chunk_flush(&batch);
}

uint32_t ts_chunk_end(void)
{
	return (uint32_t)frontier;
}

bool ts_chunk_pooled(uint32_t chunk)
{
	return is_free(chunk);
}

bool ts_chunk_zeroed(uint32_t start, uint32_t chunks)
{
	for (uint32_t i = start; i < start + chunks; i++)
		if (ts_range.chunks[i].dirty)
			return false;
	return true;
}
