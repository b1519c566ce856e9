/* SPDX-License-Identifier: MIT */
#include "range.h"

#include <errno.h>
#include <unistd.h>

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

/* The flat arrays: bytes of metadata for each segment, and where the array starts within its page. */
enum { NODES, HEADERS, LINKS, CHAIN, CHUNKS, ARRAYS };

static const struct {
	uint32_t segment_bytes;
	uint32_t stagger_bytes;
} arrays[ARRAYS] = {
	[NODES] = { TS_SEGMENT_BYTES / 1024 * sizeof(struct ts_node), 0 },
	[HEADERS] = { TS_SEGMENT_BYTES / TS_UNIT_BYTES * sizeof(ts_a64), 3 * 4096 + 5 * 64 },
	[LINKS] = { TS_SEGMENT_BYTES / 1024 * sizeof(ts_a32), 13 * 4096 + 19 * 64 },
	[CHAIN] = { TS_SEGMENT_BYTES / TS_UNIT_BYTES * sizeof(ts_a32), 19 * 4096 + 29 * 64 },
	[CHUNKS] = { TS_SEGMENT_CHUNKS * sizeof(struct ts_chunk), 29 * 4096 + 37 * 64 },
};

static char *array_start[ARRAYS];
static uint64_t array_bytes[ARRAYS]; /* committed so far */
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

static uint64_t array_reserve_bytes(unsigned i, uint64_t range_bytes)
{
	uint64_t bytes = range_bytes / TS_SEGMENT_BYTES * arrays[i].segment_bytes;

	/* Room for the stagger and for outward rounding to any page size up to 64 KiB. */
	return ts_arch_page_up(bytes + arrays[i].stagger_bytes, TS_OS_PAGE_MAX_BYTES) +
	       TS_OS_PAGE_MAX_BYTES;
}

static bool reserve_all(uint64_t range_bytes)
{
	uint64_t total = 0;
	char *metadata;

	for (unsigned i = 0; i < ARRAYS; i++)
		total += array_reserve_bytes(i, range_bytes);
	metadata = ts_os_reserve(total, TS_OS_PAGE_MAX_BYTES);
	if (!metadata)
		return false;
	ts_range.base = ts_os_reserve(range_bytes, TS_SEGMENT_BYTES);
	if (!ts_range.base) {
		ts_os_release(metadata, total);
		return false;
	}
	for (unsigned i = 0; i < ARRAYS; i++) {
		array_start[i] = metadata + arrays[i].stagger_bytes;
		metadata += array_reserve_bytes(i, range_bytes);
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
	ts_range.nodes = (struct ts_node *)array_start[NODES];
	ts_range.headers = (ts_a64 *)array_start[HEADERS];
	ts_range.nodes_from_zero =
		(uintptr_t)ts_range.nodes -
		((uintptr_t)ts_range.base >> TS_NODE_SHIFT) * sizeof(struct ts_node);
	ts_range.links = (ts_a32 *)array_start[LINKS];
	ts_range.chain = (ts_a32 *)array_start[CHAIN];
	ts_range.chunks = (struct ts_chunk *)array_start[CHUNKS];
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
	for (unsigned i = 0; i < ARRAYS; i++) {
		uint64_t bytes = end * arrays[i].segment_bytes;

		if (bytes <= array_bytes[i])
			continue;
		if (ts_os_commit(array_start[i] + array_bytes[i], bytes - array_bytes[i]))
			return -ENOMEM;
		array_bytes[i] = bytes;
	}
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

/* Where the range had to be small, or under a limit of address space, for fewer records. */
static bool reserve_table(struct ts_table *table)
{
	uint64_t range_bytes = (uint64_t)ts_range.chunk_count << TS_CHUNK_SHIFT;

	while (table->max > TABLE_MIN_RECORDS && (uint64_t)table->max * table->bytes > range_bytes / 8)
		table->max /= 2;
	for (; table->max >= TABLE_MIN_RECORDS; table->max /= 2) {
		table->records =
			ts_os_reserve((size_t)table->max * table->bytes, TS_OS_PAGE_MAX_BYTES);
		if (table->records)
			return true;
	}
	table->max = TABLE_MIN_RECORDS;
	return false;
}

int64_t ts_table_grow(struct ts_table *table)
{
	uint32_t count = ts_a32_load_rlx(&table->count);
	size_t end_bytes = (size_t)(count + 1) * table->bytes;
	size_t max_bytes;

	if (count == table->max || (!table->records && !reserve_table(table)))
		return -1;
	max_bytes = (size_t)table->max * table->bytes;
	if (end_bytes > table->committed_bytes) {
		size_t more = max_bytes - table->committed_bytes;

		if (more > TS_OS_PAGE_MAX_BYTES)
			more = TS_OS_PAGE_MAX_BYTES;
		if (ts_os_commit(table->records + table->committed_bytes, more))
			return -1;
		table->committed_bytes += more;
	}
	/* ORD-20 release: pairs with readers that walk the table up to count. */
	ts_a32_store_rel(&table->count, count + 1);
	return count;
}
