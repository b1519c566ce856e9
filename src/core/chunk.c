/* SPDX-License-Identifier: MIT */
#include "chunk.h"

#include <string.h>

#include "contention.h"
#include "lock.h"
#include "os.h"
#include "process.h"
#include "redzone.h"
#include "retain.h"
#include "thread.h"

/* All under ts_lock_pool. */
static uint64_t frontier; /* first chunk that was never handed out */
static uint64_t free_count;
static uint64_t dirty_count;
static uint64_t lent_count; /* see ts_chunk_lend */
static uint64_t first_free; /* no chunk below is free */
static uint64_t evicted; /* behind what was taken last to make room: the next is looked for from there on */

#define EVICTED_RUNS 8 /* for one that comes */

int ts_chunk_start(void)
{
	ts_retain_start();
	frontier = 1; /* index 0 means "none" */
	first_free = 1;
	return 0;
}

void ts_chunk_keep(uint64_t bytes)
{
	ts_lock(&ts_lock_pool);
	ts_retain_exactly(bytes);
	ts_unlock(&ts_lock_pool);
}

static uint64_t in_use(void)
{
	return frontier - 1 - free_count;
}

/* The words of a chunk and its neighbours in one of two maps. */
typedef uint64_t *map_word(uint64_t chunk);

static uint64_t *free_map(uint64_t chunk)
{
	return &ts_range_free(chunk)->free;
}

static uint64_t *dirty_map(uint64_t chunk)
{
	return &ts_range_free(chunk)->dirty;
}

static bool is_free(uint64_t chunk)
{
	return *free_map(chunk) >> (chunk % 64) & 1;
}

/* Sets or clears a run of bits, a word at a time. Returns how many of them were 1. */
static uint64_t map_set(map_word *map, uint64_t start, uint64_t chunks, bool value)
{
	uint64_t end = start + chunks;
	uint64_t ones = 0;

	for (uint64_t at = start; at < end; at = (at / 64 + 1) * 64) {
		uint64_t low = end - at < 64 ? ((uint64_t)1 << (end - at)) - 1 : UINT64_MAX;
		uint64_t mask = low << (at % 64);
		uint64_t *word = map(at);

		ones += (unsigned)__builtin_popcountll(*word & mask);
		*word = value ? *word | mask : *word & ~mask;
	}
	return ones;
}

static void show(void)
{
	ts_a64_store_rlx(&ts_process()->pool_bytes, dirty_count * TS_CHUNK_BYTES);
}

void ts_chunk_recover(void)
{
	lent_count = 0;
	ts_retain_forget();
	show();
}

/* Free chunks go out of the pool. */
static void remove_free(uint64_t start, uint64_t chunks)
{
	uint64_t dirty = dirty_count ? map_set(dirty_map, start, chunks, false) : 0;

	ts_redzone_take((uint32_t)start, (uint32_t)chunks);
	map_set(free_map, start, chunks, false);
	free_count -= chunks;
	if (start == first_free)
		first_free += chunks;
	if (!dirty)
		return;
	dirty_count -= dirty;
	show();
}

static void add_free(uint64_t start, uint64_t chunks, bool dirty)
{
	map_set(free_map, start, chunks, true);
	free_count += chunks;
	if (start < first_free)
		first_free = start;
	if (!dirty)
		return;
	map_set(dirty_map, start, chunks, true);
	dirty_count += chunks;
	show();
}

/* How many bits from `at` on are 1, as far as that matters. */
static uint64_t run_length(map_word *map, uint64_t at, uint64_t enough)
{
	uint64_t n = 0;

	while (n < enough && at + n < frontier) {
		uint64_t rest = ~(*map(at + n) >> ((at + n) % 64));
		unsigned ones = rest ? (unsigned)__builtin_ctzll(rest) : 64;

		n += ones;
		if ((at + n) % 64 || !ones)
			break;
	}
	return n;
}

static uint64_t round_up(uint64_t n, uint64_t power_of_two)
{
	return (n + power_of_two - 1) & ~(power_of_two - 1);
}

/* Bit = a run of so many ones, up to 64, starts there and ends within the word. */
static uint64_t runs_in_word(uint64_t word, uint64_t chunks)
{
	for (uint64_t have = 1; have < chunks && word;) {
		uint64_t more = chunks - have < have ? chunks - have : have;

		word &= word >> more;
		have += more;
	}
	return word;
}

/* Bit = the chunk's index is a multiple of `align`, in the word of 64 chunks from `first` on. */
static uint64_t aligned_in_word(uint64_t first, uint64_t align)
{
	uint64_t bits = 1;

	if (align >= 64)
		return first % align == 0;
	for (uint64_t step = align; step < 64; step *= 2)
		bits |= bits << step;
	return bits;
}

/*
 * First fit in a map from `from` on; 0 if there is none. A word at a time: a pool in use for long is full of runs
 * that are too short. `open` is where the run began that reaches up to the word's first chunk.
 */
static uint64_t find_run_from(map_word *map, uint64_t from, uint64_t chunks, uint64_t align)
{
	uint64_t mask = UINT64_MAX << (from % 64);
	uint64_t open = from - from % 64;

	for (uint64_t first = open; first < frontier; first += 64, mask = UINT64_MAX) {
		uint64_t word = *map(first) & mask;
		unsigned ones = ~word ? (unsigned)__builtin_ctzll(~word) : 64;
		uint64_t starts;

		if (round_up(open, align) + chunks <= first + ones)
			return round_up(open, align);
		if (ones == 64)
			continue;
		starts = chunks <= 64 ? runs_in_word(word, chunks) : 0;
		starts &= starts ? aligned_in_word(first, align) : 0;
		if (starts)
			return first + (unsigned)__builtin_ctzll(starts);
		open = first + 64 - (unsigned)__builtin_clzll(~word);
	}
	return 0;
}

static uint64_t find_run(map_word *map, uint64_t chunks, uint64_t align)
{
	return find_run_from(map, first_free, chunks, align);
}

/* What still holds memory first: to use it again costs no page fault. */
static uint64_t take_free(uint64_t chunks, uint64_t align)
{
	uint64_t start = dirty_count >= chunks ? find_run(dirty_map, chunks, align) : 0;

	if (!start && free_count >= chunks) {
		start = find_run(free_map, chunks, align);
		ts_retain_missed(start ? chunks : 0);
	}
	if (!start)
		return 0;
	remove_free(start, chunks);
	ts_count(chunks_reused, chunks);
	return start;
}

/* Returns the start, 0 when the range is used up, or UINT64_MAX when the OS refuses. */
static uint64_t take_fresh(uint64_t chunks, uint64_t align)
{
	uint64_t start = round_up(frontier, align);

	if (start + chunks > ts_range.chunk_count)
		return 0;
	if (ts_range_commit(start + chunks))
		return UINT64_MAX;
	add_free(frontier, start - frontier, false);
	frontier = start + chunks;
	ts_retain_missed(chunks);
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
		ts_redzone_take(start, chunks);
		return start;
	}
	return 0;
}

static void lock_pool(unsigned cls)
{
	/* The lock protects the words of the class. */
	if (ts_lock(&ts_lock_pool)) {
		ts_bump_word(&ts_class_row(cls)->lock_contended, 1);
		ts_contention_count(cls, lock_contended, 1);
	} else {
		ts_bump_word(&ts_class_row(cls)->lock_fast, 1);
		ts_contention_count(cls, lock_fast, 1);
	}
}

bool ts_chunk_extend(uint32_t start, uint32_t chunks, uint32_t more)
{
	uint64_t end = (uint64_t)start + chunks;
	bool done = false;

	lock_pool(TS_CLASS_LARGE);
	ts_retain_see(dirty_count, in_use());
	if (end == frontier) {
		done = end + more <= ts_range.chunk_count && !ts_range_commit(end + more);
		if (done) {
			frontier += more;
			ts_count(chunks_fresh, more);
		}
	} else {
		done = run_length(free_map, end, more) >= more;
		if (done) {
			remove_free(end, more);
			ts_count(chunks_reused, more);
		}
	}
	if (done) {
		ts_retain_missed(more);
		ts_retain_changed(dirty_count, in_use());
	}
	ts_unlock(&ts_lock_pool);
	return done;
}

void ts_chunk_charge_to(uint32_t chunk, unsigned cls)
{
	memset(ts_range.chunks[chunk].unit_class, (int)cls, TS_CHUNK_UNITS);
}

void ts_chunk_seal(uint32_t chunk)
{
	struct ts_node *nodes = &ts_range.nodes[(uint64_t)chunk * TS_CHUNK_NODES];

	for (unsigned n = 0; !ts_range.chunks[chunk].sealed && n < TS_CHUNK_NODES; n++)
		ts_node_begin(&nodes[n]);
	ts_range.chunks[chunk].sealed = 1;
}

/* Calls `count` for neighbouring units of a run that served the same class last, all of them together. */
typedef void count_units(unsigned cls, uint64_t units);

static void count_by_class(uint32_t start, uint32_t chunks, bool used_only, count_units *count)
{
	unsigned cls = ts_range.chunks[start].unit_class[0];
	uint64_t units = 0;

	/* A large object is of one class. */
	if (cls == TS_CLASS_LARGE && ts_range.chunks[start + chunks - 1].unit_class[0] == cls &&
	    used_only) {
		count(cls, (uint64_t)chunks * TS_CHUNK_UNITS);
		return;
	}
	for (uint32_t i = start; i < start + chunks; i++) {
		const struct ts_chunk *chunk = &ts_range.chunks[i];
		unsigned last = used_only ? chunk->units_used : TS_CHUNK_UNITS;

		for (unsigned u = 0; u < last; u++) {
			if (chunk->unit_class[u] != cls) {
				if (units)
					count(cls, units);
				cls = chunk->unit_class[u];
				units = 0;
			}
			units++;
		}
	}
	if (units)
		count(cls, units);
}

static void count_purged(unsigned cls, uint64_t units)
{
	ts_count_class(cls, purge_bytes, units * TS_UNIT_BYTES);
}

static void count_recycled(unsigned cls, uint64_t units)
{
	ts_count_class(cls, units_recycled, units);
}

static void count_overflowed(unsigned cls, uint64_t units)
{
	ts_count_class(cls, units_overflowed, units);
}

/* The call to the class of the first unit, the bytes to the class of each. */
static void charge_purge(const struct ts_chunk_batch *batch, bool purged)
{
	unsigned first = ts_range.chunks[batch->start].unit_class[0];

	ts_count_class(first, purge_calls, 1);
	if (!purged)
		ts_count_class(first, purge_failures, 1);
	count_by_class(batch->start, batch->chunks, false, count_purged);
}

uint32_t ts_chunk_lend(uint32_t had, uint32_t want)
{
	uint64_t most, others;

	ts_lock(&ts_lock_pool);
	most = ts_retain_least(in_use()) / 2;
	if (most > ts_range.chunk_count / 16)
		most = ts_range.chunk_count / 16;
	others = lent_count - had;
	if (others + want > most)
		want = others < most ? (uint32_t)(most - others) : 0;
	lent_count = others + want;
	ts_unlock(&ts_lock_pool);
	return want;
}

/* Before the pool has it: nobody else looks. */
static void mark_free(const struct ts_chunk_batch *batch, bool dirty)
{
	for (uint32_t i = batch->start; i < batch->start + batch->chunks; i++) {
		ts_a32_store_rlx(&ts_range.chunks[i].state, TS_CHUNK_FREE);
		ts_range.chunks[i].dirty = dirty;
	}
}

static void purge(const struct ts_chunk_batch *batch)
{
	size_t bytes = (size_t)batch->chunks * TS_CHUNK_BYTES;
	struct ts_thread *self = ts_tls.self;
	uint64_t began = ts_os_clock_ns();
	bool purged = ts_os_purge(ts_chunk_address(batch->start), bytes) != 0;

	if (self) {
		self->purges.ns += ts_os_clock_ns() - began;
		self->purges.bytes += bytes;
		self->purges.calls++;
	}
	charge_purge(batch, purged);
	mark_free(batch, !purged);
	lock_pool(ts_range.chunks[batch->start].unit_class[0]);
	add_free(batch->start, batch->chunks, false);
	ts_unlock(&ts_lock_pool);
}

/* Pool lock held: the first run from `from` on that holds memory, or as much of it; of 0 chunks if there is none. */
static struct ts_chunk_batch take_dirty(uint64_t from, uint64_t most)
{
	uint64_t start = dirty_count ? find_run_from(dirty_map, from, 1, 1) : 0;
	uint64_t chunks = start ? run_length(dirty_map, start, most) : 0;

	chunks = chunks < most ? chunks : most;
	if (start)
		remove_free(start, chunks);
	return (struct ts_chunk_batch){ (uint32_t)start, (uint32_t)chunks, false };
}

/* Pool lock held: a run that it holds, of up to `surplus` chunks, and of no more than twice what comes. */
static struct ts_chunk_batch take_to_evict(uint64_t surplus, const struct ts_chunk_batch *coming)
{
	uint64_t twice = 2 * (uint64_t)coming->chunks;
	uint64_t most = surplus < twice ? surplus : twice;
	struct ts_chunk_batch batch = take_dirty(evicted, most);

	if (!batch.chunks)
		batch = take_dirty(first_free, most);
	evicted = batch.start + batch.chunks;
	return batch;
}

uint32_t ts_chunk_take(struct ts_thread *thread, uint32_t chunks, uint32_t align_chunks,
		       unsigned cls, enum ts_failure *why)
{
	struct ts_chunk_batch coming = { 0, chunks, false };
	struct ts_chunk_batch old = { 0, 0, false };
	uint64_t start = 0, surplus;

	if (thread && align_chunks == 1)
		start = take_cached(thread, chunks);
	if (start)
		return (uint32_t)start;
	lock_pool(cls);
	ts_retain_see(dirty_count, in_use());
	start = take_free(chunks, align_chunks);
	if (!start)
		start = take_fresh(chunks, align_chunks);
	ts_retain_changed(dirty_count, in_use());
	surplus = ts_retain_surplus(dirty_count, in_use());
	if (surplus)
		old = take_to_evict(surplus, &coming);
	ts_unlock(&ts_lock_pool);
	if (old.chunks)
		purge(&old);
	if (start && start != UINT64_MAX)
		return (uint32_t)start;
	*why = start ? TS_FAILED_MAPPING : TS_FAILED_EXHAUSTED;
	return 0;
}

/*
 * What comes is kept, and other runs go, in turn: else a pool full of runs that are too short for what the program
 * allocates now would send each of its objects to the OS and back. A few runs at most and not much more than comes,
 * so that a free does not pay for all of them; if that is not enough, what comes goes as well.
 */
static bool keep(const struct ts_chunk_batch *batch)
{
	struct ts_chunk_batch old = { 0, 0, false };
	bool kept;

	for (unsigned runs = 0;; runs++) {
		uint64_t held, most;

		lock_pool(ts_range.chunks[batch->start].unit_class[0]);
		ts_retain_see(dirty_count, in_use());
		held = dirty_count + batch->chunks;
		most = ts_retain_most(in_use() - batch->chunks);
		kept = held <= most;
		if (kept) {
			mark_free(batch, true);
			ts_redzone_put(batch->start, batch->chunks);
			add_free(batch->start, batch->chunks, true);
		} else {
			if (runs < EVICTED_RUNS && batch->chunks <= most)
				old = take_to_evict(held - most, batch);
			ts_retain_returned(old.chunks ? old.chunks : batch->chunks,
					   in_use() - old.chunks);
		}
		ts_unlock(&ts_lock_pool);
		if (kept || !old.chunks)
			return kept;
		purge(&old);
		old.chunks = 0;
	}
}

void ts_chunk_flush(struct ts_chunk_batch *batch)
{
	if (!batch->chunks)
		return;
	if (!batch->keep || !keep(batch))
		purge(batch);
	ts_count(chunks_returned, batch->chunks);
	batch->chunks = 0;
}

void ts_chunk_purge_pool(void)
{
	struct ts_chunk_batch batch;

	do {
		ts_lock(&ts_lock_pool);
		ts_retain_forget();
		batch = take_dirty(first_free, UINT32_MAX);
		ts_unlock(&ts_lock_pool);
		if (batch.chunks)
			purge(&batch);
	} while (batch.chunks);
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
	ts_redzone_put(start, chunks);
	cache->start[cache->count] = start;
	cache->chunks[cache->count++] = chunks;
	ts_thread_retain(thread, (int64_t)bytes);
	return true;
}

void ts_chunk_drop(uint32_t start, uint32_t chunks, struct ts_chunk_batch *batch)
{
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

void ts_chunk_put(struct ts_thread *thread, uint64_t retain_bytes, uint32_t start, uint32_t chunks,
		  struct ts_chunk_batch *batch)
{
	bool cached = thread && put_cached(thread, retain_bytes, start, chunks);

	/* Of a chunk only the units that carried a slab: the others never were a class's. */
	count_by_class(start, chunks, true, cached ? count_recycled : count_overflowed);
	if (!cached)
		ts_chunk_drop(start, chunks, batch);
}

void ts_chunk_cache_drain(struct ts_thread *thread)
{
	struct ts_chunk_batch batch = { 0, 0, true };
	struct ts_chunk_cache *cache = &thread->cache;

	while (cache->count) {
		uint32_t i = --cache->count;

		ts_thread_retain(thread, -(int64_t)cache->chunks[i] * TS_CHUNK_BYTES);
		ts_chunk_drop(cache->start[i], cache->chunks[i], &batch);
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
