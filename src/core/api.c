/* SPDX-License-Identifier: MIT */
/*
 * api.c: allocation and free as users call them. The fast paths stand whole in tslab_malloc and
 * tslab_free; everything rare is a tail call away.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <tslab/tslab.h>

#include "epoch.h"
#include "failure.h"
#include "fork.h"
#include "guard.h"
#include "heap.h"
#include "large.h"
#include "process.h"
#include "redzone.h"
#include "report.h"
#include "sample.h"
#include "slab.h"
#include "stack.h"
#include "thread.h"

#define ALIGN_MAX_BYTES ((size_t)4 << 20)
#define cold __attribute__((noinline, cold))
/* From the start of a cache line: where the linker happens to put them is worth a tenth of a pair. */
#define hot __attribute__((aligned(64)))

static void *fail_closing(struct ts_epoch *epoch, uint64_t id)
{
	ts_failed(TS_FAILED_CLOSING);
	ts_refused(.what = "allocation refused: the epoch is closing or over", .epoch = epoch,
		   .epoch_id = id);
	errno = ESTALE;
	return NULL;
}

/* The lane is the caller's to use: held as a scope, or taken for this call. */
static void *alloc_in_lane(struct ts_lane *lane, size_t bytes, size_t align)
{
	unsigned c = TS_CLASS_COUNT;
	size_t slot_bytes;

	if (bytes > PTRDIFF_MAX) {
		ts_failed(TS_FAILED_THRESHOLD);
		errno = ENOMEM;
		return NULL;
	}
	bytes += TS_REDZONE_BYTES;
	slot_bytes = ts_sizeclass_aligned_bytes(bytes, align);
	if (align <= TS_UNIT_BYTES && slot_bytes <= TS_SMALL_MAX_BYTES)
		c = ts_sizeclass_find(slot_bytes);
	return c < TS_CLASS_COUNT ? ts_lane_alloc(lane, c) : ts_large_alloc(lane, bytes, align);
}

static bool gated(const struct ts_lane *lane)
{
	return (const uint16_t *)ts_a64_load_rlx(&lane->class_of) == ts_sizeclass_gated;
}

/* In a named epoch, by taking a lane for the length of the call unless the thread is inside. */
static void *alloc_in_epoch(uint64_t id, size_t bytes, size_t align)
{
	struct ts_thread *thread = ts_thread_self();
	struct ts_epoch *epoch = ts_epoch_find(id);
	struct ts_lane *lane = thread && epoch ? ts_thread_known_lane(thread, id, 0) : NULL;
	void *p;

	if (!epoch)
		return fail_closing(NULL, id);
	if (lane && ts_a64_load_rlx(&lane->holder) == thread->id &&
	    ts_a64_load_rlx(&lane->epoch_id) == id)
		return gated(lane) ? fail_closing(epoch, id) : alloc_in_lane(lane, bytes, align);
	lane = ts_epoch_take_lane(epoch, id, TS_LW_TRANSIENT, 0);
	if (!lane)
		return errno == ESTALE ? fail_closing(epoch, id) : NULL;
	p = alloc_in_lane(lane, bytes, align);
	ts_lane_release(lane);
	return p;
}

/* Innermost scope, else the default epoch. */
static void *alloc_somewhere(size_t bytes, size_t align)
{
	struct ts_lane *lane;
	struct ts_thread *thread;

	ts_fork_check();
	/* The child of fork starts without a lane although its thread is inside somewhere. */
	if (ts_tls.lane == &ts_lane_none && ts_tls.self)
		ts_tls.lane = ts_thread_lane(ts_tls.self);
	lane = ts_tls.lane;
	if (lane != &ts_lane_none)
		return gated(lane) ? fail_closing(ts_lane_epoch(lane), 0) :
				     alloc_in_lane(lane, bytes, align);
	thread = ts_thread_self();
	if (!thread && !ts_start()) {
		ts_failed(TS_FAILED_MAPPING);
		errno = ENOMEM;
		return NULL;
	}
	if (!thread || thread->ending)
		return alloc_in_epoch(ts_a64_load_rlx(&tslab_heap_default()->default_epoch), bytes,
				      align);
	if (!ts_thread_hold_default(thread))
		return NULL;
	return alloc_in_lane(ts_tls.lane, bytes, align);
}

/* Called by jumps: its return address is the program's, which failures are recorded with. */
static cold void *alloc_slow(size_t bytes, size_t align)
{
	struct ts_sample sample;
	void *p;

	ts_sample_begin(&sample, ts_tls.lane);
	p = alloc_somewhere(bytes, align);
	ts_sample_end(&sample);
	if (!p)
		return ts_failure_record(ts_a64_load_rlx(&ts_tls.lane->epoch_id), bytes, errno,
					 __builtin_return_address(0));
	ts_redzone_arm(p, bytes, __builtin_return_address(0));
	return ts_arch_tagged(ts_guard_place(p, bytes, align, __builtin_return_address(0)));
}

/* A class goes on in its next slab or block: no slow path, sampled or not. Left by a jump, too. */
static __attribute__((noinline)) void *alloc_next_block(size_t bytes)
{
	struct ts_lane *lane = ts_tls.lane;
	bool sampled = ts_sample_not_due(lane);
	size_t place;
	void *p;

	if (bytes > TS_SMALL_MAX_BYTES || (!sampled && !ts_sample_is_off(lane)))
		return alloc_slow(bytes, TS_GRANULE_BYTES);
	place = ts_sizeclass_place(bytes);
	/* At hand after all, if sampling was switched since the look that led here: then its slab is not left. */
	p = ts_bin_alloc(lane, place);
	if (!p && ts_slab_go_on(lane, place))
		p = ts_bin_alloc(lane, place);
	if (!p)
		return alloc_slow(bytes, TS_GRANULE_BYTES);
	if (sampled)
		ts_sample_pass();
	return ts_arch_tagged(p);
}

/*
 * A request that is larger than the slabs of its classes comes here once for each slab more. Left by a jump for all that
 * is rarer.
 */
static __attribute__((noinline, aligned(64))) void *alloc_next_slab(size_t bytes)
{
	struct ts_lane *lane = ts_tls.lane;
	size_t place;

	if (bytes > TS_SMALL_MAX_BYTES || !ts_sample_is_off(lane))
		return alloc_next_block(bytes);
	place = ts_sizeclass_place(bytes);
	if (ts_bin_in_stack_mode(ts_bin_at(lane, place)) ||
	    !ts_slab_bump_on(lane, (unsigned)(place / TS_PLACE_BYTES)))
		return alloc_next_block(bytes);
	return ts_arch_tagged(ts_bin_bump(lane, place));
}

/*
 * While allocations are sampled each comes here first to be counted, and all but one in so many go on as they
 * would have. Left by a jump, too.
 */
static __attribute__((noinline, aligned(64))) void *alloc_counted(size_t bytes)
{
	struct ts_lane *lane = ts_tls.lane;
	void *p;

	if (bytes > TS_SMALL_MAX_BYTES || !ts_sample_not_due(lane))
		return alloc_next_slab(bytes);
	p = ts_bin_alloc(lane, ts_sizeclass_place(bytes));
	if (!p)
		return alloc_next_slab(bytes);
	ts_sample_pass();
	return ts_arch_tagged(p);
}

/* A slot of the innermost lane, as the class table has it; NULL: the slow path decides. */
static inline __attribute__((always_inline)) void *alloc_at_hand(size_t bytes)
{
	struct ts_lane *lane = ts_tls.lane;
	const uint16_t *class_of = (const uint16_t *)ts_a64_load_rlx(&lane->class_of);

	if (__builtin_expect(bytes > TS_SMALL_MAX_BYTES, 0))
		return NULL;
	return ts_bin_alloc(lane, class_of[(bytes + TS_GRANULE_BYTES - 1) >> TS_GRANULE_SHIFT]);
}

hot void *tslab_malloc(size_t bytes)
{
	void *p = alloc_at_hand(bytes);

	return __builtin_expect(p != NULL, 1) ? ts_arch_tagged(p) : alloc_counted(bytes);
}

/* Large objects fresh from the OS read as zeroes already. */
static void *zeroed(void *p, size_t bytes)
{
	uint64_t chunk = p ? ts_range_offset(p) >> TS_CHUNK_SHIFT : 0;

	if (!p)
		return NULL;
	if (bytes > TS_SMALL_MAX_BYTES && TSLAB_REDZONE != TS_REDZONE_VALGRIND &&
	    ts_a32_load_rlx(&ts_range.chunks[chunk].state) == TS_CHUNK_LARGE &&
	    ts_chunk_zeroed((uint32_t)chunk, ts_range.chunks[chunk].run_chunks))
		return p;
	return memset(p, 0, bytes);
}

void *tslab_calloc(size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total)) {
		ts_failed(TS_FAILED_THRESHOLD);
		errno = ENOMEM;
		return ts_failure_record(ts_a64_load_rlx(&ts_tls.lane->epoch_id), SIZE_MAX, errno,
					 __builtin_return_address(0));
	}
	return zeroed(tslab_malloc(total), total);
}

void *tslab_aligned_alloc(size_t alignment, size_t bytes)
{
	void *p = NULL;

	if (!alignment || (alignment & (alignment - 1)) || alignment > ALIGN_MAX_BYTES) {
		ts_failed(TS_FAILED_INVALID);
		errno = EINVAL;
		return ts_failure_record(ts_a64_load_rlx(&ts_tls.lane->epoch_id), bytes, errno,
					 __builtin_return_address(0));
	}
	if (alignment <= TS_GRANULE_BYTES)
		return tslab_malloc(bytes);
	if (bytes <= TS_SMALL_MAX_BYTES && alignment <= TS_UNIT_BYTES)
		p = alloc_at_hand(ts_sizeclass_aligned_bytes(bytes, alignment));
	return p ? ts_arch_tagged(p) : alloc_slow(bytes, alignment);
}

void *tslab_alloc(tslab_epoch_t epoch, size_t bytes)
{
	struct ts_lane *lane = ts_tls.lane;
	struct ts_sample sample;
	void *p;

	if (ts_a64_load_rlx(&lane->epoch_id) == epoch && epoch)
		return tslab_malloc(bytes);
	ts_fork_check();
	ts_sample_begin(&sample, NULL);
	p = alloc_in_epoch(epoch, bytes, TS_GRANULE_BYTES);
	ts_sample_end(&sample);
	if (!p)
		return ts_failure_record(epoch, bytes, errno, __builtin_return_address(0));
	ts_redzone_arm(p, bytes, __builtin_return_address(0));
	return ts_arch_tagged(ts_guard_place(p, bytes, TS_GRANULE_BYTES, __builtin_return_address(0)));
}

/* -- whose address ----------------------------------------------------------------------------- */

/* What the program may use of it. */
static size_t object_bytes(const struct ts_bin *bin, uint64_t t)
{
	return ts_redzone_usable(t, ts_slot_bytes(bin, t));
}

static uint64_t slot_start(struct ts_bin *bin, uint64_t t)
{
	struct ts_lane *lane = ts_lane_of_bin(bin);
	uint64_t first, granules;

	if (bin == &lane->large)
		return t;
	first = (uint64_t)ts_slab_first_unit((uint32_t)(t >> 9)) * TS_UNIT_GRANULES;
	granules = ts_slot_bytes(bin, t) >> TS_GRANULE_SHIFT;
	return first + (t - first) / granules * granules;
}

static bool in_range(const void *ptr)
{
	return ts_range_offset(ptr) >> TS_GRANULE_SHIFT < ts_a64_load_rlx(&ts_range.granules);
}

/* The bin that an address inside an object belongs to, and the object's first granule. */
static struct ts_bin *owner_bin(const void *ptr, uint64_t *t)
{
	uint64_t chunk;
	struct ts_bin *bin;

	if (!in_range(ptr))
		return NULL;
	*t = ts_range_offset(ptr) >> TS_GRANULE_SHIFT;
	for (chunk = *t / TS_CHUNK_GRANULES;
	     ts_a32_load_rlx(&ts_range.chunks[chunk].state) == TS_CHUNK_LARGE_TAIL;)
		*t = --chunk * TS_CHUNK_GRANULES;
	if (ts_a32_load_rlx(&ts_range.chunks[chunk].state) == TS_CHUNK_LARGE)
		*t = chunk * TS_CHUNK_GRANULES;
	bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[*t >> 9]);
	if (bin)
		*t = slot_start(bin, *t);
	return bin;
}

/*
 * A slot that was handed out and is not free, as far as a look can tell. ORD-9: who got the pointer by
 * release and acquire sees its bits clear. ORD-24 acquire: a bit of a slab that is being carved is seen
 * with the mark that says so.
 */
static inline bool looks_live(const struct ts_bin *bin, uint64_t t)
{
	const struct ts_node *node = &ts_range.nodes[t >> 6];
	uint64_t bits = ts_a64_load_acq(&node->local) | ts_a64_load_rlx(&node->remote); /* ORD-24 */

	return !(bits >> (t & 63) & 1) && ts_slab_handed_out(bin, t);
}

/* -- free --------------------------------------------------------------------------------------- */

static bool refuse_foreign(const void *ptr)
{
	ts_count(refused_foreign, 1);
	ts_refused(.what = "free of an address that is not memory of this library",
		   .address = (uintptr_t)ptr);
	return false;
}

/* An address inside the range that cannot be a slot's start. */
static bool refuse_wild(const void *ptr)
{
	uint64_t t;
	struct ts_bin *bin = owner_bin(ptr, &t);

	ts_count(refused_wild, 1);
	ts_refused(.what = "free of a pointer that is no object's start",
		   .epoch = bin ? ts_lane_epoch(ts_lane_of_bin(bin)) : NULL,
		   .address = (uintptr_t)ptr);
	return false;
}

/* The owner's bin if the pointer can be an object's start, and none with a handle; else NULL. */
static inline struct ts_bin *plain_bin(const void *ptr)
{
	uint64_t t = ts_range_granule(ptr);
	struct ts_bin *bin;

	if (t >= ts_a64_load_rlx(&ts_range.granules) || !ts_arch_tag_fits(ptr))
		return NULL;
	bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	return bin && !(ts_lane_flags(ts_lane_of_bin(bin)) & TS_LANE_HANDLES) ? bin : NULL;
}

static bool refuse_pointer(const void *ptr)
{
	return in_range(ptr) ? refuse_wild(ptr) : refuse_foreign(ptr);
}

static inline bool held_by_self(const struct ts_lane *lane)
{
	return ts_tls.self && ts_a64_load_rlx(&lane->holder) == ts_tls.self->id;
}

/* Nobody is in the lane: this free holds it for a moment, half the atomic steps of a remote one. */
static inline bool take_parked(struct ts_lane *lane)
{
	uint64_t seen = ts_a64_load_rlx(&lane->w);

	return __builtin_expect(!(seen & TS_LW_HELD), 0) &&
	       ts_lw_take(&lane->w, seen & TS_LW_TAG, TS_LW_TRANSIENT) == TS_LW_TAKEN;
}

static bool free_taken(struct ts_lane *lane, struct ts_bin *bin, uint64_t t)
{
	bool done;

	/* A second free of the slot may have let its chunk go to another lane before this one was taken. */
	if (ts_a64_load_rlx(&ts_range.headers[t >> 9]) == (uintptr_t)bin)
		done = ts_lane_free(lane, bin, t);
	else
		done = ts_lane_refuse(lane, t);
	ts_lane_release(lane);
	return done;
}

/* An address that is no object's start: the twin of an object between guard pages, or NULL after a refusal. */
static cold void *twin_or_refuse(void *ptr, const void *pc)
{
	if (!ts_guard_owns(ptr)) {
		refuse_pointer(ptr);
		return NULL;
	}
	ptr = ts_guard_free(ptr, pc);
	return ptr ? ts_arch_tagged(ptr) : NULL;
}

/* Of most that come here another thread is inside the epoch. */
static inline __attribute__((always_inline)) bool free_slow(void *ptr)
{
	struct ts_bin *bin;
	struct ts_lane *lane;
	uint64_t t;

	ts_fork_check();
	bin = plain_bin(ptr);
	if (__builtin_expect(!bin, 0)) {
		if (!ptr)
			return true;
		ptr = twin_or_refuse(ptr, __builtin_return_address(0));
		bin = ptr ? plain_bin(ptr) : NULL;
		if (!bin)
			return ptr && refuse_pointer(ptr);
	}
	t = ts_range_granule(ptr);
	lane = ts_lane_of_bin(bin);
	if (held_by_self(lane))
		return ts_lane_free(lane, bin, t);
	if (__builtin_expect(!looks_live(bin, t), 0))
		return ts_lane_refuse(lane, t);
	if (take_parked(lane))
		return free_taken(lane, bin, t);
	return ts_lane_free_remote_slot(t) || ts_lane_refuse(lane, t);
}

/*
 * True if done. The fast path: slot of the innermost scope's lane, bin in stack mode, block not full. What
 * was never handed out has its bit set in that mode.
 */
static inline __attribute__((always_inline)) bool free_fast(void *ptr)
{
	struct ts_lane *lane = ts_tls.lane;
	uint64_t t = ts_range_granule(ptr);
	struct ts_bin *bin;
	struct ts_node *node;
	uint64_t local;
	size_t place;
	char **top;

	if (__builtin_expect(!ts_arch_below_load(t, &ts_range.granules), 0) || !ts_arch_tag_fits(ptr))
		return false;
	ptr = ts_arch_untag(ptr);
	bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	place = (size_t)((char *)bin - (char *)lane->bin);
	if (__builtin_expect(place >= sizeof(struct ts_bin) * TS_CLASS_COUNT, 0))
		return false;
	top = bin->top;
	if (__builtin_expect(ts_stack_full(bin, top), 0))
		return false;
	node = ts_range_node_of(ptr);
	local = ts_a64_load_rlx(&node->local);
	/* ORD-9 relaxed, as in ts_lane_free. */
	if (__builtin_expect(ts_arch_or_load(local, &node->remote) >> (t & 63) & 1, 0))
		return false;
	ts_a64_store_rlx(&node->local, ts_arch_with_bit(local, t));
	ts_stack_put(bin, top, ptr);
	ts_count_free(lane, bin);
	return true;
}

/* A call of its own type, so that tslab_free leaves by a jump. */
static hot __attribute__((noinline)) void free_rare(void *ptr)
{
	free_slow(ptr);
}

hot void tslab_free(void *ptr)
{
	ts_redzone_free(ptr);
	if (__builtin_expect(free_fast(ptr), 1))
		return;
	free_rare(ptr);
}

/* Slots of one node that belong to another thread: one OR for all. Returns how many it took. */
static size_t free_group(void *const *ptrs, size_t count, size_t *accepted)
{
	uint64_t t = ts_range_granule(ptrs[0]);
	uint64_t mask = 0;
	struct ts_bin *bin;
	struct ts_lane *lane;
	uint64_t lost;
	size_t taken;
	size_t n = 0;

	if (t >= ts_a64_load_rlx(&ts_range.granules))
		return 0;
	bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]);
	lane = bin ? ts_lane_of_bin(bin) : NULL;
	if (!lane || (ts_lane_flags(lane) & TS_LANE_HANDLES) || held_by_self(lane))
		return 0;
	for (; n < count; n++) {
		uint64_t next = ts_range_granule(ptrs[n]);
		uint64_t bit = (uint64_t)1 << (next & 63);

		if (next >> 6 != t >> 6 || (mask & bit) || !looks_live(bin, next) ||
		    !ts_arch_tag_fits(ptrs[n]))
			break;
		mask |= bit;
		ts_redzone_free(ptrs[n]);
	}
	if (n < 2)
		return 0;
	taken = n;
	lost = mask & ~ts_lane_free_remote(lane, t, mask, 0);
	for (; lost; lost &= lost - 1, taken--)
		ts_lane_refuse(lane, t);
	*accepted += taken;
	return n;
}

size_t tslab_free_many(void *const *ptrs, size_t count)
{
	size_t accepted = 0;

	ts_fork_check();
	for (size_t i = 0; i < count;) {
		size_t group = 0;

		ts_redzone_free(ptrs[i]);
		if (free_fast(ptrs[i])) {
			accepted++;
			i++;
			continue;
		}
		if (i + 1 < count)
			group = free_group(ptrs + i, count - i, &accepted);
		if (!group) {
			accepted += free_slow(ptrs[i]);
			group = 1;
		}
		i += group;
	}
	return accepted;
}

/* -- realloc and questions ---------------------------------------------------------------------- */

/* The bin of a live object's start; NULL otherwise. A look without ownership. */
static struct ts_bin *live_bin(const void *ptr, uint64_t *t)
{
	struct ts_bin *bin;

	*t = ts_range_granule(ptr);
	if (*t >= ts_a64_load_rlx(&ts_range.granules))
		return NULL;
	bin = (struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[*t >> 9]);
	return bin && looks_live(bin, *t) ? bin : NULL;
}

size_t tslab_usable_size(const void *ptr)
{
	uint64_t t;
	struct ts_bin *bin = ptr ? live_bin(ptr, &t) : NULL;
	const void *object;
	size_t bytes;

	if (bin)
		return object_bytes(bin, t);
	return ts_guard_owns(ptr) && ts_guard_twin(ptr, &bytes, &object) && object == ptr ? bytes : 0;
}

static bool grow_held(struct ts_lane *lane, uint64_t t, size_t bytes)
{
	size_t had = ts_large_usable(t);

	if (!ts_large_grow(lane, t, bytes + TS_REDZONE_BYTES))
		return false;
	ts_redzone_resize(ts_range_address(t), bytes, had);
	return true;
}

/* In place, if the lane is ours to touch. */
static bool grow_large(struct ts_lane *lane, uint64_t t, size_t bytes)
{
	uint64_t tag = ts_a64_load_rlx(&lane->w) & TS_LW_TAG;
	bool grown;

	if (held_by_self(lane))
		return !gated(lane) && grow_held(lane, t, bytes);
	if (ts_lw_take(&lane->w, tag, TS_LW_TRANSIENT) != TS_LW_TAKEN)
		return false;
	grown = !(ts_a64_load_rlx(&lane->w) & TS_LW_CLOSING) && grow_held(lane, t, bytes);
	ts_lane_release(lane);
	return grown;
}

/*
 * Room for an object that has outgrown its place. A large one that grows by less than half will grow again: it
 * gets a quarter more, in whole chunks, of which the kernel gives nothing before it is touched. Who doubles has
 * room enough, and where there is a limit nobody gets more than he asks for.
 */
static size_t room_to_grow(const struct ts_lane *lane, size_t old_bytes, size_t bytes)
{
	bool by_little = bytes > old_bytes && bytes - old_bytes < old_bytes / 2;

	return by_little && old_bytes > TS_SMALL_MAX_BYTES && !ts_epoch_limited(lane) ?
		       bytes + bytes / 4 :
		       bytes;
}

static cold void *realloc_move(void *ptr, struct ts_bin *bin, uint64_t t, size_t bytes)
{
	struct ts_lane *lane = ts_lane_of_bin(bin);
	uint64_t id = ts_a64_load_rlx(&lane->epoch_id);
	size_t old_bytes = object_bytes(bin, t);
	size_t room;
	void *p;

	if (bin == &lane->large && bytes > old_bytes && bytes <= PTRDIFF_MAX &&
	    grow_large(lane, t, bytes))
		return ptr;
	room = room_to_grow(lane, old_bytes, bytes);
	p = lane == ts_tls.lane ? alloc_at_hand(room) : NULL;
	if (!p)
		p = alloc_in_epoch(id, room, TS_GRANULE_BYTES);
	if (!p && room > bytes)
		p = alloc_in_epoch(id, bytes, TS_GRANULE_BYTES);
	if (!p)
		return ts_failure_record(id, bytes, errno, __builtin_return_address(0));
	ts_redzone_arm(p, bytes, __builtin_return_address(0));
	p = ts_arch_tagged(p);
	memcpy(p, ptr, old_bytes < bytes ? old_bytes : bytes);
	tslab_free(ptr);
	return p;
}

/* Always to another place: an object that grows is looked at anew. */
static cold void *realloc_guarded(void *ptr, size_t bytes)
{
	size_t old_bytes;
	const void *object;
	void *twin = ts_guard_twin(ptr, &old_bytes, &object);
	struct ts_lane *lane;
	uint64_t t;
	void *p;

	if (!twin || object != ptr) {
		ts_guard_free(ptr, __builtin_return_address(0)); /* refused */
		errno = EINVAL;
		return NULL;
	}
	t = ts_range_granule(twin);
	lane = ts_lane_of_bin((struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]));
	p = tslab_alloc(ts_a64_load_rlx(&lane->epoch_id), bytes);
	if (!p)
		return NULL;
	memcpy(p, ptr, old_bytes < bytes ? old_bytes : bytes);
	tslab_free(ptr);
	return p;
}

void *tslab_realloc(void *ptr, size_t bytes)
{
	struct ts_bin *bin;
	uint64_t t;
	size_t have;

	if (!ptr)
		return tslab_malloc(bytes);
	ts_fork_check();
	if (ts_guard_owns(ptr))
		return realloc_guarded(ptr, bytes);
	bin = plain_bin(ptr);
	t = ts_range_granule(ptr);
	if (!bin) {
		refuse_pointer(ptr);
	} else if (!looks_live(bin, t)) {
		ts_lane_refuse(ts_lane_of_bin(bin), t);
		bin = NULL;
	}
	if (!bin) {
		errno = EINVAL;
		return NULL;
	}
	have = ts_slot_bytes(bin, t) - TS_REDZONE_BYTES;
	/* Stay unless it does not fit, or more than half would be unused. */
	if (bytes <= have && (bytes >= have / 2 || have <= 64))
		return ts_redzone_resize(ptr, bytes, have + TS_REDZONE_BYTES);
	return realloc_move(ptr, bin, t, bytes);
}

int tslab_owner(const void *ptr, struct tslab_owner_info *info)
{
	struct ts_bin *bin;
	struct ts_lane *lane;
	struct ts_epoch *epoch;
	uint64_t t, start;
	const void *guarded = NULL;
	size_t bytes = 0;

	if (!info || info->struct_bytes != sizeof(*info))
		return -EINVAL;
	if (ts_guard_owns(ptr))
		ptr = ts_guard_twin(ptr, &bytes, &guarded);
	bin = owner_bin(ptr, &t);
	lane = bin ? ts_lane_of_bin(bin) : NULL;
	info->epoch = lane ? ts_a64_load_rlx(&lane->epoch_id) : TSLAB_EPOCH_NONE;
	/* Memory that is kept for reuse is in no epoch. */
	epoch = info->epoch ? ts_epoch_find(info->epoch) : NULL;
	if (!epoch)
		return -ENOENT;
	info->epoch_age_ns = ts_epoch_age_ns(epoch);
	info->heap = ts_lane_heap(lane);
	info->class_index = bin == &lane->large ? UINT32_MAX : ts_lane_class(lane, bin);
	info->live = live_bin(ts_range_address(t), &start) != NULL;
	info->object_bytes = guarded ? bytes : object_bytes(bin, t);
	info->object = guarded ? guarded : ts_arch_tagged(ts_range_address(t));
	ts_epoch_label(epoch, info->label);
	memcpy(info->heap_name, ts_lane_heap(lane)->name, sizeof(info->heap_name));
	return 0;
}

/* -- epochs ------------------------------------------------------------------------------------- */

int tslab_epoch_open(tslab_heap *heap, const char *label, tslab_epoch_t *epoch)
{
	if (!ts_start())
		return -ENOMEM;
	heap = ts_heap_of(heap);
	if (!epoch || !heap) {
		ts_count(refused_argument, 1);
		return -EINVAL;
	}
	ts_fork_check();
	ts_thread_self();
	return ts_epoch_open(heap, label, 0, false, 0, epoch);
}

/* A row that may be changed by its user, or NULL with *error set. */
static struct ts_epoch *user_epoch(uint64_t id, int *error)
{
	struct ts_epoch *epoch;

	ts_fork_check();
	epoch = ts_epoch_find(id);
	*error = !epoch ? -ESTALE : ts_a64_load_rlx(&epoch->stat->kind) ? -EPERM : 0;
	if (!*error)
		return epoch;
	ts_count(refused_argument, 1);
	ts_refused(.what = epoch ? "refused: a default epoch" : "refused: the epoch is over",
		   .epoch = epoch, .epoch_id = id);
	return NULL;
}

int tslab_epoch_close(tslab_epoch_t id)
{
	int error;
	struct ts_epoch *epoch = user_epoch(id, &error);

	return epoch ? ts_epoch_close(epoch, id) : error;
}

int tslab_epoch_discard(tslab_epoch_t id)
{
	int error;
	struct ts_epoch *epoch = user_epoch(id, &error);

	if (!epoch)
		return error;
	error = ts_epoch_discard(epoch, id);
	if (error == -EBUSY)
		ts_report_busy(epoch, id);
	return error;
}

/* Run `change` under a short reference, so that the row stays this epoch's meanwhile. */
#define WITH_REFERENCE(epoch, id, change)                                                          \
	do {                                                                                       \
		if (!(TS_IN_OPEN >> ts_ew_ref(&(epoch)->e, ts_epoch_era(id), TS_IN_OPEN) & 1))     \
			return -ESTALE;                                                            \
		change;                                                                            \
		ts_epoch_drop(epoch, 1);                                                           \
	} while (0)

int tslab_epoch_set_label(tslab_epoch_t id, const char *label)
{
	int error;
	struct ts_epoch *epoch = user_epoch(id, &error);

	if (!epoch)
		return error;
	WITH_REFERENCE(epoch, id, ts_epoch_relabel(epoch, label));
	return 0;
}

int tslab_epoch_set_limit(tslab_epoch_t id, uint64_t limit_bytes)
{
	struct ts_epoch *epoch = ts_epoch_find(id);

	if (!epoch) {
		ts_count(refused_argument, 1);
		return -ESTALE;
	}
	WITH_REFERENCE(epoch, id, {
		ts_a64_store_rlx(&epoch->limit_bytes, limit_bytes);
		ts_a32_store_rlx(&epoch->altered, 1);
		ts_a64_store_rlx(&epoch->stat->limit_bytes, limit_bytes);
	});
	return 0;
}

static void add_references(struct ts_epoch *epoch, int delta)
{
	uint64_t seen = ts_a64_load_rlx(&epoch->references);
	int64_t next;
	bool saturated;

	do {
		next = (int64_t)seen + delta;
		saturated = next < 0 || next > INT32_MAX;
		if (saturated)
			next = next < 0 ? 0 : INT32_MAX;
	} while (!ts_a64_cas_rlx(&epoch->references, &seen, (uint64_t)next));
	ts_a64_store_rlx(&epoch->stat->references, (uint64_t)next);
	ts_a32_store_rlx(&epoch->altered, 1);
	if (saturated)
		ts_count(references_saturated, 1);
}

int tslab_epoch_add_references(tslab_epoch_t id, int delta)
{
	struct ts_epoch *epoch = ts_epoch_find(id);

	if (!epoch) {
		ts_count(refused_argument, 1);
		return -ESTALE;
	}
	WITH_REFERENCE(epoch, id, add_references(epoch, delta));
	return 0;
}
