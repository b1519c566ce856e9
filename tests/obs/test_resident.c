/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of the heaps' memory, against what the library says: read by the tool's way from
 * another process, while that one writes, discards and gives back.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/tslab/tool.h"
#include "tslab/tslab.h"

enum { MIB = 1 << 20, WRITTEN = 24 * MIB, UNTOUCHED = 16 * MIB, SLACK = 2 * MIB };

static int to_child, from_child;
static pid_t child;

static void require(bool ok)
{
	if (!ok)
		_exit(1);
}

/* Tells that a step is done and waits for the next. */
static void step(int to, int from)
{
	char byte = 'x';

	require(write(to, &byte, 1) == 1 && read(from, &byte, 1) == 1);
}

static void live(int to, int from)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_epoch_t small, large;
	tslab_heap *heap;

	options.retain_bytes = 0;
	heap = tslab_heap_create(&options);
	require(heap && !tslab_epoch_open(heap, "small", &small));
	require(!tslab_epoch_open(heap, "large", &large));
	step(to, from);
	for (unsigned i = 0; i < WRITTEN / 1024; i++) {
		void *object = tslab_alloc(small, 1024);

		require(object != NULL);
		memset(object, 1, 1024);
	}
	step(to, from);
	require(tslab_alloc(large, UNTOUCHED) != NULL);
	step(to, from);
	require(!tslab_epoch_discard(small));
	step(to, from);
	pause();
}

static int begin(void **state)
{
	int there[2], back[2];

	(void)state;
	if (pipe(there) || pipe(back))
		return -1;
	child = fork();
	if (child == 0)
		live(back[1], there[0]);
	to_child = there[1];
	from_child = back[0];
	return child < 0;
}

static int end(void **state)
{
	int status;

	(void)state;
	kill(child, SIGKILL);
	return waitpid(child, &status, 0) != child || !WIFSIGNALED(status);
}

static void wait_for_child(void)
{
	char byte;

	assert_int_equal(read(from_child, &byte, 1), 1);
}

static void next(void)
{
	assert_int_equal(write(to_child, "x", 1), 1);
	wait_for_child();
}

static struct ts_target look(uint64_t *held)
{
	struct ts_target target;
	struct ts_snapshot snapshot;
	struct attachment a;
	const char *why;

	assert_true(attach(child, &a));
	proc_describe(child, a.inner_pid, true, &target);
	assert_true(ts_snapshot_read(&snapshot, &target, a.chunks, a.chunk_count, &why));
	assert_true(resident_read(child, &snapshot));
	*held = ts_snapshot_committed_bytes(&snapshot);
	target = snapshot.target;
	ts_snapshot_free(&snapshot);
	detach(&a);
	return target;
}

static void resident_follows_what_is_written(void **state)
{
	uint64_t held_empty, held_full, held_more, held_after;
	struct ts_target empty, full, more, after;
	const char *runner = getenv("TEST_RUNNER");

	(void)state;
	if (runner && *runner)
		skip(); /* an emulator's mappings are not the program's */
	wait_for_child();
	empty = look(&held_empty);
	next();
	full = look(&held_full);
	next();
	more = look(&held_more);
	next();
	after = look(&held_after);
	print_message("# resident %llu, %llu, %llu, %llu of %llu, %llu, %llu, %llu bytes held\n",
		      (unsigned long long)empty.heap_resident_bytes,
		      (unsigned long long)full.heap_resident_bytes,
		      (unsigned long long)more.heap_resident_bytes,
		      (unsigned long long)after.heap_resident_bytes, (unsigned long long)held_empty,
		      (unsigned long long)held_full, (unsigned long long)held_more,
		      (unsigned long long)held_after);
	/* All that is written is there, and no more than is held. */
	assert_true(full.heap_resident_bytes >= empty.heap_resident_bytes + WRITTEN);
	assert_true(full.heap_resident_bytes <= held_full);
	assert_true(held_full <= empty.heap_resident_bytes + WRITTEN + SLACK);
	/* What is held and was never written is not. */
	assert_true(held_more >= held_full + UNTOUCHED);
	assert_true(more.heap_resident_bytes <= full.heap_resident_bytes + 65536);
	/* And what was given back is gone. */
	assert_true(after.heap_resident_bytes <= more.heap_resident_bytes - WRITTEN);
	assert_true(after.heap_resident_bytes <= empty.heap_resident_bytes + SLACK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(resident_follows_what_is_written, begin, end),
	};

	return cmocka_run_group_tests_name("resident", tests, NULL, NULL);
}
