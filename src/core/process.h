/* SPDX-License-Identifier: MIT */
/* process.h: the counters of the whole process, for slow paths of any thread. */
#ifndef TS_CORE_PROCESS_H
#define TS_CORE_PROCESS_H

#include "blocks.h"

extern TS_HIDDEN ts_a64 ts_process_at; /* struct ts_process_words * */

/* Never NULL: private words serve until the block source is asked. */
static inline struct ts_process_words *ts_process(void)
{
	/* ORD-20 acquire: whoever sees the pointer sees the block behind it. */
	return (struct ts_process_words *)ts_a64_load_acq(&ts_process_at); /* ORD-20 */
}

/* Relaxed: a sum that nothing is ordered by. */
#define ts_count(name, amount) ((void)ts_a64_add_rlx(&ts_process()->name, (uint64_t)(amount)))

/* The row of a size class, or of TS_CLASS_LARGE; the same rules. */
struct ts_class_row *ts_class_row(unsigned cls);
#define ts_count_class(cls, name, amount)                                                          \
	((void)ts_a64_add_rlx(&ts_class_row(cls)->name, (uint64_t)(amount)))

/* The child of fork: what the parent counted goes. */
void ts_process_clear(void);

/* Once, when the range is made: the counters move to a block of the source. */
void ts_process_start(void);

#endif
