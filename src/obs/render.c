/* SPDX-License-Identifier: MIT */
#include "obs/render.h"

#include <stdio.h>

/* Between which fields those of a group lie. */
static size_t first_of[TS_GROUP_COUNT], end_of[TS_GROUP_COUNT];

static void find_groups(void)
{
	if (end_of[TS_GROUP_SNAPSHOT])
		return;
	for (size_t i = ts_field_count; i-- > 0;) {
		enum ts_field_group group = ts_fields[i].group;

		first_of[group] = i;
		end_of[group] = end_of[group] ? end_of[group] : i + 1;
	}
}

static void render_fields(struct ts_json *json, enum ts_field_group group,
			  const struct ts_subject *subject)
{
	for (size_t i = first_of[group]; i < end_of[group]; i++) {
		struct ts_value value;

		if (ts_fields[i].group != group)
			continue;
		value = ts_fields[i].value(subject);
		ts_json_value(json, ts_fields[i].name, &value);
	}
}

/* The registry's texts, by id: names that no list can have. */
static void render_labels(struct ts_json *json, const struct ts_snapshot *s)
{
	ts_json_open(json, "labels", '{');
	for (unsigned i = 0; i < s->label_count; i++) {
		struct ts_value label = { .type = TS_VALUE_TEXT, .text = s->labels[i] };
		char id[8];

		snprintf(id, sizeof(id), "%u", i);
		ts_json_value(json, id, &label);
	}
	ts_json_close(json, '}');
}

struct ts_subject ts_subject_of(const struct ts_snapshot *snapshot)
{
	return (struct ts_subject){
		.snapshot = snapshot,
		.close = snapshot->close_count ? snapshot->closes : NULL,
	};
}

size_t ts_row_count(enum ts_field_group group, const struct ts_subject *subject)
{
	switch (group) {
	case TS_GROUP_CLASS:
		return TS_CLASS_COUNT;
	case TS_GROUP_CONTENTION:
		return subject->cls ? subject->snapshot->contention_count :
				      0; /* by label, of a class */
	case TS_GROUP_EPOCH:
		return subject->snapshot->epoch_count;
	case TS_GROUP_DOMAIN:
		return subject->epoch ? subject->epoch->domain_count : 0;
	case TS_GROUP_THREAD:
		return subject->snapshot->thread_count;
	case TS_GROUP_CLOSE:
		return subject->snapshot->close_count;
	case TS_GROUP_RECENT:
		return subject->snapshot->failure_count;
	case TS_GROUP_ALLOC_WALL:
	case TS_GROUP_CLOSE_TIME:
	case TS_GROUP_LOCK_WAIT:
		return TS_HISTOGRAM_BUCKETS;
	default:
		return 0;
	}
}

bool ts_row_take(enum ts_field_group group, size_t i, struct ts_subject *subject)
{
	const struct ts_snapshot *s = subject->snapshot;

	switch (group) {
	case TS_GROUP_CLASS:
		subject->cls = &s->classes[i];
		return true;
	case TS_GROUP_CONTENTION:
		subject->contention = &s->contention[i];
		return ts_contention_met(subject->contention, subject->cls->index);
	case TS_GROUP_EPOCH:
		subject->epoch = &s->epochs[i];
		return true;
	case TS_GROUP_DOMAIN:
		subject->domain = &s->domains[subject->epoch->first_domain + i];
		return true;
	case TS_GROUP_THREAD:
		subject->thread = &s->threads[i];
		return subject->thread->tid != 0;
	case TS_GROUP_CLOSE:
		subject->close = &s->closes[i];
		return true;
	case TS_GROUP_RECENT:
		subject->failure = &s->failures[i];
		return true;
	case TS_GROUP_ALLOC_WALL:
	case TS_GROUP_CLOSE_TIME:
	case TS_GROUP_LOCK_WAIT:
		subject->bucket = (unsigned)i;
		return true;
	default:
		return false;
	}
}

static void render_inside(struct ts_json *json, enum ts_field_group group,
			  const struct ts_subject *subject);

static void render_rows(struct ts_json *json, enum ts_field_group group,
			const struct ts_subject *subject)
{
	struct ts_subject row = *subject;

	ts_json_open(json, ts_groups[group].name, '[');
	for (size_t i = 0; i < ts_row_count(group, subject); i++) {
		if (!ts_row_take(group, i, &row) || (json->wants && !json->wants(group, &row)))
			continue;
		ts_json_open(json, NULL, '{');
		render_inside(json, group, &row);
		ts_json_close(json, '}');
	}
	ts_json_close(json, ']');
}

/* A group's fields, then the groups in it. */
static void render_inside(struct ts_json *json, enum ts_field_group group,
			  const struct ts_subject *subject)
{
	render_fields(json, group, subject);
	if (group == TS_GROUP_LABELS)
		render_labels(json, subject->snapshot);
	for (enum ts_field_group inner = 0; inner < TS_GROUP_COUNT; inner++) {
		if (ts_groups[inner].parent != group || inner == TS_GROUP_SNAPSHOT ||
		    !(json->groups >> inner & 1))
			continue;
		if (!*ts_groups[inner].name) {
			render_fields(json, inner, subject);
		} else if (ts_groups[inner].rows) {
			render_rows(json, inner, subject);
		} else {
			ts_json_open(json, ts_groups[inner].name, '{');
			render_inside(json, inner, subject);
			ts_json_close(json, '}');
		}
	}
}

void ts_render_snapshot(struct ts_json *json, const struct ts_snapshot *snapshot)
{
	struct ts_subject subject = ts_subject_of(snapshot);

	find_groups();
	ts_json_open(json, NULL, '{');
	render_inside(json, TS_GROUP_SNAPSHOT, &subject);
	ts_json_close(json, '}');
}
