/* SPDX-License-Identifier: MIT */
/*
 * support.h: what the unit tests share. Everything here goes through the public interface.
 */
#ifndef TESTS_UNIT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "../random.h"

/* Object sizes by class index: an index is a stable id, not an order. */
#define CLASS_COUNT 40
extern const uint32_t class_bytes[CLASS_COUNT];

/* The class that serves a request of 1 to 32 KiB. */
unsigned class_of(size_t bytes);

/* A pattern that depends on the address, so that an object that was swapped or shared shows. */
void fill(void *ptr, size_t bytes, uint64_t seed);
bool holds(const void *ptr, size_t bytes, uint64_t seed);

/* Runs `body` in a forked child; the wait status. With `text`, what the child wrote to stderr. */
int in_child(void (*body)(void *), void *arg);
int in_child_stderr(void (*body)(void *), void *arg, char *text, size_t text_bytes);
bool exited_well(int status);
/* In a child: like assert_true, but ends the child with a line on stdout and status 1. */
void child_require(bool ok, const char *what, int line);
#define REQUIRE(condition) child_require((condition), #condition, __LINE__)

/* Runs `body` on a new thread to its end. */
void on_thread(void *(*body)(void *), void *arg);

/* A thread's body that frees some pointers. */
struct strays {
	void *const *objects;
	unsigned count;
};

void *free_strays(void *arg);

/* Lets the pause pass that the library makes between two lines on stderr. */
void await_next_report(void);

/* Anonymous memory of this process that is resident, from smaps_rollup. */
size_t anon_rss_bytes(void);

/* A snapshot of the process counters. */
struct tslab_process_stats counters(void);
uint64_t refusals(const struct tslab_process_stats *s);

/* The statement is refused once, for the cause that the counter names, and for no other. */
#define assert_refused(counter, statement)                                                         \
	do {                                                                                       \
		struct tslab_process_stats before_ = counters();                                   \
		statement;                                                                         \
		struct tslab_process_stats after_ = counters();                                    \
		assert_int_equal(after_.counter - before_.counter, 1);                             \
		assert_int_equal(refusals(&after_) - refusals(&before_), 1);                       \
	} while (0)

/* The statement is refused once; the cause depends on where the memory went meanwhile. */
#define assert_refused_somehow(statement)                                                          \
	do {                                                                                       \
		struct tslab_process_stats before_ = counters();                                   \
		statement;                                                                         \
		struct tslab_process_stats after_ = counters();                                    \
		assert_int_equal(refusals(&after_) - refusals(&before_), 1);                       \
	} while (0)

/* The statement raises the counter by one. */
#define assert_counted(counter, statement)                                                         \
	do {                                                                                       \
		struct tslab_process_stats before_ = counters();                                   \
		statement;                                                                         \
		struct tslab_process_stats after_ = counters();                                    \
		assert_int_equal(after_.counter - before_.counter, 1);                             \
	} while (0)

/* The statement gives NULL with this errno. */
#define assert_null_errno(expression, error)                                                       \
	do {                                                                                       \
		errno = 0;                                                                         \
		const void *got_ = (expression);                                                   \
		int errno_ = errno;                                                                \
		assert_null(got_);                                                                 \
		assert_int_equal(errno_, (error));                                                 \
	} while (0)

tslab_heap *new_heap(const char *name, uint64_t limit_bytes, uint64_t retain_bytes);
tslab_epoch_t new_epoch(tslab_heap *heap, const char *label);
/* A scope with an epoch of its own. */
tslab_epoch_t begin(tslab_heap *heap, const char *label);
/* Live objects of an epoch as the statistics have them. */
uint64_t live_objects(tslab_epoch_t epoch);
/* Memory that an epoch's lanes hold, and those of the default heap's default epoch. */
uint64_t committed_bytes(tslab_epoch_t epoch);
uint64_t in_default_epoch(void);

#endif
