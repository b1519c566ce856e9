/* SPDX-License-Identifier: MIT */
/*
 * contention.h: who waits, by label; only with --enable-label-contention. A label is that of the innermost
 * scope of the thread that took the lock or lost the race. Without the option nothing is left of a call, so
 * each stands in a line of its own: ci/check-label-contention compiles without these lines and compares.
 */
#ifndef TS_CORE_CONTENTION_H
#define TS_CORE_CONTENTION_H

#include "blocks.h"
#include "config.h" /* TSLAB_LABEL_CONTENTION */

/* The words of the calling thread's label. */
struct ts_label_class_words *ts_contention_words(unsigned cls);

/* On slow paths only; relaxed, as ts_count_class. */
#define ts_contention_count(cls, name, amount)                                                     \
	do {                                                                                       \
		if (TSLAB_LABEL_CONTENTION)                                                        \
			(void)ts_a64_add_rlx(&ts_contention_words(cls)->name, (uint64_t)(amount)); \
	} while (0)

/* A label is new, meta lock held; its words may be shown. Label 0 once, before the first heap. */
void ts_contention_start_label(unsigned label_id);
#define ts_contention_start(label_id)                                                              \
	do {                                                                                       \
		if (TSLAB_LABEL_CONTENTION)                                                        \
			ts_contention_start_label(label_id);                                       \
	} while (0)

/* The child of fork: what the parent counted goes. */
void ts_contention_clear_words(void);
#define ts_contention_clear()                                                                      \
	do {                                                                                       \
		if (TSLAB_LABEL_CONTENTION)                                                        \
			ts_contention_clear_words();                                               \
	} while (0)

#endif
