/* SPDX-License-Identifier: MIT */
/* rounds.c: one workload, a row of the table for each of its figures. */
#include <string.h>

#include "bench.h"

static bool takes_part(const struct bench_allocator *allocator, const struct bench_workload *workload)
{
	if (workload->who == BENCH_TSLAB_ONLY)
		return allocator->kind == BENCH_TSLAB;
	if (allocator->kind == BENCH_FLOOR)
		return !workload->memory;
	return allocator->kind != BENCH_PEER_HEAP || workload->who == BENCH_LIFETIMES;
}

static bool is_peer(const struct bench_allocator *allocator)
{
	return allocator->kind == BENCH_PEER || allocator->kind == BENCH_PEER_HEAP;
}

typedef double samples[BENCH_PARTS_MAX][BENCH_ALLOCATORS_MAX][BENCH_BURSTS_MAX];

static void start_child(struct bench_results *results, const struct bench_row *row, unsigned i,
			struct bench_process *child)
{
	struct bench_job job = { .allocator = &results->allocators->list[i],
				 .workload = row->workload,
				 .seed = results->options->seed + row->rounds };

	bench_process_start(child, &job);
	memcpy(results->files[i], child->file, sizeof(results->files[i]));
}

static void run_burst(struct bench_process *child, unsigned i, unsigned burst, samples bursts)
{
	double figures[BENCH_PARTS_MAX];

	bench_process_burst(child, figures);
	for (unsigned part = 0; part < BENCH_PARTS_MAX; part++)
		bursts[part][i][burst] = figures[part];
}

/* One generation of children; their bursts take turns, and who begins changes. */
static void run_in_turn(struct bench_results *results, const struct bench_row *row, samples bursts)
{
	struct bench_process children[BENCH_ALLOCATORS_MAX];
	unsigned count = results->allocators->count;

	for (unsigned i = 0; i < count; i++)
		if (row->ran[i])
			start_child(results, row, i, &children[i]);
	for (unsigned burst = 0; burst < results->options->bursts; burst++) {
		for (unsigned turn = 0; turn < count; turn++) {
			unsigned i = (turn + burst + row->rounds) % count;

			if (row->ran[i])
				run_burst(&children[i], i, burst, bursts);
		}
	}
	for (unsigned i = 0; i < count; i++)
		if (row->ran[i])
			bench_process_stop(&children[i]);
}

static void run_one_by_one(struct bench_results *results, const struct bench_row *row, samples bursts)
{
	struct bench_process child;

	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!row->ran[i])
			continue;
		start_child(results, row, i, &child);
		for (unsigned burst = 0; burst < results->options->bursts; burst++)
			run_burst(&child, i, burst, bursts);
		bench_process_stop(&child);
	}
}

static void run_round(struct bench_results *results, struct bench_row *rows, unsigned parts)
{
	static samples bursts;
	unsigned burst_count = results->options->bursts;

	if (results->options->one_at_a_time)
		run_one_by_one(results, rows, bursts);
	else
		run_in_turn(results, rows, bursts);
	for (unsigned part = 0; part < parts; part++) {
		struct bench_row *row = &rows[part];

		for (unsigned i = 0; i < results->allocators->count; i++)
			if (row->ran[i])
				row->samples[i][row->rounds] =
					bench_statistics_quartiles(bursts[part][i], burst_count).median;
		row->rounds++;
	}
}

static int best_peer(const struct bench_results *results, const struct bench_row *row, bool added_too)
{
	int best = -1;

	for (unsigned i = 0; i < results->allocators->count; i++) {
		const struct bench_allocator *allocator = &results->allocators->list[i];

		if (!row->ran[i] || !is_peer(allocator) || (allocator->added && !added_too))
			continue;
		if (best < 0 || row->figure[i].median < row->figure[best].median)
			best = (int)i;
	}
	return best;
}

/* Paired by round: what slows a round down slows both. */
static void pair_ratios(const struct bench_results *results, const struct bench_row *row, int other,
			double *ratios)
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
		pair_ratios(results, row, row->best, ratios);
		row->ratio = bench_statistics_quartiles(ratios, row->rounds);
	}
	if (row->best_apt >= 0) {
		pair_ratios(results, row, row->best_apt, ratios);
		row->ratio_apt = bench_statistics_quartiles(ratios, row->rounds);
	}
	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!results->allocators->list[i].compared || !row->ran[i])
			continue;
		pair_ratios(results, row, (int)i, ratios);
		row->compared[i] = bench_statistics_interval(ratios, row->rounds);
	}
}

/*
 * A figure that varies is not printed. What spoils the row is a ratio that varies, since rounds that are
 * slow for all leave it alone: the one to the best peer, and to any that might be the best. Where nobody
 * can be compared, it is tslab's own figure.
 */
static bool is_noisy(const struct bench_results *results, const struct bench_row *row)
{
	double limit = results->options->max_spread, ratios[BENCH_ROUNDS_MAX];

	if (results->tslab < 0)
		return row->best >= 0 && row->noisy_figure[row->best];
	if (row->best < 0 || !row->ran[results->tslab])
		return row->noisy_figure[results->tslab];
	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!row->ran[i] || !is_peer(&results->allocators->list[i]) ||
		    row->figure[i].low > row->figure[row->best].median)
			continue;
		pair_ratios(results, row, (int)i, ratios);
		if (bench_statistics_quartiles(ratios, row->rounds).uncertainty > limit)
			return true;
	}
	return row->noisy_ratio;
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
	row->best = best_peer(results, row, true);
	row->best_apt = best_peer(results, row, false);
	compare(results, row);
	row->noisy_ratio = row->ratio.uncertainty > limit;
	row->noisy = is_noisy(results, row);
}

/* Return: true if the rounds so far will do. */
static bool summarize_all(const struct bench_results *results, struct bench_row *rows, unsigned parts)
{
	bool noisy = false;

	for (unsigned part = 0; part < parts; part++) {
		summarize(results, &rows[part]);
		noisy = noisy || rows[part].noisy;
	}
	return !noisy;
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

static void note_needs(struct bench_row *row)
{
	const struct bench_workload *workload = row->workload;
	unsigned cpus = workload->cpus ? workload->cpus : workload->threads > 1 ? 2 : 1;

	if (bench_team_cpus() < cpus)
		snprintf(row->skipped, sizeof(row->skipped), "hardware: %u CPUs", cpus);
	else if (row->series && !bench_series_fits(workload))
		snprintf(row->skipped, sizeof(row->skipped), "hardware: more memory");
}

void bench_rounds_run(struct bench_results *results, struct bench_row *rows, unsigned parts)
{
	const struct bench_options *options = results->options;
	const struct bench_workload *workload = rows->workload;

	for (unsigned part = 0; part < parts; part++) {
		note_needs(&rows[part]);
		for (unsigned i = 0; !*rows[part].skipped && i < results->allocators->count; i++)
			rows[part].ran[i] = takes_part(&results->allocators->list[i], workload);
	}
	if (*rows->skipped)
		return;
	while (rows->rounds < options->rounds)
		run_round(results, rows, parts);
	while (!summarize_all(results, rows, parts) && rows->rounds < options->max_rounds)
		run_round(results, rows, parts);
	if (workload->counts_system_calls && results->tslab >= 0)
		count_system_calls(results, rows);
}
