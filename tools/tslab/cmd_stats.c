/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "obs/render.h"
#include "tool.h"

enum { EPOCHS_SHOWN = 10 };

static struct {
	bool json, all_epochs, fields, schema;
	const char *class_text;
} set;

static const struct option_row options[] = {
	{ "json", OPTION_FLAG, &set.json, NULL, "the whole snapshot as JSON" },
	{ "no-text", OPTION_FLAG, &set.json, NULL, "the same" },
	{ "epochs", OPTION_FLAG, &set.all_epochs, NULL, "all epochs, not only the ten largest" },
	{ "class", OPTION_TEXT, &set.class_text, "N", "one size class, every field" },
	{ "fields", OPTION_FLAG, &set.fields, NULL,
	  "list the fields of the JSON with kind, unit, metric and meaning; needs no process" },
	{ "schema", OPTION_FLAG, &set.schema, NULL, "JSON Schema of the JSON; needs no process" },
	{ .name = NULL },
};

static int print_fields(void)
{
	for (size_t i = 0; i < ts_field_count; i++) {
		const struct ts_field *field = &ts_fields[i];
		char path[96], name[160];

		snprintf(name, sizeof(name), "%s%s",
			 ts_group_path(field->group, path, sizeof(path)), field->name);
		printf("%-46s %-8s %-12s %-46s %s\n", name, field->kind,
		       *field->unit ? field->unit : "-", *field->metric ? field->metric : "-",
		       field->help);
	}
	return EXIT_FINE;
}

static bool to_stdout(void *context, const char *bytes, size_t count)
{
	(void)context;
	return fwrite(bytes, 1, count, stdout) == count;
}

static int print_schema(void)
{
	struct ts_json json;

	ts_json_start(&json, to_stdout, NULL);
	ts_render_schema(&json);
	return ts_json_end(&json) ? EXIT_FINE : complain("cannot write the schema");
}

static void print_bytes(const char *label, const json_t *object, const char *name, const char *remark)
{
	char text[HUMAN_BYTES];

	printf("  %-22s %12s   %s\n", label, human_bytes(get_u64(object, name), text), remark);
}

static void print_count(const char *label, const json_t *object, const char *name, const char *remark)
{
	printf("  %-22s %12llu   %s\n", label, (unsigned long long)get_u64(object, name), remark);
}

static void print_process(const json_t *d)
{
	char comm[64], age[HUMAN_BYTES];
	uint64_t started = get_u64(d, "start_time_ns"), now = get_u64(d, "timestamp_ns");

	printf("process %llu (%s), %s, libtslab %s, using it for %s%s\n\n",
	       (unsigned long long)get_u64(d, "pid"),
	       clean(get_text(d, "comm"), comm, sizeof(comm)), get_text(d, "arch"),
	       get_text(d, "lib_version"), human_seconds(ts_minus(now, started) / 1000000000u, age),
	       json_is_true(json_object_get(d, "consistent")) ? "" : "; figures mix two moments");
	puts("memory");
	print_bytes("live", d, "live_bytes", "in objects of the program");
	print_bytes("held", d, "committed_bytes", "by epochs, and retained");
	print_bytes("retained", d, "retained_bytes", "empty, kept by threads for reuse");
	print_bytes("resident", d, "rss_bytes_current", "whole process");
	puts("\nwork");
	print_count("allocations", d, "total_allocations", "");
	print_count("frees", d, "total_frees", "those of discards included");
	print_count("slow paths", d, "total_slow_path_hits", "allocations off the fast path");
	print_count("new chunks", d, "total_slow_cache_miss", "of these, took 64 KiB more");
	print_count("epochs opened", d, "total_epochs_opened", "");
	print_count("epochs closed", d, "total_epoch_close_calls", "");
	print_count("epochs discarded", d, "total_epoch_discards", "");
	print_count("epochs open", d, "open_epochs", "");
	print_bytes("given back to the OS", d, "total_madvise_bytes", "");
	print_count("threads", d, "threads_registered", "");
}

/* Counters that should be 0, printed only where they are not. */
static void print_nonzero(const json_t *object, const char *title)
{
	bool any = false;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		char cleaned[64];

		if (!json_is_integer(value) || !json_integer_value(value))
			continue;
		if (!any)
			printf("\n%s\n", title);
		any = true;
		printf("  %-22s %12lld\n", clean(name, cleaned, sizeof(cleaned)),
		       (long long)json_integer_value(value));
	}
}

static void print_classes(const json_t *classes)
{
	const json_t *row;
	size_t i;

	printf("\nsize classes in use\n  %5s %8s %14s %14s %12s %10s %10s\n", "class", "object",
	       "allocations", "frees", "live", "live", "slabs");
	json_array_foreach(classes, i, row) {
		char live[HUMAN_BYTES], slabs[HUMAN_BYTES];

		if (!get_u64(row, "allocations"))
			continue;
		printf("  %5llu %8llu %14llu %14llu %12llu %10s %10s\n",
		       (unsigned long long)get_u64(row, "class_index"),
		       (unsigned long long)get_u64(row, "object_size"),
		       (unsigned long long)get_u64(row, "allocations"),
		       (unsigned long long)get_u64(row, "frees"),
		       (unsigned long long)get_u64(row, "live_objects"),
		       human_bytes(get_u64(row, "live_bytes"), live),
		       human_bytes(get_u64(row, "committed_bytes"), slabs));
	}
}

static void print_epochs(const json_t *document, size_t shown)
{
	json_t *ranked = rank_rows(json_object_get(document, "epochs"), "estimated_rss_bytes", shown);
	size_t all = json_array_size(json_object_get(document, "epochs"));

	printf("\nepochs open: %zu%s\n", all, all > shown ? ", the largest" : "");
	print_epoch_rows(ranked, NULL);
	json_decref(ranked);
}

static int print_class(const json_t *document, const char *text)
{
	const json_t *classes = json_object_get(document, "classes");
	size_t index = 0;
	const char *name;
	json_t *row, *value;

	if (strcmp(text, "0") != 0 && !parse_count(text, &index))
		index = json_array_size(classes);
	row = json_array_get(classes, index);
	if (!row)
		return complain("no size class \"%s\"", text);
	json_object_foreach(row, name, value) {
		char cleaned[64];

		printf("%-22s %g\n", clean(name, cleaned, sizeof(cleaned)), json_number_value(value));
	}
	return EXIT_FINE;
}

static int print_all(const json_t *document)
{
	print_process(document);
	print_nonzero(json_object_get(document, "alloc_failures"), "allocations that failed");
	print_nonzero(json_object_get(json_object_get(document, "safety"), "invalid_free"),
		      "frees refused");
	print_nonzero(json_object_get(document, "safety"), "calls refused");
	print_classes(json_object_get(document, "classes"));
	print_epochs(document, set.all_epochs ? SIZE_MAX : EPOCHS_SHOWN);
	return EXIT_FINE;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document;
	int code;

	if (set.fields)
		return print_fields();
	if (set.schema)
		return print_schema();
	source->bare = !set.json;
	document = source_document(source, argc, argv);
	if (!document)
		return EXIT_TROUBLE;
	if (set.json)
		code = print_json(document, EXIT_FINE);
	else if (set.class_text)
		code = print_class(document, set.class_text);
	else
		code = print_all(document);
	json_decref(document);
	return code;
}

const struct command command_stats = {
	.name = "stats",
	.summary = "show the figures of a process",
	.usage = "",
	.text = "Shows the figures of a process: totals, size classes in use, open epochs.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
