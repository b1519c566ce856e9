/* SPDX-License-Identifier: MIT */
/*
 * The OS says no: the n-th call of each kind fails, for every n that a workload reaches, once or from
 * then on. Every call of the library gives a documented error, what lives is not harmed, and as soon as
 * the OS says yes again all works and all figures balance. Links the simulated OS layer.
 */
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

#include "core/sys_sim.h"

enum { OBJECTS = 300, LARGE = 6 };

static struct {
	void *p;
	size_t bytes;
} objects[OBJECTS + LARGE];
static unsigned failed;

static bool documented(int error)
{
	failed += error != 0;
	return error == 0 || error == -ENOMEM || error == -EAGAIN;
}

static void *checked(void *p)
{
	if (!p) {
		failed++;
		REQUIRE(errno == ENOMEM);
	}
	return p;
}

static size_t bytes_of(unsigned i)
{
	return i >= OBJECTS ? 40000 + (i - OBJECTS) * 30001 : 16 + i * 131 % 6000;
}

static void allocate(tslab_epoch_t epoch)
{
	for (unsigned i = 0; i < OBJECTS + LARGE; i++) {
		errno = 0;
		objects[i].bytes = bytes_of(i);
		objects[i].p = checked(tslab_alloc(epoch, objects[i].bytes));
		if (objects[i].p)
			fill(objects[i].p, objects[i].bytes, i);
	}
	for (unsigned i = 0; i < OBJECTS + LARGE; i += 7) {
		if (!objects[i].p)
			continue;
		size_t less = objects[i].bytes;
		REQUIRE(holds(objects[i].p, less, i));
		errno = 0;
		void *p = checked(tslab_realloc(objects[i].p, less * 2));
		/* The pattern depends on the address, so a moved object gets a new one. */
		if (p) {
			objects[i].p = p;
			objects[i].bytes = less * 2;
			fill(p, objects[i].bytes, i);
		}
	}
}

static unsigned check_and_free(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < OBJECTS + LARGE; i++) {
		if (!objects[i].p)
			continue;
		REQUIRE(holds(objects[i].p, objects[i].bytes, i));
		tslab_free(objects[i].p);
		objects[i].p = NULL;
		count++;
	}
	return count;
}

static uint64_t live_now(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	REQUIRE(tslab_stats_epoch(epoch, &s) == 0);
	return s.live_objects;
}

static unsigned still_there(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < OBJECTS + LARGE; i++)
		count += objects[i].p != NULL;
	return count;
}

/* One pass over everything that may need the OS. */
static void workload(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_epoch_t epoch = 0;
	tslab_handle_t handle = 0;

	options.retain_bytes = 0;
	errno = 0;
	tslab_heap *heap = tslab_heap_create(&options);
	if (!heap) {
		failed++;
		REQUIRE(errno == ENOMEM || errno == EAGAIN);
		return;
	}
	for (unsigned round = 0; round < 2; round++) {
		int error = tslab_epoch_open(heap, "faults", &epoch);

		REQUIRE(documented(error));
		if (error)
			continue;
		error = tslab_domain_enter(epoch);
		REQUIRE(documented(error));
		allocate(epoch);
		unsigned handles = tslab_handle_alloc(epoch, 64, &handle) == 0;
		REQUIRE(live_now(epoch) == still_there() + handles);
		REQUIRE(error || tslab_domain_exit(epoch) == 0);
		if (round == 0) {
			check_and_free();
			REQUIRE(!handles || tslab_handle_free(heap, handle) == 0);
			REQUIRE(live_now(epoch) == 0);
			REQUIRE(tslab_epoch_close(epoch) == 0);
		} else {
			for (unsigned i = 0; i < OBJECTS + LARGE; i++)
				REQUIRE(!objects[i].p || holds(objects[i].p, objects[i].bytes, i));
			REQUIRE(tslab_epoch_discard(epoch) == 0);
			memset(objects, 0, sizeof(objects));
		}
		REQUIRE(tslab_epoch_close(epoch) == -ESTALE);
	}
	for (unsigned round = 0; round < 4; round++) {
		int error = tslab_scope_begin(heap, "scope", &epoch);

		REQUIRE(documented(error));
		if (error)
			continue;
		allocate(epoch);
		if (round % 2 == 0)
			check_and_free();
		REQUIRE((round % 2 ? tslab_scope_discard : tslab_scope_close)(epoch) == 0);
		memset(objects, 0, sizeof(objects));
	}
	REQUIRE(tslab_heap_destroy(heap) == 0);
}

/* Exit status: 0 the plan hit and all was well, 3 the workload makes fewer calls than that. */
static void one_plan(void *plan)
{
	REQUIRE(ts_sim_plan(plan) == 0);
	workload();
	if (!ts_sim_fired())
		_exit(3);
	/* The OS says yes again. */
	REQUIRE(ts_sim_plan(NULL) == 0);
	failed = 0;
	workload();
	workload();
	REQUIRE(failed == 0);
	struct tslab_process_stats s = counters();
	REQUIRE(s.live_objects == 0);
	REQUIRE(s.allocations == s.frees);
	REQUIRE(s.large_bytes == 0);
	REQUIRE(s.refused_double + s.refused_wild + s.refused_foreign + s.refused_stale_handle +
			s.refused_wrong_handle + s.refused_exit ==
		0);
}

static void every_nth(const char *kind, const char *error, bool onward)
{
	char plan[64];
	unsigned n = 1;

	for (;; n += 1 + n / 16) {
		snprintf(plan, sizeof(plan), "%s:%u%s:%s", kind, n, onward ? "+" : "", error);
		int status = in_child(one_plan, plan);

		if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
			break;
		if (!exited_well(status))
			fail_msg("with %s", plan);
	}
	assert_true(n > 1);
	print_message("# %s: up to call %u\n", kind, n - 1);
}

static void reserve_fails(void **state)
{
	(void)state;
	every_nth("reserve", "ENOMEM", false);
	every_nth("reserve", "ENOMEM", true);
}

static void commit_fails(void **state)
{
	(void)state;
	every_nth("commit", "ENOMEM", false);
	every_nth("commit", "ENOMEM", true);
	every_nth("commit", "EAGAIN", true);
}

static void purge_fails(void **state)
{
	(void)state;
	every_nth("purge", "EINVAL", false);
	every_nth("purge", "EINVAL", true);
	every_nth("purge", "EAGAIN", true);
}

static void purge_is_counted_once(void *unused)
{
	(void)unused;
	REQUIRE(ts_sim_plan("purge:3:EINVAL") == 0);
	workload();
	struct tslab_process_stats s = counters();
	REQUIRE(ts_sim_fired() == 1);
	REQUIRE(s.purge_failures == 1);
	REQUIRE(s.purge_last_errno == EINVAL);
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
enum { LANES = 80, SCOPE_OBJECTS = 12 };
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_address_space),
		cmocka_unit_test(failures_are_counted),
		cmocka_unit_test(calloc_after_failed_purges),
		cmocka_unit_test(reserve_fails),
		cmocka_unit_test(commit_fails),
		cmocka_unit_test(purge_fails),
		cmocka_unit_test(no_memory_for_stacks),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
