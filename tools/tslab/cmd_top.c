/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "tool.h"

static struct {
	bool epochs, classes, json;
	const char *by;
	size_t most;
} set = { .by = "estimated_rss_bytes", .most = 10 };

static const struct option_row options[] = {
	{ "epochs", OPTION_FLAG, &set.epochs, NULL, "epochs; this is the default" },
	{ "classes", OPTION_FLAG, &set.classes, NULL, "size classes" },
	{ "by", OPTION_TEXT, &set.by, "FIELD",
	  "any number of their JSON objects (default estimated_rss_bytes):\n"
	  "rss_bytes, age_sec, refcount, live_bytes, live_objects, allocations, ...\n"
	  "A name that does not exist lists those that do" },
	{ "n", OPTION_COUNT, &set.most, "N", "how many rows (default 10)" },
	{ "json", OPTION_FLAG, &set.json, NULL, "the rows as a JSON array, all fields" },
	{ .name = NULL },
};

static void print_class_rows(const json_t *rows, const char *by)
{
	const json_t *row;
	size_t i;

	printf("  %5s %8s %14s %12s %10s %10s  %s\n", "class", "object", "allocations", "live",
	       "live", "slabs", by);
	json_array_foreach(rows, i, row) {
		char live[HUMAN_BYTES], slabs[HUMAN_BYTES];

		printf("  %5llu %8llu %14llu %12llu %10s %10s  %.15g\n",
		       (unsigned long long)get_u64(row, "class_index"),
		       (unsigned long long)get_u64(row, "object_size"),
		       (unsigned long long)get_u64(row, "allocations"),
		       (unsigned long long)get_u64(row, "live_objects"),
		       human_bytes(get_u64(row, "live_bytes"), live),
		       human_bytes(get_u64(row, "committed_bytes"), slabs), get_number(row, by));
	}
}

static int show(const json_t *document)
{
	const json_t *rows = json_object_get(document, set.classes ? "classes" : "epochs");
	json_t *ranked;
	int code = EXIT_FINE;

	if (!rankable(rows, set.by)) {
		complain("%s have no number \"%s\"; they have:", set.classes ? "classes" : "epochs",
			 set.by);
		list_rankable(stderr, rows);
		return EXIT_TROUBLE;
	}
	ranked = rank_rows(rows, set.by, set.most);
	if (set.json)
		code = print_json(ranked, code);
	else if (set.classes)
		print_class_rows(ranked, set.by);
	else
		print_epoch_rows(ranked, set.by);
	json_decref(ranked);
	return code;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document;
	int code;

	if (set.epochs && set.classes)
		return complain("give one of --epochs and --classes"), complain_usage();
	source->bare = !set.json;
	document = source_document(source, argc, argv);
	if (!document)
		return EXIT_TROUBLE;
	code = show(document);
	json_decref(document);
	return code;
}

const struct command command_top = {
	.name = "top",
	.summary = "rank epochs or size classes",
	.usage = "[--epochs | --classes]",
	.text = "Ranks the open epochs, or the size classes, by one of their fields.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
