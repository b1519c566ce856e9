/* SPDX-License-Identifier: MIT */
/*
 * Memory is refused at moments that only a simulated OS layer can choose. That every call which may fail
 * does so once is tests/robust/faults.
 */
#include "support.h"

#include "core/sys_sim.h"

static uint64_t live_now(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	REQUIRE(tslab_stats_epoch(epoch, &s) == 0);
	return s.live_objects;
}

static void purge_is_counted_once(void *unused)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;

	(void)unused;
	REQUIRE(ts_sim_plan("purge:2:EINVAL") == 0);
	tslab_heap *heap = new_heap("purged", 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		REQUIRE(tslab_epoch_open(heap, "purged", &epoch) == 0);
		REQUIRE(tslab_alloc(epoch, 300000));
		REQUIRE(tslab_epoch_discard(epoch) == 0);
	}
	struct tslab_process_stats s = counters();
	REQUIRE(ts_sim_fired() == 1);
	REQUIRE(s.purge_failures == 1);
	REQUIRE(s.purge_last_errno == EINVAL);
	REQUIRE(s.purge_calls >= 3);
	REQUIRE(s.purge_calls == ts_sim_calls(TS_SIM_PURGE));
}

/* Each failure is visible, with its errno; memory that could not be purged reads as zero again. */
static void failures_are_counted(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(purge_is_counted_once, NULL)));
}

static void dirty_memory_is_not_zero_memory(void *unused)
{
	tslab_epoch_t epoch = 0;

	(void)unused;
	REQUIRE(ts_sim_plan("purge:1+:EINVAL") == 0);
	for (unsigned round = 0; round < 4; round++) {
		REQUIRE(tslab_epoch_open(NULL, "dirty", &epoch) == 0);
		for (unsigned i = 0; i < 30; i++) {
			size_t bytes = i % 2 ? 300000 : 5000;
			unsigned char *p = tslab_calloc(1, bytes);

			REQUIRE(p);
			for (size_t at = 0; at < bytes; at++)
				REQUIRE(p[at] == 0);
			memset(p, 0xff, bytes);
			p = tslab_alloc(epoch, bytes);
			REQUIRE(p);
			memset(p, 0xff, bytes);
		}
		REQUIRE(tslab_epoch_discard(epoch) == 0);
	}
}

static void calloc_after_failed_purges(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(dirty_memory_is_not_zero_memory, NULL)));
}

static void nothing_can_be_reserved(void *unused)
{
	tslab_epoch_t epoch = 0;
	tslab_handle_t handle = 0;

	(void)unused;
	REQUIRE(ts_sim_plan("reserve:1+:ENOMEM") == 0);
	REQUIRE(tslab_heap_default());
	for (unsigned i = 0; i < 3; i++) {
		errno = 0;
		REQUIRE(!tslab_malloc(100) && errno == ENOMEM);
		errno = 0;
		REQUIRE(!tslab_malloc(1 << 20) && errno == ENOMEM);
		errno = 0;
		REQUIRE(!tslab_heap_create(NULL) && errno == ENOMEM);
	}
	int error = tslab_epoch_open(NULL, "none", &epoch);
	REQUIRE(error == 0 || error == -ENOMEM);
	if (!error) {
		errno = 0;
		REQUIRE(!tslab_alloc(epoch, 64) && errno == ENOMEM);
		REQUIRE(tslab_handle_alloc(epoch, 64, &handle) == -ENOMEM);
		REQUIRE(tslab_epoch_close(epoch) == 0);
	}
	errno = 4711;
	tslab_free(&epoch);
	REQUIRE(errno == 4711);
}

/* The default heap exists even where no address space can be had. */
static void no_address_space(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(nothing_can_be_reserved, NULL)));
}

/*
 * Two objects of each class, in many lanes; the first free of a class needs a block for its stack, and the
 * second object keeps its chunk, with all stacks, from going back.
 */
enum { LANES = 160, SCOPE_OBJECTS = 12 };
static void *firsts[LANES][CLASS_COUNT];
static tslab_epoch_t fillers[LANES];

static void use_up_stack_blocks(void)
{
	for (unsigned i = 0; i < LANES; i++) {
		REQUIRE(tslab_epoch_open(NULL, "blocks", &fillers[i]) == 0);
		for (unsigned c = 0; c < CLASS_COUNT; c++) {
			firsts[i][c] = tslab_alloc(fillers[i], class_bytes[c]);
			REQUIRE(firsts[i][c] && tslab_alloc(fillers[i], class_bytes[c]));
		}
	}
	/* Chunks for what follows: committed, and in nobody's hands. */
	void *p = tslab_malloc((size_t)64 << 20);
	REQUIRE(p);
	tslab_free(p);
	REQUIRE(ts_sim_plan("commit:1+:ENOMEM,reserve:1+:ENOMEM") == 0);
	for (unsigned i = 0; i < LANES; i++)
		for (unsigned c = 0; c < CLASS_COUNT; c++)
			tslab_free(firsts[i][c]);
	REQUIRE(ts_sim_fired());
}

static uint64_t all_refusals(void)
{
	struct tslab_process_stats s = counters();

	return refusals(&s);
}

/* Objects of a class, some of which were freed before: each is there and is its own. */
static void allocate_and_free(tslab_epoch_t epoch, size_t bytes)
{
	void *taken[SCOPE_OBJECTS];

	for (unsigned i = 0; i < SCOPE_OBJECTS; i++) {
		taken[i] = tslab_alloc(epoch, bytes);
		REQUIRE(taken[i]);
		fill(taken[i], bytes, i);
	}
	uint64_t before = all_refusals();
	for (unsigned i = 0; i < SCOPE_OBJECTS; i++) {
		REQUIRE(holds(taken[i], bytes, i));
		tslab_free(taken[i]);
	}
	REQUIRE(all_refusals() == before);
	for (unsigned i = 0; i < SCOPE_OBJECTS; i++)
		tslab_free(taken[i]);
	REQUIRE(all_refusals() == before + SCOPE_OBJECTS);
	REQUIRE(live_now(epoch) == 0);
}

static void no_stack_blocks(void *unused)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_epoch_t epoch = 0;
	tslab_heap *heap;

	(void)unused;
	options.retain_bytes = (uint64_t)64 << 20;
	heap = tslab_heap_create(&options);
	REQUIRE(tslab_scope_begin(heap, "unlisted", &epoch) == 0);
	for (unsigned c = 0; c < CLASS_COUNT; c++)
		REQUIRE(tslab_malloc(class_bytes[c]));
	REQUIRE(tslab_scope_discard(epoch) == 0);
	use_up_stack_blocks();
	for (unsigned round = 0; round < 6; round++) {
		REQUIRE(tslab_scope_begin(heap, "unlisted", &epoch) == 0);
		for (unsigned c = 0; c < CLASS_COUNT; c++)
			allocate_and_free(epoch, class_bytes[c]);
		REQUIRE((round % 2 ? tslab_scope_close : tslab_scope_discard)(epoch) == 0);
	}
	/* The OS says yes again. */
	REQUIRE(ts_sim_plan(NULL) == 0);
	for (unsigned round = 0; round < 4; round++) {
		REQUIRE(tslab_scope_begin(heap, "unlisted", &epoch) == 0);
		for (unsigned c = 0; c < CLASS_COUNT; c++)
			allocate_and_free(epoch, class_bytes[c]);
		REQUIRE((round % 2 ? tslab_scope_close : tslab_scope_discard)(epoch) == 0);
	}
	for (unsigned i = 0; i < LANES; i++)
		REQUIRE(tslab_epoch_discard(fillers[i]) == 0);
	REQUIRE(counters().live_objects == 0);
}

/* Free never fails: without a block the slot waits for the next discard, and its class serves on. */
static void no_memory_for_stacks(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(no_stack_blocks, NULL)));
}

/* An epoch that may have 16 chunks asks 100 times in vain. */
static void nothing_can_be_committed(void *unused)
{
	enum { LIMIT = 1 << 20, TRIES = 100 };
	tslab_epoch_t greedy = 0, limited = 0;

	(void)unused;
	REQUIRE(tslab_epoch_open(NULL, "greedy", &greedy) == 0);
	REQUIRE(tslab_epoch_open(NULL, "limited", &limited) == 0);
	REQUIRE(tslab_epoch_set_limit(limited, LIMIT) == 0);
	REQUIRE(tslab_alloc(greedy, 32768));
	REQUIRE(ts_sim_plan("commit:1+:ENOMEM") == 0);
	while (tslab_alloc(greedy, 32768))
		;
	REQUIRE(counters().commit_failures > 0);
	for (unsigned i = 0; i < TRIES; i++)
		REQUIRE(!tslab_alloc(limited, 100) && !tslab_alloc(limited, 100000));
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	REQUIRE(tslab_stats_epoch(limited, &s) == 0 && s.charged_bytes == 0);
	REQUIRE(ts_sim_plan(NULL) == 0);
	for (unsigned i = 0; i < LIMIT / 65536; i++)
		REQUIRE(tslab_alloc(limited, 32768) && tslab_alloc(limited, 32768));
	REQUIRE(!tslab_alloc(limited, 32768));
}

/* What was not had counts towards no limit. */
static void limit_after_failures(void **state)
{
	(void)state;
	assert_true(exited_well(in_child(nothing_can_be_committed, NULL)));
}

/* From the so many'th on, nothing is committed: epochs are asked for in vain. */
static void tries_in_vain(void *first)
{
	enum { TRIES = 1000 };
	tslab_epoch_t epoch = 0;
	char plan[64];
	uint64_t reserved;

	/* Blocks that others can read need no commit. */
	REQUIRE(setenv("TSLAB_STATS", "0", 1) == 0);
	tslab_free(tslab_malloc(1));
	snprintf(plan, sizeof(plan), "commit:%u+:ENOMEM", (unsigned)(uintptr_t)first);
	REQUIRE(ts_sim_plan(plan) == 0);
	while (tslab_epoch_open(NULL, NULL, &epoch) == 0)
		;
	reserved = ts_sim_calls(TS_SIM_RESERVE);
	for (unsigned i = 0; i < TRIES; i++)
		REQUIRE(tslab_epoch_open(NULL, NULL, &epoch) == -ENOMEM);
	REQUIRE(ts_sim_calls(TS_SIM_RESERVE) <= reserved + 1);
}

/* A try that fails takes no address space for good. */
static void tries_are_free(void **state)
{
	(void)state;
	for (uintptr_t first = 1; first <= 24; first++)
		assert_true(exited_well(in_child(tries_in_vain, (void *)first)));
}

static void too_large(void *unused)
{
	(void)unused;
	setenv("TSLAB_TRACE_FAILURES", "1", 1);
	for (unsigned i = 0; i < 1000; i++)
		REQUIRE(!tslab_malloc((size_t)1 << 60));
}

/* With its reason, and not a line each. */
static void failures_are_told_on_request(void **state)
{
	static const char said[] = "tslab: allocation failed: reason=threshold size=1152921504";
	char text[8192];
	unsigned lines = 0;

	(void)state;
	assert_true(exited_well(in_child_stderr(too_large, NULL, text, sizeof(text))));
	assert_memory_equal(text, said, sizeof(said) - 1);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_in_range(lines, 1, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_address_space),
		cmocka_unit_test(failures_are_counted),
		cmocka_unit_test(calloc_after_failed_purges),
		cmocka_unit_test(no_memory_for_stacks),
		cmocka_unit_test(tries_are_free),
		cmocka_unit_test(limit_after_failures),
		cmocka_unit_test(failures_are_told_on_request),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
