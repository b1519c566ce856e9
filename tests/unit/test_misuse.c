/* SPDX-License-Identifier: MIT */
/*
 * Pointers that nobody may free: refused, counted by cause, reported in one line, and the object that
 * lives nearby is not harmed.
 */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

static char static_bytes[64];

/* Nothing may live or die by a refused call: a small world around it. */
struct world {
	tslab_heap *heap;
	tslab_epoch_t epoch;
	void *small[64];
	void *large;
};

static void make_world(struct world *w)
{
	w->heap = new_heap("orders", 0, 0);
	w->epoch = new_epoch(w->heap, "checkout");
	for (unsigned i = 0; i < 64; i++) {
		w->small[i] = tslab_alloc(w->epoch, 48);
		assert_non_null(w->small[i]);
		fill(w->small[i], 48, i);
	}
	w->large = tslab_alloc(w->epoch, 300000);
	assert_non_null(w->large);
	fill(w->large, 300000, 99);
}

static void check_world(struct world *w)
{
	for (unsigned i = 0; i < 64; i++) {
		assert_true(holds(w->small[i], 48, i));
		tslab_free(w->small[i]);
	}
	assert_true(holds(w->large, 300000, 99));
	tslab_free(w->large);
	assert_int_equal(live_objects(w->epoch), 0);
	assert_int_equal(tslab_heap_destroy(w->heap), 0);
}

static void null_is_ignored(void **state)
{
	(void)state;
	struct tslab_process_stats before = counters();
	tslab_free(NULL);
	assert_int_equal(tslab_usable_size(NULL), 0);
	struct tslab_process_stats after = counters();
	assert_int_equal(refusals(&after), refusals(&before));
}

static void interior_pointers(void **state)
{
	struct world w;

	(void)state;
	make_world(&w);
	for (unsigned offset = 1; offset < 48; offset++)
		assert_refused(refused_wild, tslab_free((char *)w.small[7] + offset));
	assert_refused(refused_wild, tslab_free((char *)w.large + 1));
	assert_refused(refused_wild, tslab_free((char *)w.large + 16));
	assert_refused(refused_wild, tslab_free((char *)w.large + 4096));
	assert_refused(refused_wild, tslab_free((char *)w.large + 65536));
	assert_refused(refused_wild, tslab_free((char *)w.large + 299984));
	assert_int_equal(tslab_usable_size((char *)w.small[7] + 16), 0);
	assert_int_equal(tslab_usable_size((char *)w.large + 65536), 0);
	check_world(&w);
}

/* Every address of the chunks around an object: only the objects' own starts are accepted. */
static void a_sweep_over_a_chunk(void **state)
{
	struct world w;
	unsigned accepted = 0;

	(void)state;
	make_world(&w);
	char *chunk = (char *)((uintptr_t)w.small[0] & ~(uintptr_t)0xffff);
	for (unsigned offset = 0; offset < 65536; offset += 16) {
		for (unsigned i = 0; i < 64; i++) {
			if (chunk + offset == w.small[i])
				goto own;
		}
		struct tslab_process_stats before = counters();
		tslab_free(chunk + offset);
		struct tslab_process_stats after = counters();
		assert_int_equal(refusals(&after) - refusals(&before), 1);
		continue;
own:
		accepted++;
	}
	assert_int_equal(accepted, 64);
	check_world(&w);
}

static void foreign_pointers(void **state)
{
	struct world w;
	char stack[64];
	void *libc_object = malloc(100), *mapped, *unmapped;

	(void)state;
	make_world(&w);
	mapped = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unmapped = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(mapped != MAP_FAILED && unmapped != MAP_FAILED);
	assert_int_equal(munmap(unmapped, 65536), 0);
	void *const foreign[] = {
		stack + 16,
		static_bytes,
		(void *)(uintptr_t) "literal",
		(void *)(uintptr_t)foreign_pointers,
		libc_object,
		mapped,
		unmapped,
		(void *)1,
		(void *)16,
		(void *)0xfff0,
		(void *)UINTPTR_MAX,
		(void *)(UINTPTR_MAX & ~(uintptr_t)15),
		(void *)(uintptr_t)0xffff800000000000ull,
		(void *)(uintptr_t)0xffffffff80000000ull,
		(void *)(uintptr_t)0x8000000000000000ull,
		(void *)((uintptr_t)w.small[0] | (uintptr_t)0xa5 << 56),
		(void *)((uintptr_t)w.small[0] ^ (uintptr_t)1 << 46),
	};
	for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		assert_refused(refused_foreign, tslab_free(foreign[i]));
		assert_int_equal(tslab_usable_size(foreign[i]), 0);
		assert_refused(refused_foreign,
			       assert_null_errno(tslab_realloc(foreign[i], 64), EINVAL));
		struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
		assert_int_equal(tslab_owner(foreign[i], &info), -ENOENT);
	}
	memset(libc_object, 1, 100);
	free(libc_object);
	munmap(mapped, 65536);
	check_world(&w);
}

/* Addresses of the reservation that were never handed out, or lie behind its used part. */
static void addresses_not_handed_out(void **state)
{
	struct world w;

	(void)state;
	make_world(&w);
	for (unsigned shift = 16; shift < 36; shift++) {
		struct tslab_process_stats before = counters();

		tslab_free((char *)w.large + ((size_t)1 << 24) + ((size_t)1 << shift));
		struct tslab_process_stats after = counters();
		assert_int_equal(refusals(&after) - refusals(&before), 1);
	}
	check_world(&w);
}

static void usable_size_counts_nothing(void **state)
{
	(void)state;
	char local[16];
	void *p = tslab_malloc(64);

	struct tslab_process_stats before = counters();
	assert_int_equal(tslab_usable_size(local), 0);
	assert_int_equal(tslab_usable_size((char *)p + 16), 0);
	tslab_free(p);
	assert_int_equal(tslab_usable_size(p), 0);
	struct tslab_process_stats after = counters();
	assert_int_equal(refusals(&after), refusals(&before));
}

static void double_free_at_once(void **state)
{
	static const size_t sizes[] = { 1, 16, 64, 500, 768, 5000, 32768, 40000, 5000000 };
	struct world w;

	(void)state;
	make_world(&w);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *p = tslab_alloc(w.epoch, sizes[i]);

		assert_non_null(p);
		tslab_free(p);
		for (unsigned again = 0; again < 3; again++)
			assert_refused_somehow(tslab_free(p));
	}
	check_world(&w);
}

/* Many frees in between, and still the slot was not handed out again. */
static void double_free_delayed(void **state)
{
	enum { COUNT = 500 };
	struct world w;
	void *objects[COUNT];

	(void)state;
	make_world(&w);
	for (unsigned i = 0; i < COUNT; i++)
		objects[i] = tslab_alloc(w.epoch, 200);
	for (unsigned i = 0; i < COUNT; i++)
		tslab_free(objects[i]);
	for (unsigned i = 0; i < COUNT; i++)
		assert_refused(refused_double, tslab_free(objects[i]));
	/* The slots come back once each. */
	for (unsigned i = 0; i < COUNT; i++) {
		objects[i] = tslab_alloc(w.epoch, 200);
		fill(objects[i], 200, i);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_true(holds(objects[i], 200, i));
		tslab_free(objects[i]);
	}
	check_world(&w);
}

static void *free_it(void *arg)
{
	tslab_free(arg);
	return NULL;
}

/* All orders of two threads and one object, with the owner inside its scope and outside. */
static void double_free_across_threads(void **state)
{
	(void)state;
	for (unsigned inside = 0; inside < 2; inside++) {
		struct world w;

		make_world(&w);
		if (inside)
			assert_int_equal(tslab_domain_enter(w.epoch), 0);
		void *p = tslab_alloc(w.epoch, 100);
		tslab_free(p);
		assert_refused(refused_double, on_thread(free_it, p));
		p = tslab_alloc(w.epoch, 100);
		on_thread(free_it, p);
		assert_refused(refused_double, tslab_free(p));
		p = tslab_alloc(w.epoch, 100);
		on_thread(free_it, p);
		assert_refused(refused_double, on_thread(free_it, p));
		void *large = tslab_alloc(w.epoch, 100000);
		on_thread(free_it, large);
		assert_refused_somehow(on_thread(free_it, large));
		if (inside)
			assert_int_equal(tslab_domain_exit(w.epoch), 0);
		check_world(&w);
	}
}

struct race {
	pthread_barrier_t gate;
	void **objects;
	unsigned count;
};

static void *free_all_of_them(void *arg)
{
	struct race *r = arg;

	pthread_barrier_wait(&r->gate);
	for (unsigned i = 0; i < r->count; i++)
		tslab_free(r->objects[i]);
	pthread_barrier_wait(&r->gate);
	return NULL;
}

/* Two, then three threads free the same objects at once: each is freed once, each extra is counted. */
static void double_free_races(void **state)
{
	enum { COUNT = 2000 };
	static void *objects[COUNT];

	(void)state;
	for (unsigned threads = 1; threads <= 2; threads++) {
		for (unsigned inside = 0; inside < 2; inside++) {
			tslab_epoch_t epoch = new_epoch(NULL, "race");
			struct race r = { .objects = objects, .count = COUNT };
			pthread_t others[2];

			if (inside)
				assert_int_equal(tslab_domain_enter(epoch), 0);
			for (unsigned i = 0; i < COUNT; i++)
				objects[i] = tslab_alloc(epoch, 64);
			pthread_barrier_init(&r.gate, NULL, threads + 1);
			struct tslab_process_stats before = counters();
			for (unsigned i = 0; i < threads; i++)
				pthread_create(&others[i], NULL, free_all_of_them, &r);
			free_all_of_them(&r);
			for (unsigned i = 0; i < threads; i++)
				pthread_join(others[i], NULL);
			/* What was found late is counted when it is collected: at the latest on exit. */
			if (inside)
				assert_int_equal(tslab_domain_exit(epoch), 0);
			assert_int_equal(live_objects(epoch), 0);
			struct tslab_process_stats after = counters();
			assert_int_equal(refusals(&after) - refusals(&before), threads * COUNT);
			assert_int_equal(tslab_epoch_close(epoch), 0);
			assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
			pthread_barrier_destroy(&r.gate);
		}
	}
}

/* Frees of what a close or a discard took along, before and after the memory was used again. */
static void frees_after_the_end(void **state)
{
	(void)state;
	tslab_heap *heap = new_heap("ends", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "ends");
	void *p = tslab_alloc(epoch, 64), *q = tslab_alloc(epoch, 64);

	assert_int_equal(tslab_epoch_close(epoch), 0);
	tslab_free(p);
	assert_refused(refused_double, tslab_free(p));
	tslab_free(q);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
	struct tslab_process_stats before = counters();
	tslab_free(p);
	tslab_free(q);
	on_thread(free_it, q);
	struct tslab_process_stats after = counters();
	assert_int_equal(refusals(&after) - refusals(&before), 3);
	assert_int_equal(tslab_heap_destroy(heap), 0);
}

static unsigned lines_of(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void one_double_free(void *arg)
{
	struct world *w = arg;

	tslab_free(w->small[3]);
	tslab_free(w->small[3]);
}

static void ten_thousand_refusals(void *arg)
{
	struct world *w = arg;

	tslab_free(w->small[3]);
	for (unsigned i = 0; i < 10000; i++)
		tslab_free(w->small[3]);
	REQUIRE(counters().refused_double >= 10000);
}

static void each_cause_once(void *arg)
{
	struct world *w = arg;
	tslab_handle_t handle = 0;

	REQUIRE(tslab_handle_alloc(w->epoch, 64, &handle) == 0);
	REQUIRE(tslab_handle_free(w->heap, handle) == 0);
	await_next_report();
	tslab_free((char *)w->small[3] + 16);
	await_next_report();
	tslab_free((char *)w->large + 65536);
	await_next_report();
	REQUIRE(tslab_domain_exit(w->epoch) == -EINVAL);
	await_next_report();
	REQUIRE(tslab_handle_free(w->heap, handle) == -ESTALE);
}

/* Each line names heap, epoch and label. */
static void assert_named(const char *text)
{
	while (*text) {
		char line[512];
		size_t length = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)length, text);
		if (!strstr(line, "heap=orders") || !strstr(line, "label=\"checkout\""))
			fail_msg("no heap or label in: %s", line);
		text += length + 1;
	}
}

/* One line for a refusal, with heap, epoch and label in it; and a flood does not flood stderr. */
static void refusals_are_reported(void **state)
{
	struct world w;
	static char text[1 << 20];

	(void)state;
	make_world(&w);
	/* The first tells how many of the tests before were left out. */
	await_next_report();
	tslab_free(&w);
	await_next_report();
	assert_true(exited_well(in_child_stderr(one_double_free, &w, text, sizeof(text))));
	print_message("# %s", text);
	assert_int_equal(lines_of(text), 1);
	assert_non_null(strstr(text, "tslab"));
	assert_non_null(strstr(text, "orders"));
	assert_non_null(strstr(text, "checkout"));
	assert_non_null(strstr(text, "free"));
	assert_null(strstr(text, "left out"));

	assert_true(exited_well(in_child_stderr(ten_thousand_refusals, &w, text, sizeof(text))));
	assert_in_range(lines_of(text), 1, 100);
	assert_true(exited_well(in_child_stderr(each_cause_once, &w, text, sizeof(text))));
	assert_int_equal(lines_of(text), 4);
	assert_named(text);
	check_world(&w);
}

static void closed_stderr(void *arg)
{
	close(STDERR_FILENO);
	one_double_free(arg);
}

/* A process without stderr: the report must not land in another file, or kill it. */
static void no_stderr(void **state)
{
	struct world w;

	(void)state;
	make_world(&w);
	assert_true(exited_well(in_child(closed_stderr, &w)));
	check_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_is_ignored),
		cmocka_unit_test(interior_pointers),
		cmocka_unit_test(a_sweep_over_a_chunk),
		cmocka_unit_test(foreign_pointers),
		cmocka_unit_test(addresses_not_handed_out),
		cmocka_unit_test(usable_size_counts_nothing),
		cmocka_unit_test(double_free_at_once),
		cmocka_unit_test(double_free_delayed),
		cmocka_unit_test(double_free_across_threads),
		cmocka_unit_test(double_free_races),
		cmocka_unit_test(frees_after_the_end),
		cmocka_unit_test(refusals_are_reported),
		cmocka_unit_test(no_stderr),
	};

	return cmocka_run_group_tests_name("misuse", tests, NULL, NULL);
}
