/* SPDX-License-Identifier: MIT */
/* look.h: the segment of this process, read like another's. For cmocka tests that link the reader. */
#ifndef TSLAB_TESTS_LOOK_H
#define TSLAB_TESTS_LOOK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "obs/snapshot.h"

/* Whole, and without a word that makes no sense. Good until the next look. */
static inline struct ts_snapshot *look(void)
{
	static struct ts_snapshot snapshot;
	struct ts_chunk_view chunks[TSLAB_ROOT_CHUNKS];
	struct ts_target target = { .source = "live" };
	const char *why = "";

	ts_snapshot_free(&snapshot);
	for (unsigned i = 0; i < tslab_root.chunk_count; i++) {
		chunks[i].base = (const void *)(uintptr_t)tslab_root.chunk[i].address;
		chunks[i].bytes = tslab_root.chunk[i].bytes;
	}
	if (!ts_snapshot_read(&snapshot, &target, chunks, tslab_root.chunk_count, &why))
		fail_msg("the segment is %s", why);
	assert_true(snapshot.consistent);
	assert_int_equal(snapshot.malformed, 0);
	return &snapshot;
}

#endif
