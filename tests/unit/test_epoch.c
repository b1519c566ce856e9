/* SPDX-License-Identifier: MIT */
/* Epochs: open, close, discard, labels, limits, references, the ring. */
#include "support.h"

#include <pthread.h>

static void open_checks_arguments(void **state)
{
	(void)state;
	assert_refused(refused_argument,
		       assert_int_equal(tslab_epoch_open(NULL, "x", NULL), -EINVAL));
	tslab_epoch_t a = new_epoch(NULL, NULL), b = new_epoch(NULL, NULL);
	assert_int_not_equal(a, b);
	assert_int_equal(tslab_epoch_close(a), 0);
	assert_int_equal(tslab_epoch_close(b), 0);
}

/* Ids that were never given out, or are over, are stale for each call. */
static void stale_epochs_are_refused(void **state)
{
	(void)state;
	tslab_epoch_t over = new_epoch(NULL, "over");
	tslab_handle_t handle = 0;

	assert_int_equal(tslab_epoch_close(over), 0);
	const tslab_epoch_t stale[] = {
		over,       TSLAB_EPOCH_NONE, 1,       over + 65536, over ^ (1ull << 60),
		UINT64_MAX, 0xffff,           over + 1
	};
	for (unsigned i = 0; i < sizeof(stale) / sizeof(stale[0]); i++) {
		struct tslab_process_stats before = counters();

		assert_int_equal(tslab_epoch_close(stale[i]), -ESTALE);
		assert_int_equal(tslab_epoch_discard(stale[i]), -ESTALE);
		assert_int_equal(tslab_epoch_set_label(stale[i], "x"), -ESTALE);
		assert_int_equal(tslab_epoch_set_limit(stale[i], 1), -ESTALE);
		assert_int_equal(tslab_epoch_add_references(stale[i], 1), -ESTALE);
		assert_int_equal(tslab_domain_enter(stale[i]), -ESTALE);
		assert_int_equal(tslab_domain_enter_at(stale[i], NULL), -ESTALE);
		assert_int_equal(tslab_handle_alloc(stale[i], 64, &handle), -ESTALE);
		assert_null_errno(tslab_alloc(stale[i], 64), ESTALE);
		assert_int_equal(tslab_domain_exit(stale[i]), -EINVAL);
		struct tslab_process_stats after = counters();
		uint64_t counted = refusals(&after) - refusals(&before) + after.fail_closing -
				   before.fail_closing;
		assert_int_equal(counted, 10);
	}
	assert_int_equal(handle, 0);
}

static void close_drains(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "drains");
	void *p = tslab_alloc(epoch, 300), *q = tslab_alloc(epoch, 100000);

	fill(p, 300, 1);
	fill(q, 100000, 2);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), -EALREADY);
	assert_int_equal(tslab_epoch_discard(epoch), -EALREADY);
	assert_int_equal(tslab_domain_enter(epoch), -ESTALE);
	assert_counted(fail_closing, assert_null_errno(tslab_alloc(epoch, 10), ESTALE));
	/* Live objects stay what they are until they are freed; resizing would be an allocation. */
	assert_true(holds(p, 300, 1));
	assert_null_errno(tslab_realloc(p, 20000), ESTALE);
	assert_true(holds(p, 300, 1));
	assert_true(holds(q, 100000, 2));
	assert_int_equal(tslab_usable_size(p) >= 300, 1);
	struct tslab_process_stats before = counters();
	tslab_free(p);
	assert_int_equal(counters().epochs_finished, before.epochs_finished);
	tslab_free(q);
	/* The last free finishes the epoch. */
	assert_int_equal(counters().epochs_finished, before.epochs_finished + 1);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
}

static void close_from_inside(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "inside");

	assert_int_equal(tslab_domain_enter(epoch), 0);
	void *p = tslab_malloc(64);
	fill(p, 64, 5);
	struct tslab_process_stats before = counters();
	assert_int_equal(tslab_epoch_close(epoch), 0);
	assert_int_equal(tslab_domain_current(), epoch);
	assert_null_errno(tslab_malloc(64), ESTALE);
	assert_null_errno(tslab_calloc(1, 64), ESTALE);
	assert_null_errno(tslab_aligned_alloc(64, 64), ESTALE);
	assert_null_errno(tslab_malloc(100000), ESTALE);
	assert_null_errno(tslab_realloc(NULL, 64), ESTALE);
	assert_int_equal(tslab_domain_enter(epoch), -ESTALE);
	assert_true(holds(p, 64, 5));
	tslab_free(p);
	assert_int_equal(counters().epochs_finished, before.epochs_finished);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(counters().epochs_finished, before.epochs_finished + 1);
	assert_int_equal(tslab_domain_current(), TSLAB_EPOCH_NONE);
}

struct visitor {
	tslab_epoch_t epoch;
	pthread_barrier_t gate;
	void *object;
};

static void *visit(void *arg)
{
	struct visitor *v = arg;

	if (tslab_domain_enter(v->epoch) != 0)
		return NULL;
	v->object = tslab_malloc(128);
	pthread_barrier_wait(&v->gate);
	pthread_barrier_wait(&v->gate);
	tslab_free(v->object);
	return tslab_domain_exit(v->epoch) == 0 ? v : NULL;
}

/* Another thread inside: discard changes nothing, close leaves the finish to that thread's exit. */
static void somebody_inside(void **state)
{
	(void)state;
	struct visitor v = { .epoch = new_epoch(NULL, "visited") };
	pthread_t thread;
	void *ok;

	pthread_barrier_init(&v.gate, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
	pthread_barrier_wait(&v.gate);
	fill(v.object, 128, 9);
	struct tslab_process_stats before = counters();
	assert_int_equal(tslab_epoch_discard(v.epoch), -EBUSY);
	assert_int_equal(counters().discards_busy, before.discards_busy + 1);
	assert_true(holds(v.object, 128, 9));
	void *mine = tslab_alloc(v.epoch, 64);
	assert_non_null(mine);
	tslab_free(mine);
	assert_int_equal(tslab_epoch_close(v.epoch), 0);
	assert_int_equal(counters().epochs_finished, before.epochs_finished);
	pthread_barrier_wait(&v.gate);
	assert_int_equal(pthread_join(thread, &ok), 0);
	assert_non_null(ok);
	assert_int_equal(counters().epochs_finished, before.epochs_finished + 1);
	assert_int_equal(tslab_epoch_close(v.epoch), -ESTALE);
	pthread_barrier_destroy(&v.gate);
}

static void discard_inside_names_the_site(void *unused)
{
	(void)unused;
	tslab_epoch_t epoch = 0;

	REQUIRE(tslab_epoch_open(NULL, "busy-label", &epoch) == 0);
	REQUIRE(tslab_domain_enter(epoch) == 0);
	REQUIRE(tslab_epoch_discard(epoch) == -EBUSY);
	REQUIRE(tslab_domain_exit(epoch) == 0);
	REQUIRE(tslab_epoch_discard(epoch) == 0);
}

static void discard_busy_is_reported(void **state)
{
	char text[4096];

	(void)state;
	await_next_report();
	int status = in_child_stderr(discard_inside_names_the_site, NULL, text, sizeof(text));
	assert_true(exited_well(status));
	assert_non_null(strstr(text, "busy-label"));
	assert_non_null(strchr(text, '\n'));
}

static void discard_frees_all(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("discards", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "discarded");
	tslab_epoch_t other = new_epoch(heap, "stays");
	tslab_handle_t handle;
	void *gone[500];

	void *stays = tslab_alloc(other, 64);
	fill(stays, 64, 1);
	for (unsigned i = 0; i < 500; i++) {
		gone[i] = tslab_alloc(epoch, 16 + i * 97);
		assert_non_null(gone[i]);
		fill(gone[i], 16 + i * 97, i);
	}
	assert_int_equal(tslab_handle_alloc(epoch, 48, &handle), 0);
	assert_int_equal(live_objects(epoch), 501);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), -ESTALE);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
	assert_refused(refused_stale_handle,
		       assert_int_equal(tslab_handle_free(heap, handle), -ESTALE));
	/* Nothing used the memory since: each later free is refused. */
	struct tslab_process_stats before = counters();
	for (unsigned i = 0; i < 500; i++)
		tslab_free(gone[i]);
	struct tslab_process_stats after = counters();
	assert_int_equal(refusals(&after) - refusals(&before), 500);
	assert_true(holds(stays, 64, 1));
	assert_int_equal(live_objects(other), 1);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static void default_epoch_is_protected(void **state)
{
	(void)state;
	tslab_epoch_t epoch = tslab_epoch_default(NULL);

	assert_int_not_equal(epoch, TSLAB_EPOCH_NONE);
	assert_int_equal(epoch, tslab_epoch_default(tslab_heap_default()));
	assert_refused(refused_argument, assert_int_equal(tslab_epoch_close(epoch), -EPERM));
	assert_refused(refused_argument, assert_int_equal(tslab_epoch_discard(epoch), -EPERM));
	assert_refused(refused_argument,
		       assert_int_equal(tslab_epoch_set_label(epoch, "mine"), -EPERM));
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	void *p = tslab_malloc(20);
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_int_equal(info.epoch, epoch);
	assert_string_equal(info.label, "default");
	tslab_free(p);
	/* It can be entered like any other. */
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_int_equal(tslab_domain_current(), epoch);
	assert_int_equal(tslab_domain_exit(epoch), 0);
}

static void label_of(tslab_epoch_t epoch, char out[TSLAB_LABEL_MAX + 1])
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	void *p = tslab_alloc(epoch, 16);

	assert_non_null(p);
	assert_int_equal(tslab_owner(p, &info), 0);
	memcpy(out, info.label, sizeof(info.label));
	tslab_free(p);
}

static void labels(void **state)
{
	char label[TSLAB_LABEL_MAX + 1];
	char text[] = "request";

	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, text);
	memset(text, 'x', sizeof(text) - 1);
	label_of(epoch, label);
	assert_string_equal(label, "request");
	assert_int_equal(tslab_epoch_set_label(epoch, "job:resize"), 0);
	label_of(epoch, label);
	assert_string_equal(label, "job:resize");
	/* Cut at 31 bytes, never inside a character; control characters never reach a terminal. */
	assert_int_equal(tslab_epoch_set_label(epoch, "1234567890123456789012345678901234"), 0);
	label_of(epoch, label);
	assert_string_equal(label, "1234567890123456789012345678901");
	assert_int_equal(tslab_epoch_set_label(epoch, "12345678901234567890123456789\u00e9\u00e9"),
			 0);
	label_of(epoch, label);
	assert_string_equal(label, "12345678901234567890123456789\u00e9");
	assert_int_equal(tslab_epoch_set_label(epoch, "a\n\x1b[31mb\x7f"), 0);
	label_of(epoch, label);
	assert_int_equal(strlen(label), 9);
	for (const char *c = label; *c; c++)
		assert_true(*c >= ' ' && *c < 0x7f);
	assert_int_equal(label[0], 'a');
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

/* The registry has 16 ids; labels beyond are kept as text, counted, and harm nothing. */
static void labels_beyond_the_registry(void **state)
{
	char want[TSLAB_LABEL_MAX + 1], label[TSLAB_LABEL_MAX + 1];

	(void)state;
	struct tslab_process_stats before = counters();
	for (unsigned i = 0; i < 40; i++) {
		snprintf(want, sizeof(want), "tenant-%u", i);
		tslab_epoch_t epoch = new_epoch(NULL, want);
		label_of(epoch, label);
		assert_string_equal(label, want);
		assert_int_equal(tslab_epoch_close(epoch), 0);
	}
	assert_true(counters().labels_overflowed >= before.labels_overflowed + 24);
}

static void epoch_limit_holds(void **state)
{
	(void)state;
	enum { LIMIT = 512 * 1024 };
	tslab_epoch_t epoch = new_epoch(NULL, "limited");
	tslab_epoch_t free_epoch = new_epoch(NULL, "unlimited");
	void *kept[4096];
	unsigned count = 0;

	assert_int_equal(tslab_epoch_set_limit(epoch, LIMIT), 0);
	struct tslab_process_stats before = counters();
	while (count < 4096 && (kept[count] = tslab_alloc(epoch, 256)))
		count++;
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(counters().fail_exhausted, before.fail_exhausted + 1);
	assert_in_range(count, LIMIT / 256 * 7 / 10, (LIMIT + 65536) / 256);
	/* The limit is the epoch's: others are not touched, and freeing makes room again. */
	void *p = tslab_alloc(free_epoch, LIMIT);
	assert_non_null(p);
	tslab_free(p);
	tslab_free(kept[--count]);
	kept[count] = tslab_alloc(epoch, 256);
	assert_non_null(kept[count++]);
	assert_int_equal(tslab_epoch_set_limit(epoch, 0), 0);
	p = tslab_alloc(epoch, LIMIT);
	assert_non_null(p);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_int_equal(tslab_epoch_close(free_epoch), 0);
}

/* Objects above 32 KiB are charged exactly, and the charge goes with them. */
static void epoch_limit_large(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "large-limit");

	assert_int_equal(tslab_epoch_set_limit(epoch, 4 << 20), 0);
	for (unsigned round = 0; round < 100; round++) {
		void *p = tslab_alloc(epoch, 3 << 20);
		assert_non_null(p);
		assert_counted(fail_exhausted,
			       assert_null_errno(tslab_alloc(epoch, 2 << 20), ENOMEM));
		tslab_free(p);
	}
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

static uint64_t references_of(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	return s.references;
}

static void references_saturate(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "references");
	struct tslab_process_stats before;

	assert_int_equal(tslab_epoch_add_references(epoch, 2), 0);
	assert_int_equal(references_of(epoch), 2);
	assert_int_equal(tslab_epoch_add_references(epoch, -1), 0);
	assert_int_equal(references_of(epoch), 1);
	before = counters();
	assert_int_equal(tslab_epoch_add_references(epoch, -1), 0);
	assert_int_equal(references_of(epoch), 0);
	assert_int_equal(counters().references_saturated, before.references_saturated);
	assert_counted(references_saturated,
		       assert_int_equal(tslab_epoch_add_references(epoch, -5), 0));
	assert_int_equal(references_of(epoch), 0);
	assert_int_equal(tslab_epoch_add_references(epoch, INT32_MAX), 0);
	assert_counted(references_saturated,
		       assert_int_equal(tslab_epoch_add_references(epoch, 1), 0));
	assert_int_equal(references_of(epoch), INT32_MAX);
	assert_counted(references_saturated,
		       assert_int_equal(tslab_epoch_add_references(epoch, INT32_MIN), 0));
	assert_int_equal(references_of(epoch), 0);
	/* They pin nothing. */
	assert_int_equal(tslab_epoch_add_references(epoch, 7), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

/* What a terminal would obey, or turns what follows, is not shown; nor what is no UTF-8. */
static void labels_are_cleaned(void **state)
{
	static const struct {
		const char *given, *shown;
	} labels[] = {
		{ "tab\t, bell\a", "tab?, bell?" },
		{ "del\x7f, c1 \xc2\x85\xc2\x9f, not \xc2\xa0", "del?, c1 ??, not \xc2\xa0" },
		{ "marks \xe2\x80\x8e\xe2\x80\x8f, not \xe2\x80\x90\xe2\x80\x8d",
		  "marks ??, not \xe2\x80\x90\xe2\x80\x8d" },
		{ "\xe2\x80\xa8\xe2\x80\xae, not \xe2\x80\xa7\xe2\x80\xaf",
		  "??, not \xe2\x80\xa7\xe2\x80\xaf" },
		{ "\xe2\x81\xa6\xe2\x81\xa9, not \xe2\x81\xa5\xe2\x81\xaa",
		  "??, not \xe2\x81\xa5\xe2\x81\xaa" },
		{ "long \xc0\x80\xe0\x9f\xbf, half \xed\xa0\x80", "long ?????, half ???" },
		{ "\xf0\x9f\xa6\x8a \xf4\x90\x80\x80 cut \xe2\x82", "\xf0\x9f\xa6\x8a ???? cut ??" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
		tslab_epoch_t epoch = new_epoch(NULL, labels[i].given);
		void *p = tslab_alloc(epoch, 64);

		assert_int_equal(tslab_owner(p, &info), 0);
		assert_string_equal(info.label, labels[i].shown);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
	}
}

static void ring_advances(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("ring", 0, 0);
	tslab_epoch_t now = tslab_epoch_current(heap), next = 0;

	assert_int_not_equal(now, TSLAB_EPOCH_NONE);
	assert_int_equal(now, tslab_epoch_ring(heap, 0));
	errno = 0;
	assert_int_equal(tslab_epoch_ring(heap, TSLAB_RING_EPOCHS), TSLAB_EPOCH_NONE);
	assert_int_equal(errno, EINVAL);
	for (unsigned i = 1; i < 3 * TSLAB_RING_EPOCHS; i++) {
		void *p = tslab_alloc(now, 64);
		assert_non_null(p);
		assert_counted(ring_advances, assert_int_equal(tslab_epoch_advance(heap, &next), 0));
		assert_true(next >> 16 > now >> 16); /* the era */
		assert_int_equal(tslab_epoch_current(heap), next);
		assert_int_equal(tslab_epoch_ring(heap, i % TSLAB_RING_EPOCHS), next);
		assert_null_errno(tslab_alloc(now, 64), ESTALE);
		tslab_free(p);
		now = next;
	}
	assert_int_equal(tslab_epoch_advance(heap, NULL), 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* The ring wraps onto epochs that still hold objects: they drain on their own, nothing merges. */
static void ring_wraps_over_live_epochs(void **state)
{
	(void)state;
	enum { ROUNDS = 5 * TSLAB_RING_EPOCHS };
	tslab_heap *heap = new_heap("wraps", 0, 0);
	tslab_epoch_t epochs[ROUNDS];
	void *objects[ROUNDS];
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	for (unsigned i = 0; i < ROUNDS; i++) {
		epochs[i] = tslab_epoch_current(heap);
		objects[i] = tslab_alloc(epochs[i], 100);
		assert_non_null(objects[i]);
		fill(objects[i], 100, i);
		assert_int_equal(tslab_epoch_advance(heap, NULL), 0);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(epochs[i], epochs[j]);
		assert_int_equal(tslab_owner(objects[i], &info), 0);
		assert_int_equal(info.epoch, epochs[i]);
		assert_int_equal(live_objects(epochs[i]), 1);
		assert_true(holds(objects[i], 100, i));
	}
	struct tslab_process_stats before = counters();
	for (unsigned i = 0; i < ROUNDS; i++)
		tslab_free(objects[i]);
	assert_int_equal(counters().epochs_finished - before.epochs_finished, ROUNDS);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* An advance while a thread is inside: its scope keeps its epoch. */
static void ring_keeps_open_scopes(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("scopes", 0, 0);
	tslab_epoch_t mine = tslab_epoch_current(heap);

	assert_int_equal(tslab_domain_enter(mine), 0);
	void *p = tslab_malloc(32);
	for (unsigned i = 0; i < 2 * TSLAB_RING_EPOCHS; i++)
		assert_int_equal(tslab_epoch_advance(heap, NULL), 0);
	assert_int_equal(tslab_domain_current(), mine);
	assert_null_errno(tslab_malloc(32), ESTALE);
	tslab_free(p);
	assert_int_equal(tslab_domain_exit(mine), 0);
	assert_int_equal(tslab_epoch_close(mine), -ESTALE);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* A ring epoch that the program closed or discarded itself; the entry names it until the wrap. */
static void ring_entry_closed_by_hand(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("by-hand", 0, 0);
	tslab_epoch_t now = tslab_epoch_current(heap);

	assert_int_equal(tslab_epoch_discard(now), 0);
	assert_int_equal(tslab_epoch_advance(heap, &now), 0);
	void *p = tslab_alloc(now, 10);
	assert_non_null(p);
	assert_int_equal(tslab_epoch_close(now), 0);
	assert_int_equal(tslab_epoch_advance(heap, &now), 0);
	tslab_free(p);
	p = tslab_alloc(now, 10);
	assert_non_null(p);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

/* Thousands at once, each with its own objects; then all slots, and one more. */
static void thousands_of_epochs(void **state)
{
	(void)state;
	enum { COUNT = 5000 };
	static tslab_epoch_t epochs[COUNT];
	static void *objects[COUNT];
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	for (unsigned i = 0; i < COUNT; i++) {
		epochs[i] = new_epoch(NULL, "many");
		objects[i] = tslab_alloc(epochs[i], 200);
		assert_non_null(objects[i]);
		fill(objects[i], 200, i);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_true(holds(objects[i], 200, i));
		assert_int_equal(tslab_owner(objects[i], &info), 0);
		assert_int_equal(info.epoch, epochs[i]);
		if (i % 2)
			tslab_free(objects[i]);
		assert_int_equal(
			i % 2 ? tslab_epoch_close(epochs[i]) : tslab_epoch_discard(epochs[i]), 0);
		assert_int_equal(tslab_epoch_close(epochs[i]), -ESTALE);
	}
}

static void slots_run_out(void **state)
{
	(void)state;
	enum { MOST = 70000 };
	tslab_epoch_t *epochs = calloc(MOST, sizeof(*epochs)), none = 0;
	unsigned count = 0;
	int err = 0;

	assert_non_null(epochs);
	while (count < MOST && (err = tslab_epoch_open(NULL, "slots", &epochs[count])) == 0)
		count++;
	assert_int_equal(err, -EAGAIN);
	assert_in_range(count, 65000, 65520);
	assert_int_equal(tslab_epoch_open(NULL, "slots", &none), -EAGAIN);
	assert_int_equal(none, TSLAB_EPOCH_NONE);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(tslab_epoch_close(epochs[i]), 0);
	none = new_epoch(NULL, "again");
	assert_int_equal(tslab_epoch_close(none), 0);
	free(epochs);
}

/* A slot is used over and over: an id never comes back. */
static void ids_are_never_reused(void **state)
{
	(void)state;
	tslab_epoch_t first = new_epoch(NULL, "first"), last = first;

	assert_int_equal(tslab_epoch_close(first), 0);
	for (unsigned i = 0; i < 200000; i++) {
		tslab_epoch_t epoch = new_epoch(NULL, "next");

		assert_int_not_equal(epoch, last);
		assert_int_not_equal(epoch, first);
		assert_int_equal(tslab_epoch_close(epoch), 0);
		last = epoch;
	}
	assert_int_equal(tslab_epoch_close(first), -ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_checks_arguments),
		cmocka_unit_test(stale_epochs_are_refused),
		cmocka_unit_test(close_drains),
		cmocka_unit_test(close_from_inside),
		cmocka_unit_test(somebody_inside),
		cmocka_unit_test(discard_busy_is_reported),
		cmocka_unit_test(discard_frees_all),
		cmocka_unit_test(default_epoch_is_protected),
		cmocka_unit_test(labels),
		cmocka_unit_test(labels_beyond_the_registry),
		cmocka_unit_test(epoch_limit_holds),
		cmocka_unit_test(epoch_limit_large),
		cmocka_unit_test(references_saturate),
		cmocka_unit_test(labels_are_cleaned),
		cmocka_unit_test(ring_advances),
		cmocka_unit_test(ring_wraps_over_live_epochs),
		cmocka_unit_test(ring_keeps_open_scopes),
		cmocka_unit_test(ring_entry_closed_by_hand),
		cmocka_unit_test(thousands_of_epochs),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(ids_are_never_reused),
	};

	return cmocka_run_group_tests_name("epoch", tests, NULL, NULL);
}
