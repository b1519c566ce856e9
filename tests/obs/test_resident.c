/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of the heaps' memory, against what the library says: read by the tool's way from
 * another process, while that one writes, discards and gives back.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/obs/stepped.h"
#include "tools/tslab/tool.h"
#include "tslab/tslab.h"

enum { MIB = 1 << 20, WRITTEN = 24 * MIB, UNTOUCHED = 16 * MIB, PART = 4 * MIB, SLACK = 2 * MIB };

static void *volatile written; /* else the compiler writes nothing to it */
static volatile pid_t *forked; /* child of the child, in memory of both */

/* Until the child is looked at, which has the epoch as well. */
static void live_in_fork(tslab_epoch_t epoch)
{
	pid_t pid = fork();

	if (pid == 0) {
		*forked = getpid();
		require(tslab_alloc(epoch, 1024) != NULL);
		step();
		_exit(0);
	}
	require(pid > 0 && waitpid(pid, NULL, 0) == pid);
	step();
}

static void live(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_epoch_t small, large;
	tslab_heap *heap;
	void *object;

	options.retain_bytes = 0;
	heap = tslab_heap_create(&options);
	require(heap && !tslab_epoch_open(heap, "small", &small));
	require(!tslab_epoch_open(heap, "large", &large));
	step();
	for (unsigned i = 0; i < WRITTEN / 1024; i++) {
		object = tslab_alloc(small, 1024);
		require(object != NULL);
		memset(object, 1, 1024);
	}
	step();
	written = object = tslab_alloc(large, UNTOUCHED);
	require(object != NULL);
	step();
	memset(object, 1, PART);
	step();
	live_in_fork(small);
	require(!tslab_epoch_discard(small));
	step();
	pause();
}

static int begin(void **state)
{
	(void)state;
	forked = mmap(NULL, sizeof(*forked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	return forked == MAP_FAILED ? -1 : begin_child(live);
}

static int end(void **state)
{
	(void)state;
	return end_child();
}

/* What is resident of the child's memory, in all and of its two epochs, and what it holds. */
struct view {
	uint64_t all, small, large, held;
};

static void look_into(pid_t pid, pid_t pages_of, struct view *view)
{
	struct ts_target target;
	struct ts_snapshot snapshot;
	struct attachment a;
	const char *why;

	assert_true(attach(pid, &a));
	proc_describe(pid, a.inner_pid, true, &target);
	assert_true(ts_snapshot_read(&snapshot, &target, a.chunks, a.chunk_count, &why));
	assert_int_equal(resident_read(pages_of, &snapshot, a.chunks, a.chunk_count),
			 pid == pages_of);
	*view = (struct view){ .all = snapshot.target.heap_resident_bytes,
			       .held = ts_snapshot_committed_bytes(&snapshot) };
	for (size_t i = 0; i < snapshot.epoch_count; i++) {
		const struct ts_epoch_view *epoch = &snapshot.epochs[i];

		if (!strcmp(epoch->label, "small"))
			view->small = epoch->resident_bytes;
		else if (!strcmp(epoch->label, "large"))
			view->large = epoch->resident_bytes;
		else
			assert_true(!epoch->resident_bytes || pid != pages_of);
	}
	ts_snapshot_free(&snapshot);
	detach(&a);
	print_message("# resident %llu, of small %lld, of large %lld, held %llu\n",
		      (unsigned long long)view->all, (long long)view->small, (long long)view->large,
		      (unsigned long long)view->held);
}

static struct view look(void)
{
	struct view view;

	look_into(child, child, &view);
	return view;
}

static void resident_follows_what_is_written(void **state)
{
	struct view empty, full, more, part, view, after, unknown;
	const char *runner = getenv("TEST_RUNNER");

	(void)state;
	if (runner && *runner)
		skip(); /* an emulator's mappings are not the program's */
	wait_for_child();
	empty = look();
	assert_true(empty.small == 0 && empty.large == 0);
	next();
	full = look();
	/* All that is written is there, in its epoch, and no more than is held. */
	assert_true(full.all >= empty.all + WRITTEN);
	assert_true(full.all <= full.held);
	assert_true(full.held <= empty.all + WRITTEN + SLACK);
	assert_true(full.small >= WRITTEN && full.small <= WRITTEN + SLACK);
	assert_int_equal(full.large, 0);
	next();
	/* What is held and was never written is not. */
	more = look();
	assert_true(more.held >= full.held + UNTOUCHED);
	assert_true(more.all <= full.all + 65536);
	assert_true(more.large <= 65536);
	assert_int_equal(more.small, full.small);
	next();
	part = look();
	assert_true(part.large >= PART && part.large <= PART + 65536);
	assert_true(part.small + part.large <= part.all);
	/* Where the kernel shows nothing, nothing is told. */
	look_into(child, 0, &unknown);
	assert_true(unknown.small == TS_UNKNOWN && unknown.large == TS_UNKNOWN && !unknown.all);
	next();
	/* A child of fork has the same. */
	look_into(*forked, *forked, &view);
	assert_true(view.small >= part.small && view.small <= part.small + SLACK);
	assert_int_equal(view.large, part.large);
	next();
	next();
	/* And what was given back is gone. */
	after = look();
	assert_true(after.all <= more.all - WRITTEN + PART);
	assert_true(after.all <= empty.all + PART + SLACK);
	assert_int_equal(after.small, 0);
	assert_int_equal(after.large, part.large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(resident_follows_what_is_written, begin, end),
	};

	return cmocka_run_group_tests_name("resident", tests, NULL, NULL);
}
