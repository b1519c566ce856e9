/* SPDX-License-Identifier: MIT */
/*
 * tslab: memory by lifetime.
 *
 * An epoch is a lifetime that the program names: a request, a frame, a batch, a session. What is
 * allocated in it lies in memory of its own; when the epoch is closed or discarded, that memory goes
 * back as a unit. A domain is a scope: a thread enters an epoch and exits it again, and allocations in
 * between belong to that epoch.
 *
 * Conventions, for every call below unless its text says otherwise
 *   errors   functions return 0 or a negative errno value; allocating ones return NULL and set errno
 *   misuse   a bad argument is refused: nothing changes, the refusal is counted (see <tslab/stats.h>)
 *            and one rate-limited line on stderr names heap, epoch and label. TSLAB_ON_ERROR=abort in
 *            the environment makes the first refusal fatal
 *   threads  any thread may call; hand a pointer to another thread with release and acquire (a mutex,
 *            a queue, an atomic), as the C memory model asks anyway
 *   fork     the child may use everything it inherited; it owns a copy, and its counters open with the
 *            balance that it inherited
 *   signals  not async-signal-safe, except where said
 *   units    all sizes are bytes
 */
#ifndef TSLAB_TSLAB_H
#define TSLAB_TSLAB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TSLAB_VERSION_MAJOR 0
#define TSLAB_VERSION_MINOR 1
#define TSLAB_VERSION_PATCH 0

/* Longest label and heap name, without the terminating NUL. Longer ones are cut at a UTF-8 boundary. */
#define TSLAB_LABEL_MAX 31
/* Epochs of a heap's ring (tslab_epoch_advance). */
#define TSLAB_RING_EPOCHS 16
/* Every object starts at a multiple of this. */
#define TSLAB_ALIGNMENT 16

#if defined(__GNUC__)
#define TSLAB_API __attribute__((visibility("default")))
#define TSLAB_MALLOC_LIKE __attribute__((malloc, warn_unused_result))
#else
#define TSLAB_API
#define TSLAB_MALLOC_LIKE
#endif

/* An allocator instance. The process has one by default; more are made on request. */
typedef struct tslab_heap tslab_heap;

/* A lifetime: slot and era in one value that is never used twice. 0 names no epoch. */
typedef uint64_t tslab_epoch_t;
#define TSLAB_EPOCH_NONE ((tslab_epoch_t)0)

/* A checked reference to an object: generation 24 | granule 32 | heap 8 bits. 0 is never valid. */
typedef uint64_t tslab_handle_t;
#define TSLAB_HANDLE_NONE ((tslab_handle_t)0)

/* ---------------------------------------------------------------------------------------- heaps -- */

struct tslab_heap_options {
	size_t struct_bytes;  /* sizeof(struct tslab_heap_options) of the caller */
	uint64_t limit_bytes; /* most memory the heap may hold; 0 = no limit */
	uint64_t retain_bytes; /* memory kept per thread for reuse instead of going to the OS; 0 = none.
				* An epoch that is open keeps in each thread some of what is freed in it
				* as well, a few slabs of each size class: 2.75 MiB at most by default,
				* nothing if this is 0 or there is a limit */
	const char *name;      /* shown by the tools; copied; NULL = "heap-<id>" */
};

#define TSLAB_RETAIN_DEFAULT_BYTES ((uint64_t)1 << 20)
#define TSLAB_HEAP_OPTIONS_INIT                                                                    \
	{                                                                                          \
		sizeof(struct tslab_heap_options), 0, TSLAB_RETAIN_DEFAULT_BYTES, NULL             \
	}

/**
 * tslab_heap_create - make an allocator instance
 * @options: NULL for the defaults, else a structure started from TSLAB_HEAP_OPTIONS_INIT
 *
 * Return: the heap, or NULL with errno EINVAL (struct_bytes unknown), ENOMEM, or EAGAIN (255 heaps
 * exist). Cost: a system call or two. Not for use on a hot path.
 */
TSLAB_API tslab_heap *tslab_heap_create(const struct tslab_heap_options *options);

/**
 * tslab_heap_destroy - discard all epochs of a heap and return its memory
 * @heap: from tslab_heap_create
 *
 * All pointers and handles into the heap become invalid; handles are refused from then on.
 * Return: 0; -EINVAL for NULL or a heap already destroyed; -EPERM for the default heap; -EBUSY while
 * any thread is inside one of its epochs. Cost: O(chunks), one madvise per run of chunks.
 */
TSLAB_API int tslab_heap_destroy(tslab_heap *heap);

/**
 * tslab_heap_default - the heap that exists from the first call on
 *
 * Never fails: if the address space cannot be reserved, the heap exists and its allocations return
 * NULL with ENOMEM. Cost: one load after the first call.
 */
TSLAB_API tslab_heap *tslab_heap_default(void);

/* --------------------------------------------------------------------------------------- epochs -- */

/**
 * tslab_epoch_open - begin a lifetime
 * @heap:  NULL for the default heap
 * @label: what the tools call this epoch ("request", "job:resize"); copied, cut at TSLAB_LABEL_MAX
 *         bytes, control characters replaced; NULL = unlabeled
 * @epoch: receives the epoch
 *
 * Return: 0; -EINVAL (@epoch NULL, @heap destroyed); -EAGAIN (all 65 520 slots open); -ENOMEM.
 * Cost: no system call once warm, about 50 ns.
 */
TSLAB_API int tslab_epoch_open(tslab_heap *heap, const char *label, tslab_epoch_t *epoch);

/**
 * tslab_epoch_close - no more allocations; memory returns as objects are freed
 * @epoch: an open epoch
 *
 * Waits for nobody. Live objects stay valid until they are freed; threads still inside keep their
 * scope; allocation in the epoch fails with ESTALE from now on. Whoever frees the last object or
 * leaves last returns what is left. Empty memory beyond the heap's retain_bytes is back at the OS
 * when the call returns. Servers close after the last exit.
 * Return: 0; -EALREADY (already closing); -ESTALE (over, or never was); -EPERM (a default epoch).
 * Cost: O(chunks of the epoch); no system call while the memory fits retain_bytes. May be called
 * from inside the epoch.
 */
TSLAB_API int tslab_epoch_close(tslab_epoch_t epoch);

/**
 * tslab_epoch_discard - free everything in an epoch at once and end it
 * @epoch: an open epoch that nobody is inside
 *
 * All objects of the epoch become invalid, live or not; their handles are refused from then on. A
 * later free of one of them is refused as long as the memory has not been used again; a free that
 * runs at the same time as the discard is a program error and undefined.
 * Return: 0; -EBUSY if a thread is inside (a line on stderr names where it entered; nothing changes),
 * or another thread is discarding it just now; -EALREADY (closing: it drains); -ESTALE; -EPERM (a
 * default epoch). Cost: O(classes touched + objects freed singly before), not O(objects), while the
 * memory fits retain_bytes; else O(chunks) and one madvise a run.
 */
TSLAB_API int tslab_epoch_discard(tslab_epoch_t epoch);

/**
 * tslab_epoch_set_label - rename an open epoch
 * Return: 0; -ESTALE; -EPERM (a default epoch). Cost: a lock when the label is new to the process.
 */
TSLAB_API int tslab_epoch_set_label(tslab_epoch_t epoch, const char *label);

/**
 * tslab_epoch_set_limit - bound the memory of an epoch
 * @limit_bytes: 0 = no limit. What counts is the memory that the epoch holds, in chunks of 64 KiB, its
 *               partly used ones included
 *
 * An allocation that would exceed it returns NULL with ENOMEM and is counted as Exhaustion.
 * Return: 0; -ESTALE.
 */
TSLAB_API int tslab_epoch_set_limit(tslab_epoch_t epoch, uint64_t limit_bytes);

/**
 * tslab_epoch_add_references - a counter of the program's own, shown with the epoch
 * @delta: added to the count, which saturates at 0 and at INT32_MAX; a saturation is counted
 *
 * Pins nothing; the tools add it to the open scopes.
 * Return: 0; -ESTALE.
 */
TSLAB_API int tslab_epoch_add_references(tslab_epoch_t epoch, int delta);

/**
 * tslab_epoch_default - the long-lived epoch that takes what is allocated outside any scope
 * @heap: NULL for the default heap
 * Return: the epoch, or TSLAB_EPOCH_NONE (@heap destroyed).
 */
TSLAB_API tslab_epoch_t tslab_epoch_default(tslab_heap *heap);

/**
 * tslab_epoch_ring - the epoch that a ring entry names now
 * @index: 0 to TSLAB_RING_EPOCHS - 1; an entry that was never used is opened by this call
 * Return: the epoch (it may be closing), or TSLAB_EPOCH_NONE with errno EINVAL or ENOMEM.
 */
TSLAB_API tslab_epoch_t tslab_epoch_ring(tslab_heap *heap, unsigned index);

/**
 * tslab_epoch_current - the newest epoch of a heap's ring
 * Return: the epoch, or TSLAB_EPOCH_NONE with errno EINVAL or ENOMEM.
 */
TSLAB_API tslab_epoch_t tslab_epoch_current(tslab_heap *heap);

/**
 * tslab_epoch_advance - open the next epoch of the ring and mark the one before it closing
 * @current: receives the new epoch; may be NULL
 *
 * Open scopes keep their epoch. When the ring wraps onto an entry whose epoch still holds objects,
 * the entry gets a fresh epoch and the old one drains on its own: lifetimes never merge.
 * Return: 0; -EINVAL; -EAGAIN (no free slot); -ENOMEM.
 */
TSLAB_API int tslab_epoch_advance(tslab_heap *heap, tslab_epoch_t *current);

/* -------------------------------------------------------------------------------------- domains -- */

/**
 * tslab_domain_enter - the calling thread enters an epoch
 * @epoch: an open epoch
 *
 * Scopes nest, also in the same epoch. Allocations without a named epoch go to the innermost one. The
 * caller's return address is recorded, so that a scope that is never left can be named by source line.
 * Return: 0; -ESTALE (not open); -ENOMEM. Cost: one atomic operation, about 25 ns; no system call once
 * the thread knows the epoch.
 */
TSLAB_API int tslab_domain_enter(tslab_epoch_t epoch);

/**
 * tslab_domain_enter_at - the same for a wrapper that knows the site better
 * @site: a code address, typically __builtin_return_address(0) of the wrapper
 */
TSLAB_API int tslab_domain_enter_at(tslab_epoch_t epoch, const void *site);

/**
 * tslab_domain_exit - the calling thread leaves an epoch
 * @epoch: the epoch to leave
 *
 * Return: 0; -EINVAL if this thread is not inside @epoch; -EPERM if it is, but not innermost: that
 * scope is left all the same, the scopes above it stay open and are reported. A scope is left on the
 * thread that entered it; coroutines that move between threads use tslab_alloc().
 */
TSLAB_API int tslab_domain_exit(tslab_epoch_t epoch);

/**
 * tslab_scope_begin - open an epoch and enter it: a request, frame or batch of one thread begins
 * @heap:  NULL for the default heap
 * @label: as for tslab_epoch_open
 * @epoch: receives the epoch
 *
 * The same as tslab_epoch_open followed by tslab_domain_enter, and cheaper: a thread that ends an epoch
 * with tslab_scope_close or tslab_scope_discard keeps its slot and memory for the next one of the same
 * heap and label, within the heap's retain_bytes and for up to four of them.
 * Return: 0; the errors of the two calls, then nothing is left open. Cost: no atomic read-modify-write
 * and no system call in a thread that ended such an epoch before.
 */
TSLAB_API int tslab_scope_begin(tslab_heap *heap, const char *label, tslab_epoch_t *epoch);

/**
 * tslab_scope_begin_at - the same for a wrapper that knows the site better
 * @site: a code address, as for tslab_domain_enter_at
 */
TSLAB_API int tslab_scope_begin_at(tslab_heap *heap, const char *label, const void *site,
				   tslab_epoch_t *epoch);

/**
 * tslab_scope_close - leave an epoch and close it
 * @epoch: an epoch that the calling thread is inside, from tslab_scope_begin or opened and entered
 *
 * The same as tslab_domain_exit followed by tslab_epoch_close; other threads may still be inside.
 * Return: 0; -EINVAL (not inside, nothing is done); -EPERM (left and closed, but it was not innermost);
 * the errors of tslab_epoch_close. Cost: one atomic operation if no other thread ever entered the epoch
 * and all objects are freed.
 */
TSLAB_API int tslab_scope_close(tslab_epoch_t epoch);

/**
 * tslab_scope_discard - leave an epoch and discard it with all objects that it holds
 * @epoch: as for tslab_scope_close
 *
 * The same as tslab_domain_exit followed by tslab_epoch_discard.
 * Return: 0; -EINVAL (not inside, nothing is done); -EPERM (left and discarded, but it was not innermost);
 * -EBUSY (left, but a thread is still inside and the epoch stays open, or is discarding it); the other
 * errors of tslab_epoch_discard. Cost: one atomic operation if no other thread ever entered the epoch, and a few
 * instructions a size class in use.
 */
TSLAB_API int tslab_scope_discard(tslab_epoch_t epoch);

/**
 * tslab_domain_current - the epoch of the calling thread's innermost scope
 * Return: the epoch, or TSLAB_EPOCH_NONE outside any scope. Cost: two loads.
 */
TSLAB_API tslab_epoch_t tslab_domain_current(void);

/* -------------------------------------------------------------------------------------- objects -- */

/**
 * tslab_malloc - allocate in the innermost scope, outside any scope in the default epoch
 * @bytes: 0 gives a unique pointer as 1 would
 *
 * Return: memory aligned to 16, contents undefined; NULL with errno ENOMEM (no memory, a limit reached,
 * or @bytes above PTRDIFF_MAX) or ESTALE (the epoch is closing). Cost: a few nanoseconds, no atomic
 * read-modify-write and no lock, except when a new 8 KiB unit is needed.
 */
TSLAB_API void *tslab_malloc(size_t bytes) TSLAB_MALLOC_LIKE;

/** tslab_calloc - the same, zeroed; a product that overflows returns NULL with ENOMEM. */
TSLAB_API void *tslab_calloc(size_t count, size_t bytes) TSLAB_MALLOC_LIKE;

/**
 * tslab_realloc - change an object's size; it stays in its epoch
 * @ptr:   NULL allocates as tslab_malloc
 * @bytes: 0 gives a minimal object, not a free
 *
 * An object above 32 KiB that grows by less than half gets room for a quarter more than asked, so that an
 * array that grows step by step is seldom moved; tslab_usable_size() tells. Not where a limit is set.
 *
 * Return: the object, moved or not; NULL with errno ENOMEM, ESTALE (the epoch is closing) or EINVAL (a
 * refused pointer), and the old object untouched.
 */
TSLAB_API void *tslab_realloc(void *ptr, size_t bytes) __attribute__((warn_unused_result));

/**
 * tslab_aligned_alloc - allocate at a multiple of @alignment
 * @alignment: a power of two up to 4 MiB
 *
 * For alignments up to 8 KiB the cost is about that of tslab_malloc() for @bytes, rounded up to a multiple.
 *
 * Return: as tslab_malloc; NULL with EINVAL for another alignment.
 */
TSLAB_API void *tslab_aligned_alloc(size_t alignment, size_t bytes) TSLAB_MALLOC_LIKE;

/**
 * tslab_alloc - allocate in a named epoch, whatever scope the thread is in
 * Return: as tslab_malloc. Cost: as tslab_malloc if the thread is inside @epoch, else two atomic
 * operations more.
 */
TSLAB_API void *tslab_alloc(tslab_epoch_t epoch, size_t bytes) TSLAB_MALLOC_LIKE;

/**
 * tslab_free - return an object
 * @ptr: NULL is ignored
 *
 * Double frees (also from another thread) and pointers that are interior, misaligned, foreign,
 * unmapped or not yet handed out are refused and counted; the object that lives there is not harmed.
 * What cannot be detected by pointer is a free after the slot was handed out again: use handles there.
 * Leaves errno alone. Cost: a few nanoseconds on the thread that allocated; one or two atomic
 * operations elsewhere.
 */
TSLAB_API void tslab_free(void *ptr);

/**
 * tslab_free_many - return several objects at once
 * @ptrs:  objects of any epochs and threads; NULL entries are ignored
 * Return: how many were accepted (NULL entries count as accepted). Cost: objects that lie together and
 * belong to another thread share one atomic operation.
 */
TSLAB_API size_t tslab_free_many(void *const *ptrs, size_t count);

/**
 * tslab_usable_size - bytes that may be used at @ptr
 * Return: at least the size asked for; 0 for NULL and for a refused pointer (which is not counted).
 */
TSLAB_API size_t tslab_usable_size(const void *ptr);

struct tslab_owner_info {
	size_t struct_bytes;   /* set by the caller: sizeof(struct tslab_owner_info) */
	tslab_epoch_t epoch;   /* whose memory it is */
	uint64_t epoch_age_ns; /* since the epoch was opened */
	const tslab_heap *heap;
	uint32_t class_index;  /* UINT32_MAX for objects above 32 KiB */
	uint32_t live;         /* 1 if the address starts or lies in a live object */
	uint64_t object_bytes; /* size of the slot */
	const void *object;    /* start of the slot */
	char label[TSLAB_LABEL_MAX + 1];
	char heap_name[TSLAB_LABEL_MAX + 1];
};

/**
 * tslab_owner - which epoch owns an address
 * @ptr:  any address, also one inside an object
 * @info: struct_bytes set by the caller; the rest is filled in
 *
 * For debugging and reports: the answer is as good as the instant of the call.
 * Return: 0; -EINVAL (@info); -ENOENT (not memory of any epoch).
 */
TSLAB_API int tslab_owner(const void *ptr, struct tslab_owner_info *info);

/* What became of an object between guard pages. */
enum { TSLAB_GUARD_LIVE = 1, TSLAB_GUARD_FREED = 2, TSLAB_GUARD_ENDED = 3 };

struct tslab_guard_info {
	size_t struct_bytes; /* set by the caller: sizeof(struct tslab_guard_info) */
	const void *object;  /* the object that the access was meant for, or the last one there */
	size_t object_bytes; /* asked for */
	ptrdiff_t offset;    /* of the address in it; object_bytes or more: an overflow */
	tslab_epoch_t epoch;
	uint32_t state; /* TSLAB_GUARD_LIVE; FREED: by a free; ENDED: with its epoch */
	char label[TSLAB_LABEL_MAX + 1];
	char entered_at[64];   /* "module+0x1234" of its scope's enter; "" if there was none */
	char allocated_at[64]; /* of the call that allocated it */
	char freed_at[64];     /* of the free */
};

/**
 * tslab_guard_describe - what an address that trapped was
 * @address: of a SIGSEGV (si_addr), or any other
 * @info:    struct_bytes set by the caller; the rest is filled in
 *
 * With TSLAB_GUARD=N in the environment, or "tslab set PID guard-rate=N", one allocation in about N lies between
 * pages that trap, and traps itself once it is freed or its epoch is over. The library handles no signal: a
 * program's own handler may ask here. Async-signal-safe; takes no lock.
 * Return: 0; -ENOENT (no guard page, or none that was used); -EINVAL (@info).
 */
TSLAB_API int tslab_guard_describe(const void *address, struct tslab_guard_info *info);

/* -------------------------------------------------------------------------------------- handles -- */

/**
 * tslab_handle_alloc - allocate an object that is named by a checked reference
 * @bytes:  1 to 32 KiB
 * @handle: receives the handle
 *
 * Return: 0; -EINVAL; -ESTALE (epoch not open); -ENOMEM.
 */
TSLAB_API int tslab_handle_alloc(tslab_epoch_t epoch, size_t bytes, tslab_handle_t *handle);

/**
 * tslab_handle_get - the object's address
 * @heap: the heap the handle came from; NULL for the default heap
 *
 * Return: the address; NULL with errno ESTALE (freed, reused, discarded, or its epoch is over) or
 * EINVAL (not a handle of @heap). As good as the instant of the call. Takes no lock.
 */
TSLAB_API void *tslab_handle_get(tslab_heap *heap, tslab_handle_t handle);

/**
 * tslab_handle_free - return the object
 * Return: 0 to exactly one caller; -ESTALE to all later ones, also after the slot was used again;
 * -EINVAL for a handle of another heap or no handle.
 */
TSLAB_API int tslab_handle_free(tslab_heap *heap, tslab_handle_t handle);

/**
 * tslab_version - "0.1.0", the version of the library that is loaded
 */
TSLAB_API const char *tslab_version(void);

#ifdef __cplusplus
}
#endif

#endif
