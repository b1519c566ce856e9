/* SPDX-License-Identifier: MIT */
/*
 * What is attached stays so from one reading to the next, until the segment is another one or has grown: held
 * against a process that makes each of these happen.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/obs/stepped.h"
#include "tools/tslab/tool.h"
#include "tslab/tslab.h"

enum { GROWN = 400 }; /* epochs, each with a lane's block and more */

static struct attachment attached;

static tslab_epoch_t open_epoch(const char *label)
{
	tslab_epoch_t epoch;

	require(!tslab_epoch_open(NULL, label, &epoch) && tslab_alloc(epoch, 100));
	return epoch;
}

static void live(void)
{
	open_epoch("first");
	step();
	open_epoch("second");
	step();
	for (int i = 0; i < GROWN; i++)
		open_epoch("grown");
	step();
	require(!close_range(3, ~0u, 0));
	step();
	open_epoch("third");
	step();
	/* The same process, another program. */
	execl("/proc/self/exe", "test_attach", "again", (char *)NULL);
	_exit(1);
}

static int begin(void **state)
{
	(void)state;
	return begin_child(live);
}

static int end(void **state)
{
	(void)state;
	detach(&attached);
	return end_child();
}

/* How many epochs have this label, as the attachment shows it. */
static unsigned count_of(const char *label)
{
	const struct ts_target target = { .pid = (int)child, .source = "live" };
	struct ts_snapshot snapshot;
	unsigned count = 0;
	const char *why;

	assert_true(attach_again(child, &attached));
	assert_true(ts_snapshot_read(&snapshot, &target, attached.chunks, attached.chunk_count, &why));
	for (size_t i = 0; i < snapshot.epoch_count; i++)
		count += !strcmp(snapshot.epochs[i].label, label);
	ts_snapshot_free(&snapshot);
	return count;
}

static void stays_while_nothing_changes(void)
{
	const void *first;

	wait_for_child();
	assert_int_equal(count_of("first"), 1);
	first = attached.chunks[0].base;
	assert_true(attached.mapped[0]);
	next();
	assert_int_equal(count_of("second"), 1);
	assert_ptr_equal(attached.chunks[0].base, first);
}

static void follows_a_segment_that_grows(void)
{
	size_t chunks = attached.chunk_count;

	next();
	assert_int_equal(count_of("grown"), GROWN);
	assert_true(attached.chunk_count > chunks);
	assert_false(attached.gaps);
}

/* A process without descriptors is copied, each time anew. */
static void copies_do_not_stay(void)
{
	next();
	assert_int_equal(count_of("third"), 0);
	assert_int_equal(count_of("grown"), GROWN);
	assert_false(attached.mapped[0]);
	next();
	assert_int_equal(count_of("third"), 1);
}

static void follows_another_program(void)
{
	next();
	assert_int_equal(count_of("after"), 1);
	assert_int_equal(count_of("first"), 0);
	assert_true(attached.mapped[0]);
}

static void an_attachment_follows_its_process(void **state)
{
	const char *runner = getenv("TEST_RUNNER");

	(void)state;
	stays_while_nothing_changes();
	follows_a_segment_that_grows();
	if (runner && *runner)
		return; /* an emulator's files and mappings are not the program's */
	copies_do_not_stay();
	follows_another_program();
}

static void no_process(void **state)
{
	struct attachment a = { .pid = 0 };

	(void)state;
	assert_false(attach_again(0x3ffffff, &a));
	assert_non_null(strstr(a.why, "no process"));
	detach(&a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_attachment_follows_its_process, begin, end),
		cmocka_unit_test(no_process),
	};

	(void)argv;
	if (argc > 1) {
		open_epoch("after");
		step();
		pause();
	}
	return cmocka_run_group_tests_name("attach", tests, NULL, NULL);
}
