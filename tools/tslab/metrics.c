/* SPDX-License-Identifier: MIT */
#include "families.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------- documents -- */

enum { EPOCHS_MAX = 64 }; /* beside the ring's; what is beyond is summed */

/* An epoch's series. Epochs of one state and label that are not among the largest share one: id "other". */
struct epoch_series {
	const json_t *row;
	char id[24];
	const char *state;
	const char *label;
	bool summed;
};

struct class_series {
	const json_t *row;
	char labels[80];
};

struct view {
	const json_t *document;
	json_t *ranked; /* epochs by size */
	json_t *sums;   /* "state label" -> an epoch's object, added up */
	struct epoch_series *epochs;
	size_t epoch_count;
	struct class_series *classes;
	size_t class_count;
};

struct writer {
	FILE *to;
	const struct metrics_format *format;
	struct view *views;
	size_t view_count;
	const struct metrics_self *self;
	const struct family *family;
	bool has_header;
	bool has_labels;
};

static const json_t *group_object(const json_t *document, enum ts_field_group group)
{
	const struct ts_group *g = &ts_groups[group];

	if (g->parent != TS_GROUP_SNAPSHOT)
		document = group_object(document, g->parent);
	return *g->name ? json_object_get(document, g->name) : document;
}

/* The registry's text, which bounds how many there are; documents from elsewhere have none. */
static const char *label_of(const json_t *document, const json_t *epoch)
{
	const json_t *labels = json_object_get(json_object_get(document, "label_registry"), "labels");
	const char *text = get_text(epoch, "label");
	char id[24];

	if (labels && json_object_get(epoch, "label_id")) {
		snprintf(id, sizeof(id), "%llu", (unsigned long long)get_u64(epoch, "label_id"));
		text = get_text(labels, id);
	}
	return *text ? text : "unlabeled";
}

static bool in_ring(const json_t *epoch)
{
	return get_u64(epoch, "epoch_id") < 16 && !get_u64(epoch, "heap_id");
}

/* The ring is the default heap's; an epoch of another heap's ring is called by its slot. */
static uint64_t id_of(const json_t *epoch)
{
	if (get_u64(epoch, "epoch_id") < 16 && !in_ring(epoch))
		return get_u64(epoch, "epoch") & 0xffff;
	return get_u64(epoch, "epoch_id");
}

/* Adds an epoch to the sum; of ages the oldest. */
static void add_up(json_t *sum, const json_t *epoch)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)epoch, name, value) {
		json_int_t before = json_integer_value(json_object_get(sum, name));
		json_int_t now = json_integer_value(value);

		if (!json_is_integer(value))
			continue;
		if (!strcmp(name, "age_sec"))
			now = now > before ? now : before;
		else
			now += before;
		json_object_set_new(sum, name, json_integer(now));
	}
}

static struct epoch_series *add_series(struct view *view, const json_t *row, const json_t *epoch)
{
	struct epoch_series *series = &view->epochs[view->epoch_count++];

	series->row = row;
	series->summed = row != epoch;
	series->state = get_text(epoch, "state");
	series->label = label_of(view->document, epoch);
	if (series->summed)
		snprintf(series->id, sizeof(series->id), "other");
	else
		snprintf(series->id, sizeof(series->id), "%llu", (unsigned long long)id_of(epoch));
	return series;
}

static void sum_up(struct view *view, const json_t *epoch)
{
	char key[256];
	json_t *sum;

	snprintf(key, sizeof(key), "%s %s", get_text(epoch, "state"),
		 label_of(view->document, epoch));
	sum = json_object_get(view->sums, key);
	if (!sum) {
		sum = json_object();
		if (!sum || json_object_set_new(view->sums, key, sum))
			return;
		add_series(view, sum, epoch);
	}
	add_up(sum, epoch);
}

/* A class that nothing was ever asked of has no series. */
static bool is_in_use(const json_t *row)
{
	return get_u64(row, "allocations") || get_u64(row, "slow_path_hits") ||
	       get_u64(row, "slow_path_epoch_closed");
}

static bool add_classes(struct view *view, const json_t *rows)
{
	const json_t *row;
	size_t i;

	view->classes = calloc(json_array_size(rows) + 1, sizeof(*view->classes));
	if (!view->classes)
		return false;
	json_array_foreach(rows, i, row) {
		struct class_series *series = &view->classes[view->class_count];

		if (!is_in_use(row))
			continue;
		series->row = row;
		snprintf(series->labels, sizeof(series->labels),
			 "class=\"%llu\",object_size=\"%llu\"",
			 (unsigned long long)get_u64(row, "class_index"),
			 (unsigned long long)get_u64(row, "object_size"));
		view->class_count++;
	}
	return true;
}

static bool make_view(struct view *view, const json_t *document)
{
	size_t i, shown = 0;
	const json_t *epoch;

	view->document = document;
	view->ranked =
		rank_rows(json_object_get(document, "epochs"), "estimated_rss_bytes", SIZE_MAX);
	view->sums = json_object();
	view->epochs = calloc(json_array_size(view->ranked) + 1, sizeof(*view->epochs));
	if (!view->ranked || !view->sums || !view->epochs)
		return false;
	json_array_foreach(view->ranked, i, epoch) {
		if (in_ring(epoch) || shown++ < EPOCHS_MAX)
			add_series(view, epoch, epoch);
		else
			sum_up(view, epoch);
	}
	return add_classes(view, json_object_get(document, "classes"));
}

static void free_view(struct view *view)
{
	json_decref(view->ranked);
	json_decref(view->sums);
	free(view->epochs);
	free(view->classes);
}

/* --------------------------------------------------------------------------------------- samples -- */

/* In a help text there is no quotation mark to escape. */
static void put_escaped(FILE *to, const char *text, const char *special)
{
	for (;;) {
		size_t plain = strcspn(text, special);

		fwrite(text, 1, plain, to);
		text += plain;
		if (!*text)
			return;
		putc('\\', to);
		putc(*text == '\n' ? 'n' : *text, to);
		text++;
	}
}

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

static void put_header(struct writer *w)
{
	int length = (int)family_name_length(w);
	const char *name = w->family->name, *type = w->family->type;

	if (!strcmp(type, "info") && !w->format->openmetrics)
		type = "gauge";
	fprintf(w->to, "# HELP " METRICS_PREFIX "%.*s ", length, name);
	put_escaped(w->to, w->family->help, w->format->openmetrics ? "\\\n\"" : "\\\n");
	fprintf(w->to, "\n# TYPE " METRICS_PREFIX "%.*s %s\n", length, name, type);
	w->has_header = true;
}

static void put_label(struct writer *w, const char *name, const char *text)
{
	putc(w->has_labels ? ',' : '{', w->to);
	fputs(name, w->to);
	fputs("=\"", w->to);
	put_escaped(w->to, text, "\\\"\n");
	putc('"', w->to);
	w->has_labels = true;
}

/* Labels as they are written. */
static void put_labels(struct writer *w, const char *labels)
{
	putc(w->has_labels ? ',' : '{', w->to);
	fputs(labels, w->to);
	w->has_labels = true;
}

static void put_number_label(struct writer *w, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	put_label(w, name, text);
}

/* A family's name may go on: _bucket, _sum. */
static void begin_sample(struct writer *w, const char *suffix, const struct view *view)
{
	if (!w->has_header)
		put_header(w);
	fputs(METRICS_PREFIX, w->to);
	fputs(w->family->name, w->to);
	fputs(suffix, w->to);
	w->has_labels = false;
	if (!w->format->of_many || !view || !strcmp(w->family->name, "process_info"))
		return;
	put_number_label(w, "pid", get_u64(view->document, "pid"));
	put_label(w, "comm", get_text(view->document, "comm"));
	put_label(w, "allocator", "libtslab");
}

static void end_labels(struct writer *w)
{
	fputs(w->has_labels ? "} " : " ", w->to);
}

static void put_seconds(FILE *to, uint64_t ns)
{
	char fraction[16];
	size_t length = 9;

	snprintf(fraction, sizeof(fraction), "%09llu", (unsigned long long)(ns % 1000000000u));
	while (length && fraction[length - 1] == '0')
		length--;
	fprintf(to, "%llu%s%.*s\n", (unsigned long long)(ns / 1000000000u), length ? "." : "",
		(int)length, fraction);
}

/* The name says which unit: nanoseconds become seconds, per cent a ratio. */
static void put_value(struct writer *w, const struct ts_field *field, const json_t *value)
{
	if (json_is_integer(value) && !strcmp(field->unit, "ns") &&
	    strstr(w->family->name, "_seconds"))
		put_seconds(w->to, (uint64_t)json_integer_value(value));
	else if (!strcmp(field->unit, "%") && ends_with(w->family->name, "_ratio"))
		fprintf(w->to, "%.15g\n", json_number_value(value) / 100);
	else if (json_is_integer(value))
		fprintf(w->to, "%lld\n", (long long)json_integer_value(value));
	else
		fprintf(w->to, "%.15g\n", json_number_value(value));
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

/* ---------------------------------------------------------------------------- families of each kind -- */

static void write_plain(struct writer *w, const struct view *view)
{
	for (size_t i = 0; i < w->family->member_count; i++) {
		const struct member *member = &w->family->members[i];
		const json_t *value = json_object_get(
			group_object(view->document, member->field->group), member->field->name);

		if (!json_is_number(value))
			continue;
		begin_sample(w, "", view);
		put_pair(w, member->label);
		end_labels(w);
		put_value(w, member->field, value);
	}
}

static void write_info(struct writer *w, const struct view *view)
{
	begin_sample(w, "", view);
	for (size_t i = 0; i < w->family->member_count; i++) {
		const struct member *member = &w->family->members[i];
		const json_t *value = json_object_get(view->document, member->field->name);

		if (json_is_integer(value))
			put_number_label(w, member->label, (uint64_t)json_integer_value(value));
		else
			put_label(w, member->label, get_text(view->document, member->field->name));
	}
	if (!strcmp(w->family->name, "process_info"))
		put_label(w, "allocator", "libtslab");
	end_labels(w);
	fputs("1\n", w->to);
}

static void write_class(struct writer *w, const struct view *view)
{
	const struct ts_field *field = w->family->members[0].field;

	for (size_t i = 0; i < view->class_count; i++) {
		const json_t *value = json_object_get(view->classes[i].row, field->name);

		if (!json_is_number(value))
			continue;
		begin_sample(w, "", view);
		put_labels(w, view->classes[i].labels);
		end_labels(w);
		put_value(w, field, value);
	}
}

/* What threads met, by class and label; none unless the process counts it. */
static void write_contention(struct writer *w, const struct view *view)
{
	const struct ts_field *field = w->family->members[0].field;

	for (size_t i = 0; i < view->class_count; i++) {
		const json_t *rows = json_object_get(view->classes[i].row, "contention_by_label");
		const json_t *row;
		size_t k;

		json_array_foreach(rows, k, row) {
			begin_sample(w, "", view);
			put_labels(w, view->classes[i].labels);
			put_label(w, "label", get_text(row, "label"));
			end_labels(w);
			put_value(w, field, json_object_get(row, field->name));
		}
	}
}

static void put_epoch_labels(struct writer *w, const struct view *view,
			     const struct epoch_series *series, const char *state)
{
	begin_sample(w, "", view);
	put_label(w, "epoch", series->id);
	if (family_has_state(w->family))
		put_label(w, "state", state);
	if (family_has_label(w->family))
		put_label(w, "label", series->label);
	end_labels(w);
}

static void write_state(struct writer *w, const struct view *view, const struct epoch_series *series)
{
	static const char *const states[] = { "ACTIVE", "CLOSING" };

	for (size_t i = 0; i < 2; i++) {
		put_epoch_labels(w, view, series, states[i]);
		fprintf(w->to, "%d\n", !strcmp(series->state, states[i]));
	}
}

static void write_epoch(struct writer *w, const struct view *view)
{
	const struct ts_field *field = w->family->members[0].field;

	for (size_t i = 0; i < view->epoch_count; i++) {
		const struct epoch_series *series = &view->epochs[i];
		const json_t *value = json_object_get(series->row, field->name);

		if (!strcmp(field->name, "state") && !series->summed)
			write_state(w, view, series);
		if (!json_is_number(value) || (series->summed && !family_has_state(w->family)))
			continue;
		put_epoch_labels(w, view, series, series->state);
		put_value(w, field, value);
	}
}

/* Where the sum of a histogram's times is counted, it is given; OpenMetrics has no count without it. */
static void write_histogram(struct writer *w, const struct view *view)
{
	enum ts_field_group group = w->family->members[0].field->group;
	const json_t *rows = group_object(view->document, group), *row;
	const json_t *sum = group == TS_GROUP_ALLOC_WALL ?
				    json_object_get(json_object_get(view->document, "sampling"),
						    "alloc_wall_ns_sum") :
				    NULL;
	uint64_t count = 0;
	size_t i;

	json_array_foreach(rows, i, row) {
		const json_t *below = json_object_get(row, "below_ns");
		char bound[32] = "+Inf";

		count += get_u64(row, "count");
		if (json_is_number(below))
			snprintf(bound, sizeof(bound), "%.15g", json_number_value(below) / 1e9);
		begin_sample(w, "_bucket", view);
		put_label(w, "le", bound);
		end_labels(w);
		fprintf(w->to, "%llu\n", (unsigned long long)count);
	}
	if (sum) {
		begin_sample(w, "_sum", view);
		end_labels(w);
		put_seconds(w->to, (uint64_t)json_integer_value(sum));
	}
	if (json_array_size(rows) && (sum || !w->format->openmetrics)) {
		begin_sample(w, "_count", view);
		end_labels(w);
		fprintf(w->to, "%llu\n", (unsigned long long)count);
	}
}

static void write_own_value(struct writer *w, const struct view *view, double value)
{
	begin_sample(w, "", view);
	end_labels(w);
	fprintf(w->to, "%.15g\n", value);
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

static void write_family(struct writer *w)
{
	enum ts_field_group group;

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

bool metrics_write(FILE *to, const struct metrics_format *format, json_t *const *documents,
		   size_t count, const struct metrics_self *self)
{
	struct writer w = { .to = to, .format = format, .view_count = count, .self = self };
	const struct family *families;
	size_t family_count;
	bool good;

	families = metric_families(&family_count);
	w.views = calloc(count + 1, sizeof(*w.views));
	good = w.views != NULL;
	for (size_t i = 0; good && i < count; i++)
		good = make_view(&w.views[i], documents[i]);
	for (size_t i = 0; good && i < family_count; i++) {
		w.family = &families[i];
		w.has_header = false;
		if (w.family->namings & format->naming &&
		    !(format->openmetrics && family_clashes(w.family)))
			write_family(&w);
	}
	if (good && format->openmetrics)
		fputs("# EOF\n", to);
	for (size_t i = 0; w.views && i < count; i++)
		free_view(&w.views[i]);
	free(w.views);
	return good && !ferror(to);
}
