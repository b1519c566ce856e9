/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "config.h"
#include "tui.h"

static struct {
	bool epochs, classes, json, tui;
	const char *by;
	size_t most;
	uint64_t window_ms;
} set = { .by = "estimated_rss_bytes", .most = 10 };

static const struct option_row options[] = {
	{ "epochs", OPTION_FLAG, &set.epochs, NULL, "epochs; this is the default" },
	{ "classes", OPTION_FLAG, &set.classes, NULL, "size classes" },
	{ "by", OPTION_TEXT, &set.by, "FIELD",
	  "any number of their JSON objects (default estimated_rss_bytes):\n"
	  "rss_bytes, age_sec, refcount, live_bytes, live_objects, allocations, ...\n"
	  "A name that does not exist lists those that do" },
	{ "n", OPTION_COUNT, &set.most, "N", "how many rows (default 10)" },
	{ "window", OPTION_MS, &set.window_ms, "TIME",
	  "rank by what FIELD changes by the second, over this time; FIELD may be a name such as\n"
	  "slow_path_rate, for slow_path_hits. The rows have it as FIELD_per_sec" },
	{ "tui", OPTION_FLAG, &set.tui, NULL,
	  "a full screen that follows the process: epochs, classes, labels, threads; one epoch\n"
	  "with its memory over time and its open scopes. --window is how often (default 1s)" },
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

/* What tells the rows apart. */
static const char *row_key(void)
{
	return set.classes ? "class_index" : "epoch";
}

/* The row that `row` was before; NULL: it is new. */
static const json_t *same_row(const json_t *rows, const json_t *row)
{
	const json_t *other;
	size_t i;

	json_array_foreach(rows, i, other)
		if (get_u64(other, row_key()) == get_u64(row, row_key()))
			return other;
	return NULL;
}

/* "slow_path_rate" is asked for where the field is slow_path_hits: its stem, or that with "_hits". */
static const char *field_of_rate(const json_t *rows, const char *by)
{
	static const char *const endings[] = { "", "_hits", "s" };
	size_t length = strlen(by);
	static char name[96];

	if (rankable(rows, by) || length < 5 || length > 64 || strcmp(by + length - 5, "_rate") != 0)
		return by;
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(name, sizeof(name), "%.*s%s", (int)length - 5, by, endings[i]);
		if (rankable(rows, name))
			return name;
	}
	return by;
}

/* Gives each row of `document` what its figure changed by the second; its name is what to rank by then. */
static const char *add_rates(json_t *document, const json_t *before)
{
	const char *array = set.classes ? "classes" : "epochs";
	json_t *rows = json_object_get(document, array), *row;
	const char *by = field_of_rate(rows, set.by);
	double seconds = seconds_between(before, document);
	static char name[128];
	size_t i;

	if (!rankable(rows, by))
		return by;
	snprintf(name, sizeof(name), "%s_per_sec", by);
	json_array_foreach(rows, i, row) {
		double was = get_number(same_row(json_object_get(before, array), row), by);

		json_object_set_new(
			row, name,
			json_real(seconds > 0 ? (get_number(row, by) - was) / seconds : 0));
	}
	return name;
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
		print_epoch_rows(stdout, ranked, set.by);
	json_decref(ranked);
	return code;
}

static int run_tui(struct source *source, int argc, char **argv)
{
#if TSLAB_HAVE_NCURSESW
	json_t *document = source_document(source, argc, argv);

	return document ? tui_run(source, document, set.window_ms ? set.window_ms : 1000,
				  set.classes ? "classes" : "epochs") :
			  EXIT_TROUBLE;
#else
	(void)source, (void)argc, (void)argv;
	return complain("--tui is not part of this build: configure found no ncursesw");
#endif
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document, *before;
	int code;

	if (set.epochs && set.classes)
		return complain("give one of --epochs and --classes"), complain_usage();
	if (set.tui)
		return run_tui(source, argc, argv);
	source->bare = !set.json;
	document = source_document(source, argc, argv);
	if (document && set.window_ms) {
		before = document;
		document = source_next(source, set.window_ms);
		if (document)
			set.by = add_rates(document, before);
		json_decref(before);
	}
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
