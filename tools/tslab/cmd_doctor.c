/* SPDX-License-Identifier: MIT */
#include "tool.h"

static struct {
	uint64_t threshold_s;
	bool json;
} set = { .threshold_s = DOCTOR_THRESHOLD_S };

static const struct option_row options[] = {
	{ "threshold", OPTION_SECONDS, &set.threshold_s, "TIME",
	  "how long a scope may be open and an epoch may drain\n"
	  "(default 60s; suffix s, m, h, d)" },
	{ "json", OPTION_FLAG, &set.json, NULL, "an array of findings" },
	{ .name = NULL },
};

static int run(struct source *source, int argc, char **argv)
{
	json_t *document = source_document(source, argc, argv), *findings;
	int code;

	if (!document)
		return EXIT_TROUBLE;
	findings = find_trouble(document, set.threshold_s);
	code = json_array_size(findings) ? EXIT_FINDINGS : EXIT_FINE;
	if (set.json)
		code = print_json(findings, code);
	else
		print_trouble(stdout, findings);
	json_decref(findings);
	json_decref(document);
	return code;
}

const struct command command_doctor = {
	.name = "doctor",
	.summary = "say what is wrong, why, and what to do",
	.usage = "",
	.text = "Says what is wrong in a process: finding, evidence, what to do, and how sure that is.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.notes = "Exit status: 0 nothing found, 2 trouble, 4 findings.",
	.run = run,
};
