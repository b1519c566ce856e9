/* SPDX-License-Identifier: MIT */
/*
 * The cases of misuse.c. Each makes `count` misuses in batches; after each batch a small world of live
 * objects must be as it was, and fresh objects must be nobody else's.
 */
#include "misuse.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tslab/tslab.h>

#include "../random.h"

enum { BYTES = 64, WORLD = 64, PROBES = 512, LARGE_BYTES = 200000, REGION_BYTES = 1 << 20 };
enum { GENERATIONS = 1 << 24 };

static unsigned char *world[WORLD];
static unsigned char *large;
static unsigned char *mapped, *unmapped;
static unsigned char statics[4096] __attribute__((aligned(64)));

/* ---------------------------------------------------------------------------------------- harm -- */

static void *must_allocate(struct misuse_run *run, size_t bytes)
{
	void *p = run->allocate(bytes);

	if (!p)
		misuse_harm(run, "allocation fails");
	return p;
}

static void check_world(struct misuse_run *run)
{
	for (unsigned i = 0; i < WORLD; i++)
		for (unsigned at = 0; at < BYTES; at++)
			if (world[i][at] != (unsigned char)(i + 1))
				misuse_harm(run, "a live object was overwritten");
	for (unsigned at = 0; at < LARGE_BYTES; at += 4096)
		if (large[at] != 0x5a)
			misuse_harm(run, "a live large object was overwritten");
}

static void make_world(struct misuse_run *run)
{
	for (unsigned i = 0; i < WORLD; i++) {
		world[i] = must_allocate(run, BYTES);
		memset(world[i], (int)i + 1, BYTES);
	}
	large = must_allocate(run, LARGE_BYTES);
	memset(large, 0x5a, LARGE_BYTES);
	mapped = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unmapped = mmap(NULL, REGION_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped == MAP_FAILED || unmapped == MAP_FAILED || munmap(unmapped, REGION_BYTES))
		misuse_harm(run, "no mapping");
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;

	return (x > y) - (x < y);
}

static bool within(const void *p, const void *start, size_t bytes)
{
	return (uintptr_t)p - (uintptr_t)start < bytes;
}

/* Fresh objects beside the world's: each slot has one owner, and none is anybody's stack or statics. */
static void look_for_harm(struct misuse_run *run)
{
	static void *all[PROBES + WORLD];

	for (unsigned i = 0; i < PROBES; i++) {
		all[i] = must_allocate(run, BYTES);
		if (within(all[i], statics, sizeof(statics)) || within(all[i], mapped, REGION_BYTES) ||
		    within(all[i], (const void *)((uintptr_t)run - 65536), 131072) ||
		    within(all[i], large, LARGE_BYTES))
			misuse_harm(run, "memory of somebody else is handed out");
	}
	for (unsigned i = 0; i < PROBES; i++)
		memset(all[i], 0xff, BYTES);
	check_world(run);
	memcpy(all + PROBES, world, sizeof(world));
	qsort(all, PROBES + WORLD, sizeof(all[0]), by_address);
	for (unsigned i = 1; i < PROBES + WORLD; i++)
		if ((char *)all[i] - (char *)all[i - 1] < BYTES)
			misuse_harm(run, "a slot has two owners");
	for (unsigned i = 0; i < PROBES + WORLD; i++) {
		bool lives = false;

		for (unsigned w = 0; w < WORLD && !lives; w++)
			lives = all[i] == world[w];
		if (!lives)
			run->release(all[i]);
	}
}

static void in_batches(struct misuse_run *run, void (*batch)(struct misuse_run *run, unsigned count))
{
	while (run->record->calls < run->count) {
		uint64_t left = run->count - run->record->calls;

		batch(run, left < MISUSE_BATCH ? (unsigned)left : MISUSE_BATCH);
		look_for_harm(run);
	}
}

/* ------------------------------------------------------------------------------- double frees -- */

static void release_again(struct misuse_run *run, void *ptr)
{
	run->record->calls++;
	run->release(ptr);
}

static void at_once(struct misuse_run *run, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		void *p = must_allocate(run, BYTES);

		run->release(p);
		release_again(run, p);
	}
}

static void double_free_at_once(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, at_once);
}

static void later(struct misuse_run *run, unsigned count)
{
	void *objects[MISUSE_BATCH];

	for (unsigned i = 0; i < count; i++)
		objects[i] = must_allocate(run, BYTES);
	for (unsigned i = 0; i < count; i++)
		run->release(objects[i]);
	for (unsigned i = 0; i < count; i++)
		release_again(run, objects[i]);
}

static void double_free_later(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, later);
}

/* A second thread that frees what it is given, then waits for more. */
static struct {
	pthread_barrier_t gate;
	struct misuse_run *run;
	void *objects[MISUSE_BATCH];
	unsigned count;
	bool again; /* these were freed before */
	bool over;
} helper;

static void *help(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&helper.gate);
		if (helper.over)
			return arg;
		for (unsigned i = 0; i < helper.count; i++) {
			if (helper.again)
				release_again(helper.run, helper.objects[i]);
			else
				helper.run->release(helper.objects[i]);
		}
		pthread_barrier_wait(&helper.gate);
	}
}

static void helper_frees(bool again)
{
	helper.again = again;
	pthread_barrier_wait(&helper.gate);
	pthread_barrier_wait(&helper.gate);
}

/* In turn: this thread, then the other one; the other one, then this; the other one twice. */
static void from_two_threads(struct misuse_run *run, unsigned count)
{
	unsigned way = (unsigned)(run->record->calls / MISUSE_BATCH % 3);

	helper.count = count;
	for (unsigned i = 0; i < count; i++)
		helper.objects[i] = must_allocate(run, BYTES);
	if (way > 0)
		helper_frees(false);
	else
		for (unsigned i = 0; i < count; i++)
			run->release(helper.objects[i]);
	if (way != 1)
		helper_frees(true);
	else
		for (unsigned i = 0; i < count; i++)
			release_again(run, helper.objects[i]);
}

static void double_free_across(struct misuse_run *run)
{
	pthread_t thread;

	make_world(run);
	helper.run = run;
	if (pthread_barrier_init(&helper.gate, NULL, 2) || pthread_create(&thread, NULL, help, NULL))
		misuse_harm(run, "no thread");
	in_batches(run, from_two_threads);
	helper.over = true;
	pthread_barrier_wait(&helper.gate);
	pthread_join(thread, NULL);
}

static void after_reuse(struct misuse_run *run, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		void *p = must_allocate(run, BYTES), *q;

		run->release(p);
		q = must_allocate(run, BYTES);
		release_again(run, p);
		if (q == p) {
			void *r = must_allocate(run, BYTES), *s = must_allocate(run, BYTES);

			if (r == q || s == q)
				misuse_harm(run, "frees the object of another owner");
			run->release(r);
			run->release(s);
		}
		run->release(q);
	}
}

static void free_after_reuse(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, after_reuse);
}

/* ------------------------------------------------------------------------------ wild pointers -- */

static void *interior(struct misuse_run *run)
{
	uint64_t pick = rnd(&run->seed);

	if (pick % 4 == 0)
		return large + 16 + pick / 4 % (LARGE_BYTES / 16 - 1) * 16;
	return world[pick / 4 % WORLD] + 16 + pick / 256 % 3 * 16;
}

static void *misaligned(struct misuse_run *run)
{
	uint64_t pick = rnd(&run->seed);

	return world[pick % WORLD] + 1 + pick / WORLD % 15;
}

static void *of_statics(struct misuse_run *run)
{
	return statics + 64 + rnd(&run->seed) % (sizeof(statics) / 16 - 8) * 16;
}

/* Frames of the callers: `run` is one's own. */
static void *of_stack(struct misuse_run *run)
{
	return (void *)(((uintptr_t)run & ~(uintptr_t)15) + 16 * (rnd(&run->seed) % 8));
}

static void *of_mapping(struct misuse_run *run)
{
	return mapped + 64 + rnd(&run->seed) % (REGION_BYTES / 16 - 8) * 16;
}

static void *of_nothing(struct misuse_run *run)
{
	return unmapped + rnd(&run->seed) % (REGION_BYTES / 16) * 16;
}

static void *of_kernel(struct misuse_run *run)
{
	return (void *)(uintptr_t)(0xffff800000000000ull | (rnd(&run->seed) & ~15ull));
}

static void *tagged(struct misuse_run *run)
{
	uint64_t pick = rnd(&run->seed);

	return (void *)((uintptr_t)world[pick % WORLD] | (uintptr_t)(1 + pick / WORLD % 255) << 56);
}

static void *small_number(struct misuse_run *run)
{
	return (void *)(uintptr_t)(1 + rnd(&run->seed) % 65535);
}

/* Near the heap's own objects, in pages that it may not have touched yet. */
static void *not_handed_out(struct misuse_run *run)
{
	return world[0] + (16u << 20) + rnd(&run->seed) % (1u << 20) * 16;
}

static void *any_number(struct misuse_run *run)
{
	return (void *)(uintptr_t)(rnd(&run->seed) >> rnd(&run->seed) % 24 | 1ull << 20);
}

#define WILD(name, source)                                                                         \
	static void name##_batch(struct misuse_run *run, unsigned count)                           \
	{                                                                                          \
		for (unsigned i = 0; i < count; i++)                                               \
			release_again(run, source(run));                                           \
	}                                                                                          \
	static void name(struct misuse_run *run)                                                   \
	{                                                                                          \
		make_world(run);                                                                   \
		in_batches(run, name##_batch);                                                     \
	}

WILD(free_interior, interior)
WILD(free_misaligned, misaligned)
WILD(free_static, of_statics)
WILD(free_stack, of_stack)
WILD(free_mapping, of_mapping)
WILD(free_unmapped, of_nothing)
WILD(free_kernel, of_kernel)
WILD(free_tagged, tagged)
WILD(free_small, small_number)
WILD(free_not_handed_out, not_handed_out)
WILD(free_any, any_number)

/* ------------------------------------------------------------------------------------ handles -- */

static tslab_handle_t new_handle(struct misuse_run *run, tslab_epoch_t epoch, unsigned char mark)
{
	tslab_handle_t handle = TSLAB_HANDLE_NONE;

	if (tslab_handle_alloc(epoch, BYTES, &handle))
		misuse_harm(run, "no handle");
	memset(tslab_handle_get(NULL, handle), mark, BYTES);
	return handle;
}

static void free_live(struct misuse_run *run, tslab_handle_t handle, unsigned char mark)
{
	const unsigned char *p = tslab_handle_get(NULL, handle);

	if (!p || p[0] != mark || p[BYTES - 1] != mark)
		misuse_harm(run, "the object behind a live handle is damaged");
	if (tslab_handle_free(NULL, handle))
		misuse_harm(run, "a live handle is refused");
}

/* In turn: to look the object up, to free it. */
static void try_wrong(struct misuse_run *run, tslab_handle_t handle, const char *harm)
{
	if (run->record->calls++ % 2 ? tslab_handle_get(NULL, handle) != NULL :
				       tslab_handle_free(NULL, handle) == 0)
		misuse_harm(run, harm);
}

static void try_stale(struct misuse_run *run, tslab_handle_t handle)
{
	try_wrong(run, handle, "a stale handle is accepted");
}

static tslab_epoch_t open_epoch(struct misuse_run *run)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;

	if (tslab_epoch_open(NULL, "handles", &epoch))
		misuse_harm(run, "no epoch");
	return epoch;
}

/* What ends the first life of the handles: 0 freed, 1 freed and the epoch closed, 2 discarded. */
static void stale_batch(struct misuse_run *run, unsigned count, unsigned end)
{
	tslab_handle_t stale[MISUSE_BATCH], live[MISUSE_BATCH];
	tslab_epoch_t first = open_epoch(run), second = open_epoch(run);

	for (unsigned i = 0; i < count; i++)
		stale[i] = new_handle(run, first, 1);
	for (unsigned i = 0; i < count && end < 2; i++)
		free_live(run, stale[i], 1);
	if (end == 1 ? tslab_epoch_close(first) : end == 2 ? tslab_epoch_discard(first) : 0)
		misuse_harm(run, "the epoch cannot be ended");
	/* The slots get owners again, in the same epoch or in the next one. */
	for (unsigned i = 0; i < count; i++)
		live[i] = new_handle(run, end ? second : first, 2);
	for (unsigned i = 0; i < count; i++)
		try_stale(run, stale[i]);
	for (unsigned i = 0; i < count; i++)
		free_live(run, live[i], 2);
	if ((!end && tslab_epoch_close(first)) || tslab_epoch_close(second))
		misuse_harm(run, "an epoch cannot be closed");
}

static void reused_batch(struct misuse_run *run, unsigned count)
{
	stale_batch(run, count, 0);
}

static void closed_batch(struct misuse_run *run, unsigned count)
{
	stale_batch(run, count, 1);
}

static void discarded_batch(struct misuse_run *run, unsigned count)
{
	stale_batch(run, count, 2);
}

static void handle_reused(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, reused_batch);
}

static void handle_closed(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, closed_batch);
}

static void handle_discarded(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, discarded_batch);
}

/*
 * One slot through more lives than a generation can count. Handles of its first lives are tried all the
 * time, above all around the wrap.
 */
static void handle_wrap(struct misuse_run *run)
{
	enum { LIVES = GENERATIONS + GENERATIONS / 8 };
	tslab_handle_t old[MISUSE_BATCH];
	tslab_epoch_t epoch;
	uint64_t made = 0;

	make_world(run);
	epoch = open_epoch(run);
	for (uint64_t life = 0; life < LIVES; life++) {
		uint64_t due = run->count * life / LIVES;
		tslab_handle_t handle = new_handle(run, epoch, 3);

		while (run->record->calls < due && made)
			try_stale(run, old[rnd(&run->seed) % made]);
		free_live(run, handle, 3);
		if (made < MISUSE_BATCH)
			old[made++] = handle;
	}
	while (run->record->calls < run->count)
		try_stale(run, old[rnd(&run->seed) % made]);
	look_for_harm(run);
	if (tslab_epoch_close(epoch))
		misuse_harm(run, "an epoch cannot be closed");
}

/* Numbers that nobody ever got; one in 16 is a live handle with some bits changed. */
static void invented_batch(struct misuse_run *run, unsigned count)
{
	tslab_epoch_t epoch = open_epoch(run);
	tslab_handle_t live = new_handle(run, epoch, 4);

	for (unsigned i = 0; i < count; i++) {
		tslab_handle_t wrong = rnd(&run->seed);

		if (i % 16 == 0)
			wrong = live ^ (1ull << rnd(&run->seed) % 64 | 1ull << rnd(&run->seed) % 64);
		if (wrong == live)
			wrong = TSLAB_HANDLE_NONE;
		try_wrong(run, wrong, "an invented handle is accepted");
	}
	free_live(run, live, 4);
	if (tslab_epoch_close(epoch))
		misuse_harm(run, "an epoch cannot be closed");
}

static void handle_invented(struct misuse_run *run)
{
	make_world(run);
	in_batches(run, invented_batch);
}

/* -------------------------------------------------------------------------------------- table -- */

const struct misuse_case misuse_cases[] = {
	{ "double-now", "double free, at once", MISUSE_POINTER, double_free_at_once },
	{ "double-later", "double free, 255 frees later", MISUSE_POINTER, double_free_later },
	{ "double-across", "double free, from two threads", MISUSE_POINTER, double_free_across },
	{ "interior", "free inside an object", MISUSE_POINTER, free_interior },
	{ "misaligned", "free of a misaligned address", MISUSE_POINTER, free_misaligned },
	{ "static", "free of static memory", MISUSE_POINTER, free_static },
	{ "stack", "free of the stack", MISUSE_POINTER, free_stack },
	{ "mapping", "free of the program's own mapping", MISUSE_POINTER, free_mapping },
	{ "unmapped", "free of an unmapped address", MISUSE_POINTER, free_unmapped },
	{ "not-handed-out", "free of memory near, not handed out", MISUSE_POINTER,
	  free_not_handed_out },
	{ "kernel", "free of a kernel address", MISUSE_POINTER, free_kernel },
	{ "tagged", "free of a pointer with a tag in its top byte", MISUSE_POINTER, free_tagged },
	{ "small", "free of a small number", MISUSE_POINTER, free_small },
	{ "any", "free of a random number", MISUSE_POINTER, free_any },
	{ "reused", "free by pointer after the slot was handed out again", MISUSE_REUSED,
	  free_after_reuse },
	{ "handle-reused", "handle, after the slot was handed out again", MISUSE_HANDLE,
	  handle_reused },
	{ "handle-closed", "handle, after its epoch was closed", MISUSE_HANDLE, handle_closed },
	{ "handle-discarded", "handle, after its epoch was discarded", MISUSE_HANDLE,
	  handle_discarded },
	{ "handle-wrap", "handle, when all generations of its slot are used up", MISUSE_HANDLE,
	  handle_wrap },
	{ "handle-invented", "handle that nobody ever got", MISUSE_HANDLE, handle_invented },
};
const unsigned misuse_case_count = sizeof(misuse_cases) / sizeof(misuse_cases[0]);
