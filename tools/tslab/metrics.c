/* SPDX-License-Identifier: MIT */
#include "families.h"

#include <stdlib.h>
#include <string.h>

#include "obs/render.h"
#include "series.h"

struct writer {
	struct buffer *to;
	const struct metrics_format *format;
	struct view *views;
	size_t view_count;
	const struct metrics_self *self;
	const struct family *family;
	char name[sizeof(METRICS_PREFIX) + NAME_BYTES];
	size_t name_bytes;
	bool names_process; /* by labels, in each sample */
	bool has_header;
	bool has_labels;
};

/* --------------------------------------------------------------------------------------- samples -- */

/* OpenMetrics names a family without what its samples end with. */
static size_t family_name_length(const struct writer *w)
{
	static const char *const suffixes[] = { "_total", "_info" };
	size_t length = strlen(w->family->name);

	for (size_t i = 0; w->format->openmetrics && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (ends_with(w->family->name, suffixes[i]))
			return length - strlen(suffixes[i]);
	return length;
}

static void put_header_line(struct writer *w, const char *what)
{
	buffer_put_text(w->to, what);
	buffer_put_text(w->to, METRICS_PREFIX);
	buffer_put(w->to, w->family->name, family_name_length(w));
	buffer_put(w->to, " ", 1);
}

static void put_header(struct writer *w)
{
	const char *type = w->family->type;

	if (!strcmp(type, "info") && !w->format->openmetrics)
		type = "gauge";
	put_header_line(w, "# HELP ");
	put_escaped(w->to, w->family->help, w->format->openmetrics ? "\\\n\"" : "\\\n");
	put_header_line(w, "\n# TYPE ");
	buffer_put_text(w->to, type);
	buffer_put(w->to, "\n", 1);
	w->has_header = true;
}

/* As they are written. */
static void put_labels(struct writer *w, const char *labels, size_t bytes)
{
	buffer_put(w->to, w->has_labels ? "," : "{", 1);
	buffer_put(w->to, labels, bytes);
	w->has_labels = true;
}

static void put_label(struct writer *w, const char *name, const char *text)
{
	put_labels(w, name, strlen(name));
	buffer_put(w->to, "=\"", 2);
	put_escaped(w->to, text, "\\\"\n");
	buffer_put(w->to, "\"", 1);
}

/* A number, or text; false: not known there. */
static bool put_label_of(struct writer *w, const char *name, const struct figure_row *row,
			 const struct ts_field *field)
{
	struct ts_value value;
	char number[24];

	if (!row_value(row, field, &value))
		return false;
	snprintf(number, sizeof(number), "%lld", (long long)value.i64);
	put_label(w, name, value.type == TS_VALUE_TEXT ? value.text : number);
	return true;
}

/* A family's name may go on: _bucket, _sum. */
static void begin_sample(struct writer *w, const char *suffix, const struct view *view)
{
	if (!w->has_header)
		put_header(w);
	buffer_put(w->to, w->name, w->name_bytes);
	buffer_put_text(w->to, suffix);
	w->has_labels = false;
	if (w->names_process && view)
		put_labels(w, view->identity.text, view->identity.bytes);
}

static void end_labels(struct writer *w)
{
	buffer_put_text(w->to, w->has_labels ? "} " : " ");
}

static void put_count(struct writer *w, uint64_t count)
{
	buffer_put_u64(w->to, count);
	buffer_put(w->to, "\n", 1);
}

static void put_seconds(struct writer *w, uint64_t ns)
{
	char fraction[16];
	size_t length = 9;

	snprintf(fraction, sizeof(fraction), "%09llu", (unsigned long long)(ns % 1000000000u));
	while (length && fraction[length - 1] == '0')
		length--;
	buffer_put_u64(w->to, ns / 1000000000u);
	buffer_put(w->to, ".", length > 0);
	buffer_put(w->to, fraction, length);
	buffer_put(w->to, "\n", 1);
}

static double as_double(const struct ts_value *value)
{
	return value->type == TS_VALUE_I64 ? (double)value->i64 : value->f64;
}

/* The name says which unit: nanoseconds become seconds, per cent a ratio. */
static void put_value(struct writer *w, const struct ts_field *field, const struct ts_value *value)
{
	if (value->type == TS_VALUE_I64 && !strcmp(field->unit, "ns") &&
	    strstr(w->family->name, "_seconds"))
		put_seconds(w, (uint64_t)value->i64);
	else if (!strcmp(field->unit, "%") && ends_with(w->family->name, "_ratio"))
		buffer_format(w->to, "%.15g\n", as_double(value) / 100);
	else if (value->type == TS_VALUE_I64 && value->i64 >= 0)
		put_count(w, (uint64_t)value->i64);
	else
		buffer_format(w->to, "%.15g\n", as_double(value));
}

/* "reason=mapfail" */
static void put_pair(struct writer *w, const char *pair)
{
	char name[NAME_BYTES];
	const char *is = strchr(pair, '=');

	if (!is)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(is - pair), pair);
	put_label(w, name, is + 1);
}

static bool is_number(const struct figure_row *row, const struct ts_field *field,
		      struct ts_value *value)
{
	return row_value(row, field, value) && value->type != TS_VALUE_TEXT;
}

/* ---------------------------------------------------------------------------- families of each kind -- */

static void write_plain(struct writer *w, const struct view *view)
{
	for (size_t i = 0; i < w->family->member_count; i++) {
		const struct member *member = &w->family->members[i];
		const struct figure_row row = row_of_group(&view->whole, member->field->group);
		struct ts_value value;

		if (!is_number(&row, member->field, &value))
			continue;
		begin_sample(w, "", view);
		put_pair(w, member->label);
		end_labels(w);
		put_value(w, member->field, &value);
	}
}

static void write_info(struct writer *w, const struct view *view)
{
	begin_sample(w, "", view);
	for (size_t i = 0; i < w->family->member_count; i++) {
		const struct member *member = &w->family->members[i];

		if (!put_label_of(w, member->label, &view->whole, member->field))
			put_label(w, member->label, "");
	}
	if (!strcmp(w->family->name, "process_info"))
		put_label(w, "allocator", "libtslab");
	end_labels(w);
	put_count(w, 1);
}

static void write_class(struct writer *w, const struct view *view)
{
	const struct ts_field *field = w->family->members[0].field;

	for (size_t i = 0; i < view->class_count; i++) {
		struct ts_value value;

		if (!is_number(&view->classes[i].row, field, &value))
			continue;
		begin_sample(w, "", view);
		put_labels(w, view->classes[i].labels, strlen(view->classes[i].labels));
		end_labels(w);
		put_value(w, field, &value);
	}
}

static void write_contention_row(struct writer *w, const struct view *view,
				 const char *class_labels, const struct figure_row *row)
{
	static const struct ts_field *label;
	const struct ts_field *field = w->family->members[0].field;
	struct ts_value value;

	label = label ? label : field_named(TS_GROUP_CONTENTION, "label");
	if (!is_number(row, field, &value))
		return;
	begin_sample(w, "", view);
	put_labels(w, class_labels, strlen(class_labels));
	put_label_of(w, "label", row, label);
	end_labels(w);
	put_value(w, field, &value);
}

/* What threads met, by class and label; none unless the process counts it. */
static void write_contention(struct writer *w, const struct view *view)
{
	for (size_t i = 0; i < view->class_count; i++) {
		const struct class_series *cls = &view->classes[i];
		struct figure_row row;

		for (size_t k = 0; k < row_count(&cls->row, TS_GROUP_CONTENTION); k++)
			if (row_take(&cls->row, TS_GROUP_CONTENTION, k, &row))
				write_contention_row(w, view, cls->labels, &row);
	}
}

static void write_state(struct writer *w, const struct view *view, const struct epoch_series *series)
{
	static const char *const states[] = { "ACTIVE", "CLOSING" };
	const char *id = view->labels.text + series->labels_at;

	for (size_t i = 0; i < 2; i++) {
		begin_sample(w, "", view);
		put_labels(w, id, series->id_bytes);
		put_label(w, "state", states[i]);
		buffer_put(w->to, id + series->id_bytes + series->state_bytes, series->label_bytes);
		end_labels(w);
		put_count(w, !strcmp(series->state, states[i]));
	}
}

/* Not all epochs' families have all of their labels. */
static void put_epoch_labels(struct writer *w, const struct view *view,
			     const struct epoch_series *series, bool has_state, bool has_label)
{
	const char *id = view->labels.text + series->labels_at, *state = id + series->id_bytes;

	put_labels(w, id, series->id_bytes + (has_state ? series->state_bytes : 0));
	if (has_label)
		buffer_put(w->to, state + series->state_bytes, series->label_bytes);
	end_labels(w);
}

static void write_epoch(struct writer *w, const struct view *view)
{
	const struct ts_field *field = w->family->members[0].field;
	const bool is_state = !strcmp(field->name, "state"),
		   has_state = family_has_state(w->family), has_label = family_has_label(w->family);

	for (size_t i = 0; i < view->shown_count; i++) {
		const struct epoch_series *series = view->shown[i];
		struct ts_value value;

		if (is_state && !series->shared)
			write_state(w, view, series);
		if ((series->shared && !has_state) || !series_value(series, field, &value))
			continue;
		begin_sample(w, "", view);
		put_epoch_labels(w, view, series, has_state, has_label);
		put_value(w, field, &value);
	}
}

/* Where it is counted. */
static bool write_sum(struct writer *w, const struct view *view, enum ts_field_group group)
{
	const struct figure_row row = row_of_group(&view->whole, TS_GROUP_SAMPLING);
	const struct ts_field *sum = field_named(TS_GROUP_SAMPLING, "alloc_wall_ns_sum");
	struct ts_value value;

	if (group != TS_GROUP_ALLOC_WALL || !is_number(&row, sum, &value))
		return false;
	begin_sample(w, "_sum", view);
	end_labels(w);
	put_seconds(w, (uint64_t)value.i64);
	return true;
}

/* Where the sum of a histogram's times is counted, it is given; OpenMetrics has no count without it. */
static void write_histogram(struct writer *w, const struct view *view)
{
	enum ts_field_group group = w->family->members[0].field->group;
	const struct ts_field *bound = field_named(group, "below_ns"),
			      *in_bucket = field_named(group, "count");
	const struct figure_row hist = row_of_group(&view->whole, TS_GROUP_HIST);
	size_t buckets = row_count(&hist, group);
	uint64_t count = 0;
	bool has_sum;

	for (size_t i = 0; i < buckets; i++) {
		struct figure_row row;
		struct ts_value below;
		char text[32] = "+Inf";

		row_take(&hist, group, i, &row);
		count += row_u64(&row, in_bucket);
		if (is_number(&row, bound, &below))
			snprintf(text, sizeof(text), "%.15g", as_double(&below) / 1e9);
		begin_sample(w, "_bucket", view);
		put_label(w, "le", text);
		end_labels(w);
		put_count(w, count);
	}
	has_sum = write_sum(w, view, group);
	if (buckets && (has_sum || !w->format->openmetrics)) {
		begin_sample(w, "_count", view);
		end_labels(w);
		put_count(w, count);
	}
}

static void write_own_value(struct writer *w, const struct view *view, double value)
{
	begin_sample(w, "", view);
	end_labels(w);
	buffer_format(w->to, "%.15g\n", value);
}

static void write_own(struct writer *w)
{
	const char *name = w->family->name;

	if (!strcmp(name, "up")) {
		for (size_t i = 0; i < w->view_count; i++)
			write_own_value(w, &w->views[i], 1);
		if (!w->view_count && !w->format->of_many)
			write_own_value(w, NULL, 0);
	} else if (!strcmp(name, "processes")) {
		write_own_value(w, NULL, (double)w->view_count);
	} else if (w->self && !strcmp(name, "scrape_duration_seconds")) {
		write_own_value(w, NULL, w->self->scrape_seconds);
	} else if (w->self && !strcmp(name, "scrape_errors_total")) {
		write_own_value(w, NULL, (double)w->self->scrape_errors);
	}
}

static void write_family(struct writer *w, const struct family *family)
{
	enum ts_field_group group;

	w->family = family;
	w->has_header = false;
	w->name_bytes = (size_t)snprintf(w->name, sizeof(w->name), METRICS_PREFIX "%s", family->name);
	w->names_process = w->format->of_many && strcmp(family->name, "process_info") != 0;
	if (!w->family->member_count) {
		write_own(w);
		return;
	}
	group = w->family->members[0].field->group;
	for (size_t i = 0; i < w->view_count; i++) {
		const struct view *view = &w->views[i];

		if (!strcmp(w->family->type, "info"))
			write_info(w, view);
		else if (family_is_histogram(w->family))
			write_histogram(w, view);
		else if (group == TS_GROUP_CLASS)
			write_class(w, view);
		else if (group == TS_GROUP_CONTENTION)
			write_contention(w, view);
		else if (group == TS_GROUP_EPOCH)
			write_epoch(w, view);
		else
			write_plain(w, view);
	}
}

/* ------------------------------------------------------------------------------------- interface -- */

const char *metrics_content_type(const struct metrics_format *format)
{
	return format->openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8" :
				     "text/plain; version=0.0.4; charset=utf-8";
}

bool metrics_write(struct buffer *to, const struct metrics_format *format,
		   struct reading *const *readings, size_t count, const struct metrics_self *self)
{
	struct writer w = { .to = to, .format = format, .view_count = count, .self = self };
	const struct family *families;
	size_t family_count;
	bool good;

	families = metric_families(&family_count);
	w.views = calloc(count + 1, sizeof(*w.views));
	good = w.views != NULL;
	for (size_t i = 0; good && i < count; i++)
		good = view_make(&w.views[i], readings[i]);
	for (size_t i = 0; good && i < family_count; i++) {
		if (families[i].namings & format->naming &&
		    !(format->openmetrics && family_clashes(&families[i])))
			write_family(&w, &families[i]);
	}
	if (good && format->openmetrics)
		buffer_put_text(to, "# EOF\n");
	for (size_t i = 0; w.views && i < count; i++)
		view_free(&w.views[i]);
	free(w.views);
	return good && !to->failed;
}
