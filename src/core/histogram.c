/* SPDX-License-Identifier: MIT */
#include "histogram.h"

static struct ts_block_histograms *block; /* set once, before threads can count */

void ts_histogram_start(void)
{
	block = ts_block_get(TS_BLOCK_HISTOGRAMS, 1);
}

void ts_histogram_count(enum ts_histogram histogram, uint64_t ns)
{
	unsigned bucket = 0;

	while (bucket + 1 < TS_HISTOGRAM_BUCKETS && ns >= ts_histogram_bound(bucket))
		bucket++;
	if (block)
		ts_a64_add_rlx(&block->times[histogram][bucket], 1);
}

void ts_histogram_clear(void)
{
	if (block)
		ts_words_clear(block->times, sizeof(block->times));
}
