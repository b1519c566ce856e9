/* SPDX-License-Identifier: MIT */
/*
 * tslab_scope_begin, _close and _discard: the four single calls in two, and the pairs of epoch slot and
 * lane that a thread keeps from one to the next. In one thread; test_scope_threads.c has several, and fork.
 */
#include "scope.h"

/* -- alone -------------------------------------------------------------------------------------- */

/* Every figure as the four single calls leave it, over many lives of one pair. */
static void as_four_calls(void **state)
{
	enum { ROUNDS = 50 };
	tslab_epoch_t last = keep(NULL, "as four");
	struct tslab_process_stats before = counters(), after;
	void *objects[OBJECTS];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
		tslab_epoch_t epoch = begin(NULL, "as four");

		assert_next_life(epoch, last);
		fill_scope(objects);
		assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
		assert_int_equal(s.live_objects, OBJECTS);
		assert_int_equal(s.open_scopes, 1);
		assert_int_equal(s.lanes, 1);
		assert_int_equal(s.state, TSLAB_EPOCH_ACTIVE);
		assert_int_equal(s.close_since_ns, 0);
		assert_string_equal(s.label, "as four");
		if (round % 2) {
			free_scope(objects);
			assert_int_equal(live_objects(epoch), 0);
			assert_int_equal(tslab_scope_close(epoch), 0);
		} else {
			for (unsigned i = 0; i < OBJECTS; i += 3)
				tslab_free(objects[i]);
			assert_int_equal(tslab_scope_discard(epoch), 0);
		}
		assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
		assert_over(epoch);
		last = epoch;
	}
	after = counters();
	assert_int_equal(after.epochs_opened - before.epochs_opened, ROUNDS);
	assert_int_equal(after.epochs_closed - before.epochs_closed, ROUNDS / 2);
	assert_int_equal(after.epochs_discarded - before.epochs_discarded, ROUNDS / 2);
	assert_int_equal(after.epochs_finished - before.epochs_finished, ROUNDS);
	assert_int_equal(after.allocations - before.allocations, ROUNDS * OBJECTS);
	assert_int_equal(after.frees - before.frees, ROUNDS * OBJECTS);
	assert_int_equal(after.live_objects, before.live_objects);
	assert_int_equal(after.open_epochs, before.open_epochs);
	assert_int_equal(after.open_scopes, before.open_scopes);
	assert_int_equal(after.lanes, before.lanes);
	assert_int_equal(after.refused_double + after.refused_wild,
			 before.refused_double + before.refused_wild);
}

/* An epoch that was opened and entered by the single calls ends in one too; and the other way round. */
static void mixed_with_single_calls(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "mixed");
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_non_null(tslab_malloc(100));
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_over(epoch);
	tslab_epoch_t next = begin(NULL, "mixed");
	assert_next_life(next, epoch);
	void *p = tslab_malloc(100);
	assert_int_equal(tslab_domain_exit(next), 0);
	assert_int_equal(live_objects(next), 1);
	/* Anybody may take the lane now: its word carries this life's tag. */
	assert_int_equal(tslab_domain_enter(next), 0);
	void *q = tslab_malloc(100);
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	assert_int_equal(tslab_stats_epoch(next, &s), 0);
	assert_int_equal(s.lanes, 1);
	assert_int_equal(tslab_domain_exit(next), 0);
	tslab_free(p);
	tslab_free(q);
	assert_int_equal(tslab_epoch_close(next), 0);
	assert_over(next);
}

static void pairs_by_label_and_heap(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("pairs", 0, TSLAB_RETAIN_DEFAULT_BYTES);
	tslab_epoch_t a = keep(heap, "a"), none = keep(heap, NULL), other = keep(NULL, "a");

	assert_int_not_equal(slot_of(a), slot_of(none));
	assert_int_not_equal(slot_of(a), slot_of(other));
	assert_next_life(keep(heap, "a"), a);
	assert_next_life(keep(heap, ""), none);
	assert_next_life(keep(tslab_heap_default(), "a"), other);
	/* "a" is a prefix of "ab" and the other way round. */
	tslab_epoch_t ab = begin(heap, "ab");
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	assert_int_equal(tslab_stats_epoch(ab, &s), 0);
	assert_string_equal(s.label, "ab");
	assert_int_equal(s.heap_id, 1);
	assert_int_equal(tslab_scope_discard(ab), 0);
	/* A label that is longer than what is kept of it is compared no further than that. */
	char text[100];
	memset(text, 'x', sizeof(text));
	text[99] = '\0';
	for (unsigned i = 0; i < 3; i++) {
		text[60] = (char)('0' + i);
		tslab_epoch_t cut = begin(heap, text);
		assert_int_equal(tslab_stats_epoch(cut, &s), 0);
		assert_int_equal(strlen(s.label), TSLAB_LABEL_MAX);
		assert_int_equal(tslab_scope_discard(cut), 0);
	}
	/* Kept pairs of this thread are nobody inside. */
	assert_int_equal(tslab_heap_destroy(heap), 0);
	assert_int_equal(tslab_scope_begin(heap, "a", &a), -EINVAL);
}

/* The slots and lanes are not lost when there are more pairs than a thread keeps. */
static void more_labels_than_pairs(void **state)
{
	enum { LABELS = 12, ROUNDS = 20 };
	struct tslab_process_stats before, after;
	tslab_epoch_t last[LABELS];

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < LABELS; i++) {
			struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
			char label[16];

			snprintf(label, sizeof(label), "label-%u", i);
			last[i] = begin(NULL, label);
			assert_non_null(tslab_malloc(100));
			assert_int_equal(tslab_stats_epoch(last[i], &s), 0);
			assert_string_equal(s.label, label);
			assert_int_equal(s.live_objects, 1);
			assert_int_equal(tslab_scope_discard(last[i]), 0);
		}
		if (round == ROUNDS / 2)
			before = counters();
	}
	after = counters();
	assert_int_equal(after.retained_bytes, before.retained_bytes);
	assert_int_equal(after.chunks_fresh + after.chunks_reused,
			 before.chunks_fresh + before.chunks_reused);
	assert_int_equal(after.lanes, before.lanes);
	/* What was used last is kept, whatever was there before. */
	assert_next_life(keep(NULL, "label-11"), last[LABELS - 1]);
	tslab_epoch_t x = keep(NULL, "x"), y = keep(NULL, "y");
	assert_next_life(keep(NULL, "x"), x);
	assert_next_life(keep(NULL, "y"), y);
}

static void nested(void **state)
{
	enum { DEPTH = 9 };
	tslab_epoch_t epochs[DEPTH];
	void *objects[DEPTH];
	struct tslab_process_stats before = counters(), after;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < DEPTH; i++) {
			epochs[i] = begin(NULL, i % 2 ? "odd" : "even");
			objects[i] = tslab_malloc(64);
			for (unsigned k = 0; k < i; k++)
				assert_int_not_equal(slot_of(epochs[k]), slot_of(epochs[i]));
		}
		for (unsigned i = DEPTH; i-- > 0;) {
			assert_int_equal(tslab_domain_current(), epochs[i]);
			assert_int_equal(live_objects(epochs[i]), 1);
			if (round % 2)
				tslab_free(objects[i]);
			assert_int_equal(
				(round % 2 ? tslab_scope_close : tslab_scope_discard)(epochs[i]), 0);
		}
	}
	after = counters();
	assert_int_equal(after.live_objects, before.live_objects);
	assert_int_equal(after.open_scopes, before.open_scopes);
	assert_int_equal(after.epochs_finished - before.epochs_finished, 20 * DEPTH);
}

/* The same epoch entered twice: the inner end leaves and closes, the outer scope stays open. */
static void nested_in_itself(void **state)
{
	(void)state;
	keep(NULL, "itself");
	tslab_epoch_t epoch = begin(NULL, "itself");
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_int_equal(tslab_scope_discard(epoch), -EBUSY);
	assert_int_equal(tslab_domain_current(), epoch);
	void *p = tslab_malloc(64);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_int_equal(tslab_scope_close(epoch), 0);
	assert_int_equal(tslab_domain_current(), epoch);
	assert_null_errno(tslab_malloc(64), ESTALE);
	tslab_free(p);
	/* The last scope gone, the epoch is over before it can be closed once more. */
	assert_int_equal(tslab_scope_close(epoch), -ESTALE);
	assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
	assert_over(epoch);
}

static void wrong_calls(void **state)
{
	(void)state;
	keep(NULL, "wrong");
	assert_int_equal(tslab_scope_begin(NULL, "wrong", NULL), -EINVAL);
	assert_int_equal(tslab_scope_begin((tslab_heap *)&state, "wrong", &(tslab_epoch_t){ 0 }),
			 -EINVAL);
	assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
	/* Not inside: nothing is done. */
	tslab_epoch_t epoch = new_epoch(NULL, "wrong");
	assert_refused(refused_exit, assert_int_equal(tslab_scope_close(epoch), -EINVAL));
	assert_refused(refused_exit, assert_int_equal(tslab_scope_discard(epoch), -EINVAL));
	assert_refused(refused_exit, assert_int_equal(tslab_scope_close(0), -EINVAL));
	assert_int_equal(live_objects(epoch), 0);
	/* Not innermost: left and ended all the same. */
	assert_int_equal(tslab_domain_enter(epoch), 0);
	tslab_epoch_t inner = begin(NULL, "wrong");
	assert_refused(exits_out_of_order, assert_int_equal(tslab_scope_discard(epoch), -EPERM));
	assert_over(epoch);
	assert_int_equal(tslab_domain_current(), inner);
	assert_int_equal(tslab_scope_close(inner), 0);
	assert_refused(refused_exit, assert_int_equal(tslab_scope_discard(inner), -EINVAL));
	/* The default epoch and the ring's are nobody's pair. */
	tslab_epoch_t ring = tslab_epoch_current(NULL), whole = tslab_epoch_default(NULL);
	assert_int_equal(tslab_domain_enter(ring), 0);
	assert_int_equal(tslab_scope_close(ring), 0);
	assert_over(ring);
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
	assert_int_equal(tslab_stats_epoch(begin(NULL, NULL), &s), 0);
	assert_int_equal(s.ring_index, UINT32_MAX);
	assert_int_equal(tslab_scope_discard(tslab_domain_current()), 0);
	assert_int_equal(tslab_domain_enter(whole), 0);
	assert_int_equal(tslab_scope_close(whole), -EPERM);
	assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
}

/* Limit, references and label of one life are not those of the next. */
static void each_life_is_fresh(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
		tslab_epoch_t epoch = begin(NULL, "fresh");

		assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
		assert_string_equal(s.label, "fresh");
		assert_int_equal(s.limit_bytes, 0);
		assert_int_equal(s.references, 0);
		assert_int_equal(s.abandoned, 0);
		assert_int_equal(s.live_objects, 0);
		assert_int_equal(s.large_objects, 0);
		assert_int_equal(s.charged_bytes, s.committed_bytes);
		void *p = tslab_malloc(2000000);
		assert_non_null(p);
		tslab_free(p);
		if (round == 1)
			assert_int_equal(tslab_epoch_set_limit(epoch, 1), 0);
		if (round == 2)
			assert_int_equal(tslab_epoch_add_references(epoch, 3), 0);
		if (round == 3)
			assert_int_equal(tslab_epoch_set_label(epoch, "stale"), 0);
		if (round == 4)
			p = tslab_malloc(1000000);
		assert_int_equal(round == 4 ? tslab_scope_discard(epoch) : tslab_scope_close(epoch),
				 0);
	}
	/* A limit on each request costs no memory of its own: the lane is found again. */
	struct tslab_process_stats before, after;
	for (unsigned round = 0; round < 20; round++) {
		tslab_epoch_t epoch = begin(NULL, "limited");

		assert_int_equal(tslab_epoch_set_limit(epoch, 1 << 20), 0);
		for (unsigned i = 0; i < 100; i++)
			assert_non_null(tslab_malloc(1000));
		assert_int_equal(tslab_scope_discard(epoch), 0);
		if (round == 10)
			before = counters();
	}
	after = counters();
	assert_int_equal(after.slow_path_misses, before.slow_path_misses);
}

/* Memory of a kept pair is in no epoch. */
static void kept_memory_has_no_owner(void **state)
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	(void)state;
	tslab_epoch_t epoch = begin(NULL, "owner");
	void *p = tslab_malloc(100);
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_int_equal(info.epoch, epoch);
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_int_equal(tslab_owner(p, &info), -ENOENT);
	assert_int_equal(tslab_usable_size(p), 0);
	tslab_epoch_t next = begin(NULL, "owner");
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_int_equal(info.epoch, next);
	assert_false(info.live);
	assert_int_equal(tslab_scope_discard(next), 0);
}

/* -- second frees and wild ones ----------------------------------------------------------------- */

/* After the end, by the keeper and by another thread, and in the next life before reuse. */
static void frees_after_the_end(void **state)
{
	void *objects[OBJECTS];
	struct strays strays = { objects, OBJECTS };

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		tslab_epoch_t epoch = begin(NULL, "strays");

		fill_scope(objects);
		if (round % 2)
			free_scope(objects);
		assert_int_equal(round % 2 ? tslab_scope_close(epoch) : tslab_scope_discard(epoch),
				 0);
		struct tslab_process_stats before = counters();
		free_strays(&strays);
		on_thread(free_strays, &strays);
		assert_int_equal(tslab_free_many(objects, OBJECTS), 0);
		epoch = begin(NULL, "strays");
		on_thread(free_strays, &strays);
		free_strays(&strays);
		struct tslab_process_stats after = counters();
		assert_int_equal(refusals(&after) - refusals(&before), 5 * OBJECTS);
		assert_int_equal(after.frees, before.frees);
		assert_int_equal(live_objects(epoch), 0);
		/* They harmed nothing. */
		fill_scope(objects);
		free_scope(objects);
		assert_int_equal(live_objects(epoch), 0);
		assert_int_equal(tslab_scope_discard(epoch), 0);
	}
}

/* -- memory ------------------------------------------------------------------------------------- */

/* What is kept counts against the heap's limit, and is given up rather than refuse an allocation. */
static void kept_memory_yields_to_the_limit(void **state)
{
	enum { CHUNK = 65536 };

	(void)state;
	tslab_heap *heap = new_heap("tight", 6 * CHUNK, TSLAB_RETAIN_DEFAULT_BYTES);
	tslab_epoch_t epoch = begin(heap, "first");
	for (unsigned i = 0; i < 40; i++)
		assert_non_null(tslab_malloc(8192));
	assert_int_equal(tslab_scope_discard(epoch), 0);
	epoch = begin(heap, "second");
	for (unsigned i = 0; i < 40; i++)
		assert_non_null(tslab_malloc(8192));
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* Within retain_bytes: nothing with 0, and a lane that grew beyond it is not kept. */
static void kept_within_retain_bytes(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("none", 0, 0);
	uint64_t retained = counters().retained_bytes;
	tslab_epoch_t epoch = begin(heap, "r");
	assert_non_null(tslab_malloc(64));
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_true(counters().retained_bytes <= retained);
	assert_int_equal(tslab_heap_destroy(heap), 0);

	heap = new_heap("some", 0, 1 << 20);
	retained = counters().retained_bytes;
	epoch = begin(heap, "r");
	for (unsigned i = 0; i < 300; i++)
		assert_non_null(tslab_malloc(8192));
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_in_range(counters().retained_bytes, retained, retained + (1 << 20));
	epoch = begin(heap, "r");
	assert_non_null(tslab_malloc(8192));
	assert_int_equal(tslab_scope_discard(epoch), 0);
	assert_in_range(counters().retained_bytes, retained, retained + (1 << 20));
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void large_objects(void **state)
{
	(void)state;
	tslab_epoch_t last = keep(NULL, "large");
	for (unsigned round = 0; round < 10; round++) {
		struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
		tslab_epoch_t epoch = begin(NULL, "large");
		void *p = tslab_malloc(100000), *q = tslab_malloc(3000000);

		assert_next_life(epoch, last);
		fill(p, 100000, round);
		fill(q, 3000000, round);
		p = tslab_realloc(p, 50000);
		assert_true(holds(q, 3000000, round));
		assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
		assert_int_equal(s.large_objects, 2);
		if (round % 2) {
			tslab_free(p);
			tslab_free(q);
		}
		assert_int_equal(round % 2 ? tslab_scope_close(epoch) : tslab_scope_discard(epoch),
				 0);
		assert_int_equal(counters().large_bytes, 0);
		assert_refused_somehow(tslab_free(p));
		last = epoch;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_four_calls),
		cmocka_unit_test(mixed_with_single_calls),
		cmocka_unit_test(pairs_by_label_and_heap),
		cmocka_unit_test(more_labels_than_pairs),
		cmocka_unit_test(nested),
		cmocka_unit_test(nested_in_itself),
		cmocka_unit_test(wrong_calls),
		cmocka_unit_test(each_life_is_fresh),
		cmocka_unit_test(kept_memory_has_no_owner),
		cmocka_unit_test(frees_after_the_end),
		cmocka_unit_test(kept_memory_yields_to_the_limit),
		cmocka_unit_test(kept_within_retain_bytes),
		cmocka_unit_test(large_objects),
	};

	return cmocka_run_group_tests_name("scope", tests, NULL, NULL);
}
