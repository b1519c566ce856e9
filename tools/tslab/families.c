/* SPDX-License-Identifier: MIT */
#include "families.h"

#include <string.h>

enum { FAMILIES_MAX = 256 };

static struct family families[FAMILIES_MAX];
static size_t family_count;

bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && !strcmp(text + length - end_length, end);
}

static bool is_histogram(enum ts_field_group group)
{
	return ts_groups[group].parent == TS_GROUP_HIST && group != TS_GROUP_HIST;
}

static const char *type_of(const struct ts_field *field)
{
	if (is_histogram(field->group))
		return "histogram";
	return !strcmp(field->kind, "COUNTER") ? "counter" : "gauge";
}

static struct family *find_family(const char *name, size_t length)
{
	for (size_t i = 0; i < family_count; i++)
		if (strlen(families[i].name) == length && !memcmp(families[i].name, name, length))
			return &families[i];
	return NULL;
}

static struct family *add_family(const char *name, size_t length, const char *type,
				 const char *help, unsigned namings)
{
	struct family *family = find_family(name, length);

	if (family || family_count == FAMILIES_MAX)
		return family;
	family = &families[family_count++];
	snprintf(family->name, sizeof(family->name), "%.*s", (int)length, name);
	family->type = type;
	family->help = help;
	family->namings = namings;
	return family;
}

static void add_member(const char *name, size_t length, unsigned namings,
		       const struct ts_field *field, const char *label, size_t label_length)
{
	struct family *family;
	struct member *member;

	if (!length)
		return;
	family = add_family(name, length, type_of(field), field->help, namings);
	if (!family || family->member_count == MEMBERS_MAX)
		return;
	member = &family->members[family->member_count++];
	member->field = field;
	snprintf(member->label, sizeof(member->label), "%.*s", (int)label_length, label);
}

/* One of a field's metrics: "name", "seed|clean", each perhaps with ",label". */
static void add_metric(const char *metric, size_t length, const struct ts_field *field)
{
	const char *end = metric + length;
	const char *comma = memchr(metric, ',', length);
	const char *names_end = comma ? comma : end;
	const char *bar = memchr(metric, '|', (size_t)(names_end - metric));
	const char *label = comma ? comma + 1 : end;
	size_t label_length = (size_t)(end - label);

	if (!bar) {
		add_member(metric, (size_t)(names_end - metric), METRICS_BOTH, field, label,
			   label_length);
		return;
	}
	add_member(metric, (size_t)(bar - metric), METRICS_SEED, field, label, label_length);
	add_member(bar + 1, (size_t)(names_end - bar - 1), METRICS_CLEAN, field, label, label_length);
}

static const struct {
	const char *name, *type, *help;
} own[] = {
	{ "build_info", "info", "Library in the process" },
	{ "process_info", "info", "Whose figures these are" },
	{ "up", "gauge", "1: the segment of the process could be read" },
	{ "processes", "gauge", "Processes that could be read" },
	{ "scrape_duration_seconds", "gauge", "Time that reading them took" },
	{ "scrape_errors_total", "counter", "Attempts to read a process that failed" },
};

static void collect_families(void)
{
	if (family_count)
		return;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		add_family(own[i].name, strlen(own[i].name), own[i].type, own[i].help, METRICS_BOTH);
	for (size_t i = 0; i < ts_field_count; i++) {
		const char *metric = ts_fields[i].metric;

		while (*metric) {
			size_t length = strcspn(metric, ";");

			add_metric(metric, length, &ts_fields[i]);
			metric += length + (metric[length] == ';');
		}
	}
}

bool family_has_state(const struct family *family)
{
	static const char *const without[] = { "epoch_era", "rss_before_close", "rss_after_close",
					       "madvise_bytes" };

	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (!strcmp(family->members[0].field->name, without[i]))
			return false;
	return true;
}

bool family_has_label(const struct family *family)
{
	return strcmp(family->members[0].field->name, "epoch_era") != 0;
}

bool family_clashes(const struct family *family)
{
	size_t length = strlen(family->name);

	return ends_with(family->name, "_total") &&
	       find_family(family->name, length - strlen("_total")) != NULL;
}

bool family_is_histogram(const struct family *family)
{
	return is_histogram(family->members[0].field->group);
}

const struct family *metric_families(size_t *count)
{
	collect_families();
	*count = family_count;
	return families;
}

/* Of each sample, beside what tells processes apart. */
static void list_labels(const struct family *family, char *text, size_t text_bytes)
{
	const struct ts_field *field = family->member_count ? family->members[0].field : NULL;
	const char *separator = "";
	size_t used = 0;

	snprintf(text, text_bytes, "-");
	if (field && field->group == TS_GROUP_CLASS)
		snprintf(text, text_bytes, "class,object_size");
	else if (field && field->group == TS_GROUP_EPOCH)
		snprintf(text, text_bytes, "epoch%s%s", family_has_state(family) ? ",state" : "",
			 family_has_label(family) ? ",label" : "");
	else if (field && field->group == TS_GROUP_CONTENTION)
		snprintf(text, text_bytes, "class,object_size,label");
	else if (field && is_histogram(field->group))
		snprintf(text, text_bytes, "le");
	for (size_t i = 0; i < family->member_count && *family->members[i].label; i++) {
		const char *label = family->members[i].label;
		bool pair = strchr(label, '=') != NULL;

		if (pair && i)
			break;
		used += (size_t)snprintf(text + used, text_bytes - used, "%s%.*s", separator,
					 (int)strcspn(label, "="), label);
		separator = ",";
	}
	if (!strcmp(family->name, "process_info"))
		snprintf(text + used, text_bytes - used, ",allocator");
}

void metrics_list(FILE *to)
{
	static const char *const namings[] = { "", "seed", "clean", "both" };

	collect_families();
	for (size_t i = 0; i < family_count; i++) {
		const struct family *family = &families[i];
		char labels[128];

		list_labels(family, labels, sizeof(labels));
		fprintf(to, METRICS_PREFIX "%-42s %-9s %-40s %-5s %s\n", family->name, family->type,
			labels, namings[family->namings], family->help);
	}
}
