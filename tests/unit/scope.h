/* SPDX-License-Identifier: MIT */
/* scope.h: what the tests of tslab_scope_begin, _close and _discard have in common. */
#ifndef TESTS_UNIT_SCOPE_H
#define TESTS_UNIT_SCOPE_H

#include "support.h"

enum { OBJECTS = 200 };

static inline uint32_t slot_of(tslab_epoch_t epoch)
{
	return (uint32_t)(epoch & 0xffff);
}

static inline uint64_t era_of(tslab_epoch_t epoch)
{
	return epoch >> 16;
}

static inline size_t size_of(unsigned i)
{
	return 16 + i * 97 % 5000;
}

/* The pair that the next epoch of this heap and label may have. */
static inline tslab_epoch_t keep(tslab_heap *heap, const char *label)
{
	tslab_epoch_t epoch = begin(heap, label);

	assert_int_equal(tslab_scope_discard(epoch), 0);
	return epoch;
}

static inline void assert_next_life(tslab_epoch_t epoch, tslab_epoch_t of)
{
	assert_int_equal(slot_of(epoch), slot_of(of));
	assert_int_equal(era_of(epoch), era_of(of) + 1);
}

static inline void assert_over(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_stats_epoch(epoch, &s), -ESTALE);
	assert_int_equal(tslab_epoch_close(epoch), -ESTALE);
	assert_int_equal(tslab_epoch_discard(epoch), -ESTALE);
	assert_int_equal(tslab_epoch_set_limit(epoch, 1), -ESTALE);
	assert_int_equal(tslab_domain_enter(epoch), -ESTALE);
	assert_null_errno(tslab_alloc(epoch, 64), ESTALE);
}

static inline void fill_scope(void *objects[OBJECTS])
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		objects[i] = tslab_malloc(size_of(i));
		assert_non_null(objects[i]);
		fill(objects[i], size_of(i), i);
	}
}

static inline void free_scope(void *objects[OBJECTS])
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		assert_true(holds(objects[i], size_of(i), i));
		tslab_free(objects[i]);
	}
}

#endif
