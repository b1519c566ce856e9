/* SPDX-License-Identifier: MIT */
/*
 * format.h: the stats segment as other processes see it; docs/segment.md explains it.
 *
 * A segment is a chain of chunks, each a sealed memfd named TS_STATS_NAME, TS_STATS_NAME+1, ... A
 * chunk is a sequence of blocks (src/core/blocks.h) and starts with a header block; the field directory
 * follows in chunk 0. A chunk ends where its memory ends or at the first block of kind TS_BLOCK_NONE.
 */
#ifndef TS_OBS_FORMAT_H
#define TS_OBS_FORMAT_H

#include "core/blocks.h"

#define TS_STATS_NAME "tslab.v1"
#define TS_STATS_MALLOC_NAME "tslab-malloc.v1" /* of a preloaded malloc */
/* Files of TSLAB_STATS_DIR append boot, start in ns and pid to such a name, then "+1" and so on for chunks. */
#define TS_STATS_FILE_MARK "-"
/* And the page that others may write (struct ts_control, src/core/control.h) this. */
#define TS_CONTROL_MARK ".control"
#define TS_STATS_MAGIC "TSLABSEG"
#define TS_STATS_ENDIAN 0x0102030405060708ull
/* A reader refuses another major; minors only append. */
#define TS_STATS_MAJOR 1u
#define TS_STATS_MINOR 5u
#define TS_STATS_MINOR_OWNERS 3u /* since then it tells whose chunks are */
#define TS_STATS_MINOR_CHUNKS 4u /* and how many chunks it has; 5: units of a class beyond 65535 */

#define TS_STATS_CHUNK_BYTES ((size_t)256 * 1024)
#define TS_STATS_BUILD_ID_BYTES 32

/* Four chunks of each size from 256 KiB to 4 MiB: few descriptors, and small core files for the many. */
static inline size_t ts_stats_chunk_bytes(unsigned chunk)
{
	unsigned doublings = chunk / 4 < 4 ? chunk / 4 : 4;

	return TS_STATS_CHUNK_BYTES << doublings;
}

enum ts_field_scope {
	TS_SCOPE_PROCESS = 1,
	TS_SCOPE_LANE = 2,
	TS_SCOPE_EPOCH = 3,
	TS_SCOPE_THREAD = 4,
	TS_SCOPE_CLASS = 5,
	TS_SCOPE_THREAD_CLASS = 6,
	TS_SCOPE_FAILURE = 7,
	TS_SCOPE_CLOSE = 8,
	TS_SCOPE_LABEL_CLASS = 9,
	TS_SCOPES,
};

struct ts_block_header {
	struct ts_block_head head;
	char magic[8];
	uint64_t endian;
	uint32_t major;
	uint32_t minor;
	uint32_t header_bytes;
	uint32_t block_bytes;
	uint32_t chunk_index;
	uint32_t arch_machine; /* e_machine of the process's ELF files */
	uint32_t pointer_bits;
	uint32_t pid; /* in the process's own namespace */
	uint64_t page_bytes;
	uint64_t start_boot_ns; /* when the segment was made; with pid it names the process */
	uint64_t start_realtime_ns;
	uint32_t slab_unit_bytes;
	uint32_t chunk_bytes; /* of the allocator: grain of ownership */
	uint32_t ring_epochs;
	uint32_t class_count;
	uint32_t field_count;
	uint32_t build_id_bytes;
	uint8_t build_id[TS_STATS_BUILD_ID_BYTES]; /* of the library, or of the program that holds it */
	char version[16];
	char features[128]; /* of the CPU */
	struct {
		uint32_t object_bytes;
		uint16_t objects_per_slab;
		uint16_t units_per_slab;
	} size_class[TS_CLASS_COUNT];
	/* since minor 2; 0 before, and where the CPU does not say */
	uint64_t cycles_hz;
	uint32_t cycles_step;
	uint32_t cache_line_bytes;
	/* since minor 3: from one row of a scope's words to the next, by enum ts_field_scope */
	uint16_t row_bytes[TS_SCOPES];
	/* since minor 4, in chunk 0: how many chunks there are; 0 before. Rises while the segment is in use */
	uint32_t chunk_count;
};

/* One row of words.def. */
struct ts_field_entry {
	char name[48];
	char unit[16];
	uint8_t scope; /* enum ts_field_scope */
	uint8_t kind;  /* enum ts_field_kind */
	uint16_t bytes;
	uint32_t offset; /* from the first word of the scope in its block or row */
};

enum ts_field_kind {
	TS_KIND_COUNTER = 1,
	TS_KIND_GAUGE = 2,
	TS_KIND_CONST = 3,
	TS_KIND_ID = 4,
};

#define TS_FIELDS_PER_BLOCK 14
struct ts_block_fields {
	struct ts_block_head head;
	struct ts_field_entry entry[TS_FIELDS_PER_BLOCK];
};

_Static_assert(sizeof(struct ts_block_header) <= TS_BLOCK_BYTES, "header block");
_Static_assert(sizeof(struct ts_field_entry) == 72, "no padding in the directory");
_Static_assert(sizeof(struct ts_block_fields) <= TS_BLOCK_BYTES, "field block");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the segment is little-endian");

#endif
