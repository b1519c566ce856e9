/* SPDX-License-Identifier: MIT */
/*
 * `tslab stats` under its older name, stats_dump, which it goes by when it is called so: JSON on stdout and
 * text on stderr at once. Without a PID it takes the one process that there is.
 */
#include "tool.h"

static struct {
	bool json, doctor;
} set;

static const struct option_row options[] = {
	{ "json", OPTION_FLAG, &set.json, NULL, "JSON on stdout, no text" },
	{ "no-text", OPTION_FLAG, &set.json, NULL, "the same" },
	{ "doctor", OPTION_FLAG, &set.doctor, NULL,
	  "findings, as of tslab doctor; with --json in the JSON as \"diagnostics\"" },
	{ .name = NULL },
};

static int show(json_t *document)
{
	if (set.doctor)
		add_diagnostics(document);
	if (set.doctor && !set.json) {
		print_summary(stdout, document, false);
		return EXIT_FINE;
	}
	if (!set.json)
		print_summary(stderr, document, false);
	return print_json(document, EXIT_FINE);
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document;
	int code;

	source->only = true;
	document = source_document(source, argc, argv);
	if (!document)
		return EXIT_TROUBLE;
	code = show(document);
	json_decref(document);
	return code;
}

const struct command command_stats_dump = {
	.name = "stats_dump",
	.summary = "",
	.usage = "",
	.text = "Shows the figures of a process, JSON on stdout and text on stderr; without PID those of the\n"
		"one process of yours that uses libtslab.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
