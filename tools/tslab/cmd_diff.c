/* SPDX-License-Identifier: MIT */
/* Two snapshots against each other, for people and for continuous integration. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

enum { FIGURES_MAX = 128 };
enum format { AS_TEXT, AS_MARKDOWN, AS_JSON, AS_JUNIT };

static struct {
	struct texts thresholds;
	unsigned fail_on; /* 0 = never, 1 = regression */
	unsigned format;  /* enum format */
} set;

static const struct option_row options[] = {
	{ "fail-on", OPTION_CHOICE, &set.fail_on, "never|regression",
	  "with regression: exit status 3 if a figure rose by more than its limit" },
	{ "threshold", OPTION_TEXTS, &set.thresholds, "NAME=+N[%]",
	  "limit of a figure, as a share of the first or as a number; NAME is one of those that\n"
	  "are shown, or a path of `tslab stats --fields` without []. May be repeated" },
	{ "format", OPTION_CHOICE, &set.format, "text|md|json|junit",
	  "how to show it (default text)" },
	{ .name = NULL },
};

/* What is compared: a figure, or a ratio of two. More is worse. */
struct figure {
	const char *name;
	const char *over;  /* paths with " + " in between, as in evaluate() */
	const char *under; /* NULL: no ratio */
	const char *limit; /* "+10%", "+0"; NULL: shown only */
};
static const struct figure known[] = {
	{ "slow_path_rate", "total_slow_path_hits", "total_allocations", "+10%" },
	{ "cache_miss_rate", "total_slow_cache_miss", "total_allocations", NULL },
	{ "lock_contention_rate", "total_lock_contended", "total_lock_acquisitions", NULL },
	{ "madvise_failures", "total_madvise_failures", NULL, "+0" },
	{ "commit_failures", "total_commit_failures", NULL, "+0" },
	{ "alloc_failures",
	  "alloc_failures.threshold + alloc_failures.exhaustion + alloc_failures.mapfail + "
	  "alloc_failures.epoch_closed + alloc_failures.invalid",
	  NULL, "+0" },
	{ "invalid_frees",
	  "safety.invalid_free.double + safety.invalid_free.wild + safety.invalid_free.foreign + "
	  "safety.invalid_free.stale",
	  NULL, "+0" },
	{ "scopes_abandoned", "total_scopes_abandoned", NULL, "+0" },
	{ "fragmentation_ratio", "fragmentation_ratio", NULL, NULL },
	{ "live_bytes", "live_bytes", NULL, NULL },
	{ "committed_bytes", "committed_bytes", NULL, NULL },
	{ "rss_bytes", "rss_bytes_current", NULL, NULL },
};
enum { KNOWN = sizeof(known) / sizeof(known[0]) };

static struct figure figures[FIGURES_MAX];
static size_t figure_count;

/* "+10%" or "+5"; false if it is neither. */
static bool parse_limit(const char *text, double *limit, bool *share)
{
	char *end;

	errno = 0;
	*limit = strtod(text + (*text == '+'), &end);
	*share = *end == '%';
	return end != text && !errno && *limit >= 0 && isfinite(*limit) && !end[*share];
}

static struct figure *figure_named(const char *name, size_t length)
{
	for (size_t i = 0; i < figure_count; i++)
		if (strlen(figures[i].name) == length && !strncmp(figures[i].name, name, length))
			return &figures[i];
	return NULL;
}

/* One --threshold. False = complained. */
static bool take_threshold(const char *text)
{
	size_t length = strcspn(text, "=");
	struct figure *figure = figure_named(text, length);
	double limit;
	bool share;

	if (!text[length] || !parse_limit(text + length + 1, &limit, &share)) {
		complain("--threshold: \"%s\" is not like slow_path_rate=+10%%", text);
		return false;
	}
	if (!figure && figure_count < FIGURES_MAX) {
		char *path = strndup(text, length);

		if (!path || !find_field(path)) {
			complain("--threshold: there is no figure \"%.*s\"", (int)length, text);
			free(path);
			return false;
		}
		figure = &figures[figure_count++];
		*figure = (struct figure){ .name = path, .over = path };
	}
	if (figure)
		figure->limit = text + length + 1;
	return figure != NULL;
}

/* -------------------------------------------------------------------------------------- comparing -- */

static double value_of(const struct figure *figure, const json_t *document)
{
	double over = evaluate(document, figure->over);
	double under = figure->under ? evaluate(document, figure->under) : 1;

	return under > 0 ? over / under : 0;
}

static bool is_worse(const struct figure *figure, double before, double after)
{
	double limit;
	bool share;

	if (!figure->limit || !parse_limit(figure->limit, &limit, &share))
		return false;
	return after > (share ? before * (1 + limit / 100) : before + limit);
}

static json_t *compare(const json_t *before, const json_t *after)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < figure_count; i++) {
		const struct figure *figure = &figures[i];
		double a = value_of(figure, before), b = value_of(figure, after);

		json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f, s:s?, s:b}", "figure",
						      figure->name, "before", a, "after", b,
						      "change", b - a, "limit", figure->limit,
						      "regression", (int)is_worse(figure, a, b)));
	}
	return rows;
}

static size_t count_regressions(const json_t *rows)
{
	const json_t *row;
	size_t i, count = 0;

	json_array_foreach(rows, i, row)
		count += json_is_true(json_object_get(row, "regression"));
	return count;
}

/* ----------------------------------------------------------------------------------------- showing -- */

static const char *verdict(const json_t *row)
{
	if (json_is_true(json_object_get(row, "regression")))
		return "REGRESSION";
	return *get_text(row, "limit") ? "ok" : "";
}

/* "+12.3 %", where that says something. */
static const char *change(const json_t *row, char *buffer)
{
	double before = get_number(row, "before"), by = get_number(row, "change");

	if (before != 0)
		snprintf(buffer, HUMAN_BYTES, "%+.1f %%", 100 * by / before);
	else
		snprintf(buffer, HUMAN_BYTES, "%+.6g", by);
	return buffer;
}

static void print_rows(const json_t *rows, bool markdown)
{
	const json_t *row;
	size_t i;

	if (markdown)
		fputs("| figure | before | after | change | limit | verdict |\n"
		      "|---|---|---|---|---|---|\n",
		      stdout);
	json_array_foreach(rows, i, row) {
		const char *name = get_text(row, "figure"), *limit = get_text(row, "limit");
		double before = get_number(row, "before"), after = get_number(row, "after");
		char by[HUMAN_BYTES];

		change(row, by);
		if (markdown)
			printf("| %s | %.10g | %.10g | %s | %s | %s |\n", name, before, after, by,
			       limit, verdict(row));
		else
			printf("%-24s %16.10g %16.10g %12s  %-8s %s\n", name, before, after, by,
			       limit, verdict(row));
	}
}

static void print_junit(const json_t *rows)
{
	const json_t *row;
	size_t i;

	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	       "<testsuite name=\"tslab diff\" tests=\"%zu\" failures=\"%zu\">\n",
	       json_array_size(rows), count_regressions(rows));
	/* Names are those of figures and fields, limits are numbers: nothing to escape. */
	json_array_foreach(rows, i, row) {
		char by[HUMAN_BYTES];

		printf("  <testcase classname=\"tslab\" name=\"%s\">", get_text(row, "figure"));
		if (json_is_true(json_object_get(row, "regression")))
			printf("<failure message=\"%.10g, before %.10g: %s, limit %s\"/>",
			       get_number(row, "after"), get_number(row, "before"), change(row, by),
			       get_text(row, "limit"));
		puts("</testcase>");
	}
	puts("</testsuite>");
}

static int show(const json_t *rows)
{
	switch ((enum format)set.format) {
	case AS_TEXT:
	case AS_MARKDOWN:
		print_rows(rows, set.format == AS_MARKDOWN);
		return EXIT_FINE;
	case AS_JSON:
		return print_json(rows, EXIT_FINE);
	case AS_JUNIT:
		print_junit(rows);
		return EXIT_FINE;
	}
	return EXIT_TROUBLE;
}

static json_t *load(const char *path)
{
	struct source source = { .file = path, .bare = true };

	json_t *document = source_load(&source);

	source_close(&source);
	return document;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *before, *after = NULL, *rows;
	int code = EXIT_TROUBLE;

	(void)source;
	memcpy(figures, known, sizeof(known));
	figure_count = KNOWN;
	for (size_t i = 0; i < set.thresholds.count; i++)
		if (!take_threshold(set.thresholds.text[i]))
			return complain_usage();
	if (argc != 2)
		return complain("give two files"), complain_usage();
	before = load(argv[0]);
	if (before)
		after = load(argv[1]);
	if (after) {
		rows = compare(before, after);
		code = show(rows);
		if (code == EXIT_FINE && set.fail_on && count_regressions(rows))
			code = EXIT_REGRESSION;
		json_decref(rows);
	}
	json_decref(before);
	json_decref(after);
	return code;
}

const struct command command_diff = {
	.name = "diff",
	.summary = "compare two snapshots, and say what became worse",
	.usage = "BEFORE AFTER",
	.text = "Compares two snapshots: files as --file of the other commands takes them. Counters are\n"
		"those since the start of each process; rates are shares, such as slow paths of all\n"
		"allocations.\n",
	.options = options,
	.notes = "Exit status: 0, 2 trouble, 3 a regression and --fail-on regression.",
	.run = run,
};
