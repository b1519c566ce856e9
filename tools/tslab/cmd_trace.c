/* SPDX-License-Identifier: MIT */
/* Failed allocations as they happen: the process keeps the last 256. */
#include <string.h>

#include "tool.h"

#define REASONS "any|threshold|exhaustion|mapfail|epoch_closed|invalid"

static struct {
	bool follow, json;
	unsigned reason; /* index in REASONS */
	uint64_t interval_ms;
} set = { .interval_ms = 500 };

static const struct option_row options[] = {
	{ "follow", OPTION_FLAG, &set.follow, NULL, "go on until the process ends" },
	{ "reason", OPTION_CHOICE, &set.reason, REASONS, "only failures of this cause (default any)" },
	{ "interval", OPTION_MS, &set.interval_ms, "TIME",
	  "how often --follow looks (default 500ms)" },
	{ "json", OPTION_FLAG, &set.json, NULL, "an object a line" },
	{ .name = NULL },
};

static void print_text(const json_t *event, const json_t *document)
{
	uint64_t ago_ms =
		(get_u64(document, "timestamp_ns") - get_u64(event, "timestamp_ns")) / 1000000;
	char text[2 * CLEAN_BYTES];

	describe_failure(event, text, sizeof(text));
	printf("%llu, %llu.%03llu s ago, thread %llu: %s\n",
	       (unsigned long long)get_u64(event, "number"), (unsigned long long)ago_ms / 1000,
	       (unsigned long long)ago_ms % 1000, (unsigned long long)get_u64(event, "tid"), text);
}

static bool is_wanted(const json_t *event)
{
	return set.reason == 0 || choice_index(REASONS, get_text(event, "reason")) == set.reason;
}

/* Events with numbers above *seen, the oldest first; *seen is the newest afterwards. */
static void print_new(const json_t *document, uint64_t *seen)
{
	const json_t *recent = json_object_get(json_object_get(document, "alloc_failures"), "recent");
	uint64_t last = *seen;

	for (size_t i = json_array_size(recent); i-- > 0;) {
		json_t *event = json_array_get(recent, i);
		uint64_t number = get_u64(event, "number");

		if (number <= last)
			continue;
		if (last && number > last + 1)
			fprintf(stderr, "%llu failures were overwritten before they could be read\n",
				(unsigned long long)(number - last - 1));
		last = number;
		if (!is_wanted(event))
			continue;
		if (!set.json)
			print_text(event, document);
		else if (!json_dumpf(event, stdout, JSON_COMPACT))
			putchar('\n');
	}
	*seen = last;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document;
	uint64_t seen = 0;

	if (argc < 1 || strcmp(argv[0], "failures") != 0)
		return complain("what can be traced is \"failures\""), complain_usage();
	source->brief = true;
	source->groups = 1u << TS_GROUP_GLOBAL | 1u << TS_GROUP_FAILURES | 1u << TS_GROUP_RECENT;
	document = source_document(source, argc - 1, argv + 1);
	while (document) {
		print_new(document, &seen);
		json_decref(document);
		if (!set.follow)
			return EXIT_FINE;
		if (fflush(stdout))
			break;
		document = source_next(source, set.interval_ms);
	}
	return source->over ? EXIT_FINE : EXIT_TROUBLE;
}

const struct command command_trace = {
	.name = "trace",
	.summary = "show failed allocations, as they happen",
	.usage = "failures",
	.text = "Shows allocations that failed: cause, size, class, errno, label, thread and place. The\n"
		"process keeps the last 256 of them; it need not be told to.\n",
	.options = options,
	.words = "failures",
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
