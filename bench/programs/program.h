/* SPDX-License-Identifier: MIT */
/*
 * program.h: what the two programs of bench/programs share. Each runs one job with its memory from
 * malloc, whichever that is, or from epochs of libtslab (--epochs), and prints what it found, which must
 * be the same in both cases.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tslab/tslab.h>

/* What an epoch that ended leaves with the thread for the next one, instead of the OS. */
#define PROGRAM_RETAIN_BYTES ((uint64_t)256 << 20)

static inline void program_die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

/* PROGRAM [--epochs] [FILE] COUNT */
struct program_options {
	bool epochs;
	const char *file;
	unsigned long count;
};

static inline struct program_options program_options(int argc, char **argv, bool has_file)
{
	struct program_options options = { 0 };
	int at = 1;
	char *end;

	if (at < argc && !strcmp(argv[at], "--epochs")) {
		options.epochs = true;
		at++;
	}
	if (has_file && at < argc)
		options.file = argv[at++];
	options.count = at + 1 == argc ? strtoul(argv[at], &end, 10) : 0;
	if (!options.count || *end)
		program_die(argv[0],
			    has_file ? "usage: [--epochs] FILE COUNT" : "usage: [--epochs] COUNT");
	return options;
}

static inline tslab_heap *program_heap(void)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;
	tslab_heap *heap;

	options.name = "program";
	options.retain_bytes = PROGRAM_RETAIN_BYTES;
	heap = tslab_heap_create(&options);
	if (!heap)
		program_die("tslab_heap_create", "no heap");
	return heap;
}

/* An epoch that the calling thread is inside. */
static inline tslab_epoch_t program_begin(tslab_heap *heap, const char *label)
{
	tslab_epoch_t epoch;

	if (tslab_epoch_open(heap, label, &epoch) || tslab_domain_enter(epoch))
		program_die(label, "no epoch");
	return epoch;
}

static inline void program_end(tslab_epoch_t epoch)
{
	if (tslab_domain_exit(epoch) || tslab_epoch_discard(epoch))
		program_die("epoch", "does not end");
}

#endif
