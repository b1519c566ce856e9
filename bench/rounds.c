/* SPDX-License-Identifier: MIT */
/* rounds.c: one row of the table. */
#include <string.h>

#include "bench.h"

static bool takes_part(const struct bench_allocator *allocator, const struct bench_workload *workload)
{
	if (workload->who == BENCH_TSLAB_ONLY)
		return allocator->kind == BENCH_TSLAB;
	if (allocator->kind == BENCH_FLOOR && workload->read_figure)
		return false; /* a buffer has no memory to speak of */
	return allocator->kind != BENCH_PEER_HEAP || workload->who == BENCH_LIFETIMES;
}

static bool is_peer(const struct bench_allocator *allocator)
{
	return allocator->kind == BENCH_PEER || allocator->kind == BENCH_PEER_HEAP;
}

static void start_children(struct bench_results *results, const struct bench_row *row,
			   struct bench_process *children, unsigned round)
{
	for (unsigned i = 0; i < results->allocators->count; i++) {
		struct bench_job job = { .allocator = &results->allocators->list[i],
					 .workload = row->workload,
					 .seed = results->options->seed + round };

		if (!row->ran[i])
			continue;
		bench_process_start(&children[i], &job);
		memcpy(results->files[i], children[i].file, sizeof(results->files[i]));
	}
}

/* One generation of children; their bursts take turns, and who begins changes. */
static void run_round(struct bench_results *results, struct bench_row *row)
{
	static double bursts[BENCH_ALLOCATORS_MAX][BENCH_BURSTS_MAX];
	struct bench_process children[BENCH_ALLOCATORS_MAX];
	unsigned count = results->allocators->count, round = row->rounds;

	start_children(results, row, children, round);
	for (unsigned burst = 0; burst < results->options->bursts; burst++) {
		for (unsigned turn = 0; turn < count; turn++) {
			unsigned i = (turn + burst + round) % count;

			if (row->ran[i])
				bursts[i][burst] = bench_process_burst(&children[i]);
		}
	}
	for (unsigned i = 0; i < count; i++) {
		if (!row->ran[i])
			continue;
		bench_process_stop(&children[i]);
		row->samples[i][round] =
			bench_statistics_quartiles(bursts[i], results->options->bursts).median;
	}
	row->rounds++;
}

static void find_best_peer(const struct bench_results *results, struct bench_row *row)
{
	row->best = -1;
	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!row->ran[i] || !is_peer(&results->allocators->list[i]))
			continue;
		if (row->best < 0 || row->figure[i].median < row->figure[row->best].median)
			row->best = (int)i;
	}
}

/* Paired by round: what slows a round down slows both. */
static void pair_ratios(const struct bench_results *results, const struct bench_row *row,
			unsigned other, double *ratios)
{
	for (unsigned round = 0; round < row->rounds; round++)
		ratios[round] = row->samples[results->tslab][round] / row->samples[other][round];
}

static void compare(const struct bench_results *results, struct bench_row *row)
{
	double ratios[BENCH_ROUNDS_MAX];

	if (results->tslab < 0 || !row->ran[results->tslab])
		return;
	if (row->best >= 0) {
		pair_ratios(results, row, (unsigned)row->best, ratios);
		row->ratio = bench_statistics_quartiles(ratios, row->rounds);
	}
	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!results->allocators->list[i].compared || !row->ran[i])
			continue;
		pair_ratios(results, row, i, ratios);
		row->compared[i] = bench_statistics_interval(ratios, row->rounds);
	}
}

/*
 * A peer that never settles and is slow for certain spoils its own figure only; tslab, the best peer and
 * one that might be the best spoil the row.
 */
static bool matters(const struct bench_results *results, const struct bench_row *row, unsigned i)
{
	if ((int)i == results->tslab || row->best < 0)
		return true;
	return is_peer(&results->allocators->list[i]) &&
	       row->figure[i].low <= row->figure[row->best].median;
}

static void summarize(const struct bench_results *results, struct bench_row *row)
{
	double limit = results->options->max_spread;

	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!row->ran[i])
			continue;
		row->figure[i] = bench_statistics_quartiles(row->samples[i], row->rounds);
		row->noisy_figure[i] = row->figure[i].uncertainty > limit;
	}
	find_best_peer(results, row);
	compare(results, row);
	row->noisy_ratio = row->ratio.uncertainty > limit;
	row->noisy = row->noisy_ratio;
	for (unsigned i = 0; i < results->allocators->count; i++)
		if (row->noisy_figure[i] && matters(results, row, i))
			row->noisy = true;
}

static void count_system_calls(const struct bench_results *results, struct bench_row *row)
{
	struct bench_job job = { .allocator = &results->allocators->list[results->tslab],
				 .workload = row->workload,
				 .seed = results->options->seed,
				 .channel = -1,
				 .bursts = 2 };

	row->system_calls = bench_process_system_calls(&job);
	row->has_system_calls = true;
}

void bench_rounds_run(struct bench_results *results, struct bench_row *row)
{
	const struct bench_options *options = results->options;

	for (unsigned i = 0; i < results->allocators->count; i++)
		row->ran[i] = takes_part(&results->allocators->list[i], row->workload);
	if (row->workload->threads > 1 && bench_team_cpus() < 2) {
		row->skipped = true;
		return;
	}
	while (row->rounds < options->rounds)
		run_round(results, row);
	summarize(results, row);
	while (row->noisy && row->rounds < options->max_rounds) {
		run_round(results, row);
		summarize(results, row);
	}
	if (row->workload->who == BENCH_TSLAB_ONLY && results->tslab >= 0)
		count_system_calls(results, row);
}
