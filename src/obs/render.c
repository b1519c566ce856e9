/* SPDX-License-Identifier: MIT */
#include "obs/render.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- emitter -- */

static void flush(struct ts_json *json)
{
	if (json->used && !json->failed)
		json->failed = !json->sink(json->context, json->buffer, json->used);
	json->used = 0;
}

static void put(struct ts_json *json, const char *bytes, size_t count)
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

static void put_string(struct ts_json *json, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	char escape[8];

	put(json, "\"", 1);
	while (*s) {
		uint32_t code;
		unsigned length = utf8_length(s, &code);

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

static void put_name(struct ts_json *json, const char *name)
{
	if (json->comma)
		put(json, ",", 1);
	json->comma = false;
	if (!name)
		return;
	put_string(json, name);
	put(json, ":", 1);
}

void ts_json_start(struct ts_json *json, ts_json_sink *sink, void *context)
{
	json->sink = sink;
	json->context = context;
	json->failed = false;
	json->comma = false;
	json->used = 0;
}

bool ts_json_end(struct ts_json *json)
{
	put(json, "\n", 1);
	flush(json);
	return !json->failed;
}

void ts_json_open(struct ts_json *json, const char *name, char bracket)
{
	put_name(json, name);
	put(json, &bracket, 1);
}

void ts_json_close(struct ts_json *json, char bracket)
{
	put(json, &bracket, 1);
	json->comma = true;
}

void ts_json_value(struct ts_json *json, const char *name, const struct ts_value *value)
{
	char number[40];

	put_name(json, name);
	json->comma = true;
	switch (value->type) {
	case TS_VALUE_U64:
		/* Readers of JSON know no more than 63 bits; nothing that is true comes near. */
		snprintf(number, sizeof(number), "%lld",
			 value->u64 > INT64_MAX ? (long long)INT64_MAX : (long long)value->u64);
		put_text(json, number);
		break;
	case TS_VALUE_F64:
		/* JSON has no word for what is not a number. */
		snprintf(number, sizeof(number), "%.6g", value->f64);
		put_text(json, isfinite(value->f64) ? number : "null");
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

static void render_group(struct ts_json *json, enum ts_field_group group,
			 const struct ts_subject *subject)
{
	for (size_t i = 0; i < ts_field_count; i++) {
		struct ts_value value;

		if (ts_fields[i].group != group)
			continue;
		value = ts_fields[i].value(subject);
		ts_json_value(json, ts_fields[i].name, &value);
	}
}

static void render_labels(struct ts_json *json, const struct ts_subject *subject)
{
	const struct ts_snapshot *s = subject->snapshot;

	ts_json_open(json, "label_registry", '{');
	render_group(json, TS_GROUP_LABELS, subject);
	ts_json_open(json, "labels", '{');
	for (unsigned i = 0; i < s->label_count; i++) {
		struct ts_value label = { .type = TS_VALUE_TEXT, .text = s->labels[i] };
		char id[8];

		snprintf(id, sizeof(id), "%u", i);
		ts_json_value(json, id, &label);
	}
	ts_json_close(json, '}');
	ts_json_close(json, '}');
}

static void render_epoch(struct ts_json *json, const struct ts_subject *subject)
{
	struct ts_subject row = *subject;

	ts_json_open(json, NULL, '{');
	render_group(json, TS_GROUP_EPOCH, subject);
	ts_json_open(json, "domains", '[');
	for (size_t i = 0; i < subject->epoch->domain_count; i++) {
		row.domain = &subject->snapshot->domains[subject->epoch->first_domain + i];
		ts_json_open(json, NULL, '{');
		render_group(json, TS_GROUP_DOMAIN, &row);
		ts_json_close(json, '}');
	}
	ts_json_close(json, ']');
	ts_json_close(json, '}');
}

void ts_render_snapshot(struct ts_json *json, const struct ts_snapshot *snapshot)
{
	struct ts_subject subject = { .snapshot = snapshot };

	ts_json_open(json, NULL, '{');
	render_group(json, TS_GROUP_SNAPSHOT, &subject);
	render_group(json, TS_GROUP_GLOBAL, &subject);
	render_labels(json, &subject);
	ts_json_open(json, "alloc_failures", '{');
	render_group(json, TS_GROUP_FAILURES, &subject);
	ts_json_close(json, '}');
	ts_json_open(json, "safety", '{');
	ts_json_open(json, "invalid_free", '{');
	render_group(json, TS_GROUP_INVALID_FREE, &subject);
	ts_json_close(json, '}');
	render_group(json, TS_GROUP_SAFETY, &subject);
	ts_json_close(json, '}');
	ts_json_open(json, "classes", '[');
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		subject.cls = &snapshot->classes[i];
		ts_json_open(json, NULL, '{');
		render_group(json, TS_GROUP_CLASS, &subject);
		ts_json_close(json, '}');
	}
	ts_json_close(json, ']');
	ts_json_open(json, "epochs", '[');
	for (size_t i = 0; i < snapshot->epoch_count; i++) {
		subject.epoch = &snapshot->epochs[i];
		render_epoch(json, &subject);
	}
	ts_json_close(json, ']');
	ts_json_close(json, '}');
}
