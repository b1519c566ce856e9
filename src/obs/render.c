/* SPDX-License-Identifier: MIT */
#include "obs/render.h"

#include <stdio.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- emitter -- */

static void flush(struct ts_json *json)
{
	if (json->used && !json->failed)
		json->failed = !json->sink(json->context, json->buffer, json->used);
	json->used = 0;
}

static void put_beyond(struct ts_json *json, const char *bytes, size_t count)
{
	while (count) {
		size_t room = sizeof(json->buffer) - json->used;
		size_t now = count < room ? count : room;

		memcpy(json->buffer + json->used, bytes, now);
		json->used += now;
		bytes += now;
		count -= now;
		if (json->used == sizeof(json->buffer))
			flush(json);
	}
}

static inline void put(struct ts_json *json, const char *bytes, size_t count)
{
	if (count >= sizeof(json->buffer) - json->used) {
		put_beyond(json, bytes, count);
		return;
	}
	memcpy(json->buffer + json->used, bytes, count);
	json->used += count;
}

static void put_text(struct ts_json *json, const char *text)
{
	put(json, text, strlen(text));
}

/*
 * Length of the UTF-8 sequence at `s`, 0 if there is none: overlong forms, surrogates and what lies
 * above U+10FFFF are none. `s` ends with NUL, which continues nothing.
 */
static unsigned utf8_length(const unsigned char *s, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned length = s[0] < 0x80     ? 1 :
			  s[0] >> 5 == 6  ? 2 :
			  s[0] >> 4 == 14 ? 3 :
			  s[0] >> 3 == 30 ? 4 :
					    0;

	if (length < 2) {
		*code = s[0];
		return length;
	}
	*code = s[0] & (0x7fu >> length);
	for (unsigned i = 1; i < length; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		*code = *code << 6 | (s[i] & 0x3f);
	}
	if (*code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return length;
}

unsigned ts_json_utf8_length(const char *s)
{
	uint32_t code;

	return utf8_length((const unsigned char *)s, &code);
}

/* How many characters stand for themselves, and are one byte: nearly all. */
static size_t plain_length(const unsigned char *s)
{
	size_t length = 0;

	while (s[length] >= 0x20 && s[length] < 0x7f && s[length] != '"' && s[length] != '\\')
		length++;
	return length;
}

static void put_string(struct ts_json *json, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	char escape[8];

	put(json, "\"", 1);
	for (;;) {
		size_t plain = plain_length(s);
		unsigned length;
		uint32_t code;

		put(json, (const char *)s, plain);
		s += plain;
		if (!*s)
			break;
		length = utf8_length(s, &code);
		if (!length) {
			put_text(json, "\\ufffd");
			s++;
			continue;
		}
		if (code == '"' || code == '\\') {
			put(json, "\\", 1);
			put(json, (const char *)s, 1);
		} else if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 ||
			   code == 0x2029) {
			snprintf(escape, sizeof(escape), "\\u%04x", code);
			put_text(json, escape);
		} else {
			put(json, (const char *)s, length);
		}
		s += length;
	}
	put(json, "\"", 1);
}

/* Where so many bytes can be written; far fewer than the buffer has. */
static char *room_for(struct ts_json *json, size_t bytes)
{
	if (sizeof(json->buffer) - json->used <= bytes)
		flush(json);
	return json->buffer + json->used;
}

static void put_number(struct ts_json *json, uint64_t number)
{
	char digits[20], *first = digits + sizeof(digits);

	if (number < 10) { /* most are */
		*room_for(json, 1) = (char)('0' + number);
		json->used++;
		return;
	}
	do
		*--first = (char)('0' + number % 10);
	while (number /= 10);
	put(json, first, (size_t)(digits + sizeof(digits) - first));
}

/* As "%.6g" writes it, which takes ten times as long; true for what fields are: counts, ratios and seconds. */
static void put_real(struct ts_json *json, double real)
{
	static const uint32_t tens[] = { 1,      10,      100,      1000,     10000,
					 100000, 1000000, 10000000, 100000000 };
	unsigned decimals = 5;
	char text[40];
	uint64_t number;

	if (!(real >= 0.001 && real < 100000) && real != 0) {
		snprintf(text, sizeof(text), "%.6g", real);
		put_text(json, text);
		return;
	}
	while (decimals && real >= tens[6 - decimals])
		decimals--;
	for (unsigned i = 0; real && real * tens[i] < 1; i++)
		decimals++;
	number = (uint64_t)(real * tens[decimals] + 0.5);
	for (; decimals && number % 10 == 0; decimals--)
		number /= 10;
	put_number(json, number / tens[decimals]);
	if (!decimals)
		return;
	text[0] = '.';
	number %= tens[decimals];
	for (unsigned i = decimals; i; i--, number /= 10)
		text[i] = (char)('0' + number % 10);
	put(json, text, decimals + 1);
}

/* A comma if one is due, and "name": - names are words, and the most that there is to write. */
static void put_name(struct ts_json *json, const char *name)
{
	size_t length = name ? strlen(name) : 0;
	char *to = room_for(json, length + strlen(",\"\":"));

	if (json->comma)
		*to++ = ',';
	json->comma = false;
	if (name) {
		*to++ = '"';
		memcpy(to, name, length);
		to += length;
		*to++ = '"';
		*to++ = ':';
	}
	json->used = (size_t)(to - json->buffer);
}

void ts_json_start(struct ts_json *json, ts_json_sink *sink, void *context)
{
	json->builder = NULL;
	json->sink = sink;
	json->context = context;
	json->failed = false;
	json->comma = false;
	json->groups = ~0u;
	json->wants = NULL;
	json->used = 0;
}

void ts_json_start_building(struct ts_json *json, const struct ts_json_builder *builder, void *context)
{
	ts_json_start(json, NULL, context);
	json->builder = builder;
}

bool ts_json_end(struct ts_json *json)
{
	if (json->builder)
		return true;
	put(json, "\n", 1);
	flush(json);
	return !json->failed;
}

void ts_json_open(struct ts_json *json, const char *name, char bracket)
{
	if (json->builder) {
		json->builder->open(json->context, name, bracket);
		return;
	}
	put_name(json, name);
	put(json, &bracket, 1);
}

void ts_json_close(struct ts_json *json, char bracket)
{
	if (json->builder) {
		json->builder->close(json->context);
		return;
	}
	put(json, &bracket, 1);
	json->comma = true;
}

void ts_json_value(struct ts_json *json, const char *name, const struct ts_value *value)
{
	if (json->builder) {
		json->builder->value(json->context, name, value);
		return;
	}
	put_name(json, name);
	json->comma = true;
	if (!ts_value_known(value)) { /* JSON has no word for what is not a number */
		put_text(json, "null");
		return;
	}
	switch (value->type) {
	case TS_VALUE_U64:
	case TS_VALUE_KNOWN_U64:
		/* Readers of JSON know no more than 63 bits; nothing that is true comes near. */
		put_number(json, value->u64 > INT64_MAX ? INT64_MAX : value->u64);
		break;
	case TS_VALUE_I64:
		put(json, "-", value->i64 < 0);
		put_number(json, value->i64 < 0 ? -(uint64_t)value->i64 : (uint64_t)value->i64);
		break;
	case TS_VALUE_F64:
		put_real(json, value->f64);
		break;
	case TS_VALUE_BOOL:
		put_text(json, value->boolean ? "true" : "false");
		break;
	case TS_VALUE_TEXT:
		put_string(json, value->text);
		break;
	}
}

/* ---------------------------------------------------------------------------------------- snapshot -- */

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
		return subject->snapshot->contention_count;
	case TS_GROUP_EPOCH:
		return subject->snapshot->epoch_count;
	case TS_GROUP_DOMAIN:
		return subject->epoch->domain_count;
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

/* ------------------------------------------------------------------------------------------ schema -- */

static void put_member(struct ts_json *json, const char *name, const char *text)
{
	const struct ts_value value = { .type = TS_VALUE_TEXT, .text = text };

	ts_json_value(json, name, &value);
}

/* What a value of this type looks like. */
static void put_type(struct ts_json *json, enum ts_value_type type)
{
	static const struct ts_value zero = { .type = TS_VALUE_U64, .u64 = 0 };

	switch (type) {
	case TS_VALUE_U64:
		put_member(json, "type", "integer");
		ts_json_value(json, "minimum", &zero);
		break;
	case TS_VALUE_I64:
		put_member(json, "type", "integer");
		break;
	case TS_VALUE_KNOWN_U64:
	case TS_VALUE_F64:
		ts_json_open(json, "type", '[');
		put_member(json, NULL, type == TS_VALUE_F64 ? "number" : "integer");
		put_member(json, NULL, "null");
		ts_json_close(json, ']');
		break;
	case TS_VALUE_BOOL:
		put_member(json, "type", "boolean");
		break;
	case TS_VALUE_TEXT:
		put_member(json, "type", "string");
		break;
	}
}

static void put_field(struct ts_json *json, const struct ts_field *field)
{
	ts_json_open(json, field->name, '{');
	put_type(json, field->type);
	put_member(json, "description", field->help);
	put_member(json, "kind", field->kind);
	if (*field->unit)
		put_member(json, "unit", field->unit);
	if (*field->metric)
		put_member(json, "metric", field->metric);
	ts_json_close(json, '}');
}

/* Does what belongs to `inner` stand in the same object as what belongs to `group`? */
static bool same_object(enum ts_field_group inner, enum ts_field_group group)
{
	return inner == group || (ts_groups[inner].parent == group && !*ts_groups[inner].name);
}

static bool inside(enum ts_field_group inner, enum ts_field_group group)
{
	return ts_groups[inner].parent == group && *ts_groups[inner].name;
}

static void put_required(struct ts_json *json, enum ts_field_group group)
{
	ts_json_open(json, "required", '[');
	for (size_t i = 0; i < ts_field_count; i++)
		if (same_object(ts_fields[i].group, group))
			put_member(json, NULL, ts_fields[i].name);
	for (enum ts_field_group inner = 0; inner < TS_GROUP_COUNT; inner++)
		if (inside(inner, group))
			put_member(json, NULL, ts_groups[inner].name);
	ts_json_close(json, ']');
}

/* The members of an object's schema: newer libraries may have more fields, none may be missing. */
static void put_object(struct ts_json *json, enum ts_field_group group)
{
	put_member(json, "type", "object");
	put_required(json, group);
	ts_json_open(json, "properties", '{');
	for (size_t i = 0; i < ts_field_count; i++)
		if (same_object(ts_fields[i].group, group))
			put_field(json, &ts_fields[i]);
	for (enum ts_field_group inner = 0; inner < TS_GROUP_COUNT; inner++) {
		if (!inside(inner, group))
			continue;
		ts_json_open(json, ts_groups[inner].name, '{');
		if (ts_groups[inner].rows) {
			put_member(json, "type", "array");
			ts_json_open(json, "items", '{');
			put_object(json, inner);
			ts_json_close(json, '}');
		} else {
			put_object(json, inner);
		}
		ts_json_close(json, '}');
	}
	ts_json_close(json, '}');
}

void ts_render_schema(struct ts_json *json)
{
	ts_json_open(json, NULL, '{');
	put_member(json, "$schema", "https://json-schema.org/draft/2020-12/schema");
	put_member(json, "title", "tslab stats --json");
	put_object(json, TS_GROUP_SNAPSHOT);
	ts_json_close(json, '}');
}
