/* SPDX-License-Identifier: MIT */
/* What an observer is shown of scopes, lanes and sites: after ends in any order, and in the child of a fork. */
#include "../unit/support.h"
#include "look.h"

#include <errno.h>
#include <unistd.h>

/* -- scopes ------------------------------------------------------------------------------------------ */

static struct ts_domain_view domain_of(tslab_epoch_t epoch)
{
	const struct ts_snapshot *s = look();

	for (size_t i = 0; i < s->domain_count; i++)
		if (s->domains[i].epoch_id == epoch)
			return s->domains[i];
	return (struct ts_domain_view){ .epoch_id = 0 };
}

static bool same_scope(tslab_epoch_t epoch, const struct ts_domain_view *before)
{
	struct ts_domain_view now = domain_of(epoch);

	return now.epoch_id == epoch && now.site == before->site && now.open == before->open &&
	       now.tid == before->tid && now.oldest_since_ns == before->oldest_since_ns;
}

/* The scopes above one that ends early stay what they are. */
static void ends_in_any_order(void **state)
{
	tslab_epoch_t lowest = new_epoch(NULL, "lowest"), middle = new_epoch(NULL, "middle");
	tslab_epoch_t upper = new_epoch(NULL, "upper");
	struct ts_domain_view was_lowest, was_upper;

	(void)state;
	assert_int_equal(tslab_domain_enter(lowest), 0);
	usleep(10000); /* the clock of scopes is coarse */
	assert_int_equal(tslab_domain_enter(middle), 0);
	usleep(10000);
	assert_int_equal(tslab_domain_enter(upper), 0);
	was_lowest = domain_of(lowest);
	was_upper = domain_of(upper);
	assert_int_equal(was_upper.tid, gettid());
	assert_int_equal(was_upper.open, 1);
	assert_true(was_upper.site && was_lowest.site && was_upper.site != was_lowest.site);
	assert_true(was_lowest.oldest_since_ns &&
		    was_lowest.oldest_since_ns < was_upper.oldest_since_ns);
	assert_int_equal(tslab_domain_exit(middle), -EPERM);
	assert_true(same_scope(lowest, &was_lowest));
	assert_true(same_scope(upper, &was_upper));
	assert_int_equal(domain_of(middle).epoch_id, 0);
	assert_int_equal(tslab_domain_exit(upper), 0);
	assert_int_equal(tslab_domain_exit(lowest), 0);
	assert_int_equal(look()->domain_count, 0);
	tslab_epoch_close(lowest);
	tslab_epoch_close(middle);
	tslab_epoch_close(upper);
}

static void where_it_was_entered(void **state)
{
	tslab_epoch_t epoch = new_epoch(NULL, "where");
	char path[512] = "";
	const struct ts_place_view *place;

	(void)state;
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	place = domain_of(epoch).place;
	assert_non_null(place);
	assert_string_equal(place->module, path);
	assert_true(place->offset > 0);
	assert_int_equal(strlen(place->build_id), 40);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

/* -- lanes ------------------------------------------------------------------------------------------- */

/* What a thread keeps for the next scope is nobody's: its slabs rest, and no epoch has them. */
static void a_kept_lane_rests(void **state)
{
	unsigned c = class_of(3000);
	uint64_t resting = look()->classes[c].resting_units;
	tslab_epoch_t epoch = begin(NULL, "kept");
	const struct ts_snapshot *s;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_non_null(tslab_malloc(3000));
	assert_int_equal(look()->classes[c].resting_units, resting);
	assert_int_equal(tslab_scope_discard(epoch), 0);
	s = look();
	assert_true(s->classes[c].resting_units > resting);
	for (size_t i = 0; i < s->epoch_count; i++)
		assert_true(s->epochs[i].id != epoch);
}

static void lane_of_an_epoch_rests(void **state)
{
	unsigned c = class_of(5000);
	uint64_t resting = look()->classes[c].resting_units;
	tslab_epoch_t epoch = new_epoch(NULL, "parked");

	(void)state;
	assert_non_null(tslab_alloc(epoch, 5000));
	assert_int_equal(look()->classes[c].resting_units, resting);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_true(look()->classes[c].resting_units > resting);
}

static void *enter_and_end(void *arg)
{
	return tslab_domain_enter(*(tslab_epoch_t *)arg) ? arg : NULL;
}

/* A scope that its thread left open is nobody's once its epoch is over. */
static void abandoned_scopes_end(void **state)
{
	uint64_t open = look()->lanes.open_scopes;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		tslab_epoch_t epoch = new_epoch(NULL, "abandoned");

		on_thread(enter_and_end, &epoch);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
		assert_int_equal(look()->lanes.open_scopes, open);
	}
}

/* -- the child of a fork ----------------------------------------------------------------------------- */

struct parent {
	tslab_heap *heap;
	tslab_epoch_t epoch;
	struct ts_domain_view domain;
	struct ts_process_words process;
	uint64_t live_objects;
	uint64_t live_bytes;
	uint64_t larges;
	uint64_t resting_units;
};

static uint64_t live_larges(const struct ts_snapshot *s)
{
	return s->lanes.large_allocs - s->lanes.large_frees;
}

static uint64_t word(const ts_a64 *at)
{
	return ts_a64_load_rlx(at);
}

/* It starts at zero, but for what lives. */
static void counts_from_zero(const struct parent *parent)
{
	const struct ts_snapshot *s = look();

	for (unsigned c = 0; c <= TS_CLASS_LARGE; c++) {
		const struct ts_class_counts *counts = &s->class_counts[c];

		REQUIRE(!counts->chunk_misses && !counts->slabs_opened && !counts->slow_others &&
			!counts->slow_reused && !counts->units_overflowed && !counts->purge_calls &&
			!counts->close_passes && !counts->lock_contended);
	}
	REQUIRE(!word(&s->process.w.chunks_fresh) && !word(&s->process.w.chunks_returned) &&
		!word(&s->process.w.purge_calls));
	REQUIRE(ts_lane_sum_live_objects(&s->lanes) == parent->live_objects);
	REQUIRE(ts_lane_sum_live_bytes(&s->lanes, s->class_bytes) == parent->live_bytes);
	REQUIRE(ts_lane_sum_allocs(&s->lanes) == parent->live_objects);
	REQUIRE(live_larges(s) == parent->larges && s->lanes.large_allocs == parent->larges);
	REQUIRE(s->classes[class_of(100)].resting_units == parent->resting_units);
	REQUIRE(s->lanes.slow_hits == 0 && s->lanes.collected == 0);
	for (unsigned h = 0; h < TS_HISTOGRAMS; h++)
		for (unsigned b = 0; b < TS_HISTOGRAM_BUCKETS; b++)
			REQUIRE(s->times[h][b] == 0);
}

/* What it inherited is there as it was. */
static void gauges_go_on(const struct parent *parent)
{
	const struct ts_snapshot *s = look();

	REQUIRE(word(&s->process.w.range_bytes) == word(&parent->process.range_bytes));
	REQUIRE(word(&s->process.w.retain_limit_bytes) == word(&parent->process.retain_limit_bytes));
	REQUIRE(word(&s->process.w.pool_bytes) == word(&parent->process.pool_bytes));
	REQUIRE(s->domain_count == 1 && s->lanes.open_scopes == 1);
	REQUIRE(s->domains[0].epoch_id == parent->epoch && s->domains[0].site == parent->domain.site);
	REQUIRE(s->domains[0].tid == (uint64_t)gettid());
	REQUIRE(s->domains[0].oldest_since_ns >= parent->domain.oldest_since_ns);
	REQUIRE(s->domains[0].oldest_since_ns - parent->domain.oldest_since_ns < 600000000000);
	REQUIRE(s->domains[0].enters == 1 && s->domains[0].exits == 0);
}

enum { EPOCHS = 200 };

/* Slots that the thread had at hand and slots of the table are one set: nobody gets one twice. */
static void slots_are_one_set(void)
{
	tslab_epoch_t epochs[EPOCHS];

	for (unsigned i = 0; i < EPOCHS; i++) {
		REQUIRE(!tslab_epoch_open(NULL, "one of many", &epochs[i]));
		for (unsigned k = 0; k < i; k++)
			REQUIRE((epochs[k] & 0xffff) != (epochs[i] & 0xffff));
	}
	for (unsigned i = 0; i < EPOCHS; i++)
		REQUIRE(!tslab_epoch_close(epochs[i]));
}

static void look_in_the_child(void *arg)
{
	const struct parent *parent = arg;
	tslab_epoch_t epoch = 0;

	REQUIRE(!tslab_epoch_open(parent->heap, "first call", &epoch));
	counts_from_zero(parent);
	gauges_go_on(parent);
	slots_are_one_set();
	REQUIRE(!tslab_epoch_close(epoch));
	REQUIRE(!tslab_domain_exit(parent->epoch) && look()->domain_count == 0);
}

/* A lane that stays with the thread, whole. */
static void leave_a_lane(void)
{
	tslab_epoch_t epoch = new_epoch(NULL, "warm");

	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_non_null(tslab_malloc(100));
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_true(look()->classes[class_of(100)].resting_units > 0);
}

/* Slots that the thread has at hand, and more memory at rest than it keeps. */
static void leave_slots_and_chunks(void)
{
	tslab_epoch_t epochs[20];
	void *objects[200];

	for (unsigned i = 0; i < 20; i++)
		epochs[i] = new_epoch(NULL, "trace");
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(tslab_epoch_close(epochs[i]), 0);
	for (unsigned i = 0; i < 200; i++)
		assert_non_null(objects[i] = tslab_alloc(tslab_epoch_default(NULL), 100000));
	for (unsigned i = 0; i < 200; i++)
		tslab_free(objects[i]);
	assert_true(word(&look()->process.w.pool_bytes) > 0);
}

static void fork_with(void (*leave_traces)(void))
{
	tslab_heap *heap = new_heap("forked", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	tslab_epoch_t other = new_epoch(heap, "other");
	struct parent parent = { heap, .epoch = new_epoch(heap, "forked") };
	const struct ts_snapshot *s;
	void *large[3];

	assert_int_equal(tslab_domain_enter(parent.epoch), 0);
	for (unsigned i = 0; i < 3000; i++) {
		void *p = tslab_malloc(1 + i * 7 % 9000);

		assert_non_null(p);
		if (i % 3)
			tslab_free(p);
		assert_non_null(tslab_alloc(other, 64));
	}
	tslab_free(tslab_malloc(20000)); /* of a class with nothing live */
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(large[i] = tslab_malloc(200000));
	tslab_free(large[0]);
	tslab_free(large[1]);
	leave_traces();
	parent.domain = domain_of(parent.epoch);
	s = look();
	parent.process = s->process.w;
	parent.live_objects = ts_lane_sum_live_objects(&s->lanes);
	parent.live_bytes = ts_lane_sum_live_bytes(&s->lanes, s->class_bytes);
	parent.larges = live_larges(s);
	assert_int_equal(parent.larges, 1);
	assert_true(s->class_counts[0].chunk_misses > 0);
	parent.resting_units = s->classes[class_of(100)].resting_units;
	assert_true(exited_well(in_child(look_in_the_child, &parent)));
	assert_int_equal(tslab_domain_exit(parent.epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void child_with_slots_and_chunks(void **state)
{
	(void)state;
	fork_with(leave_slots_and_chunks);
}

static void child_with_a_warm_lane(void **state)
{
	(void)state;
	fork_with(leave_a_lane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(child_with_a_warm_lane),
		cmocka_unit_test(child_with_slots_and_chunks),
		cmocka_unit_test(ends_in_any_order),
		cmocka_unit_test(where_it_was_entered),
		cmocka_unit_test(a_kept_lane_rests),
		cmocka_unit_test(lane_of_an_epoch_rests),
		cmocka_unit_test(abandoned_scopes_end),
	};

	return cmocka_run_group_tests_name("shown", tests, NULL, NULL);
}
