/* SPDX-License-Identifier: MIT */
/* main.c: options and the order of events. */
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define POINTS_MAX 64 /* of all series */

enum { EXIT_USAGE = 2, EXIT_NOISY = 3, EXIT_GATE = 4 };

void bench_die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("tslab-bench: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(EXIT_USAGE);
}

static const char usage_text[] =
	"usage: tslab-bench [options]\n"
	"  --tslab [NAME=]FILE the library to measure (default tslab=libtslab.so.0); may be repeated:\n"
	"                      the first one is judged, the others are measured beside it\n"
	"  --peer NAME=FILE    measure one more malloc; may be repeated\n"
	"  --peer-heap NAME=FILE  the same for the heaps of one more mimalloc (mi_heap_destroy)\n"
	"  --compare LIST      show the ratio to these, comma-separated, with its 95 % interval, as is\n"
	"                      done for other builds of the library\n"
	"  --allocators LIST   only these, comma-separated\n"
	"  --workloads LIST    only these, comma-separated\n"
	"  --rounds N          at least N rounds (default 7, at least 7 with --gate)\n"
	"  --max-rounds N      go on to N rounds while the figures vary too much (default 3 N)\n"
	"  --bursts N          bursts of each allocator in a round (default 5)\n"
	"  --max-spread PCT    largest uncertainty of a median that is printed (default 5)\n"
	"  --seed N            seed of the first round (default 1)\n"
	"  --json FILE         write the results there too; - = standard output, without the table\n"
	"  --gate              fail if a figure exceeds its limit\n"
	"  --growth[=N]        how cost grows with objects, threads and chunks, up to N of them; one\n"
	"                      allocator at a time\n"
	"  --one ALLOCATOR:WORKLOAD  run --bursts bursts of one workload for a profiler\n"
	"  --list              list allocators, and workloads with the operations of a burst\n"
	"exit status: 0 done, 2 usage or a failure, 3 figures varied too much, 4 a limit was exceeded\n";

enum {
	OPTION_TSLAB,
	OPTION_PEER,
	OPTION_PEER_HEAP,
	OPTION_COMPARE,
	OPTION_ALLOCATORS,
	OPTION_WORKLOADS,
	OPTION_ROUNDS,
	OPTION_MAX_ROUNDS,
	OPTION_BURSTS,
	OPTION_MAX_SPREAD,
	OPTION_SEED,
	OPTION_JSON,
	OPTION_GROWTH,
	OPTION_ONE,
	OPTION_GATE,
	OPTION_LIST,
	OPTION_HELP,
	OPTION_COUNT,
};

static const struct option long_options[] = {
	{ "tslab", required_argument, NULL, OPTION_TSLAB },
	{ "peer", required_argument, NULL, OPTION_PEER },
	{ "peer-heap", required_argument, NULL, OPTION_PEER_HEAP },
	{ "compare", required_argument, NULL, OPTION_COMPARE },
	{ "allocators", required_argument, NULL, OPTION_ALLOCATORS },
	{ "workloads", required_argument, NULL, OPTION_WORKLOADS },
	{ "rounds", required_argument, NULL, OPTION_ROUNDS },
	{ "max-rounds", required_argument, NULL, OPTION_MAX_ROUNDS },
	{ "bursts", required_argument, NULL, OPTION_BURSTS },
	{ "max-spread", required_argument, NULL, OPTION_MAX_SPREAD },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "json", required_argument, NULL, OPTION_JSON },
	{ "growth", optional_argument, NULL, OPTION_GROWTH },
	{ "one", required_argument, NULL, OPTION_ONE },
	{ "gate", no_argument, NULL, OPTION_GATE },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

/* The values of an option that may be repeated. */
struct list {
	const char *text[BENCH_ALLOCATORS_MAX];
	unsigned count;
};

struct arguments {
	const char *text[OPTION_COUNT]; /* NULL = not given */
	struct list tslabs, peers, peer_heaps;
	struct bench_options options;
	struct bench_allocators allocators;
};

static void append(struct list *list, int option)
{
	if (list->count == BENCH_ALLOCATORS_MAX)
		bench_die("too many --%s", long_options[option].name);
	list->text[list->count++] = optarg;
}

static void take_option(struct arguments *arguments, int option)
{
	if (option == OPTION_HELP) {
		fputs(usage_text, stdout);
		exit(0);
	}
	if (option == '?')
		bench_die("see --help");
	arguments->text[option] = optarg ? optarg : "";
	if (option == OPTION_PEER)
		append(&arguments->peers, option);
	if (option == OPTION_PEER_HEAP)
		append(&arguments->peer_heaps, option);
	if (option == OPTION_TSLAB)
		append(&arguments->tslabs, option);
}

/* Return: the option's number, or @otherwise if it was not given. */
static double number(const struct arguments *arguments, int option, double low, double high,
		     double otherwise)
{
	const char *text = arguments->text[option];
	char *end;
	double value;

	if (!text)
		return otherwise;
	value = strtod(text, &end);
	if (end == text || *end || !(value >= low && value <= high))
		bench_die("--%s wants a number from %g to %g, not '%s'", long_options[option].name,
			  low, high, text);
	return value;
}

static void read_numbers(struct arguments *arguments)
{
	struct bench_options *options = &arguments->options;
	unsigned most;

	options->rounds = (unsigned)number(arguments, OPTION_ROUNDS, 1, BENCH_ROUNDS_MAX, 7);
	most = options->rounds * 3 < BENCH_ROUNDS_MAX ? options->rounds * 3 : BENCH_ROUNDS_MAX;
	options->max_rounds = (unsigned)number(arguments, OPTION_MAX_ROUNDS, options->rounds,
					       BENCH_ROUNDS_MAX, most);
	options->bursts = (unsigned)number(arguments, OPTION_BURSTS, 1, BENCH_BURSTS_MAX, 5);
	options->max_spread = number(arguments, OPTION_MAX_SPREAD, 0.1, 1000, 5) / 100;
	options->seed = (uint64_t)number(arguments, OPTION_SEED, 0, 1e15, 1);
	options->one_at_a_time = arguments->text[OPTION_GROWTH] != NULL;
	options->growth_most = UINT_MAX;
	if (options->one_at_a_time && *arguments->text[OPTION_GROWTH])
		options->growth_most = (unsigned)number(arguments, OPTION_GROWTH, 1, 1e9, 0);
	if (options->one_at_a_time &&
	    (arguments->text[OPTION_GATE] || arguments->text[OPTION_WORKLOADS]))
		bench_die("--growth has workloads of its own, and no limits");
	if (arguments->text[OPTION_GATE] && options->rounds < 7)
		bench_die("--gate wants at least 7 rounds");
}

static void read_arguments(struct arguments *arguments, int argc, char **argv)
{
	const struct list *tslabs = &arguments->tslabs, *peers = &arguments->peers;
	const struct list *heaps = &arguments->peer_heaps;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		take_option(arguments, option);
	if (optind != argc)
		bench_die("what is '%s'? (--help)", argv[optind]);
	read_numbers(arguments);
	bench_allocators_init(&arguments->allocators, tslabs->text, tslabs->count);
	for (unsigned i = 0; i < peers->count; i++)
		bench_allocators_add_peer(&arguments->allocators, peers->text[i], BENCH_PEER);
	for (unsigned i = 0; i < heaps->count; i++)
		bench_allocators_add_peer(&arguments->allocators, heaps->text[i], BENCH_PEER_HEAP);
	if (arguments->text[OPTION_ALLOCATORS])
		bench_allocators_keep(&arguments->allocators, arguments->text[OPTION_ALLOCATORS]);
	bench_allocators_compare(&arguments->allocators, arguments->text[OPTION_COMPARE]);
}

static void list(const struct arguments *arguments)
{
	for (unsigned i = 0; i < arguments->allocators.count; i++)
		printf("allocator %s\n", arguments->allocators.list[i].name);
	for (unsigned i = 0; i < bench_workloads_count; i++)
		printf("workload  %-16s %8" PRIu64 "  %s\n", bench_workloads[i].name,
		       bench_workloads[i].operations, bench_workloads[i].title);
}

static void run_one(const struct arguments *arguments)
{
	const char *one = arguments->text[OPTION_ONE];
	const char *colon = strchr(one, ':');
	char name[BENCH_NAME_MAX] = "";
	struct bench_job job = { .seed = arguments->options.seed,
				 .channel = -1,
				 .bursts = arguments->options.bursts };

	if (!colon || (size_t)(colon - one) >= sizeof(name))
		bench_die("--one wants ALLOCATOR:WORKLOAD");
	memcpy(name, one, (size_t)(colon - one));
	job.allocator = bench_allocators_find(&arguments->allocators, name);
	job.workload = bench_workloads_find(colon + 1);
	if (!job.allocator || !job.workload)
		bench_die("--one: no such allocator or workload: %s (--list)", one);
	bench_process_exec(&job);
}

static void add_rows(struct bench_row *rows, unsigned *count, const struct bench_workload *workload)
{
	for (unsigned part = 0; part < bench_workloads_parts(workload); part++) {
		rows[*count].workload = workload;
		rows[*count].part = part;
		++*count;
	}
}

/* Return: how many rows the workloads that were asked for have. */
static unsigned choose_rows(const char *names, struct bench_row *rows)
{
	char copy[1024], *rest = NULL;
	unsigned count = 0;

	for (unsigned i = 0; !names && i < bench_workloads_count; i++)
		if (!bench_workloads[i].growth)
			add_rows(rows, &count, &bench_workloads[i]);
	if (!names)
		return count;
	if (strlen(names) >= sizeof(copy))
		bench_die("--workloads: the list is too long");
	strcpy(copy, names);
	for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		const struct bench_workload *workload = bench_workloads_find(name);

		if (!workload || workload->growth)
			bench_die("--workloads: '%s'? (--list)", name);
		for (unsigned i = 0; i < count; i++)
			if (rows[i].workload == workload)
				bench_die("--workloads: %s twice", name);
		add_rows(rows, &count, workload);
	}
	return count;
}

/* Return: how many rows all points of all series have. */
static unsigned choose_points(unsigned most, struct bench_row *rows)
{
	static struct bench_workload workloads[POINTS_MAX];
	unsigned count = 0, points = 0;

	for (unsigned i = 0; i < bench_series_count; i++) {
		const struct bench_series *series = &bench_series[i];

		for (unsigned point = 0; point < bench_series_length(series); point++) {
			unsigned first = count;

			if (series->values[point] > most)
				break;
			workloads[points] = bench_series_workload(series, point);
			add_rows(rows, &count, &workloads[points++]);
			for (unsigned row = first; row < count; row++) {
				rows[row].series = series;
				rows[row].x = series->values[point];
			}
		}
	}
	return count;
}

static void write_json(const struct bench_results *results, const char *path)
{
	FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");

	if (!out)
		bench_die("cannot write %s", path);
	bench_report_json(out, results);
	if (fflush(out) != 0 || ferror(out))
		bench_die("cannot write %s", path);
	if (out != stdout)
		fclose(out);
}

/* Return: -1 if it was left out. */
static int index_of_tslab(const struct bench_allocators *allocators)
{
	for (unsigned i = 0; i < allocators->count; i++)
		if (allocators->list[i].kind == BENCH_TSLAB)
			return (int)i;
	return -1;
}

static void measure(struct bench_results *results)
{
	for (unsigned i = 0; i < results->count; i++) {
		struct bench_row *row = &results->rows[i];

		if (row->part > 0)
			continue;
		fprintf(stderr, "measuring %s", row->workload->name);
		if (row->series)
			fprintf(stderr, " at %u", row->x);
		fprintf(stderr, "\n");
		bench_rounds_run(results, row, bench_workloads_parts(row->workload));
	}
}

/* Return: the exit status. */
static int run_all(const struct arguments *arguments)
{
	const struct bench_options *options = &arguments->options;
	const char *json = arguments->text[OPTION_JSON];
	bool growth = arguments->text[OPTION_GROWTH] != NULL;
	struct bench_row *rows =
		calloc(bench_workloads_count + POINTS_MAX, BENCH_PARTS_MAX * sizeof(*rows));
	struct bench_results results = { .options = options,
					 .allocators = &arguments->allocators,
					 .rows = rows };
	bool noisy = false;

	if (!rows)
		bench_die("no memory");
	results.tslab = index_of_tslab(&arguments->allocators);
	results.count = growth ? choose_points(options->growth_most, rows) :
				 choose_rows(arguments->text[OPTION_WORKLOADS], rows);
	measure(&results);
	for (unsigned i = 0; i < results.count; i++)
		noisy = noisy || rows[i].noisy;
	if (!json || strcmp(json, "-") != 0) {
		bench_report_machine(stdout, &results);
		(growth ? bench_report_series : bench_report_text)(stdout, &results);
	}
	if (json)
		write_json(&results, json);
	if (arguments->text[OPTION_GATE] && bench_report_gate(&results) > 0)
		return EXIT_GATE;
	return noisy ? EXIT_NOISY : 0;
}

int main(int argc, char **argv)
{
	static struct arguments arguments;
	struct bench_job job;

	if (bench_process_is_child(argc, argv, &job))
		bench_child_main(&job);
	read_arguments(&arguments, argc, argv);
	if (arguments.text[OPTION_LIST]) {
		list(&arguments);
		return 0;
	}
	if (arguments.text[OPTION_ONE])
		run_one(&arguments);
	return run_all(&arguments);
}
