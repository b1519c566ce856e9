/* SPDX-License-Identifier: MIT */
#include "series.h"

#include <stdlib.h>
#include <string.h>

#include "obs/render.h"

enum { EPOCHS_MAX = 64, RING = 16 }; /* shown, beside the ring's */

/* -------------------------------------------------------------------------------------------- rows -- */

static const json_t *group_object(const json_t *document, enum ts_field_group group)
{
	const struct ts_group *g = &ts_groups[group];

	if (g->parent != TS_GROUP_SNAPSHOT)
		document = group_object(document, g->parent);
	return *g->name ? json_object_get(document, g->name) : document;
}

static bool of_document(const struct figure_row *row)
{
	return !row->subject.snapshot;
}

struct figure_row row_of_reading(const struct reading *reading)
{
	if (reading->is_document)
		return (struct figure_row){ .object = reading->document };
	return (struct figure_row){ .subject = ts_subject_of(&reading->snapshot) };
}

struct figure_row row_of_group(const struct figure_row *whole, enum ts_field_group group)
{
	struct figure_row row = *whole;

	if (of_document(whole))
		row.object = group_object(whole->object, group);
	return row;
}

size_t row_count(const struct figure_row *parent, enum ts_field_group group)
{
	if (of_document(parent))
		return json_array_size(json_object_get(parent->object, ts_groups[group].name));
	return ts_row_count(group, &parent->subject);
}

bool row_take(const struct figure_row *parent, enum ts_field_group group, size_t i,
	      struct figure_row *row)
{
	*row = *parent;
	if (!of_document(parent))
		return ts_row_take(group, i, &row->subject);
	row->object = json_array_get(json_object_get(parent->object, ts_groups[group].name), i);
	return row->object != NULL;
}

static bool value_of_json(const json_t *json, struct ts_value *value)
{
	if (json_is_integer(json))
		*value = (struct ts_value){ .type = TS_VALUE_I64, .i64 = json_integer_value(json) };
	else if (json_is_real(json))
		*value = (struct ts_value){ .type = TS_VALUE_F64, .f64 = json_real_value(json) };
	else if (json_is_string(json))
		*value = (struct ts_value){ .type = TS_VALUE_TEXT, .text = json_string_value(json) };
	else
		return false;
	return true;
}

bool row_value(const struct figure_row *row, const struct ts_field *field, struct ts_value *value)
{
	if (of_document(row))
		return value_of_json(json_object_get(row->object, field->name), value);
	*value = field->value(&row->subject);
	if (!ts_value_known(value))
		return false;
	if (value->type == TS_VALUE_U64 ||
	    value->type == TS_VALUE_KNOWN_U64) /* as in documents, which know no more than 63 bits */
		*value = (struct ts_value){ .type = TS_VALUE_I64,
					    .i64 = value->u64 > INT64_MAX ? INT64_MAX :
									    (int64_t)value->u64 };
	return value->type != TS_VALUE_BOOL;
}

uint64_t row_u64(const struct figure_row *row, const struct ts_field *field)
{
	struct ts_value value;

	if (!row_value(row, field, &value) || value.type != TS_VALUE_I64 || value.i64 < 0)
		return 0;
	return (uint64_t)value.i64;
}

static const char *row_text(const struct figure_row *row, const struct ts_field *field)
{
	struct ts_value value;

	return row_value(row, field, &value) && value.type == TS_VALUE_TEXT ? value.text : "";
}

/* ------------------------------------------------------------------------------------ what is shown -- */

/* The fields that say which series there are. */
enum key {
	PID,
	COMM,
	EPOCH_ID,
	EPOCH_VALUE,
	EPOCH_HEAP,
	EPOCH_STATE,
	EPOCH_LABEL,
	EPOCH_LABEL_ID,
	EPOCH_BYTES,
	CLASS_INDEX,
	CLASS_OBJECT_SIZE,
	CLASS_ALLOCATIONS,
	CLASS_SLOW,
	CLASS_REFUSED,
	KEYS,
};

static const struct ts_field *key_field(enum key key)
{
	static const struct {
		enum ts_field_group group;
		const char *name;
	} names[KEYS] = {
		[PID] = { TS_GROUP_SNAPSHOT, "pid" },
		[COMM] = { TS_GROUP_SNAPSHOT, "comm" },
		[EPOCH_ID] = { TS_GROUP_EPOCH, "epoch_id" },
		[EPOCH_VALUE] = { TS_GROUP_EPOCH, "epoch" },
		[EPOCH_HEAP] = { TS_GROUP_EPOCH, "heap_id" },
		[EPOCH_STATE] = { TS_GROUP_EPOCH, "state" },
		[EPOCH_LABEL] = { TS_GROUP_EPOCH, "label" },
		[EPOCH_LABEL_ID] = { TS_GROUP_EPOCH, "label_id" },
		[EPOCH_BYTES] = { TS_GROUP_EPOCH, "estimated_rss_bytes" },
		[CLASS_INDEX] = { TS_GROUP_CLASS, "class_index" },
		[CLASS_OBJECT_SIZE] = { TS_GROUP_CLASS, "object_size" },
		[CLASS_ALLOCATIONS] = { TS_GROUP_CLASS, "allocations" },
		[CLASS_SLOW] = { TS_GROUP_CLASS, "slow_path_hits" },
		[CLASS_REFUSED] = { TS_GROUP_CLASS, "slow_path_epoch_closed" },
	};
	static const struct ts_field *fields[KEYS];

	if (!fields[key])
		fields[key] = field_named(names[key].group, names[key].name);
	return fields[key];
}

static uint64_t key_u64(const struct figure_row *row, enum key key)
{
	return row_u64(row, key_field(key));
}

/* What is no UTF-8 becomes U+FFFD, as in documents. */
void put_escaped(struct buffer *to, const char *text, const char *special)
{
	while (*text) {
		size_t plain = strcspn(text, special);
		size_t valid = 0;
		unsigned length = 1;

		while (valid < plain && (length = ts_json_utf8_length(text + valid)))
			valid += length;
		buffer_put(to, text, valid);
		text += valid;
		if (!length) {
			buffer_put_text(to, "\xef\xbf\xbd");
			text++;
		} else if (*text) {
			buffer_put(to, "\\", 1);
			buffer_put(to, *text == '\n' ? "n" : text, 1);
			text++;
		}
	}
}

/* The registry's text, which bounds how many there are; documents from elsewhere have none. */
static const char *label_of(const struct figure_row *whole, const struct figure_row *epoch)
{
	const json_t *labels =
		json_object_get(json_object_get(whole->object, "label_registry"), "labels");
	const struct ts_snapshot *s = epoch->subject.snapshot;
	uint64_t label = key_u64(epoch, EPOCH_LABEL_ID);
	const char *text;
	char id[24];

	if (labels && json_object_get(epoch->object, "label_id")) {
		snprintf(id, sizeof(id), "%llu", (unsigned long long)label);
		text = get_text(labels, id);
	} else if (of_document(epoch)) {
		text = row_text(epoch, key_field(EPOCH_LABEL));
	} else {
		text = label < s->label_count ? s->labels[label] : "";
	}
	return *text ? text : "unlabeled";
}

static bool in_ring(const struct figure_row *epoch)
{
	return key_u64(epoch, EPOCH_ID) < RING && !key_u64(epoch, EPOCH_HEAP);
}

/* The ring is the default heap's; an epoch of another heap's ring is called by its slot. */
static uint64_t id_of(const struct figure_row *epoch)
{
	if (key_u64(epoch, EPOCH_ID) < RING && !in_ring(epoch))
		return key_u64(epoch, EPOCH_VALUE) & 0xffff;
	return key_u64(epoch, EPOCH_ID);
}

static int largest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct epoch_series *)a)->bytes,
		 y = ((const struct epoch_series *)b)->bytes;

	return (x < y) - (x > y);
}

/* With those of its state and label that share one already; else they have one from now on. */
static void share(struct view *view, struct epoch_series *series)
{
	for (size_t i = 0; i < view->shown_count; i++) {
		struct epoch_series *first = view->shown[i];

		if (!first->shared || strcmp(first->state, series->state) != 0 ||
		    strcmp(first->label, series->label) != 0)
			continue;
		series->more = first->more;
		first->more = series;
		return;
	}
	series->shared = true;
	snprintf(series->id, sizeof(series->id), "other");
	view->shown[view->shown_count++] = series;
}

/* The piece's length. */
static size_t put_label(struct buffer *to, const char *before, const char *text)
{
	size_t at = to->bytes;

	buffer_put_text(to, before);
	put_escaped(to, text, "\\\"\n");
	buffer_put(to, "\"", 1);
	return to->bytes - at;
}

static void write_labels(struct view *view)
{
	for (size_t i = 0; i < view->shown_count; i++) {
		struct epoch_series *series = view->shown[i];

		series->labels_at = view->labels.bytes;
		series->id_bytes = put_label(&view->labels, "epoch=\"", series->id);
		series->state_bytes = put_label(&view->labels, ",state=\"", series->state);
		series->label_bytes = put_label(&view->labels, ",label=\"", series->label);
	}
}

static bool add_epochs(struct view *view)
{
	size_t count = row_count(&view->whole, TS_GROUP_EPOCH), shown = 0;

	view->epochs = calloc(count + 1, sizeof(*view->epochs));
	view->shown = calloc(count + 1, sizeof(struct epoch_series *));
	if (!view->epochs || !view->shown)
		return false;
	for (size_t i = 0; i < count; i++) {
		struct epoch_series *series = &view->epochs[i];

		row_take(&view->whole, TS_GROUP_EPOCH, i, &series->row);
		series->bytes = key_u64(&series->row, EPOCH_BYTES);
		series->state = row_text(&series->row, key_field(EPOCH_STATE));
		series->label = label_of(&view->whole, &series->row);
		snprintf(series->id, sizeof(series->id), "%llu",
			 (unsigned long long)id_of(&series->row));
	}
	if (count)
		qsort(view->epochs, count, sizeof(*view->epochs), largest_first);
	for (size_t i = 0; i < count; i++) {
		if (in_ring(&view->epochs[i].row) || shown++ < EPOCHS_MAX)
			view->shown[view->shown_count++] = &view->epochs[i];
		else
			share(view, &view->epochs[i]);
	}
	write_labels(view);
	return !view->labels.failed;
}

/* A class that nothing was ever asked of has no series. */
static bool is_in_use(const struct figure_row *row)
{
	return key_u64(row, CLASS_ALLOCATIONS) || key_u64(row, CLASS_SLOW) ||
	       key_u64(row, CLASS_REFUSED);
}

static bool add_classes(struct view *view)
{
	size_t count = row_count(&view->whole, TS_GROUP_CLASS);

	view->classes = calloc(count + 1, sizeof(*view->classes));
	for (size_t i = 0; view->classes && i < count; i++) {
		struct class_series *series = &view->classes[view->class_count];

		if (!row_take(&view->whole, TS_GROUP_CLASS, i, &series->row) ||
		    !is_in_use(&series->row))
			continue;
		snprintf(series->labels, sizeof(series->labels),
			 "class=\"%llu\",object_size=\"%llu\"",
			 (unsigned long long)key_u64(&series->row, CLASS_INDEX),
			 (unsigned long long)key_u64(&series->row, CLASS_OBJECT_SIZE));
		view->class_count++;
	}
	return view->classes != NULL;
}

static void write_identity(struct view *view)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%llu", (unsigned long long)key_u64(&view->whole, PID));
	put_label(&view->identity, "pid=\"", pid);
	put_label(&view->identity, ",comm=\"", row_text(&view->whole, key_field(COMM)));
	put_label(&view->identity, ",allocator=\"", "libtslab");
}

bool view_make(struct view *view, const struct reading *reading)
{
	*view = (struct view){ .whole = row_of_reading(reading) };
	write_identity(view);
	return add_epochs(view) && add_classes(view) && !view->identity.failed;
}

void view_free(struct view *view)
{
	free(view->epochs);
	free(view->shown);
	free(view->classes);
	buffer_free(&view->labels);
	buffer_free(&view->identity);
}

/* Of ages the oldest. */
static int64_t add_up(const struct ts_field *field, int64_t a, int64_t b)
{
	if (strcmp(field->name, "age_sec") != 0)
		return a + b;
	return a > b ? a : b;
}

bool series_value(const struct epoch_series *series, const struct ts_field *field,
		  struct ts_value *value)
{
	struct ts_value other;

	if (!row_value(&series->row, field, value) || value->type == TS_VALUE_TEXT)
		return false;
	for (series = series->more; series; series = series->more)
		if (value->type == TS_VALUE_I64 && row_value(&series->row, field, &other) &&
		    other.type == TS_VALUE_I64)
			value->i64 = add_up(field, value->i64, other.i64);
	return true;
}
