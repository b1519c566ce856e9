/* SPDX-License-Identifier: MIT */
/*
 * json.c: parses a file with jansson COUNT times and looks at each value. With epochs the tree of a
 * document goes with its epoch, without them json_decref takes it apart.
 */
#include <jansson.h>

#include "program.h"

struct found {
	uint64_t values;
	uint64_t text_bytes;
	double sum;
};

static char *read_file(const char *path, size_t *bytes)
{
	FILE *file = fopen(path, "rb");
	char *text = NULL;
	long length = 0;

	if (!file || fseek(file, 0, SEEK_END) || (length = ftell(file)) < 0 ||
	    fseek(file, 0, SEEK_SET))
		program_die(path, "cannot be read");
	*bytes = (size_t)length;
	text = malloc(*bytes + 1);
	if (!text || fread(text, 1, *bytes, file) != *bytes)
		program_die(path, "cannot be read as a whole");
	fclose(file);
	return text;
}

static void look(struct found *found, const json_t *value)
{
	const char *key;
	json_t *member;
	size_t i;

	found->values++;
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		json_object_foreach((json_t *)value, key, member) {
			found->text_bytes += strlen(key);
			look(found, member);
		}
		break;
	case JSON_ARRAY:
		json_array_foreach(value, i, member)
			look(found, member);
		break;
	case JSON_STRING:
		found->text_bytes += json_string_length(value);
		break;
	default:
		found->sum += json_number_value(value);
	}
}

static json_t *parse(const char *text, size_t bytes, struct found *found)
{
	json_error_t error;
	json_t *root = json_loadb(text, bytes, 0, &error);

	if (!root)
		program_die("json", error.text);
	look(found, root);
	return root;
}

static void parse_in_epochs(const char *text, size_t bytes, unsigned long count, struct found *found)
{
	tslab_heap *heap = program_heap();

	json_set_alloc_funcs(tslab_malloc, tslab_free);
	while (count--) {
		tslab_epoch_t document = program_begin(heap, "document");

		parse(text, bytes, found);
		program_end(document);
	}
}

int main(int argc, char **argv)
{
	struct program_options options = program_options(argc, argv, true);
	struct found found = { 0, 0, 0 };
	size_t bytes;
	char *text = read_file(options.file, &bytes);

	json_object_seed(1);
	if (options.epochs)
		parse_in_epochs(text, bytes, options.count, &found);
	else
		for (unsigned long i = 0; i < options.count; i++)
			json_decref(parse(text, bytes, &found));
	free(text);
	printf("%llu values, %llu bytes of text, sum %.3f\n", (unsigned long long)found.values,
	       (unsigned long long)found.text_bytes, found.sum);
	return 0;
}
