/* SPDX-License-Identifier: MIT */
/*
 * schema.c: JSON Schema (draft 2020-12), as much of it as `tslab stats --schema` uses and a little more. What
 * it does not know it refuses: a keyword that is passed over would be a check that never fails.
 */
#include <string.h>

#include "tool.h"

struct check {
	json_t *errors;
	char path[512];
};

static void report(struct check *c, const char *what, const char *detail)
{
	char text[1024], cleaned[CLEAN_BYTES];

	snprintf(text, sizeof(text), "%s: %s%s%s", *c->path ? c->path : "the document", what,
		 *detail ? " " : "", detail);
	json_array_append_new(c->errors, json_string(clean(text, cleaned, sizeof(cleaned))));
}

/* A JSON integer is a number too. */
static bool is_of_type(const json_t *value, const char *type)
{
	static const struct {
		const char *name;
		json_type types[2];
	} known[] = {
		{ "object", { JSON_OBJECT, JSON_OBJECT } },
		{ "array", { JSON_ARRAY, JSON_ARRAY } },
		{ "string", { JSON_STRING, JSON_STRING } },
		{ "number", { JSON_INTEGER, JSON_REAL } },
		{ "integer", { JSON_INTEGER, JSON_INTEGER } },
		{ "boolean", { JSON_TRUE, JSON_FALSE } },
		{ "null", { JSON_NULL, JSON_NULL } },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(type, known[i].name))
			return json_typeof(value) == known[i].types[0] ||
			       json_typeof(value) == known[i].types[1];
	return false;
}

typedef void check_keyword(struct check *c, const json_t *keyword, const json_t *value);

static void check_value(struct check *c, const json_t *schema, const json_t *value);

static void check_type(struct check *c, const json_t *keyword, const json_t *value)
{
	const json_t *type;
	size_t i;

	if (json_is_string(keyword) && !is_of_type(value, json_string_value(keyword)))
		report(c, "is not of type", json_string_value(keyword));
	if (!json_is_array(keyword))
		return;
	json_array_foreach(keyword, i, type)
		if (json_is_string(type) && is_of_type(value, json_string_value(type)))
			return;
	report(c, "is of none of the types", "");
}

static void check_required(struct check *c, const json_t *keyword, const json_t *value)
{
	const json_t *name;
	size_t i;

	json_array_foreach(keyword, i, name)
		if (json_is_object(value) && json_is_string(name) &&
		    !json_object_get(value, json_string_value(name)))
			report(c, "lacks", json_string_value(name));
}

/* Checks what is inside under a longer path. */
static void check_inside(struct check *c, const char *name, const json_t *schema, const json_t *value)
{
	size_t length = strlen(c->path);

	snprintf(c->path + length, sizeof(c->path) - length, "%s", name);
	check_value(c, schema, value);
	c->path[length] = '\0';
}

static void check_properties(struct check *c, const json_t *keyword, const json_t *value)
{
	const char *name;
	json_t *schema;

	json_object_foreach((json_t *)keyword, name, schema) {
		const json_t *member = json_object_get(value, name);
		char step[128];

		snprintf(step, sizeof(step), "%s%.100s", *c->path ? "." : "", name);
		if (member)
			check_inside(c, step, schema, member);
	}
}

static void check_items(struct check *c, const json_t *keyword, const json_t *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(value, i, item) {
		char step[32];

		snprintf(step, sizeof(step), "[%zu]", i);
		check_inside(c, step, keyword, item);
	}
}

static void check_minimum(struct check *c, const json_t *keyword, const json_t *value)
{
	if (json_is_number(value) && json_number_value(value) < json_number_value(keyword))
		report(c, "is below the minimum", "");
}

static void check_maximum(struct check *c, const json_t *keyword, const json_t *value)
{
	if (json_is_number(value) && json_number_value(value) > json_number_value(keyword))
		report(c, "is above the maximum", "");
}

static void check_enum(struct check *c, const json_t *keyword, const json_t *value)
{
	const json_t *word;
	size_t i;

	json_array_foreach(keyword, i, word)
		if (json_equal(word, value))
			return;
	report(c, "is none of the values", "");
}

static void check_const(struct check *c, const json_t *keyword, const json_t *value)
{
	if (!json_equal(keyword, value))
		report(c, "is another value", "");
}

static const struct {
	const char *name;
	check_keyword *check; /* NULL: says something, asks nothing */
} keywords[] = {
	{ "type", check_type },
	{ "required", check_required },
	{ "properties", check_properties },
	{ "items", check_items },
	{ "minimum", check_minimum },
	{ "maximum", check_maximum },
	{ "enum", check_enum },
	{ "const", check_const },
	{ "$schema", NULL },
	{ "$id", NULL },
	{ "$comment", NULL },
	{ "title", NULL },
	{ "description", NULL },
	{ "default", NULL },
	{ "examples", NULL },
	/* tslab's own, on fields */
	{ "kind", NULL },
	{ "unit", NULL },
	{ "metric", NULL },
};
enum { KEYWORDS = sizeof(keywords) / sizeof(keywords[0]) };

static void check_value(struct check *c, const json_t *schema, const json_t *value)
{
	const char *name;
	json_t *keyword;

	if (json_is_boolean(schema)) {
		if (json_is_false(schema))
			report(c, "is not allowed", "");
		return;
	}
	json_object_foreach((json_t *)schema, name, keyword) {
		size_t i = 0;

		while (i < KEYWORDS && strcmp(name, keywords[i].name) != 0)
			i++;
		if (i == KEYWORDS)
			report(c, "the schema has a keyword that tslab does not know:", name);
		else if (keywords[i].check)
			keywords[i].check(c, keyword, value);
	}
}

json_t *schema_errors(const json_t *schema, const json_t *document)
{
	struct check c = { .errors = json_array() };

	check_value(&c, schema, document);
	return c.errors;
}
