/* SPDX-License-Identifier: MIT */
/* Figures again and again: counters by the second, the others as they are. */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum { FIELDS_MAX = 32, LINES_A_HEADING = 20 };

static struct {
	const char *fields;
	uint64_t interval_ms;
	size_t count;
	bool json;
} set = {
	.fields = "total_allocations,total_frees,total_slow_path_hits,total_slow_cache_miss,"
		  "total_madvise_bytes,live_bytes,committed_bytes,rss_bytes_current",
	.interval_ms = 1000,
};

static const struct option_row options[] = {
	{ "interval", OPTION_MS, &set.interval_ms, "TIME",
	  "between two lines (default 1s; suffix ms, s, m)" },
	{ "count", OPTION_COUNT, &set.count, "N", "end after so many lines" },
	{ "fields", OPTION_TEXT, &set.fields, "LIST",
	  "what to show, with commas: paths of `tslab stats --fields` without [];\n"
	  "in arrays such as classes.lock_contended the sum" },
	{ "json", OPTION_FLAG, &set.json, NULL, "an object a line" },
	{ .name = NULL },
};

static char *column_list; /* cut at its commas */
static struct {
	const char *path;
	const struct ts_field *field;
} columns[FIELDS_MAX];
static size_t column_count;

/* False = complained. */
static bool choose_columns(void)
{
	char *rest = NULL;

	column_list = strdup(set.fields);
	for (char *path = column_list ? strtok_r(column_list, ",", &rest) : NULL; path;
	     path = strtok_r(NULL, ",", &rest)) {
		const struct ts_field *field = find_field(path);

		if (!field || column_count == FIELDS_MAX) {
			complain(field ? "\"%s\" is one field too many" :
					 "there is no number \"%s\": see tslab stats --fields",
				 path);
			return false;
		}
		columns[column_count].path = path;
		columns[column_count++].field = field;
	}
	return column_count > 0 || complain("no field to watch") == EXIT_FINE;
}

static double figure(size_t column, const json_t *before, const json_t *after)
{
	double now = sum_path(after, columns[column].path), seconds = seconds_between(before, after);

	if (!is_counter(columns[column].field))
		return now;
	return seconds > 0 ? (now - sum_path(before, columns[column].path)) / seconds : 0;
}

static void print_heading(void)
{
	for (size_t i = 0; i < column_count; i++) {
		bool rate = is_counter(columns[i].field);

		printf("%s%*s%s", i ? "  " : "", rate ? 12 : 14, columns[i].path, rate ? "/s" : "");
	}
	putchar('\n');
}

static void print_line(const json_t *before, const json_t *after)
{
	for (size_t i = 0; i < column_count; i++) {
		int name = (int)strlen(columns[i].path) + (is_counter(columns[i].field) ? 2 : 0);

		printf("%s%*.*f", i ? "  " : "", name > 14 ? name : 14,
		       columns[i].field->type == TS_VALUE_F64 ? 3 : 0, figure(i, before, after));
	}
	putchar('\n');
}

static void print_object(const json_t *before, const json_t *after)
{
	json_t *line = json_pack("{s:s, s:f}", "timestamp", get_text(after, "timestamp"), "seconds",
				 seconds_between(before, after));

	for (size_t i = 0; i < column_count; i++) {
		char name[160];

		snprintf(name, sizeof(name), "%s%s", columns[i].path,
			 is_counter(columns[i].field) ? "_per_sec" : "");
		json_object_set_new(line, name, json_real(figure(i, before, after)));
	}
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
}

static int watch(struct source *source, json_t *before)
{
	for (size_t line = 0; before && (!set.count || line < set.count); line++) {
		json_t *after = source_next(source, set.interval_ms);

		if (after && set.json)
			print_object(before, after);
		else if (after && line % LINES_A_HEADING == 0)
			print_heading();
		if (after && !set.json)
			print_line(before, after);
		json_decref(before);
		before = after;
		if (fflush(stdout))
			break;
	}
	if (!before)
		return source->over ? EXIT_FINE : EXIT_TROUBLE;
	json_decref(before);
	return EXIT_FINE;
}

static int run(struct source *source, int argc, char **argv)
{
	int code;

	if (choose_columns()) {
		source->bare = source->brief = true;
		source->groups = 1u << TS_GROUP_GLOBAL;
		for (size_t i = 0; i < column_count; i++)
			source->groups |= groups_of(columns[i].field);
		code = watch(source, source_document(source, argc, argv));
	} else {
		code = complain_usage();
	}
	free(column_list);
	return code;
}

const struct command command_watch = {
	.name = "watch",
	.summary = "show figures by the second, again and again",
	.usage = "",
	.text = "Shows a line of figures at each interval: counters by the second, the others as they are.\n"
		"Ends with the process.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
