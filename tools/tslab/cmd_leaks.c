/* SPDX-License-Identifier: MIT */

#include "tool.h"

static struct {
	uint64_t age_s;
	bool json;
} set = { .age_s = 60 };

static const struct option_row options[] = {
	{ "age", OPTION_SECONDS, &set.age_s, "TIME",
	  "how long a scope may be open (default 60s; 0 shows all; suffix s, m, h, d);\n"
	  "scopes whose thread has ended are shown at any age" },
	{ "json", OPTION_FLAG, &set.json, NULL, "an array of epochs with missing_exits and domains" },
	{ .name = NULL },
};

static void print_leak(const json_t *leak)
{
	const json_t *domains = json_object_get(leak, "domains"), *domain;
	char text[2 * CLEAN_BYTES];
	size_t i;

	describe_epoch(leak, text, sizeof(text));
	puts(text);
	describe_missing(leak, text, sizeof(text));
	printf("  %s\n", text);
	json_array_foreach(domains, i, domain) {
		describe_domain(domain, text, sizeof(text));
		printf("    %s\n", text);
	}
}

static int show(const json_t *document)
{
	json_t *leaks = find_leaks(document, set.age_s);
	size_t count = json_array_size(leaks), i;
	int code = count ? EXIT_FINDINGS : EXIT_FINE;
	const json_t *leak;
	char age[HUMAN_BYTES];

	if (set.json) {
		code = print_json(leaks, code);
	} else if (!count) {
		printf("no scope has been open for %s or longer\n", human_seconds(set.age_s, age));
	} else {
		json_array_foreach(leaks, i, leak)
			print_leak(leak);
	}
	json_decref(leaks);
	return code;
}

static int run(struct source *source, int argc, char **argv)
{
	return source_show(source, argc, argv, show);
}

const struct command command_leaks = {
	.name = "leaks",
	.summary = "show scopes that were entered and not left",
	.usage = "",
	.text = "Shows scopes that were entered and not left: label, age, reference count and memory of the\n"
		"epoch, and the source line of the domain_enter() whose domain_exit() is missing.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.notes = "Exit status: 0 nothing found, 2 trouble, 4 leaks.",
	.run = run,
};
