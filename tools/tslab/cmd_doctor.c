/* SPDX-License-Identifier: MIT */
#include "tool.h"

static struct {
	uint64_t threshold_s;
	uint64_t interval_ms;
	bool json, follow;
} set = { .threshold_s = DOCTOR_THRESHOLD_UNSET, .interval_ms = 1000 };

static const struct option_row options[] = {
	{ "threshold", OPTION_SECONDS, &set.threshold_s, "TIME",
	  "how long a scope may be open and an epoch may drain\n"
	  "(default 60s, or what tslab set says; suffix s, m, h, d)" },
	{ "follow", OPTION_FLAG, &set.follow, NULL,
	  "go on until the process ends, and say what is new" },
	{ "interval", OPTION_MS, &set.interval_ms, "TIME", "how often --follow looks (default 1s)" },
	{ "json", OPTION_FLAG, &set.json, NULL,
	  "an array of findings; with --follow an object a line" },
	{ .name = NULL },
};

/* Findings that have been told, by what tells them apart. */
static bool is_new(json_t *told, const json_t *finding)
{
	char key[256];

	snprintf(key, sizeof(key), "%s %s", get_text(finding, "id"), get_text(finding, "subject"));
	if (json_object_get(told, key))
		return false;
	json_object_set_new(told, key, json_true());
	return true;
}

static void tell_new(json_t *told, const json_t *document)
{
	json_t *findings = find_trouble(document, set.threshold_s), *finding;
	size_t i;

	json_array_foreach(findings, i, finding) {
		if (!is_new(told, finding))
			continue;
		if (!set.json)
			print_finding(stdout, finding);
		else if (!json_dumpf(finding, stdout, JSON_COMPACT))
			putchar('\n');
	}
	json_decref(findings);
}

static int follow(struct source *source, json_t *document)
{
	json_t *told = json_object();
	int code;

	while (document) {
		tell_new(told, document);
		json_decref(document);
		if (fflush(stdout))
			break;
		document = source_next(source, set.interval_ms);
	}
	code = json_object_size(told) ? EXIT_FINDINGS : EXIT_FINE;
	json_decref(told);
	return source->over ? code : EXIT_TROUBLE;
}

static int examine(const json_t *document)
{
	json_t *findings = find_trouble(document, set.threshold_s);
	int code = json_array_size(findings) ? EXIT_FINDINGS : EXIT_FINE;

	if (set.json) {
		code = print_json(findings, code);
	} else {
		print_machine(stdout, document);
		print_trouble(stdout, findings);
	}
	json_decref(findings);
	return code;
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *document = source_document(source, argc, argv);
	int code;

	if (!document)
		return EXIT_TROUBLE;
	if (set.follow)
		return follow(source, document);
	code = examine(document);
	json_decref(document);
	return code;
}

const struct command command_doctor = {
	.name = "doctor",
	.summary = "say what is wrong, why, and what to do",
	.usage = "",
	.text = "Says on what machine a process runs and what is wrong in it: finding, evidence, what to\n"
		"do, and how sure that is.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.notes = "Exit status: 0 nothing found, 2 trouble, 4 findings.",
	.run = run,
};
