/* SPDX-License-Identifier: MIT */
/* workloads.c: the table of what is measured. */
#include <string.h>

#include "bench.h"

#define PER_PAIR "ns/pair"

const struct bench_workload bench_workloads[] = {
	{ .name = "pair",
	  .title = "pair 128 B",
	  .unit = PER_PAIR,
	  .threads = 1,
	  .min_bytes = 128,
	  .max_bytes = 128,
	  .objects = 1,
	  .operations = 2000000,
	  .goal_ratio = 1.0,
	  .gate_ratio = 1.3,
	  .burst = bench_pair_burst },
#define REPLACE(name_, title_, objects_, max_, operations_, gate_)                                 \
	{                                                                                          \
		.name = name_, .title = title_, .unit = PER_PAIR, .threads = 1, .min_bytes = 16,   \
		.max_bytes = max_, .objects = objects_, .operations = operations_,                 \
		.goal_ratio = 1.0, .gate_ratio = gate_, .prepare = bench_replace_prepare,          \
		.burst = bench_replace_burst                                                       \
	}
	REPLACE("ws256", "WS256, 16-504 B", 256, 504, 1000000, 1.3),
	REPLACE("ws256-1024", "WS256, 16-1024 B", 256, 1024, 1000000, 0),
	REPLACE("ws8192", "WS8192, 16-504 B", 8192, 504, 1000000, 1.3),
	REPLACE("ws8192-1024", "WS8192, 16-1024 B", 8192, 1024, 1000000, 0),
	REPLACE("ws100k", "WS100k, 16-504 B", 100000, 504, 500000, 0),
	REPLACE("ws100k-1024", "WS100k, 16-1024 B", 100000, 1024, 500000, 0),
#define REQUEST(name_, title_, objects_, operations_, goal_, gate_, burst_)                        \
	{                                                                                          \
		.name = name_, .title = title_, .unit = "ns/request", .who = BENCH_LIFETIMES,      \
		.threads = 1, .min_bytes = 64, .max_bytes = 504, .objects = objects_,              \
		.operations = operations_, .goal_ratio = goal_, .gate_ratio = gate_,               \
		.prepare = bench_lifetime_prepare, .burst = burst_                                 \
	}
	REQUEST("request10", "request of 10, discard", 10, 50000, 0.65, 0, bench_discard_burst),
	REQUEST("request100", "request of 100, discard", 100, 15000, 0.5, 0.6, bench_discard_burst),
	REQUEST("request1000", "request of 1000, discard", 1000, 1500, 0.5, 0, bench_discard_burst),
	REQUEST("free-each10", "request of 10, free each, close", 10, 50000, 1.0, 0,
		bench_free_each_burst),
	REQUEST("free-each100", "request of 100, free each, close", 100, 15000, 1.0, 1.3,
		bench_free_each_burst),
	REQUEST("free-each1000", "request of 1000, free each, close", 1000, 1500, 1.0, 0,
		bench_free_each_burst),
	{ .name = "frame",
	  .title = "frame of 1 M objects, 4 threads, discard",
	  .unit = "ms/frame",
	  .who = BENCH_LIFETIMES,
	  .threads = 4,
	  .min_bytes = 16,
	  .max_bytes = 128,
	  .objects = 250000,
	  .operations = 1000000,
	  .goal_ratio = 0.5,
	  .prepare = bench_frame_prepare,
	  .burst = bench_discard_burst },
	{ .name = "pipe",
	  .title = "producer to consumer",
	  .unit = "ns/object",
	  .threads = 2,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 0,
	  .operations = 320000,
	  .goal_ratio = 0.7,
	  .gate_ratio = 1.3,
	  .prepare = bench_pipe_prepare,
	  .burst = bench_pipe_burst },
	{ .name = "larson",
	  .title = "larson-like cross-thread free",
	  .unit = PER_PAIR,
	  .threads = 2,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 1024,
	  .operations = 1000000,
	  .goal_ratio = 1.0,
	  .prepare = bench_larson_prepare,
	  .burst = bench_larson_burst },
	{ .name = "ws8192-2t",
	  .title = "WS8192 in each of 2 threads",
	  .unit = PER_PAIR,
	  .threads = 2,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 8192,
	  .operations = 1000000,
	  .goal_ratio = 1.0,
	  .prepare = bench_replace_prepare,
	  .burst = bench_replace_burst },
	{ .name = "epoch",
	  .title = "warm epoch: open, enter, exit, close",
	  .unit = "ns/epoch",
	  .who = BENCH_TSLAB_ONLY,
	  .threads = 1,
	  .operations = 100000,
	  .gate_ns = 200,
	  .burst = bench_epoch_burst },
	{ .name = "resident",
	  .title = "resident bytes per live byte, WS100k",
	  .unit = "bytes/byte",
	  .threads = 1,
	  .min_bytes = 16,
	  .max_bytes = 504,
	  .objects = 100000,
	  .operations = 500000,
	  .goal_ratio = 1.0,
	  .prepare = bench_resident_prepare,
	  .burst = bench_resident_burst,
	  .read_figure = bench_resident_figure },
};

const unsigned bench_workloads_count = sizeof(bench_workloads) / sizeof(bench_workloads[0]);

const struct bench_workload *bench_workloads_find(const char *name)
{
	for (unsigned i = 0; i < bench_workloads_count; i++)
		if (strcmp(bench_workloads[i].name, name) == 0)
			return &bench_workloads[i];
	return NULL;
}
