/* SPDX-License-Identifier: MIT */
#include <getopt.h>

#include "tool.h"

static const char help[] =
	"Usage: tslab leaks [OPTION]... PID | --name NAME | --stdin | --file FILE\n"
	"Shows scopes that were entered and not left: label, age, reference count and memory of the\n"
	"epoch, and the source line of the domain_enter() whose domain_exit() is missing.\n\n"
	"  --age TIME        how long a scope may be open (default 60s; 0 shows all; suffix s, m, h, d);\n"
	"                    scopes whose thread has ended are shown at any age\n"
	"  --json            an array of epochs with missing_exits and domains\n" SOURCE_HELP
	"\nExit status: 0 nothing found, 2 trouble, 4 leaks.\n";

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

static int show(const json_t *document, uint64_t age_s, bool as_json)
{
	json_t *leaks = find_leaks(document, age_s);
	size_t count = json_array_size(leaks), i;
	int code = count ? EXIT_FINDINGS : EXIT_FINE;
	const json_t *leak;
	char age[HUMAN_BYTES];

	if (as_json) {
		if (json_dumpf(leaks, stdout, JSON_INDENT(1)) || putchar('\n') == EOF)
			code = complain("cannot write the JSON");
	} else if (!count) {
		printf("no scope has been open for %s or longer\n", human_seconds(age_s, age));
	} else {
		json_array_foreach(leaks, i, leak)
			print_leak(leak);
	}
	json_decref(leaks);
	return code;
}

int cmd_leaks(int argc, char **argv)
{
	static const struct option options[] = { { "age", required_argument, NULL, 'a' },
						 { "json", no_argument, NULL, 'j' },
						 SOURCE_OPTIONS,
						 { NULL, 0, NULL, 0 } };
	struct source source = { .name = NULL };
	uint64_t age_s = 60;
	bool as_json = false;
	json_t *document;
	int option, code;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h')
			return fputs(help, stdout), EXIT_FINE;
		if (option == '?')
			return complain_usage("leaks");
		if (option == 'a' && !parse_seconds(optarg, &age_s))
			return complain("--age: \"%s\" is no time such as 0, 90s or 5m", optarg);
		as_json |= option == 'j';
		source_option(&source, option, optarg);
	}
	if (!source_arguments(&source, argc - optind, argv + optind))
		return complain_usage("leaks");
	document = source_load(&source);
	if (!document)
		return EXIT_TROUBLE;
	code = show(document, age_s, as_json);
	json_decref(document);
	return code;
}
