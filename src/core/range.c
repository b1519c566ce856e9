/* SPDX-License-Identifier: MIT */
#include "range.h"

#include <errno.h>
#include <unistd.h>

#include "config.h" /* TSLAB_REDZONE */

#include "environment.h"
#include "os.h"
#include "process.h"
#include "sys.h"

#define RANGE_MIN_BYTES ((uint64_t)TS_SEGMENT_BYTES)
#define RANGE_DEFAULT_BYTES ((uint64_t)64 << 30)
#define RANGE_MAX_BYTES ((uint64_t)1 << 40)
/* Segments whose metadata is committed at once. */
#define METADATA_STEP_SEGMENTS 16
/* A table that cannot have as many has none, and tries again. */
#define TABLE_MIN_RECORDS 64

struct ts_range ts_range;

/* Of a first-level cache of 64 sets, whatever the kernel's pages are: lines so far apart share a set. */
#define CACHE_LINE_BYTES 64
#define CACHE_SETS_BYTES (64 * CACHE_LINE_BYTES)

/*
 * The flat arrays in pairs: bytes for each segment, and where in the largest page both begin. No two begin in one
 * set; and of some 350 chunks all but nodes and links stay within the page, on either side of the beginning.
 */
enum { NODES_CHAIN, HEADERS_FREE, CHUNKS_LINKS, REDZONES, PAIRS = REDZONES + (TSLAB_REDZONE != 0) };

static const struct {
	uint32_t up_bytes;
	uint32_t down_bytes;
	uint32_t begin_bytes;
} pairs[REDZONES + 1] = {
	[NODES_CHAIN] = { TS_SEGMENT_BYTES / 1024 * sizeof(struct ts_node),
			  TS_SEGMENT_BYTES / TS_UNIT_BYTES * sizeof(ts_a32),
			  4 * CACHE_SETS_BYTES + 43 * CACHE_LINE_BYTES },
	[HEADERS_FREE] = { TS_SEGMENT_BYTES / TS_UNIT_BYTES * sizeof(ts_a64),
			   sizeof(struct ts_free_words), 3 * CACHE_SETS_BYTES + 5 * CACHE_LINE_BYTES },
	[CHUNKS_LINKS] = { TS_SEGMENT_CHUNKS * sizeof(struct ts_chunk),
			   TS_SEGMENT_BYTES / 1024 * sizeof(ts_a32),
			   9 * CACHE_SETS_BYTES + 37 * CACHE_LINE_BYTES },
	[REDZONES] = { TS_SEGMENT_BYTES / TS_GRANULE_BYTES * sizeof(ts_a64), 0, 0 },
};

static char *pair_begin[REDZONES + 1];
static uint64_t described_segments; /* their metadata is committed */
static uint64_t committed_segments;

static uint64_t wanted_bytes(void)
{
	uint64_t wanted = ts_environment_bytes("TSLAB_RANGE", 1, RANGE_MAX_BYTES, 0);
	uint64_t bytes = wanted ? RANGE_MIN_BYTES : RANGE_DEFAULT_BYTES;
	long pages = sysconf(_SC_PHYS_PAGES);

	/* Twice the physical memory, so that fragmentation of addresses never limits first. */
	if (!wanted)
		wanted = pages > 0 ? 2 * (uint64_t)pages * ts_os_page_bytes() : 0;
	while (bytes < wanted && bytes < RANGE_MAX_BYTES)
		bytes <<= 1;
	/* The rest is for tables, and for the program. */
	while (bytes > RANGE_MIN_BYTES &&
	       2 * (bytes + 2 * TS_SEGMENT_BYTES) > ts_os_address_space_bytes())
		bytes >>= 1;
	return bytes;
}

/* With room for the beginning, and for outward rounding to any page size up to 64 KiB. */
static uint64_t pair_down_bytes(unsigned i, uint64_t segments)
{
	return ts_arch_page_up(segments * pairs[i].down_bytes, TS_OS_PAGE_MAX_BYTES);
}

static uint64_t pair_up_bytes(unsigned i, uint64_t segments)
{
	return ts_arch_page_up(pairs[i].begin_bytes + segments * pairs[i].up_bytes,
			       TS_OS_PAGE_MAX_BYTES);
}

static bool reserve_all(uint64_t range_bytes)
{
	uint64_t segments = range_bytes / TS_SEGMENT_BYTES;
	uint64_t total = 0;
	char *metadata;

	for (unsigned i = 0; i < PAIRS; i++)
		total += pair_down_bytes(i, segments) + pair_up_bytes(i, segments);
	metadata = ts_os_reserve(total, TS_OS_PAGE_MAX_BYTES);
	if (!metadata)
		return false;
	ts_range.base = ts_os_reserve(range_bytes, TS_SEGMENT_BYTES);
	if (!ts_range.base) {
		ts_os_release(metadata, total);
		return false;
	}
	for (unsigned i = 0; i < PAIRS; i++) {
		metadata += pair_down_bytes(i, segments);
		pair_begin[i] = metadata + pairs[i].begin_bytes;
		metadata += pair_up_bytes(i, segments);
	}
	return true;
}

int ts_range_start(void)
{
	uint64_t bytes = wanted_bytes();

	if (ts_range.chunk_count)
		return ts_range_commit(1); /* a second try */
	while (!reserve_all(bytes)) {
		bytes >>= 1;
		if (bytes < RANGE_MIN_BYTES)
			return -ENOMEM;
	}
	/* Transparent huge pages would back an epoch of a few kilobytes with two megabytes. */
	ts_sys_no_huge_pages(ts_range.base, bytes);
	ts_range.nodes = (struct ts_node *)pair_begin[NODES_CHAIN];
	ts_range.chain = (ts_a32 *)pair_begin[NODES_CHAIN];
	ts_range.headers = (ts_a64 *)pair_begin[HEADERS_FREE];
	ts_range.free = (struct ts_free_words *)pair_begin[HEADERS_FREE];
	ts_range.chunks = (struct ts_chunk *)pair_begin[CHUNKS_LINKS];
	ts_range.links = (ts_a32 *)pair_begin[CHUNKS_LINKS];
	ts_range.redzones = (ts_a64 *)pair_begin[REDZONES];
	ts_range.nodes_from_zero =
		(uintptr_t)ts_range.nodes -
		((uintptr_t)ts_range.base >> TS_NODE_SHIFT) * sizeof(struct ts_node);
	ts_range.chunk_count = bytes >> TS_CHUNK_SHIFT;
	ts_a64_store_rlx(&ts_process()->range_bytes, bytes);
	return ts_range_commit(1);
}

/* Any index below `granules` may be read, so the limit moves only after the metadata is there. */
static int commit_metadata(uint64_t segments)
{
	uint64_t all = ts_range.chunk_count / TS_SEGMENT_CHUNKS;
	uint64_t end = (segments + METADATA_STEP_SEGMENTS - 1) / METADATA_STEP_SEGMENTS *
		       METADATA_STEP_SEGMENTS;

	if (end > all)
		end = all;
	for (unsigned i = 0; i < PAIRS && end > described_segments; i++) {
		uint64_t more = end - described_segments;

		if (ts_os_commit(pair_begin[i] + described_segments * pairs[i].up_bytes,
				 more * pairs[i].up_bytes) ||
		    ts_os_commit(pair_begin[i] - end * pairs[i].down_bytes,
				 more * pairs[i].down_bytes))
			return -ENOMEM;
	}
	if (end > described_segments)
		described_segments = end;
	return 0;
}

int ts_range_commit(uint64_t end_chunk)
{
	uint64_t segments = (end_chunk + TS_SEGMENT_CHUNKS - 1) / TS_SEGMENT_CHUNKS;

	if (segments <= committed_segments)
		return 0;
	if (commit_metadata(segments) ||
	    ts_os_commit(ts_range.base + committed_segments * TS_SEGMENT_BYTES,
			 (segments - committed_segments) * TS_SEGMENT_BYTES))
		return -ENOMEM;
	ts_count(segments_committed, segments - committed_segments);
	committed_segments = segments;
	/* A stale read of the limit refuses nothing that is live: pointers travel after this store. */
	ts_a64_store_rlx(&ts_range.granules, segments * TS_SEGMENT_CHUNKS * TS_CHUNK_GRANULES);
	return 0;
}

static size_t record_bytes(const struct ts_table *table)
{
	return (size_t)(table->stride < 0 ? -table->stride : table->stride);
}

static size_t table_bytes(const struct ts_table *table)
{
	return table ? table->max * record_bytes(table) : 0;
}

/* The twins meet in the middle of a page. */
static bool reserve_twins(struct ts_table *up, struct ts_table *down)
{
	size_t up_bytes = ts_arch_page_up(table_bytes(up), TS_OS_PAGE_MAX_BYTES);
	size_t down_bytes = ts_arch_page_up(table_bytes(down), TS_OS_PAGE_MAX_BYTES);
	char *begin =
		ts_os_reserve(down_bytes + up_bytes + TS_OS_PAGE_MAX_BYTES, TS_OS_PAGE_MAX_BYTES);

	if (!begin)
		return false;
	up->records = begin + down_bytes + (down ? TS_OS_PAGE_MAX_BYTES / 2 : 0);
	if (down)
		down->records = up->records + down->stride;
	return true;
}

/* Where the range had to be small, for fewer records; and again half of them where there is no room. */
static void shrink_table(struct ts_table *table, uint64_t most_bytes)
{
	while (table && table->max > TABLE_MIN_RECORDS && table_bytes(table) > most_bytes)
		table->max /= 2;
}

static bool reserve_table(struct ts_table *table)
{
	struct ts_table *up = table->stride < 0 ? table->twin : table;
	struct ts_table *down = up->twin;
	uint64_t most_bytes = ((uint64_t)ts_range.chunk_count << TS_CHUNK_SHIFT) / 8;

	for (;; most_bytes /= 2) {
		shrink_table(up, most_bytes);
		shrink_table(down, most_bytes);
		if (reserve_twins(up, down))
			return true;
		if (up->max <= TABLE_MIN_RECORDS && (!down || down->max <= TABLE_MIN_RECORDS))
			return false;
	}
}

/* More memory at the end that the table grows to. */
static bool commit_more(struct ts_table *table)
{
	size_t more = table_bytes(table) - table->committed_bytes;
	char *begin = table->stride < 0 ? table->records - table->stride : table->records;

	if (more > TS_OS_PAGE_MAX_BYTES)
		more = TS_OS_PAGE_MAX_BYTES;
	if (table->stride < 0)
		begin -= table->committed_bytes + more;
	else
		begin += table->committed_bytes;
	if (ts_os_commit(begin, more))
		return false;
	table->committed_bytes += more;
	return true;
}

int64_t ts_table_grow(struct ts_table *table)
{
	uint32_t count = ts_a32_load_rlx(&table->count);

	if (count == table->max || (!table->records && !reserve_table(table)))
		return -1;
	if ((count + 1) * record_bytes(table) > table->committed_bytes && !commit_more(table))
		return -1;
	return count;
}

void ts_table_publish(struct ts_table *table)
{
	/* ORD-20 release: pairs with readers that walk the table up to count. */
	ts_a32_store_rel(&table->count, ts_a32_load_rlx(&table->count) + 1);
}
