/* SPDX-License-Identifier: MIT */
/*
 * thread.h: what a thread keeps: its open scopes, the lanes it knows, and memory for reuse.
 *
 * The record is type-stable. Its id, index and incarnation, names the thread in a lane: unlike a kernel
 * tid it survives fork and is not used again while a lane may still hold it.
 */
#ifndef TS_CORE_THREAD_H
#define TS_CORE_THREAD_H

#include "chunk.h"
#include "epoch.h"
#include "lane.h"
#include "stackblock.h"

#define TS_SCOPES_INLINE 32
#define TS_SCOPES_MAX 4096
#define TS_SLOTS_CACHED 64
#define TS_WARM_LANES 4096 /* their memory is bounded by retain_bytes */
#define TS_KEPT 4
#define TS_DIRECTORY_SPAN 256 /* epoch slots a directory page covers */

struct ts_scope {
	uint64_t epoch_id;
	struct ts_lane *lane;
	const void *pc;
	uint32_t site; /* number of pc; both stay when the scope is left */
};

/* See keep.h. */
struct ts_kept {
	struct ts_epoch *epoch;
	struct ts_lane *lane;
};

struct ts_thread {
	uint64_t id; /* number | incarnation << 32 */
	struct ts_block_thread *stat;
	uint32_t depth;
	uint32_t scopes_max;
	struct ts_scope *scopes;
	struct ts_kept kept[TS_KEPT];
	uint32_t kept_count;
	struct ts_lane *default_lane; /* of the default heap's default epoch; held until the end */
	struct ts_lane **directory[TS_EPOCH_SLOTS / TS_DIRECTORY_SPAN]; /* slot -> lane last used there */
	struct ts_lane **handle_directory[TS_EPOCH_SLOTS / TS_DIRECTORY_SPAN];
	struct ts_chunk_cache cache;
	uint64_t retained_bytes; /* cache, warm and kept lanes */
	uint32_t warm;           /* list of resting lanes: index + 1 */
	uint32_t warm_count;
	uint32_t slot_count;
	uint32_t slots[TS_SLOTS_CACHED]; /* free epoch slots */
	struct {
		uint64_t calls, bytes, ns; /* of this thread's madvise calls */
	} purges;
	struct ts_spare_blocks spare[TS_STACK_BLOCKS]; /* of stacks */
	uint64_t to_sample;       /* allocations until the next one that is timed */
	uint64_t sample_interval; /* as this thread saw it last; 0: none may be passed on */
	uint64_t to_guard;        /* allocations until the next one between guard pages */
	uint64_t guard_random;
	uint8_t failure; /* enum ts_failure: why an allocation failed, until it is recorded */
	bool ending;     /* later calls take lanes for the length of the call only */
	uint32_t next_free;
	struct ts_scope scopes_inline[TS_SCOPES_INLINE];
	struct ts_lane *directory_inline[TS_DIRECTORY_SPAN]; /* of the first slots */
};

struct ts_tls {
	struct ts_lane *lane;   /* innermost scope's, else the default epoch's; never NULL */
	struct ts_thread *self; /* NULL before the first call that needs it */
};

extern __thread struct ts_tls ts_tls __attribute__((tls_model("initial-exec"), visibility("hidden")));
extern TS_HIDDEN struct ts_table ts_threads;

/* The calling thread's record, made on first use; NULL if there is no memory for one, or no key. */
struct ts_thread *ts_thread_make(void);

static inline struct ts_thread *ts_thread_self(void)
{
	struct ts_thread *thread = ts_tls.self;

	return __builtin_expect(thread != NULL, 1) ? thread : ts_thread_make();
}

/* Index + 1 of the record; what is shown of a lane names its thread by it. */
static inline uint32_t ts_thread_number(const struct ts_thread *thread)
{
	return (uint32_t)thread->id;
}

/* Outside any scope: hold the default epoch's lane. False with errno set. */
bool ts_thread_hold_default(struct ts_thread *thread);

/* Where the thread last found its lane of an epoch slot; of the kind that `flags` names. */
static inline struct ts_lane *ts_thread_known_lane(const struct ts_thread *thread,
						   uint64_t epoch_id, unsigned flags)
{
	struct ts_lane **const *directory = flags & TS_LANE_HANDLES ? thread->handle_directory :
								      thread->directory;
	uint32_t slot = ts_epoch_slot(epoch_id);
	struct ts_lane **page = directory[slot / TS_DIRECTORY_SPAN];

	return page ? page[slot % TS_DIRECTORY_SPAN] : NULL;
}

void ts_thread_know_lane(struct ts_thread *thread, uint64_t epoch_id, struct ts_lane *lane);

/* Room for one more scope. False = no memory. */
bool ts_thread_reserve_scope(struct ts_thread *thread);

static inline void ts_thread_retain(struct ts_thread *thread, int64_t bytes)
{
	thread->retained_bytes += (uint64_t)bytes;
	ts_a64_store_rlx(&thread->stat->w.retained_bytes, thread->retained_bytes);
}

/* Count in the thread's own words: an atomic add would cost as much as a domain exit. */
#define ts_count_own(name)                                                                         \
	do {                                                                                       \
		if (ts_tls.self && !ts_tls.self->ending)                                           \
			ts_bump_word(&ts_tls.self->stat->w.name, 1);                               \
		else                                                                               \
			ts_count(name, 1);                                                         \
	} while (0)

/* Count for a size class: in the thread's own words, where an atomic add would cost more than the rest. */
#define ts_count_own_class(cls_, name, amount)                                                     \
	do {                                                                                       \
		if (ts_tls.self && !ts_tls.self->ending)                                           \
			ts_bump_word(&ts_tls.self->stat->cls[cls_].name, (amount));                \
		else                                                                               \
			ts_count_class((cls_), name, (amount));                                    \
	} while (0)

/* All that the calling thread and the pool keep empty goes to the OS. */
void ts_thread_trim(void);

/* Give up the lanes that the thread keeps warm, and the pairs of keep.h. */
void ts_thread_drop_warm(struct ts_thread *thread);
/* Room for a pair: slot and lane of another go where those of any epoch go that is over. */
void ts_thread_drop_one_kept(struct ts_thread *thread);

/* The lane of the innermost scope, else the default epoch's, else ts_lane_none. */
static inline struct ts_lane *ts_thread_lane(const struct ts_thread *thread)
{
	if (thread->depth)
		return thread->scopes[thread->depth - 1].lane;
	return thread->default_lane ? thread->default_lane : &ts_lane_none;
}

/* The calling thread's innermost scope, if it is one in this lane; else NULL. */
static inline const struct ts_scope *ts_thread_scope_in(const struct ts_lane *lane)
{
	const struct ts_thread *thread = ts_tls.self;
	const struct ts_scope *scope =
		thread && thread->depth ? &thread->scopes[thread->depth - 1] : NULL;

	return scope && scope->lane == lane ? scope : NULL;
}

/* Fork recovery: every record but the survivor's is free again; the survivor shows its scopes anew. */
void ts_thread_recover(struct ts_thread *survivor);

/* Makes the key whose destructor ends a thread. Once. */
int ts_thread_start(void);

#endif
