/* SPDX-License-Identifier: MIT */
/* <tslab/stats.h>: figures of this process, sizes of structures, and calls from a signal handler. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "core/blocks.h"

enum { OBJECTS = 500, OBJECT_BYTES = 200 };

static struct tslab_process_stats process_now(void)
{
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };

	assert_int_equal(tslab_stats_process(&stats), 0);
	return stats;
}

static struct tslab_epoch_stats epoch_now(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats stats = { .struct_bytes = sizeof(stats) };

	assert_int_equal(tslab_stats_epoch(epoch, &stats), 0);
	return stats;
}

/* An epoch with OBJECTS objects that its one scope, left open, has allocated. */
static tslab_epoch_t filled_epoch(const char *label, void **objects)
{
	tslab_epoch_t epoch;

	assert_int_equal(tslab_epoch_open(NULL, label, &epoch), 0);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (int i = 0; i < OBJECTS; i++) {
		objects[i] = tslab_malloc(OBJECT_BYTES);
		assert_non_null(objects[i]);
	}
	return epoch;
}

static void test_epoch(void **state)
{
	void *objects[OBJECTS], *large;
	tslab_epoch_t epoch = filled_epoch("figures", objects);
	struct tslab_epoch_stats stats = epoch_now(epoch);

	(void)state;
	assert_true(stats.epoch == epoch);
	assert_int_equal(stats.state, TSLAB_EPOCH_ACTIVE);
	assert_string_equal(stats.label, "figures");
	assert_int_equal(stats.ring_index, UINT32_MAX);
	assert_int_equal(stats.is_default, 0);
	assert_int_equal(stats.open_scopes, 1);
	assert_int_equal(stats.live_objects, OBJECTS);
	assert_true(stats.live_bytes >= OBJECTS * OBJECT_BYTES &&
		    stats.live_bytes < 2 * OBJECTS * OBJECT_BYTES);
	assert_true(stats.committed_bytes >= stats.live_bytes);
	assert_int_equal(stats.consistent, 1);

	large = tslab_malloc(100000);
	assert_non_null(large);
	stats = epoch_now(epoch);
	assert_int_equal(stats.large_objects, 1);
	assert_true(stats.large_bytes >= 100000);
	assert_int_equal(stats.live_objects, OBJECTS + 1);
	tslab_free(large);
	for (int i = 0; i < OBJECTS / 2; i++)
		tslab_free(objects[i]);
	stats = epoch_now(epoch);
	assert_int_equal(stats.live_objects, OBJECTS - OBJECTS / 2);
	assert_int_equal(stats.large_objects, 0);

	assert_int_equal(tslab_domain_exit(epoch), 0);
	stats = epoch_now(epoch);
	assert_int_equal(stats.open_scopes, 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
	stats = epoch_now(epoch);
	assert_int_equal(stats.state, TSLAB_EPOCH_CLOSING);
	for (int i = OBJECTS / 2; i < OBJECTS; i++)
		tslab_free(objects[i]);
	assert_int_equal(tslab_stats_epoch(epoch, &stats), -ESTALE);
}

static void test_process(void **state)
{
	struct tslab_process_stats before = process_now(), after;
	void *objects[OBJECTS];
	tslab_epoch_t epoch = filled_epoch("process", objects);

	(void)state;
	after = process_now();
	assert_int_equal(after.allocations - before.allocations, OBJECTS);
	assert_int_equal(after.live_objects - before.live_objects, OBJECTS);
	assert_int_equal(after.epochs_opened - before.epochs_opened, 1);
	assert_int_equal(after.open_epochs - before.open_epochs, 1);
	assert_int_equal(after.open_scopes - before.open_scopes, 1);
	tslab_free(objects[0]);
	tslab_free(objects[0]);
	assert_int_equal(process_now().refused_double - before.refused_double, 1);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	after = process_now();
	assert_int_equal(after.live_objects, before.live_objects);
	assert_int_equal(after.allocations - before.allocations, after.frees - before.frees);
	assert_int_equal(after.open_epochs, before.open_epochs);
	assert_int_equal(after.epochs_discarded - before.epochs_discarded, 1);
}

static void test_class(void **state)
{
	struct tslab_class_stats before = { .struct_bytes = sizeof(before) }, after = before;
	uint64_t total = 0;
	void *object;

	(void)state;
	assert_int_equal(tslab_stats_class(2, &before), 0);
	assert_int_equal(before.object_bytes, 128);
	assert_int_equal(before.class_index, 2);
	assert_true(before.objects_per_slab * before.object_bytes <= before.slab_bytes);
	object = tslab_malloc(128);
	assert_non_null(object);
	assert_int_equal(tslab_stats_class(2, &after), 0);
	assert_int_equal(after.allocations - before.allocations, 1);
	assert_true(after.slabs >= 1 && after.committed_bytes == after.slabs * after.slab_bytes);
	tslab_free(object);
	for (unsigned i = 0; i < TSLAB_CLASS_COUNT; i++) {
		assert_int_equal(tslab_stats_class(i, &after), 0);
		total += after.allocations;
	}
	assert_true(total <= process_now().allocations);
	assert_int_equal(tslab_stats_class(TSLAB_CLASS_COUNT, &after), -EINVAL);
}

static void test_epoch_class(void **state)
{
	struct tslab_class_stats stats = { .struct_bytes = sizeof(stats) };
	void *objects[OBJECTS];
	tslab_epoch_t epoch = filled_epoch("classes", objects);
	uint64_t live = 0;

	(void)state;
	for (unsigned i = 0; i < TSLAB_CLASS_COUNT; i++) {
		assert_int_equal(tslab_stats_epoch_class(epoch, i, &stats), 0);
		live += stats.live_objects;
	}
	assert_int_equal(live, OBJECTS);
	assert_int_equal(tslab_stats_epoch_class(epoch, TSLAB_CLASS_COUNT, &stats), -EINVAL);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_int_equal(tslab_stats_epoch_class(epoch, 0, &stats), -ESTALE);
}

/* 600 MiB in one class, of which nothing is touched: more than 65536 units. */
static void test_large_class(void **state)
{
	enum { LARGE = 32768, COUNT = 19200 };
	struct tslab_class_stats stats = { .struct_bytes = sizeof(stats) };
	static void *objects[COUNT];
	tslab_epoch_t epoch = 0;
	unsigned class = 0;

	(void)state;
	do
		assert_int_equal(tslab_stats_class(class, &stats), 0);
	while (stats.object_bytes != LARGE && ++class);
	assert_int_equal(tslab_scope_begin(NULL, "large class", &epoch), 0);
	for (unsigned i = 0; i < COUNT; i++)
		assert_non_null(objects[i] = tslab_malloc(LARGE));
	assert_int_equal(tslab_stats_epoch_class(epoch, class, &stats), 0);
	assert_int_equal(stats.live_objects, COUNT);
	assert_in_range(stats.committed_bytes, (uint64_t)COUNT * LARGE,
			(uint64_t)COUNT * LARGE + stats.slab_bytes);
	assert_int_equal(stats.slabs * stats.slab_bytes, stats.committed_bytes);
	/* Whole slabs go back, and the figure with them. */
	for (unsigned i = COUNT / 4; i < COUNT; i++)
		tslab_free(objects[i]);
	assert_int_equal(tslab_stats_epoch_class(epoch, class, &stats), 0);
	assert_in_range(stats.committed_bytes, (uint64_t)COUNT / 4 * LARGE,
			(uint64_t)COUNT / 2 * LARGE);
	assert_int_equal(tslab_scope_discard(epoch), 0);
}

/* Every number of units, and what a reader sees who comes between the stores of the two words. */
static void test_units(void **state)
{
	static struct ts_block_lane block, torn;

	(void)state;
	for (uint64_t units = 0; units < (1 << 29); units += units < 200000 ? 1 : 8191) {
		ts_block_put_units(&block, 3, (uint32_t)units);
		assert_int_equal(ts_block_units(&block, 3), units);
		for (uint32_t step = 1; step <= 8; step++) {
			ts_block_put_units(&torn, 3, (uint32_t)units + step);
			torn.units_16k[3] = block.units_16k[3];
			assert_int_equal(ts_block_units(&torn, 3), units + step);
			ts_block_put_units(&torn, 3, (uint32_t)units + step);
			torn.units[3] = block.units[3];
			assert_int_equal(ts_block_units(&torn, 3), units);
		}
	}
}

static void test_thread(void **state)
{
	struct tslab_thread_stats stats = { .struct_bytes = sizeof(stats) };
	void *objects[OBJECTS];
	tslab_epoch_t epoch = filled_epoch("thread", objects);

	(void)state;
	assert_int_equal(tslab_stats_thread(0, &stats), 0);
	assert_int_equal(stats.tid, (uint64_t)getpid());
	assert_int_equal(stats.open_scopes, 1);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
	assert_int_equal(tslab_stats_thread((int)getpid(), &stats), 0);
	assert_int_equal(stats.open_scopes, 0);
	assert_int_equal(tslab_stats_thread(-1, &stats), -EINVAL);
	assert_int_equal(tslab_stats_thread(1 << 30, &stats), -ESRCH);
}

static void test_arguments(void **state)
{
	struct tslab_epoch_stats stats = { .struct_bytes = sizeof(stats) };

	(void)state;
	assert_int_equal(tslab_stats_process(NULL), -EINVAL);
	assert_int_equal(tslab_stats_class(0, NULL), -EINVAL);
	assert_int_equal(tslab_stats_epoch(tslab_epoch_default(NULL), NULL), -EINVAL);
	assert_int_equal(tslab_stats_thread(0, NULL), -EINVAL);
	assert_int_equal(tslab_stats_epoch(TSLAB_EPOCH_NONE, &stats), -ESTALE);
	assert_int_equal(tslab_stats_epoch(~(tslab_epoch_t)0, &stats), -ESTALE);
	stats.struct_bytes = sizeof(size_t) - 1;
	assert_int_equal(tslab_stats_epoch(tslab_epoch_default(NULL), &stats), -EINVAL);
}

/* A caller that was compiled against an older header, and one that is newer than the library. */
static void test_structure_sizes(void **state)
{
	union {
		struct tslab_process_stats stats;
		unsigned char bytes[sizeof(struct tslab_process_stats) + 64];
	} room;

	(void)state;
	memset(&room, 0xee, sizeof(room));
	room.stats.struct_bytes = offsetof(struct tslab_process_stats, live_bytes);
	assert_int_equal(tslab_stats_process(&room.stats), 0);
	assert_true(room.stats.live_objects != 0xeeeeeeeeeeeeeeeeull);
	for (size_t i = offsetof(struct tslab_process_stats, live_bytes); i < sizeof(room); i++)
		assert_int_equal(room.bytes[i], 0xee);

	memset(&room, 0xee, sizeof(room));
	room.stats.struct_bytes = sizeof(room);
	assert_int_equal(tslab_stats_process(&room.stats), 0);
	assert_int_equal(room.stats.struct_bytes, sizeof(room));
	assert_int_equal(room.stats.consistent, 1);
	for (size_t i = sizeof(room.stats); i < sizeof(room); i++)
		assert_int_equal(room.bytes[i], 0);
}

/* -- beside running threads ------------------------------------------------------------------------ */

static volatile sig_atomic_t handler_runs, handler_faults;

/* Interrupts the library anywhere: a lock or an allocation here would hang or fault sooner or later. */
static void look_around(int signal_number)
{
	struct tslab_process_stats process = { .struct_bytes = sizeof(process) };
	struct tslab_epoch_stats epoch = { .struct_bytes = sizeof(epoch) };
	struct tslab_thread_stats thread = { .struct_bytes = sizeof(thread) };
	struct tslab_class_stats cls = { .struct_bytes = sizeof(cls) };

	(void)signal_number;
	handler_faults += tslab_stats_process(&process) != 0;
	handler_faults += process.frees > process.allocations;
	tslab_stats_epoch(tslab_domain_current(), &epoch);
	tslab_stats_thread(0, &thread);
	tslab_stats_class(3, &cls);
	handler_faults += cls.frees > cls.allocations;
	handler_runs++;
}

static void test_signal_handler(void **state)
{
	const struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = look_around, .sa_flags = SA_RESTART };
	struct sigaction old;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (handler_runs < 300) {
		tslab_epoch_t epoch;

		assert_int_equal(tslab_epoch_open(NULL, "signal", &epoch), 0);
		assert_int_equal(tslab_domain_enter(epoch), 0);
		for (int i = 0; i < 200; i++) {
			void *object = tslab_malloc((size_t)(16 + 48 * i));

			assert_non_null(object);
			if (i % 3)
				tslab_free(object);
		}
		assert_int_equal(tslab_domain_exit(epoch), 0);
		assert_int_equal(tslab_epoch_discard(epoch), 0);
	}
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
	assert_int_equal(handler_faults, 0);
}

static int stop_working;

static void *work(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop_working, __ATOMIC_RELAXED)) {
		tslab_epoch_t epoch;

		if (tslab_epoch_open(NULL, "beside", &epoch) || tslab_domain_enter(epoch))
			return "open";
		for (int i = 0; i < 100; i++)
			if (!tslab_malloc(64))
				return "malloc";
		if (tslab_domain_exit(epoch) || tslab_epoch_discard(epoch))
			return "discard";
	}
	return NULL;
}

/* Counters never go backwards, and no look sees more frees than allocations. */
static void test_beside_threads(void **state)
{
	struct tslab_process_stats last = process_now();
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
	for (int i = 0; i < 3000; i++) {
		struct tslab_process_stats now = process_now();

		assert_true(now.allocations >= last.allocations);
		assert_true(now.frees >= last.frees);
		assert_true(now.frees <= now.allocations);
		assert_true(now.epochs_opened >= last.epochs_opened);
		last = now;
	}
	__atomic_store_n(&stop_working, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	last = process_now();
	assert_int_equal(last.allocations - last.frees, last.live_objects);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_epoch),           cmocka_unit_test(test_process),
		cmocka_unit_test(test_class),           cmocka_unit_test(test_epoch_class),
		cmocka_unit_test(test_large_class),     cmocka_unit_test(test_units),
		cmocka_unit_test(test_thread),          cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_structure_sizes), cmocka_unit_test(test_signal_handler),
		cmocka_unit_test(test_beside_threads),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
