/* SPDX-License-Identifier: MIT */
/*
 * lane.h: the memory of one epoch in one thread.
 *
 * A lane owns whole chunks. Each of its classes has a bin: a stack of free slots (an array outside the
 * objects) and the slots of one slab that were never handed out. The truth about a slot is its bit in
 * ts_node.local; the stack is a cache of it, exact because a slot whose bit says "free" is refused
 * before it is pushed. Only the thread that has HELD in the lane word touches anything here but the
 * word and the links.
 *
 * A bin is in one of two modes.
 *   bump   nothing of the class was ever freed one by one: there is no stack, [bump, end) is handed out
 *          in order, and its bits say "live" beforehand, so that handing out writes nothing but `bump`.
 *   stack  after the first free: [bump, end) is a reserve that refills the stack, its bits say "free",
 *          and so free has nothing but the bit to test. TS_BIN_RESERVE in `bump` is the mode.
 * A discard makes it a bump again, unless slots were freed one by one since the last one.
 *
 * The stack of a bin is a chain of blocks. Word 0 of a block is the block below it; a NULL and the entries follow.
 * `top` is the place of the next push; where it equals `full` the block is full, or there is none, and a NULL under
 * it means "look below". Without a block it is TS_STACK_NONE, which says both.
 */
#ifndef TS_CORE_LANE_H
#define TS_CORE_LANE_H

#include "chunk.h"

struct tslab_heap;
struct ts_thread;
struct ts_epoch;

#define TS_LANE_BYTES 2048u

/* Others than the holder look at `bump` and `end` as well (ts_slab_handed_out). */
struct ts_bin {
	char **top;
	ts_a64 bump;    /* next slot never handed out, perhaps with TS_BIN_RESERVE */
	ts_a64 end;     /* of these slots */
	uint32_t bytes; /* of a slot; never changes */
	uint32_t full;  /* lower half of the address where the stack's block ends */
};

/* Above every address: a bump beyond it passes the end, so that allocation asks the slow path. */
#define TS_BIN_RESERVE ((uint64_t)1 << 63)

extern TS_HIDDEN char *const ts_stack_none[1];
#define TS_STACK_NONE ((char **)(uintptr_t)(ts_stack_none + 1))

enum { TS_LANE_HANDLES = 1 }; /* flags */

/* Progress of closing, once the holder has seen CLOSING. */
enum { TS_NOT_SETTLED, TS_SETTLED_LIVE, TS_SETTLED_EMPTY };

struct ts_lane {
	/* holder only */
	struct ts_bin bin[TS_CLASS_COUNT + 1]; /* the last is the gate: always empty */
	struct ts_bin large;                   /* marks units of large objects; has no slots */
	/* read by the fast paths; class_of is swapped for the gated table by a closer */
	ts_a64 class_of; /* const uint16_t *, see sizeclass.h */
	struct ts_block_lane *stat;
	/* holder only */
	uint32_t first_slab[TS_CLASS_COUNT]; /* first unit of the oldest slab; 0 = class unused */
	uint32_t slab[TS_CLASS_COUNT];       /* the one being carved */
	uint16_t frees_seen[TS_CLASS_COUNT]; /* low bits of the class's frees at the last discard */
	uint64_t classes;                    /* bit = class has slabs */
	uint64_t bumped;                     /* ... is in bump mode and carves one */
	uint64_t simple;                     /* ... and its first slab is being carved */
	uint64_t placed;                     /* those that were bumped when `place` was written */
	uint16_t place[TS_CLASS_COUNT];      /* a multiple of four: the last one repeated */
	uint16_t place_count;
	uint8_t settled;        /* TS_SETTLED_*: only collect and give back follow */
	uint8_t fate;           /* fork recovery only */
	bool unlisted;          /* free slots exist that no stack knows */
	uint64_t listed_bytes;  /* on the stacks, by whole blocks */
	uint64_t trim_at_bytes; /* look for empty chunks when listed_bytes passes this */
	uint32_t chunks;        /* list of slab chunks */
	uint32_t chunk_count;
	uint32_t filling; /* chunk that new slabs come from */
	uint32_t larges;  /* list of first chunks of large objects */
	uint32_t large_chunks;
	uint32_t depth; /* scopes of the holder */
	/* const while bound but for the holder; frees from elsewhere look here: no counts of the holder in this line */
	uint32_t index __attribute__((aligned(64)));
	ts_a16 flags;         /* TS_LANE_HANDLES; written at rest */
	ts_a64 epoch_id;      /* a filter without HELD, the truth under it */
	ts_a64 epoch;         /* struct ts_epoch *, 0 at rest; reports look at it from anywhere */
	ts_a64 heap;          /* struct tslab_heap * */
	ts_a32 next_in_epoch; /* index + 1 */
	uint32_t next_free;   /* index + 1: warm list of a thread, or the pool of resting lanes */
	/* any thread */
	ts_a64 holder; /* ts_thread.id of the scope's thread; 0 = none, or TRANSIENT */
	ts_a64 w __attribute__((aligned(64)));
	/* holder only, on slow paths: in this line because there is room */
	uint64_t wide;         /* bit = the class's stack is of wide blocks, see stack.h */
	uint64_t reused_bytes; /* of the stacks, by whole blocks, since the last review; see slack.h */
	uint64_t recent_bytes;       /* ... since missed_chunks was halved */
	uint64_t least_listed_bytes; /* since then */
	uint32_t slack_chunks;       /* empty ones that may stay */
	uint32_t returned_chunks;    /* by trims, and not taken again */
	uint32_t regretted_chunks;   /* taken again since the last trim */
	uint32_t missed_chunks;      /* taken lately although as much lies there empty */
} __attribute__((aligned(TS_LANE_BYTES)));

_Static_assert(sizeof(struct ts_lane) == TS_LANE_BYTES, "a lane is found from a bin by a mask");
_Static_assert(TS_CLASS_COUNT % 4 == 0, "place has room for a multiple of four");

extern TS_HIDDEN struct ts_table ts_lanes;
/* What a thread without a lane points at: every class empty, owns nothing. */
extern TS_HIDDEN struct ts_lane ts_lane_none;

static inline struct ts_epoch *ts_lane_epoch(const struct ts_lane *lane)
{
	return (struct ts_epoch *)ts_a64_load_rlx(&lane->epoch);
}

static inline struct tslab_heap *ts_lane_heap(const struct ts_lane *lane)
{
	return (struct tslab_heap *)ts_a64_load_rlx(&lane->heap);
}

static inline unsigned ts_lane_flags(const struct ts_lane *lane)
{
	return ts_a16_load_rlx(&lane->flags);
}

static inline struct ts_lane *ts_lane_of_bin(const struct ts_bin *bin)
{
	return (struct ts_lane *)((uintptr_t)bin & ~(uintptr_t)(TS_LANE_BYTES - 1));
}

static inline struct ts_lane *ts_lane_at(uint32_t index)
{
	return ts_table_at(&ts_lanes, index);
}

static inline unsigned ts_lane_class(const struct ts_lane *lane, const struct ts_bin *bin)
{
	return (unsigned)(bin - lane->bin);
}

/* The counters of a bin's class; a bin is twice as long as its counters. */
static inline struct ts_class_words *ts_lane_words(const struct ts_lane *lane,
						   const struct ts_bin *bin)
{
	size_t place = (size_t)((const char *)bin - (const char *)lane->bin);

	return (struct ts_class_words *)((char *)lane->stat->cls + place / 2);
}

/* Single-writer counters: the holder's plain add, made of relaxed accesses for the readers outside. */
static inline void ts_bump_word(ts_a64 *word, uint64_t amount)
{
	ts_a64_bump_rlx(word, amount);
}

/* Holder: slots of all slabs of a class. */
static inline uint64_t ts_lane_class_slots(const struct ts_lane *lane, unsigned c)
{
	const struct ts_sizeclass *class = &ts_sizeclasses[c];

	return (uint64_t)ts_block_units(lane->stat, c) / class->slab_units * class->slab_slots;
}

/* Holder: live objects of a class, by the counters. */
static inline uint64_t ts_lane_class_live(const struct ts_lane *lane, unsigned c)
{
	const struct ts_class_words *words = &lane->stat->cls[c];

	return ts_a64_load_rlx(&words->allocs) - ts_a64_load_rlx(&words->frees);
}

/*
 * ORD-18 release: pairs with the reader that loads frees first, with acquire; else it could see a free
 * and not the allocation before it, and live would be negative.
 */
static inline void ts_count_free(const struct ts_lane *lane, const struct ts_bin *bin)
{
	ts_a64_bump_rel(&ts_lane_words(lane, bin)->frees, 1); /* ORD-18 */
}

static inline void ts_count_all_freed(struct ts_class_words *words)
{
	ts_a64_store_rel(&words->frees, ts_a64_load_rlx(&words->allocs)); /* ORD-18 */
}

/* A slot's bit in its node. */
static inline uint64_t ts_slot_bit(const void *p)
{
	return (uint64_t)1 << ((uintptr_t)p >> TS_GRANULE_SHIFT & 63);
}

/* A slot becomes live: its local bit is cleared before the pointer leaves. */
static inline void ts_slot_take(const void *p)
{
	ts_a64 *local = &ts_range_node_of(p)->local;

	ts_a64_store_rlx(local, ts_a64_load_rlx(local) & ~ts_slot_bit(p));
}

/* `place` is that of the class in the counters, see ts_sizeclass_of. */
_Static_assert(sizeof(struct ts_class_words) == TS_PLACE_BYTES, "the counters of a class");
_Static_assert(sizeof(struct ts_bin) == 2 * TS_PLACE_BYTES, "a bin is twice as long");

static inline void ts_count_alloc(const struct ts_lane *lane, size_t place)
{
	ts_bump_word((ts_a64 *)((char *)&lane->stat->cls[0].allocs + place), 1);
}

static inline struct ts_bin *ts_bin_at(struct ts_lane *lane, size_t place)
{
	return (struct ts_bin *)((char *)lane->bin + 2 * place);
}

/* The newest free slot of a bin in stack mode. */
static inline void *ts_bin_pop(struct ts_lane *lane, struct ts_bin *bin, size_t place)
{
	char **top = bin->top - 1;
	char *p = *top;

	bin->top = top;
	ts_slot_take(p);
	ts_count_alloc(lane, place);
	return p;
}

/* The next slot never handed out of a bin in bump mode; NULL: there is none. */
static inline void *ts_bin_bump(struct ts_lane *lane, size_t place)
{
	struct ts_bin *bin = ts_bin_at(lane, place);
	uint64_t bump = ts_a64_load_rlx(&bin->bump);
	uint64_t next = bump + bin->bytes;

	if (__builtin_expect(ts_arch_above_load(next, &bin->end), 0))
		return NULL;
	ts_a64_store_rlx(&bin->bump, next);
	ts_count_alloc(lane, place);
	if (!bump)
		__builtin_unreachable(); /* without a slab `end` is 0 */
	return (void *)bump;
}

/*
 * The newest free slot, or one never handed out; NULL: the slow path decides. Said to be unlikely is the
 * pop: then it is the one with a branch that is taken, which costs two cycles where the instructions
 * around it cost nothing, and a request that bumps only goes straight through.
 */
static inline void *ts_bin_alloc(struct ts_lane *lane, size_t place)
{
	struct ts_bin *bin = ts_bin_at(lane, place);

	if (__builtin_expect(bin->top[-1] != NULL, 0))
		return ts_bin_pop(lane, bin, place);
	return ts_bin_bump(lane, place);
}

/* A resting lane of the thread's own that still has its chunks; NULL if there is none. */
struct ts_lane *ts_lane_get_warm(struct ts_thread *thread, struct tslab_heap *heap);
/* A resting lane: a warm one, one from the pool, or a new one. NULL = no memory. */
struct ts_lane *ts_lane_get(struct ts_thread *thread, struct tslab_heap *heap, unsigned flags);
/* A resting lane that nobody needs now: kept warm within the heap's retain_bytes, else stripped. */
void ts_lane_put(struct ts_thread *thread, struct ts_lane *lane);

/* Bind a resting lane to an epoch, held by the caller or parked. */
void ts_lane_bind(struct ts_lane *lane, struct ts_epoch *epoch, uint64_t id, bool held);
/* The lane's place in the shown tables changes. */
void ts_lane_show(struct ts_lane *lane, uint64_t epoch_id);
/* Finisher: the lane belongs to no epoch any more. */
void ts_lane_unbind(struct ts_lane *lane);

/* Holder: allocate a slot of class c. NULL with errno set. */
void *ts_lane_alloc(struct ts_lane *lane, unsigned c);
/* Holder: free slot t of one of its bins. Every check included; false = refused and counted. */
bool ts_lane_free(struct ts_lane *lane, struct ts_bin *bin, uint64_t t);
/* A free turned the word of t's node: the node goes to the lane's holder, or is collected here. `unpin` as below. */
void ts_lane_push_turned(uint64_t t, uint64_t unpin);
/*
 * Free by a thread that does not hold the lane: the slots `mask` of t's node, looked at before.
 * `unpin` is 0 or TS_LW_PIN. Returns those that were not freed already.
 */
uint64_t ts_lane_free_remote(struct ts_lane *lane, uint64_t t, uint64_t mask, uint64_t unpin);

/* The same of slot t alone. False: it was freed already. */
static inline bool ts_lane_free_remote_slot(uint64_t t)
{
	uint64_t bit = (uint64_t)1 << (t & 63);
	uint64_t old = ts_node_free(&ts_range.nodes[t >> 6], bit);

	if (__builtin_expect(!old, 0))
		ts_lane_push_turned(t, 0);
	return !(old & bit);
}

/* Holder: collect what other threads freed. */
void ts_lane_drain(struct ts_lane *lane);
/* Holder, of a node that it popped or turned itself. */
void ts_lane_collect(struct ts_lane *lane, uint32_t node);
/* Holder: no object is live. */
bool ts_lane_all_freed(const struct ts_lane *lane);
/* Holder: undo everything that was allocated; the chunks stay. */
void ts_lane_discard(struct ts_lane *lane);
/* Holder, nothing live: give back all chunks. */
void ts_lane_strip(struct ts_lane *lane);
/* Holder: a run of chunks for the lane, charged to its epoch, as ts_chunk_take. 0 with errno, counted. */
uint32_t ts_lane_take_chunks(struct ts_lane *lane, uint32_t chunks, uint32_t align_chunks,
			     unsigned cls);
/* Holder: look for chunks that became empty and give them back. */
void ts_lane_trim(struct ts_lane *lane);
/* ... and to keep none of them, whatever slack it has. */
void ts_lane_trim_all(struct ts_lane *lane);
/* Fork recovery: the pool of resting lanes, made anew one by one. */
void ts_lane_forget_resting(void);
void ts_lane_rest(struct ts_lane *lane);
/* Its epoch is a default one of a heap that retains memory: the pool may hold what it frees (chunk.h). */
bool ts_lane_never_ends(const struct ts_lane *lane);
/* The thread's first scope in a lane that it has just taken, and its last one gone. */
void ts_lane_enter(struct ts_lane *lane, const struct ts_thread *thread);
void ts_lane_leave(struct ts_lane *lane);
/* Leave a lane that this thread holds. The lane may serve another epoch afterwards. */
void ts_lane_release(struct ts_lane *lane);
/* Memory in slab chunks. */
static inline uint64_t ts_lane_bytes(const struct ts_lane *lane)
{
	return (uint64_t)lane->chunk_count * TS_CHUNK_BYTES;
}
/* Count and report why slot t cannot be freed. Always false. */
bool ts_lane_refuse(struct ts_lane *lane, uint64_t t);

static inline bool ts_bin_in_stack_mode(const struct ts_bin *bin)
{
	return ts_a64_load_rlx(&bin->bump) & TS_BIN_RESERVE;
}

/* Address of the next slot never handed out, in either mode; 0 = none since the bin has a slab. */
static inline uint64_t ts_bin_next(const struct ts_bin *bin)
{
	return ts_a64_load_rlx(&bin->bump) & ~TS_BIN_RESERVE;
}

/* Holder, stack mode: slots of the reserve. */
static inline uint64_t ts_bin_reserve_slots(const struct ts_bin *bin)
{
	return (ts_a64_load_rlx(&bin->end) - ts_bin_next(bin)) / bin->bytes;
}

#endif
