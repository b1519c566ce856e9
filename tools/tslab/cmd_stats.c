/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "obs/render.h"
#include "tool.h"

static struct {
	bool json, all_epochs, doctor, fields, schema;
	const char *class_text;
} set;

static const struct option_row options[] = {
	{ "json", OPTION_FLAG, &set.json, NULL, "the whole snapshot as JSON" },
	{ "no-text", OPTION_FLAG, &set.json, NULL, "the same" },
	{ "epochs", OPTION_FLAG, &set.all_epochs, NULL, "all epochs, not only the ten largest" },
	{ "class", OPTION_TEXT, &set.class_text, "N", "one size class, every field" },
	{ "doctor", OPTION_FLAG, &set.doctor, NULL,
	  "what tslab doctor finds too; in the JSON as \"diagnostics\"" },
	{ "fields", OPTION_FLAG, &set.fields, NULL,
	  "list the fields of the JSON with kind, unit, metric and meaning; needs no process" },
	{ "schema", OPTION_FLAG, &set.schema, NULL, "JSON Schema of the JSON; needs no process" },
	{ .name = NULL },
};

static int print_fields(void)
{
	for (size_t i = 0; i < ts_field_count; i++) {
		const struct ts_field *field = &ts_fields[i];
		char path[96], name[160];

		snprintf(name, sizeof(name), "%s%s",
			 ts_group_path(field->group, path, sizeof(path)), field->name);
		printf("%-46s %-8s %-12s %-46s %s\n", name, field->kind,
		       *field->unit ? field->unit : "-", *field->metric ? field->metric : "-",
		       field->help);
	}
	return EXIT_FINE;
}

static bool to_stdout(void *context, const char *bytes, size_t count)
{
	(void)context;
	return fwrite(bytes, 1, count, stdout) == count;
}

static int print_schema(void)
{
	struct ts_json json;

	ts_json_start(&json, to_stdout, NULL);
	ts_render_schema(&json);
	return ts_json_end(&json) ? EXIT_FINE : complain("cannot write the schema");
}

static int print_class(const json_t *document, const char *text)
{
	const json_t *classes = json_object_get(document, "classes");
	size_t index = 0;
	const char *name;
	json_t *row, *value;

	if (strcmp(text, "0") != 0 && !parse_count(text, &index))
		index = json_array_size(classes);
	row = json_array_get(classes, index);
	if (!row)
		return complain("no size class \"%s\"", text);
	json_object_foreach(row, name, value) {
		char cleaned[64];

		printf("%-22s %g\n", clean(name, cleaned, sizeof(cleaned)), json_number_value(value));
	}
	return EXIT_FINE;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document;
	int code = EXIT_FINE;

	if (set.fields)
		return print_fields();
	if (set.schema)
		return print_schema();
	source->bare = !set.json && !set.doctor;
	document = source_document(source, argc, argv);
	if (!document)
		return EXIT_TROUBLE;
	if (set.doctor)
		add_diagnostics(document);
	if (set.json)
		code = print_json(document, EXIT_FINE);
	else if (set.class_text)
		code = print_class(document, set.class_text);
	else
		print_summary(stdout, document, set.all_epochs);
	json_decref(document);
	return code;
}

const struct command command_stats = {
	.name = "stats",
	.summary = "show the figures of a process",
	.usage = "",
	.text = "Shows the figures of a process: totals, size classes in use, open epochs.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
