/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <string.h>

#include "tool.h"

static const char help[] =
	"Usage: tslab top [--epochs | --classes] [OPTION]... PID | --name NAME | --stdin | --file FILE\n"
	"Ranks the open epochs, or the size classes, by one of their fields.\n\n"
	"  --epochs          epochs; this is the default\n"
	"  --classes         size classes\n"
	"  --by FIELD        any number of their JSON objects (default estimated_rss_bytes):\n"
	"                    rss_bytes, age_sec, refcount, live_bytes, live_objects, allocations, ...\n"
	"                    A name that does not exist lists those that do\n"
	"  --n N             how many rows (default 10)\n"
	"  --json            the rows as a JSON array, all fields\n" SOURCE_HELP;

static void print_class_rows(const json_t *rows, const char *by)
{
	const json_t *row;
	size_t i;

	printf("  %5s %8s %14s %12s %10s %10s  %s\n", "class", "object", "allocations", "live",
	       "live", "slabs", by);
	json_array_foreach(rows, i, row) {
		char live[HUMAN_BYTES], slabs[HUMAN_BYTES];

		printf("  %5llu %8llu %14llu %12llu %10s %10s  %.15g\n",
		       (unsigned long long)get_u64(row, "class_index"),
		       (unsigned long long)get_u64(row, "object_size"),
		       (unsigned long long)get_u64(row, "allocations"),
		       (unsigned long long)get_u64(row, "live_objects"),
		       human_bytes(get_u64(row, "live_bytes"), live),
		       human_bytes(get_u64(row, "committed_bytes"), slabs), get_number(row, by));
	}
}

static int show(const json_t *document, bool classes, const char *by, size_t most, bool as_json)
{
	const json_t *rows = json_object_get(document, classes ? "classes" : "epochs");
	json_t *ranked;
	int code = EXIT_FINE;

	if (!rankable(rows, by)) {
		complain("%s have no number \"%s\"; they have:", classes ? "classes" : "epochs", by);
		list_rankable(stderr, rows);
		return EXIT_TROUBLE;
	}
	ranked = rank_rows(rows, by, most);
	if (as_json && (json_dumpf(ranked, stdout, JSON_INDENT(1)) || putchar('\n') == EOF))
		code = complain("cannot write the JSON");
	else if (!as_json && classes)
		print_class_rows(ranked, by);
	else if (!as_json)
		print_epoch_rows(ranked, by);
	json_decref(ranked);
	return code;
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = { { "epochs", no_argument, NULL, 'e' },
						 { "classes", no_argument, NULL, 'c' },
						 { "by", required_argument, NULL, 'b' },
						 { "n", required_argument, NULL, 'n' },
						 { "json", no_argument, NULL, 'j' },
						 SOURCE_OPTIONS,
						 { NULL, 0, NULL, 0 } };
	struct source source = { .bare = true };
	const char *by = "estimated_rss_bytes";
	bool classes = false, as_json = false;
	size_t most = 10;
	json_t *document;
	int option, code;

	while ((option = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
		if (option == 'h')
			return fputs(help, stdout), EXIT_FINE;
		if (option == '?')
			return complain_usage("top");
		if (option == 'n' && !parse_count(optarg, &most))
			return complain("--n: \"%s\" is no number from 1 to 1000000", optarg);
		if (option == 'e' || option == 'c')
			classes = option == 'c';
		as_json |= option == 'j';
		if (option == 'j')
			source.bare = false;
		if (option == 'b')
			by = optarg;
		source_option(&source, option, optarg);
	}
	if (!source_arguments(&source, argc - optind, argv + optind))
		return complain_usage("top");
	document = source_load(&source);
	if (!document)
		return EXIT_TROUBLE;
	code = show(document, classes, by, most, as_json);
	json_decref(document);
	return code;
}
