/* SPDX-License-Identifier: MIT */
/* workloads.c: the table of what is measured, and what is to be reached. */
#include <string.h>

#include "bench.h"

/* The same table of live objects, of one size range, in so many threads. */
#define REPLACE(name_, title_, objects_, max_, operations_, threads_, cpus_, landing_, gate_)      \
	{                                                                                          \
		.name = name_, .title = title_, .threads = threads_, .cpus = cpus_,                \
		.each_thread = true, .min_bytes = 16, .max_bytes = max_, .objects = objects_,      \
		.operations = operations_,                                                         \
		.parts = { { .unit = "ns/pair",                                                    \
			     .goal_ratio = 1.0,                                                    \
			     .landing_ratio = landing_,                                            \
			     .gate_ratio = gate_ } },                                              \
		.prepare = bench_replace_prepare, .burst = bench_replace_burst                     \
	}

#define BATCH(name_, title_, objects_, max_, operations_)                                          \
	{                                                                                          \
		.name = name_, .title = title_, .threads = 1, .min_bytes = 16, .max_bytes = max_,  \
		.objects = objects_, .operations = operations_,                                    \
		.parts = { { .unit = "ns/pair", .goal_ratio = 1.0, .landing_ratio = 1.2 } },       \
		.burst = bench_batch_burst                                                         \
	}

#define REQUEST(name_, title_, objects_, operations_, goal_, landing_, gate_, burst_)              \
	{                                                                                          \
		.name = name_, .title = title_, .who = BENCH_LIFETIMES, .threads = 1,              \
		.min_bytes = 64, .max_bytes = 504, .objects = objects_, .operations = operations_, \
		.parts = { { .unit = "ns/request",                                                 \
			     .goal_ratio = goal_,                                                  \
			     .landing_ratio = landing_,                                            \
			     .gate_ratio = gate_ } },                                              \
		.prepare = bench_lifetime_prepare, .burst = burst_                                 \
	}

/* No goal for the median, and none where the issue is locality. */
#define LATENCY(name_, title_, objects_, max_, goal_, prepare_, burst_)                            \
	{                                                                                          \
		.name = name_, .title = title_, .threads = 1, .min_bytes = 16, .max_bytes = max_,  \
		.objects = objects_, .operations = 200000,                                         \
		.parts = { { .name = "malloc-p50", .title = "malloc p50", .unit = "ns" },          \
			   { .name = "malloc-p99",                                                 \
			     .title = "malloc p99",                                                \
			     .unit = "ns",                                                         \
			     .goal_ratio = goal_ },                                                \
			   { .name = "malloc-p999",                                                \
			     .title = "malloc p99.9",                                              \
			     .unit = "ns",                                                         \
			     .goal_ratio = goal_ },                                                \
			   { .name = "free-p50", .title = "free p50", .unit = "ns" },              \
			   { .name = "free-p99",                                                   \
			     .title = "free p99",                                                  \
			     .unit = "ns",                                                         \
			     .goal_ratio = goal_ },                                                \
			   { .name = "free-p999",                                                  \
			     .title = "free p99.9",                                                \
			     .unit = "ns",                                                         \
			     .goal_ratio = goal_ } },                                              \
		.prepare = prepare_, .burst = burst_, .read_figures = bench_latency_figures        \
	}

#define GROW(name_, title_, operations_, burst_)                                                   \
	{                                                                                          \
		.name = name_, .title = title_, .threads = 1, .min_bytes = 1024,                   \
		.max_bytes = 1 << 20, .objects = 8, .operations = operations_,                     \
		.parts = { { .unit = "ns/realloc", .goal_ratio = 1.2 } },                          \
		.prepare = bench_grow_prepare, .burst = burst_                                     \
	}

const struct bench_workload bench_workloads[] = {
	{ .name = "pair",
	  .title = "pair 128 B",
	  .threads = 1,
	  .min_bytes = 128,
	  .max_bytes = 128,
	  .objects = 1,
	  .operations = 2000000,
	  .parts = { { .unit = "ns/pair", .goal_ratio = 1.0, .landing_ratio = 1.2, .gate_ratio = 1.3 } },
	  .burst = bench_pair_burst },
	REPLACE("ws16-32000", "WS16, 16-32000 B", 16, 32000, 1000000, 1, 1, 1.2, 0),
	REPLACE("ws256", "WS256, 16-504 B", 256, 504, 1000000, 1, 1, 1.2, 1.3),
	REPLACE("ws256-1024", "WS256, 16-1024 B", 256, 1024, 1000000, 1, 1, 1.2, 0),
	REPLACE("ws8192", "WS8192, 16-504 B", 8192, 504, 1000000, 1, 1, 1.2, 1.3),
	REPLACE("ws8192-1024", "WS8192, 16-1024 B", 8192, 1024, 1000000, 1, 1, 1.2, 0),
	REPLACE("ws100k", "WS100k, 16-504 B", 100000, 504, 500000, 1, 1, 1.2, 0),
	REPLACE("ws100k-1024", "WS100k, 16-1024 B", 100000, 1024, 500000, 1, 1, 1.2, 0),
	BATCH("batch10000", "batch of 10 000, 16-504 B", 10000, 504, 500000),
	BATCH("batch1000-32000", "batch of 1000, 16-32000 B", 1000, 32000, 100000),
	BATCH("batch10000-32000", "batch of 10 000, 16-32000 B", 10000, 32000, 40000),
	{ .name = "lifo",
	  .title = "the newest of up to 256 is freed first",
	  .threads = 1,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 256,
	  .operations = 500000,
	  .parts = { { .unit = "ns/pair" } },
	  .burst = bench_lifo_burst },
	{ .name = "lookup",
	  .title = "size of a random object of WS8192",
	  .threads = 1,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 8192,
	  .operations = 2000000,
	  .parts = { { .unit = "ns/look-up" } },
	  .prepare = bench_replace_prepare,
	  .burst = bench_lookup_burst },
	REQUEST("request10", "request of 10, discard", 10, 50000, 0.65, 0.9, 0, bench_discard_burst),
	REQUEST("request100", "request of 100, discard", 100, 15000, 0.5, 0.55, 0.6,
		bench_discard_burst),
	REQUEST("request1000", "request of 1000, discard", 1000, 1500, 0.5, 0.6, 0,
		bench_discard_burst),
	REQUEST("free-each10", "request of 10, free each, close", 10, 50000, 1.0, 1.15, 0,
		bench_free_each_burst),
	REQUEST("free-each100", "request of 100, free each, close", 100, 15000, 1.0, 1.15, 1.3,
		bench_free_each_burst),
	REQUEST("free-each1000", "request of 1000, free each, close", 1000, 1500, 1.0, 1.15, 0,
		bench_free_each_burst),
	{ .name = "fifo",
	  .title = "queue of 64 requests of 100, discard",
	  .threads = 1,
	  .min_bytes = 64,
	  .max_bytes = 504,
	  .objects = 100 * BENCH_QUEUE,
	  .operations = 15000,
	  .parts = { { .unit = "ns/request" } },
	  .prepare = bench_lifetime_prepare,
	  .burst = bench_queue_burst },
	{ .name = "frame",
	  .title = "frame of 1 M objects, 4 threads, discard",
	  .who = BENCH_LIFETIMES,
	  .threads = 4,
	  .min_bytes = 16,
	  .max_bytes = 128,
	  .objects = 250000,
	  .operations = 1000000,
	  .parts = { { .unit = "ms/frame", .goal_ratio = 0.5 } },
	  .prepare = bench_frame_prepare,
	  .burst = bench_discard_burst },
	{ .name = "pipe",
	  .title = "producer to consumer",
	  .threads = 2,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 0,
	  .operations = 320000,
	  .parts = { { .unit = "ns/object", .goal_ratio = 0.7, .landing_ratio = 1.0, .gate_ratio = 1.3 } },
	  .prepare = bench_pipe_prepare,
	  .burst = bench_pipe_burst },
	{ .name = "larson",
	  .title = "larson-like cross-thread free",
	  .threads = 2,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 1024,
	  .operations = 1000000,
	  .parts = { { .unit = "ns/pair", .goal_ratio = 1.0, .landing_ratio = 1.8 } },
	  .prepare = bench_larson_prepare,
	  .burst = bench_larson_burst },
	REPLACE("ws8192-2t", "WS8192 in each of 2 threads", 8192, 504, 1000000, 2, 2, 1.15, 0),
	REPLACE("ws8192-16t", "WS8192 in each of 16 threads", 8192, 504, 100000, 16, 2, 1.15, 0),
	REPLACE("ws8192-16c", "WS8192 in each of 16 threads, a CPU for each", 8192, 504, 1000000,
		16, 16, 1.15, 0),
	{ .name = "epoch",
	  .title = "warm epoch: open, enter, exit, close",
	  .who = BENCH_TSLAB_ONLY,
	  .threads = 1,
	  .operations = 100000,
	  .counts_system_calls = true,
	  .parts = { { .unit = "ns/epoch", .gate_figure = 200 } },
	  .burst = bench_epoch_burst },
	{ .name = "scope",
	  .title = "warm epoch: scope begin, scope close",
	  .who = BENCH_TSLAB_ONLY,
	  .threads = 1,
	  .operations = 100000,
	  .counts_system_calls = true,
	  .parts = { { .unit = "ns/epoch", .gate_figure = 200 } },
	  .burst = bench_scope_burst },
	{ .name = "epochs1000",
	  .title = "1000 epochs open, 50 objects each",
	  .who = BENCH_TSLAB_ONLY,
	  .threads = 1,
	  .min_bytes = 32,
	  .max_bytes = 256,
	  .objects = 50000,
	  .operations = 10000,
	  .parts = { { .name = "time",
		       .title = "open, enter, exit, close",
		       .unit = "ns/epoch",
		       .goal_figure = 100 },
		     /* (classes + 1) pages of 4 KiB and 2 KiB of metadata */
		     { .name = "floor", .title = "resident", .unit = "KiB/epoch", .goal_figure = 22 } },
	  .prepare = bench_many_prepare,
	  .burst = bench_many_burst,
	  .read_figures = bench_many_figures },
	LATENCY("latency-request", "request of 100", 100, 504, 1.0, bench_latency_prepare,
		bench_latency_request_burst),
	LATENCY("latency-fifo", "queue of 64 requests of 100", 100 * BENCH_QUEUE, 504, 1.0,
		bench_latency_prepare, bench_latency_queue_burst),
	LATENCY("latency-churn", "WS8192, 16-504 B", 8192, 504, 1.0, bench_latency_churn_prepare,
		bench_latency_churn_burst),
	LATENCY("latency-lifo", "the newest of up to 256 is freed first", 256, 504, 0,
		bench_latency_prepare, bench_latency_stack_burst),
	{ .name = "mixed",
	  .title = "20 000 a cycle, 2 % live 40 cycles",
	  .threads = 1,
	  .memory = true,
	  .min_bytes = 64,
	  .max_bytes = 512,
	  .objects = 20000,
	  .operations = 40 * 20000,
	  .parts = { { .name = "time", .title = "time", .unit = "ns/object" },
		     { .name = "resident",
		       .title = "resident bytes per live byte",
		       .unit = "bytes/byte",
		       .goal_ratio = 1.0,
		       .landing_ratio = 1.1 } },
	  .prepare = bench_mixed_prepare,
	  .burst = bench_mixed_burst,
	  .read_figures = bench_mixed_figures },
	{ .name = "large",
	  .title = "4 KiB-1 MiB churn, 128 live",
	  .threads = 1,
	  .min_bytes = 4096,
	  .max_bytes = 1 << 20,
	  .objects = 128,
	  .operations = 5000,
	  .parts = { { .unit = "ns/pair", .goal_ratio = 1.2 } },
	  .prepare = bench_large_prepare,
	  .burst = bench_large_burst },
	GROW("realloc", "8 arrays, 1 KiB-1 MiB by doubling", 2000, bench_grow_double_burst),
	GROW("realloc-eighth", "8 arrays, 1 KiB-1 MiB by an eighth", 8000, bench_grow_eighth_burst),
	{ .name = "growth-objects",
	  .title = "random replacement",
	  .growth = true,
	  .threads = 1,
	  .min_bytes = 64,
	  .max_bytes = 64,
	  .objects = 1000,
	  .operations = 1000000,
	  .parts = { { .title = "random replacement", .unit = "ns/pair" } },
	  .prepare = bench_replace_prepare,
	  .burst = bench_replace_burst },
	{ .name = "growth-threads",
	  .title = "random replacement",
	  .growth = true,
	  .threads = 1,
	  .each_thread = true,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 8192,
	  .operations = 200000,
	  .parts = { { .title = "CPU time of a replacement", .unit = "ns/pair" } },
	  .prepare = bench_replace_prepare,
	  .burst = bench_replace_burst },
	{ .name = "growth-chunks",
	  .title = "end of an epoch",
	  .who = BENCH_TSLAB_ONLY,
	  .growth = true,
	  .threads = 1,
	  .min_bytes = 64,
	  .max_bytes = 512,
	  .objects = 1, /* chunks */
	  .operations = 1,
	  .parts = { { .name = "discard-64", .title = "discard with objects of 64 bytes", .unit = "ns" },
		     { .name = "discard-512", .title = "discard with objects of 512 bytes", .unit = "ns" },
		     { .name = "close-64",
		       .title = "close, objects of 64 bytes freed before",
		       .unit = "ns" },
		     { .name = "close-512",
		       .title = "close, objects of 512 bytes freed before",
		       .unit = "ns" } },
	  .burst = bench_growth_ends_burst,
	  .read_figures = bench_growth_ends_figures },
	{ .name = "resident",
	  .title = "resident bytes per live byte, WS100k",
	  .threads = 1,
	  .memory = true,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 100000,
	  .operations = 500000,
	  .parts = { { .unit = "bytes/byte", .goal_ratio = 1.0, .landing_ratio = 1.1 } },
	  .prepare = bench_resident_prepare,
	  .burst = bench_resident_burst,
	  .read_figures = bench_resident_figures },
};

const unsigned bench_workloads_count = sizeof(bench_workloads) / sizeof(bench_workloads[0]);

const struct bench_workload *bench_workloads_find(const char *name)
{
	for (unsigned i = 0; i < bench_workloads_count; i++)
		if (strcmp(bench_workloads[i].name, name) == 0)
			return &bench_workloads[i];
	return NULL;
}

unsigned bench_workloads_parts(const struct bench_workload *workload)
{
	unsigned parts = 0;

	while (parts < BENCH_PARTS_MAX && workload->parts[parts].unit)
		parts++;
	return parts;
}
