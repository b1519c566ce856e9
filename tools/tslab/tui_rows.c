/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tui.h"

/* -------------------------------------------------------------------------------------------- views -- */

static const struct tui_column epoch_columns[] = {
	{ "epoch", "epoch_id", TUI_COUNT, 5 },
	{ "label", "label", TUI_TEXT, 0 },
	{ "state", "state_detail", TUI_TEXT, 7 },
	{ "age", "age_sec", TUI_SECONDS, 7 },
	{ "scopes", "refcount", TUI_COUNT, 6 },
	{ "objects", "live_objects", TUI_COUNT, 7 },
	{ "live", "live_bytes", TUI_BYTES, 10 },
	{ "held", "estimated_rss_bytes", TUI_BYTES, 10 },
	{ .title = NULL },
};

static const struct tui_column class_columns[] = {
	{ "class", "class_index", TUI_COUNT, 5 },
	{ "object", "object_size", TUI_COUNT, 6 },
	{ "alloc/s", "allocations_per_sec", TUI_COUNT, 10 },
	{ "slow/s", "slow_path_hits_per_sec", TUI_COUNT, 9 },
	{ "objects", "live_objects", TUI_COUNT, 10 },
	{ "live", "live_bytes", TUI_BYTES, 10 },
	{ "slabs", "committed_bytes", TUI_BYTES, 10 },
	{ .title = NULL },
};

static const struct tui_column label_columns[] = {
	{ "label", "label", TUI_TEXT, 0 },
	{ "epochs", "epochs", TUI_COUNT, 6 },
	{ "oldest", "age_sec", TUI_SECONDS, 7 },
	{ "scopes", "refcount", TUI_COUNT, 6 },
	{ "objects", "live_objects", TUI_COUNT, 8 },
	{ "live", "live_bytes", TUI_BYTES, 10 },
	{ "held", "estimated_rss_bytes", TUI_BYTES, 10 },
	{ .title = NULL },
};

static const struct tui_column thread_columns[] = {
	{ "thread", "tid", TUI_COUNT, 8 },
	{ "scopes", "open_scopes", TUI_COUNT, 6 },
	{ "kept", "retained_bytes", TUI_BYTES, 10 },
	{ "opened", "epochs_opened", TUI_COUNT, 10 },
	{ "closed", "epochs_closed", TUI_COUNT, 10 },
	{ "discarded", "epochs_discarded", TUI_COUNT, 10 },
	{ .title = NULL },
};

static json_t *epoch_rows(const json_t *document, const json_t *before)
{
	(void)before;
	return json_incref(json_object_get(document, "epochs"));
}

static json_t *thread_rows(const json_t *document, const json_t *before)
{
	(void)before;
	return json_incref(json_object_get(document, "threads"));
}

static void add_rate(json_t *row, const json_t *was, const char *field, const char *rate,
		     double seconds)
{
	double change = get_number(row, field) - get_number(was, field);

	json_object_set_new(row, rate,
			    json_real(was && seconds > 0 && change > 0 ? change / seconds : 0));
}

/* Those that were ever asked for. */
static json_t *class_rows(const json_t *document, const json_t *before)
{
	const json_t *classes = json_object_get(before, "classes");
	double seconds = before ? seconds_between(before, document) : 0;
	json_t *rows = json_array(), *row;
	size_t i;

	json_array_foreach(json_object_get(document, "classes"), i, row) {
		const json_t *was = json_array_get(classes, i);

		if (!get_u64(row, "allocations"))
			continue;
		row = json_copy(row);
		add_rate(row, was, "allocations", "allocations_per_sec", seconds);
		add_rate(row, was, "slow_path_hits", "slow_path_hits_per_sec", seconds);
		json_array_append_new(rows, row);
	}
	return rows;
}

static void add_to(json_t *row, const json_t *epoch, const char *field)
{
	json_object_set_new(row, field,
			    json_integer((json_int_t)(get_u64(row, field) + get_u64(epoch, field))));
}

static json_t *label_rows(const json_t *document, const json_t *before)
{
	json_t *by_label = json_object(), *rows = json_array(), *epoch, *row;
	const char *label;
	size_t i;

	(void)before;
	json_array_foreach(json_object_get(document, "epochs"), i, epoch) {
		label = *get_text(epoch, "label") ? get_text(epoch, "label") : "unlabeled";
		row = json_object_get(by_label, label);
		if (!row) {
			row = json_pack("{s:s}", "label", label);
			json_object_set_new(by_label, label, row);
			json_array_append(rows, row);
		}
		json_object_set_new(row, "epochs",
				    json_integer((json_int_t)get_u64(row, "epochs") + 1));
		if (get_u64(epoch, "age_sec") >= get_u64(row, "age_sec"))
			json_object_set(row, "age_sec", json_object_get(epoch, "age_sec"));
		add_to(row, epoch, "refcount");
		add_to(row, epoch, "live_objects");
		add_to(row, epoch, "live_bytes");
		add_to(row, epoch, "estimated_rss_bytes");
	}
	json_decref(by_label);
	return rows;
}

const struct tui_view tui_views[TUI_VIEWS] = {
	{ "epochs", epoch_columns, 7, "epoch", epoch_rows },
	{ "classes", class_columns, 2, "class_index", class_rows },
	{ "labels", label_columns, 6, "label", label_rows },
	{ "threads", thread_columns, 2, "tid", thread_rows },
};

unsigned tui_column_count(const struct tui_view *view)
{
	unsigned count = 0;

	while (view->columns[count].title)
		count++;
	return count;
}

/* ---------------------------------------------------------------------------------------- selection -- */

struct order {
	const struct tui_column *column;
	const char *key;
	bool ascending;
};

static int compare_fields(const json_t *a, const json_t *b, const char *field)
{
	double x = get_number(a, field), y = get_number(b, field);

	if (json_is_string(json_object_get(a, field)))
		return strcmp(get_text(a, field), get_text(b, field));
	return (x > y) - (x < y);
}

static int compare(const void *a, const void *b, void *context)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	const struct order *order = context;
	int by_column = compare_fields(x, y, order->column->field);

	/* Equal ones keep their place from one look to the next. */
	if (!by_column)
		return compare_fields(x, y, order->key);
	return order->ascending ? by_column : -by_column;
}

static bool matches(const json_t *row, const struct tui_view *view, const char *filter)
{
	if (!*filter)
		return true;
	for (const struct tui_column *column = view->columns; column->title; column++) {
		char text[128];

		tui_format(row, column, text, sizeof(text));
		if (strcasestr(text, filter))
			return true;
	}
	return false;
}

json_t *tui_select(const json_t *rows, const struct tui_view *view, unsigned sort, bool ascending,
		   const char *filter)
{
	struct order order = { &view->columns[sort], view->key, ascending };
	json_t **sorted = calloc(json_array_size(rows) + 1, sizeof(*sorted));
	json_t *selected = json_array(), *row;
	size_t count = 0, i;

	json_array_foreach(rows, i, row)
		if (sorted && matches(row, view, filter))
			sorted[count++] = row;
	if (count)
		qsort_r(sorted, count, sizeof(*sorted), compare, &order);
	for (i = 0; i < count; i++)
		json_array_append(selected, sorted[i]);
	free(sorted);
	return selected;
}

/* All digits if there is room for them: a number is never cut. */
static void format_count(double value, int width, char *text, size_t text_bytes)
{
	static const char units[] = " kMGTP";
	unsigned unit = 0;

	if (snprintf(text, text_bytes, "%.0f", value) <= width)
		return;
	for (; value >= 1000 && units[unit + 1]; unit++)
		value /= 1000;
	snprintf(text, text_bytes, "%.1f%c", value, units[unit]);
}

void tui_format(const json_t *row, const struct tui_column *column, char *text, size_t text_bytes)
{
	char human[HUMAN_BYTES];

	switch (column->format) {
	case TUI_TEXT:
		snprintf(text, text_bytes, "%s",
			 *get_text(row, column->field) ? get_text(row, column->field) : "-");
		break;
	case TUI_COUNT:
		format_count(get_number(row, column->field), column->width, text, text_bytes);
		break;
	case TUI_BYTES:
		snprintf(text, text_bytes, "%s", human_bytes(get_u64(row, column->field), human));
		break;
	case TUI_SECONDS:
		snprintf(text, text_bytes, "%s", human_seconds(get_u64(row, column->field), human));
		break;
	}
}
