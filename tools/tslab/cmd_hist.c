/* SPDX-License-Identifier: MIT */
/* How times are spread: a bar a bucket. */
#include <math.h>
#include <string.h>

#include "tool.h"

enum { BAR = 50 };

static bool as_json;

static const struct option_row options[] = {
	{ "json", OPTION_FLAG, &as_json, NULL, "an object of arrays of buckets" },
	{ .name = NULL },
};

static const struct {
	const char *name, *title, *none;
} histograms[] = {
	{ "alloc_wall_ns", "sampled allocations", "none was timed: see tslab set sample-rate=1024" },
	{ "epoch_close_ns", "closes and discards that moved memory", "there was none" },
	{ "lock_wait_ns", "locks that had to wait", "none had to" },
};

static const char *human_ns(double ns, char *buffer)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	unsigned unit = 0;

	for (; ns >= 1000 && unit < 3; unit++)
		ns /= 1000;
	snprintf(buffer, HUMAN_BYTES, ns < 10 ? "%.1f %s" : "%.0f %s", ns, units[unit]);
	return buffer;
}

/* The upper bound of the bucket that holds the share `p` of all; 0 if that is the last, which has none. */
static double quantile(const json_t *buckets, uint64_t all, double p)
{
	const json_t *bucket;
	uint64_t seen = 0;
	size_t i;

	json_array_foreach(buckets, i, bucket) {
		seen += get_u64(bucket, "count");
		if (seen && (double)seen >= p * (double)all)
			return get_number(bucket, "below_ns");
	}
	return 0;
}

static void print_buckets(const json_t *buckets, uint64_t most)
{
	const json_t *bucket;
	size_t i;

	json_array_foreach(buckets, i, bucket) {
		uint64_t count = get_u64(bucket, "count");
		double below = get_number(bucket, "below_ns");
		char bound[HUMAN_BYTES];

		if (!count)
			continue;
		printf("  %s %9s %12llu ", below > 0 ? "below" : "     ",
		       below > 0 ? human_ns(below, bound) : "longer", (unsigned long long)count);
		for (int k = (int)ceil((double)count * BAR / (double)most); k > 0; k--)
			putchar('#');
		putchar('\n');
	}
}

static void print_histogram(const json_t *buckets, const char *title, const char *none)
{
	static const double shares[] = { 0.5, 0.99, 0.999 };
	uint64_t all = 0, most = 0;
	const json_t *bucket;
	size_t i;

	json_array_foreach(buckets, i, bucket) {
		all += get_u64(bucket, "count");
		if (get_u64(bucket, "count") > most)
			most = get_u64(bucket, "count");
	}
	printf("%s: %llu%s%s\n", title, (unsigned long long)all, all ? "" : "; ", all ? "" : none);
	if (!all)
		return;
	print_buckets(buckets, most);
	for (i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
		double bound = quantile(buckets, all, shares[i]);
		char text[HUMAN_BYTES];

		printf("%s%g %% %s %s", i ? ", " : "  ", 100 * shares[i], bound > 0 ? "below" : "",
		       bound > 0 ? human_ns(bound, text) : "longer than any bound");
	}
	puts("");
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document, *hist;
	int code = EXIT_FINE;

	source->bare = source->brief = true;
	document = source_document(source, argc, argv);
	if (!document)
		return EXIT_TROUBLE;
	hist = json_object_get(document, "hist");
	for (size_t i = 0; !as_json && i < sizeof(histograms) / sizeof(histograms[0]); i++)
		print_histogram(json_object_get(hist, histograms[i].name), histograms[i].title,
				histograms[i].none);
	if (as_json)
		code = print_json(hist, code);
	json_decref(document);
	return code;
}

const struct command command_hist = {
	.name = "hist",
	.summary = "show how the times of allocations, closes and locks are spread",
	.usage = "",
	.text = "Shows how times are spread: sampled allocations, ends of epochs, waits for locks.\n"
		"Two buckets an octave; what is below a bound took less time than that.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
