/* SPDX-License-Identifier: MIT */
/*
 * blocks.h: the shape of the memory that the library counts in and other processes read.
 *
 * Core asks its block source for a block and writes words into it; it never reads back a word that it
 * did not write alone. A source that maps the blocks from a sealed memfd makes them visible outside;
 * the default source is private memory. Blocks are never returned. Every block starts on a multiple of
 * TS_BLOCK_BYTES with a head that names its kind and length, so a reader walks a segment block by
 * block without knowing anything else. All words are 64-bit little-endian and naturally aligned.
 */
#ifndef TS_CORE_BLOCKS_H
#define TS_CORE_BLOCKS_H

#include <stdint.h>

#include "arch.h"

#define TS_BLOCK_BYTES 1024u

enum ts_block_kind {
	TS_BLOCK_NONE = 0,        /* end of the used part of a segment */
	TS_BLOCK_PROCESS = 1,     /* struct ts_block_process */
	TS_BLOCK_LANE = 2,        /* struct ts_block_lane */
	TS_BLOCK_EPOCHS = 3,      /* struct ts_block_epochs */
	TS_BLOCK_THREAD = 4,      /* struct ts_block_thread */
	TS_BLOCK_SITES = 5,       /* struct ts_block_sites */
	TS_BLOCK_MODULE = 6,      /* struct ts_block_module */
	TS_BLOCK_LABELS = 7,      /* struct ts_block_labels */
	TS_BLOCK_HEAPS = 8,       /* struct ts_block_heaps */
	TS_BLOCK_HEADER = 9,      /* the observer's own: segment header */
	TS_BLOCK_FIELDS = 10,     /* the observer's own: field directory */
	TS_BLOCK_CLASSES = 11,    /* struct ts_block_classes */
	TS_BLOCK_FAILURES = 12,   /* struct ts_block_failures */
	TS_BLOCK_CLOSES = 13,     /* struct ts_block_closes */
	TS_BLOCK_HISTOGRAMS = 14, /* struct ts_block_histograms */
	TS_BLOCK_LABEL = 15,      /* struct ts_block_label */
	TS_BLOCK_CHUNKS = 16,     /* struct ts_block_chunks */
};

struct ts_block_head {
	uint32_t kind;  /* enum ts_block_kind; written last, with release */
	uint32_t slots; /* length in units of TS_BLOCK_BYTES */
	ts_a64 seq; /* odd while the identity of the block changes (lane bound, thread replaced) */
};

/* For lists of one scope's words: TS_OF_SCOPE is `text`, without a comma, for that scope, else nothing. */
#define TS_SAME_PROCESS_PROCESS ~,
#define TS_SAME_LANE_LANE ~,
#define TS_SAME_EPOCH_EPOCH ~,
#define TS_SAME_THREAD_THREAD ~,
#define TS_SAME_CLASS_CLASS ~,
#define TS_SAME_THREAD_CLASS_THREAD_CLASS ~,
#define TS_SAME_LABEL_CLASS_LABEL_CLASS ~,
#define TS_SAME_FAILURE_FAILURE ~,
#define TS_SAME_CLOSE_CLOSE ~,
#define TS_OF_SCOPE(wanted, scope, text) TS_SECOND(TS_SAME_##wanted##_##scope text, , )
#define TS_SECOND(...) TS_SECOND_OF(__VA_ARGS__)
#define TS_SECOND_OF(first, second, ...) second

struct ts_process_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(PROCESS, scope, ts_a64 name;)
#include "words.def"
};

struct ts_lane_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(LANE, scope, ts_a64 name;)
#include "words.def"
};

struct ts_epoch_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(EPOCH, scope, ts_a64 name;)
#include "words.def"
};

struct ts_thread_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD, scope, ts_a64 name;)
#include "words.def"
};

/* Of one size class in the whole process. */
struct ts_class_row {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLASS, scope, ts_a64 name;)
#include "words.def"
};

/* Of one size class in one thread. */
struct ts_thread_class_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD_CLASS, scope, ts_a64 name;)
#include "words.def"
};

/* Of one size class in the epochs of one label. */
struct ts_label_class_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(LABEL_CLASS, scope, ts_a64 name;)
#include "words.def"
};

/* A failed allocation. */
struct ts_failure_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(FAILURE, scope, ts_a64 name;)
#include "words.def"
};

/* The end of an epoch. */
struct ts_close_words {
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLOSE, scope, ts_a64 name;)
#include "words.def"
};

#define TS_CLASS_COUNT 40

/* Allocations and frees of one class in one lane: live objects = allocs - frees. */
struct ts_class_words {
	ts_a64 allocs;
	ts_a64 frees;
};

struct ts_block_process {
	struct ts_block_head head;
	struct ts_process_words w;
};

struct ts_block_lane {
	struct ts_block_head head;
	struct ts_lane_words w;
	struct ts_class_words cls[TS_CLASS_COUNT];
	ts_a16 units[TS_CLASS_COUNT];     /* lower half of what ts_block_units says */
	ts_a32 number;                    /* of the lane, from 1; since minor 3 */
	ts_a16 units_16k[TS_CLASS_COUNT]; /* the same in steps of 16384; since minor 5 */
};

#define TS_UNITS_STEP_SHIFT 14

/*
 * Units that carry a slab of the class, as the holder counts them. The two words overlap by two bits: of the numbers
 * that end in `units` it is the one closest to the step, so a reader that comes between their stores is right, too.
 */
static inline uint32_t ts_block_units(const struct ts_block_lane *block, unsigned c)
{
	uint32_t step = (uint32_t)ts_a16_load_rlx(&block->units_16k[c]) << TS_UNITS_STEP_SHIFT;
	uint16_t lower = ts_a16_load_rlx(&block->units[c]);

	return step ? step + (uint32_t)(int16_t)(lower - step) : lower;
}

/* Less than 2^29, see TS_CHAIN_NEXT. */
static inline void ts_block_put_units(struct ts_block_lane *block, unsigned c, uint32_t units)
{
	ts_a16_store_rlx(&block->units[c], (uint16_t)units);
	ts_a16_store_rlx(&block->units_16k[c], (uint16_t)(units >> TS_UNITS_STEP_SHIFT));
}

#define TS_EPOCHS_PER_BLOCK 7
struct ts_block_epochs {
	struct ts_block_head head;
	struct ts_epoch_words row[TS_EPOCHS_PER_BLOCK];
};

/* One open scope of a thread. Written epoch last on enter (release), cleared first on exit. */
struct ts_scope_words {
	ts_a64 epoch_id;
	ts_a64 site;     /* index into the site table, 0 = unknown */
	ts_a64 since_ns; /* CLOCK_MONOTONIC_COARSE + boot offset */
};

#define TS_SCOPES_SHOWN 32
struct ts_block_thread {
	struct ts_block_head head;
	struct ts_thread_words w;
	struct ts_scope_words scope[TS_SCOPES_SHOWN]; /* deeper scopes are counted in w.depth only */
	struct ts_thread_class_words cls[TS_CLASS_COUNT];
};

/* Rows by class; the one after the last class is of objects above 32 KiB. */
#define TS_CLASS_LARGE TS_CLASS_COUNT
#define TS_CLASS_ROWS (TS_CLASS_COUNT + 1)
#define TS_CLASS_ROWS_PER_BLOCK 6
#define TS_CLASS_BLOCKS ((TS_CLASS_ROWS + TS_CLASS_ROWS_PER_BLOCK - 1) / TS_CLASS_ROWS_PER_BLOCK)
struct ts_block_classes {
	struct ts_block_head head;
	uint64_t first; /* class of row 0 */
	struct ts_class_row row[TS_CLASS_ROWS_PER_BLOCK];
};

/* Where domains are entered: module and offset, never an address. Site n lies in block n / 62. */
#define TS_SITES_PER_BLOCK 62
struct ts_block_sites {
	struct ts_block_head head;
	struct {
		uint32_t module; /* index of the module block + 1; 0 = unknown */
		uint32_t spare;
		uint64_t offset; /* from the module's load base to the return address */
	} site[TS_SITES_PER_BLOCK];
};

struct ts_block_module {
	struct ts_block_head head;
	uint32_t index;
	uint32_t build_id_bytes;
	uint8_t build_id[64];
	char path[512];
};

#define TS_LABEL_IDS 16
struct ts_block_labels {
	struct ts_block_head head;
	ts_a64 count; /* labels registered, id 0 ("unlabeled") included */
	char text[TS_LABEL_IDS][32];
};

struct ts_block_label {
	struct ts_block_head head;
	uint64_t label_id;
	struct ts_label_class_words cls[TS_CLASS_ROWS];
};

/* Rings of events; ring.h says how entries are written. */
#define TS_FAILURES_KEPT 256
#define TS_FAILURES_PER_BLOCK 11
struct ts_block_failures {
	struct ts_block_head head;
	struct ts_failure_words event[TS_FAILURES_PER_BLOCK];
};

#define TS_CLOSES_KEPT 64
#define TS_CLOSES_PER_BLOCK 6
struct ts_block_closes {
	struct ts_block_head head;
	struct ts_close_words event[TS_CLOSES_PER_BLOCK];
};

enum ts_histogram {
	TS_HISTOGRAM_ALLOC_WALL, /* sampled allocations */
	TS_HISTOGRAM_CLOSE,      /* closes and discards that are recorded */
	TS_HISTOGRAM_LOCK_WAIT,  /* locks that were waited for */
	TS_HISTOGRAMS,
};
#define TS_HISTOGRAM_BUCKETS 41 /* histogram.h has their bounds */
struct ts_block_histograms {
	struct ts_block_head head;
	ts_a64 times[TS_HISTOGRAMS][TS_HISTOGRAM_BUCKETS];
};

#define TS_HEAPS_PER_BLOCK 15
struct ts_block_heaps {
	struct ts_block_head head;
	struct {
		ts_a64 id; /* heap id + 1; 0 = unused */
		ts_a64 limit_bytes;
		ts_a64 charged_bytes;
		ts_a64 ring_current; /* index of the ring's newest epoch */
		char name[32];
	} heap[TS_HEAPS_PER_BLOCK];
};

/* Whose the chunks of the range are, in groups of neighbours. */
#define TS_CHUNK_GROUP 64
#define TS_CHUNK_GROUPS_PER_BLOCK 3
struct ts_block_chunks {
	struct ts_block_head head;
	ts_a64 group[TS_CHUNK_GROUPS_PER_BLOCK]; /* its number in the range, from 1; 0 = none yet */
	ts_a32 lane[TS_CHUNK_GROUPS_PER_BLOCK][TS_CHUNK_GROUP]; /* number of the lane; 0 = nobody's */
};

_Static_assert(sizeof(struct ts_block_process) <= TS_BLOCK_BYTES, "process block");
_Static_assert(sizeof(struct ts_block_lane) <= TS_BLOCK_BYTES, "lane block");
_Static_assert(sizeof(struct ts_block_epochs) <= TS_BLOCK_BYTES, "epochs block");
_Static_assert(sizeof(struct ts_block_thread) <= 2 * TS_BLOCK_BYTES, "thread block");
_Static_assert(sizeof(struct ts_block_histograms) <= TS_BLOCK_BYTES, "histograms block");
_Static_assert(sizeof(struct ts_block_failures) <= TS_BLOCK_BYTES, "failures block");
_Static_assert(sizeof(struct ts_block_closes) <= TS_BLOCK_BYTES, "closes block");
_Static_assert(sizeof(struct ts_block_classes) <= TS_BLOCK_BYTES, "classes block");
_Static_assert(sizeof(struct ts_block_sites) <= TS_BLOCK_BYTES, "sites block");
_Static_assert(sizeof(struct ts_block_module) <= TS_BLOCK_BYTES, "module block");
_Static_assert(sizeof(struct ts_block_label) <= TS_BLOCK_BYTES, "label block");
_Static_assert(sizeof(struct ts_block_labels) <= TS_BLOCK_BYTES, "labels block");
_Static_assert(sizeof(struct ts_block_heaps) <= TS_BLOCK_BYTES, "heaps block");
_Static_assert(sizeof(struct ts_block_chunks) <= TS_BLOCK_BYTES, "chunks block");

/*
 * A block source returns `slots` zeroed consecutive blocks, or NULL. Called under the metadata lock,
 * never from a hot path; must not allocate from tslab.
 */
typedef void *ts_block_source(unsigned slots);

/*
 * Called once before the first block is asked for, if a room above defines it: its chance to set another
 * source. A constructor would come too late for a preloaded malloc, which serves those of other libraries.
 */
extern TS_HIDDEN void ts_blocks_choose_source(void) __attribute__((weak));
/* Replaces the private source. Only before the first block is asked for. */
void ts_blocks_set_source(ts_block_source *source);

/* One block of a kind, in private memory if the source has none. NULL = no memory. */
void *ts_block_get(enum ts_block_kind kind, unsigned slots);

/* Fork recovery: words that the parent counted, where no source has taken them away already. */
static inline void ts_words_clear(void *words, size_t bytes)
{
	ts_a64 *word = (ts_a64 *)words;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		ts_a64_store_rlx(&word[i], 0);
}

/* All blocks that were ever handed out, for readers inside the process. Async-signal-safe. */
unsigned ts_block_count(void);
struct ts_block_head *ts_block_at(unsigned index);

#endif
