/* SPDX-License-Identifier: MIT */
/* jsonschema.c: what a snapshot as JSON looks like, as JSON Schema. */
#include "obs/render.h"

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
