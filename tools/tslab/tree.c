/* SPDX-License-Identifier: MIT */
/*
 * tree.c: the JSON document of a snapshot, value by value. Writing and parsing text gives the same and takes
 * four times as long.
 */
#include <stdlib.h>
#include <string.h>

#include "obs/render.h"
#include "tool.h"

enum { DEPTH_MAX = 8 };

struct tree {
	json_t *inside[DEPTH_MAX]; /* borrowed, from the root on */
	int depth;
	json_t *root;
	bool sparse; /* without zeros: what is missing reads as 0 */
	bool failed;
};

static void add(struct tree *tree, const char *name, json_t *value)
{
	json_t *parent = tree->depth ? tree->inside[tree->depth - 1] : NULL;
	int refused = 0;

	if (!parent)
		tree->root = value;
	else if (name)
		refused = json_object_set_new_nocheck(parent, name, value);
	else
		refused = json_array_append_new(parent, value);
	tree->failed = tree->failed || refused || !value;
}

static void open_value(void *context, const char *name, char bracket)
{
	struct tree *tree = context;
	json_t *value = bracket == '{' ? json_object() : json_array();

	if (tree->depth == DEPTH_MAX)
		abort(); /* the list of fields is not that deep */
	add(tree, name, value);
	tree->inside[tree->depth++] = value;
}

static void close_value(void *context)
{
	struct tree *tree = context;

	tree->depth--;
}

/* What is no UTF-8 becomes U+FFFD, as in the text. */
static json_t *mended_string(const char *text)
{
	char *mended = calloc(3, strlen(text) + 1), *to = mended;
	json_t *value;

	while (mended && *text) {
		unsigned length = ts_json_utf8_length(text);

		if (length) {
			memcpy(to, text, length);
			to += length;
		} else {
			memcpy(to, "\xef\xbf\xbd", 3);
			to += 3;
		}
		text += length ? length : 1;
	}
	value = mended ? json_string_nocheck(mended) : NULL;
	free(mended);
	return value;
}

static json_t *make_string(const char *text)
{
	json_t *value = json_string(text);

	return value ? value : mended_string(text);
}

static bool is_zero(const struct ts_value *value)
{
	switch (value->type) {
	case TS_VALUE_F64:
		return value->f64 == 0;
	case TS_VALUE_BOOL:
		return !value->boolean;
	case TS_VALUE_TEXT:
		return !*value->text;
	default:
		return !value->u64;
	}
}

static void add_value(void *context, const char *name, const struct ts_value *value)
{
	if (((struct tree *)context)->sparse && is_zero(value))
		return;
	if (!ts_value_known(value)) {
		add(context, name, json_null());
		return;
	}
	switch (value->type) {
	case TS_VALUE_U64:
	case TS_VALUE_KNOWN_U64:
		add(context, name,
		    json_integer(value->u64 > INT64_MAX ? INT64_MAX : (json_int_t)value->u64));
		break;
	case TS_VALUE_I64:
		add(context, name, json_integer(value->i64));
		break;
	case TS_VALUE_F64:
		add(context, name, json_real(value->f64));
		break;
	case TS_VALUE_BOOL:
		add(context, name, json_boolean(value->boolean));
		break;
	case TS_VALUE_TEXT:
		add(context, name, make_string(value->text));
		break;
	}
}

json_t *make_document(const struct ts_snapshot *snapshot, const struct source *source)
{
	static const struct ts_json_builder builder = { open_value, close_value, add_value };
	struct tree tree = { .sparse = source->wants != NULL };
	struct ts_json json;

	ts_json_start_building(&json, &builder, &tree);
	if (source->groups)
		json.groups = source->groups;
	json.wants = source->wants;
	ts_render_snapshot(&json, snapshot);
	if (!tree.failed)
		return tree.root;
	json_decref(tree.root);
	complain("not enough memory");
	return NULL;
}
