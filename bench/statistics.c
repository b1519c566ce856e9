/* SPDX-License-Identifier: MIT */
/* statistics.c: median, quartiles and how far to trust them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* Linear interpolation between the two neighbours of rank (count - 1) * share. */
static double quantile(const double *sorted, unsigned count, double share)
{
	double rank = (double)(count - 1) * share;
	unsigned below = (unsigned)rank;

	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] + (rank - below) * (sorted[below + 1] - sorted[below]);
}

struct bench_quartiles bench_statistics_quartiles(const double *samples, unsigned count)
{
	double sorted[BENCH_ROUNDS_MAX];
	struct bench_quartiles result;

	if (count == 0 || count > BENCH_ROUNDS_MAX)
		bench_die("quartiles of %u samples", count);
	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_value);
	result.low = quantile(sorted, count, 0.25);
	result.median = quantile(sorted, count, 0.5);
	result.high = quantile(sorted, count, 0.75);
	result.uncertainty = 0;
	if (result.median > 0)
		result.uncertainty = 1.57 * (result.high - result.low) / sqrt(count) / result.median;
	return result;
}

/*
 * How many samples may be dropped at either end so that the rest still spans the median of what they were
 * drawn from with 95 % confidence: samples fall below that median like heads of a coin, whatever their
 * distribution. Return: -1 if even all of them do not (fewer than six).
 */
static int droppable(unsigned count)
{
	double heads = pow(0.5, count), below = heads; /* P(k heads), P(at most k heads) */
	int k = 0;

	while (below <= 0.025) {
		heads *= (double)(count - (unsigned)k) / (k + 1);
		below += heads;
		k++;
	}
	return k - 1;
}

struct bench_interval bench_statistics_interval(const double *samples, unsigned count)
{
	double sorted[BENCH_ROUNDS_MAX];
	struct bench_interval result = { 0 };
	int dropped = droppable(count);

	result.median = bench_statistics_quartiles(samples, count).median;
	if (dropped < 0)
		return result;
	memcpy(sorted, samples, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_value);
	result.low = sorted[dropped];
	result.high = sorted[count - 1 - (unsigned)dropped];
	result.known = true;
	return result;
}
