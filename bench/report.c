/* SPDX-License-Identifier: MIT */
/* report.c: the same results as a table for people and as JSON for programs. */
#include <gnu/libc-version.h>
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

#include "bench.h"

static void read_cpu_model(char *model, size_t bytes)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256];

	snprintf(model, bytes, "unknown");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(model, bytes, "%s", colon + 2);
		break;
	}
	if (file)
		fclose(file);
}

void bench_report_machine(FILE *out, const struct bench_results *results)
{
	const struct bench_options *options = results->options;
	struct utsname names;
	char model[200];

	uname(&names);
	read_cpu_model(model, sizeof(model));
	fprintf(out, "machine   %s, %u CPUs, %s, Linux %s, glibc %s\n", model, bench_team_cpus(),
		names.machine, names.release, gnu_get_libc_version());
	fprintf(out,
		"run       %u to %u rounds of %u bursts, seed %" PRIu64
		", medians uncertain by at most %.1f %%\n",
		options->rounds, options->max_rounds, options->bursts, options->seed,
		options->max_spread * 100);
	for (unsigned i = 0; i < results->allocators->count; i++)
		if (results->files[i][0])
			fprintf(out, "allocator %-16s %s\n", results->allocators->list[i].name,
				results->files[i]);
}

static const struct bench_part *part_of(const struct bench_row *row)
{
	return &row->workload->parts[row->part];
}

static void write_title(const struct bench_row *row, char *title, size_t bytes)
{
	const struct bench_part *part = part_of(row);

	snprintf(title, bytes, "%s%s%s", row->workload->title, part->title ? ", " : "",
		 part->title ? part->title : "");
}

/* As --workloads knows it, with the part if there are several. */
static void write_name(const struct bench_row *row, char *name, size_t bytes)
{
	const struct bench_part *part = part_of(row);

	snprintf(name, bytes, "%s%s%s", row->workload->name, part->name ? "." : "",
		 part->name ? part->name : "");
}

static void print_cell(FILE *out, const struct bench_row *row, unsigned i)
{
	const struct bench_quartiles *figure = &row->figure[i];

	if (!row->ran[i])
		fprintf(out, " %9s |", "-");
	else if (row->noisy_figure[i])
		fprintf(out, " %9s |", "noisy");
	else
		fprintf(out, " %9.*f |", figure->median < 100 ? 2 : 0, figure->median);
}

static void print_ratio(FILE *out, const struct bench_results *results, const struct bench_row *row)
{
	const struct bench_allocator *list = results->allocators->list;

	if (row->best < 0 || results->tslab < 0) {
		fprintf(out, " %5s | %11s | %-14s | %5s | %-13s |", "-", "-", "-", "-", "-");
		return;
	}
	if (row->noisy_ratio)
		fprintf(out, " %5s |", "noisy");
	else
		fprintf(out, " %5.2f |", row->ratio.median);
	fprintf(out, " %5.2f-%5.2f | %-14s |", row->ratio.low, row->ratio.high, list[row->best].name);
	if (row->best_apt < 0)
		fprintf(out, " %5s | %-13s |", "-", "-");
	else
		fprintf(out, " %5.2f | %-13s |", row->ratio_apt.median, list[row->best_apt].name);
}

static void print_limit(FILE *out, double limit)
{
	if (limit > 0)
		fprintf(out, " %5.4g |", limit);
	else
		fprintf(out, " %5s |", "-");
}

/* What counter ticks are in ns each process measures for itself: equal percentiles differ by a millionth. */
static double as_shown(double ratio)
{
	return (double)(uint64_t)(ratio * 100 + 0.5) / 100;
}

/* A row has a goal for its ratio or for its figure. */
static const char *verdict(const struct bench_results *results, const struct bench_row *row)
{
	const struct bench_part *part = part_of(row);
	double reached;

	if (results->tslab < 0 || (part->goal_ratio > 0 && row->best < 0))
		return "-";
	if (part->goal_ratio <= 0 && part->goal_figure <= 0)
		return "-";
	if (row->noisy)
		return "noisy";
	reached = part->goal_ratio > 0 ? as_shown(row->ratio.median) :
					 row->figure[results->tslab].median;
	if (reached <= (part->goal_ratio > 0 ? part->goal_ratio : part->goal_figure))
		return "met";
	return reached <= part->landing_ratio ? "landed" : "missed";
}

static void print_row(FILE *out, const struct bench_results *results, const struct bench_row *row)
{
	const struct bench_part *part = part_of(row);
	char title[100];

	write_title(row, title, sizeof(title));
	fprintf(out, "| %-46s | %-10s |", title, part->unit);
	if (*row->skipped) {
		fprintf(out, " needs %s |\n", row->skipped);
		return;
	}
	print_ratio(out, results, row);
	print_limit(out, part->goal_ratio > 0 ? part->goal_ratio : part->goal_figure);
	print_limit(out, part->landing_ratio);
	fprintf(out, " %-7s |", verdict(results, row));
	for (unsigned i = 0; i < results->allocators->count; i++)
		print_cell(out, row, i);
	fprintf(out, "\n");
}

static void print_notes(FILE *out, const struct bench_row *row)
{
	char name[100];

	write_name(row, name, sizeof(name));
	if (row->series)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), " at %u", row->x);
	if (row->has_system_calls)
		fprintf(out, "%s: %" PRIu64 " system calls in %" PRIu64 " operations\n", name,
			row->system_calls, row->workload->operations);
	if (row->noisy)
		fprintf(out, "%s: varied too much in %u rounds; run again on a quieter machine\n",
			name, row->rounds);
}

static bool is_compared(const struct bench_results *results, const struct bench_row *row, unsigned i)
{
	return results->tslab >= 0 && row->ran[i] && results->allocators->list[i].compared;
}

static void print_comparisons(FILE *out, const struct bench_results *results,
			      const struct bench_row *row)
{
	const struct bench_allocator *list = results->allocators->list;
	char name[100];

	write_name(row, name, sizeof(name));
	for (unsigned i = 0; i < results->allocators->count; i++) {
		const struct bench_interval *ratio = &row->compared[i];

		if (!is_compared(results, row, i))
			continue;
		fprintf(out, "%s: %s to %s %.4f", name, list[results->tslab].name, list[i].name,
			ratio->median);
		if (ratio->known)
			fprintf(out, ", 95 %% interval %.4f-%.4f", ratio->low, ratio->high);
		else
			fprintf(out, ", no interval from fewer than 6 rounds");
		fprintf(out, " (%u rounds)\n", row->rounds);
	}
}

void bench_report_text(FILE *out, const struct bench_results *results)
{
	fprintf(out, "\n| %-46s | %-10s | %5s | %11s | %-14s | %5s | %-13s | %5s | %5s | %-7s |",
		"workload", "unit", "ratio", "quartiles", "best peer", "apt", "best of apt", "goal",
		"lands", "verdict");
	for (unsigned i = 0; i < results->allocators->count; i++)
		fprintf(out, " %9s |", results->allocators->list[i].name);
	fprintf(out, "\n|---|---|---|---|---|---|---|---|---|---|");
	for (unsigned i = 0; i < results->allocators->count; i++)
		fprintf(out, "---|");
	fprintf(out, "\n");
	for (unsigned i = 0; i < results->count; i++)
		print_row(out, results, &results->rows[i]);
	fprintf(out, "\n");
	for (unsigned i = 0; i < results->count; i++)
		print_notes(out, &results->rows[i]);
	for (unsigned i = 0; i < results->count; i++)
		print_comparisons(out, results, &results->rows[i]);
}

/* Did an allocator take part in a series? */
static bool ran_in(const struct bench_results *results, const struct bench_series *series, unsigned i)
{
	for (unsigned row = 0; row < results->count; row++)
		if (results->rows[row].series == series && results->rows[row].ran[i])
			return true;
	return false;
}

static void print_point(FILE *out, const struct bench_results *results, const struct bench_row *row)
{
	fprintf(out, "| %9u |", row->x);
	for (unsigned i = 0; i < results->allocators->count; i++)
		if (ran_in(results, row->series, i))
			print_cell(out, row, i);
	fprintf(out, "%s%s\n", *row->skipped ? " needs " : "", row->skipped);
}

static void print_series(FILE *out, const struct bench_results *results,
			 const struct bench_series *series, unsigned part)
{
	const struct bench_part *what = &bench_workloads_find(series->workload)->parts[part];
	unsigned columns = 0;

	fprintf(out, "\n%s by %s, %s\n\n| %9s |", what->title, series->title, what->unit,
		series->name);
	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!ran_in(results, series, i))
			continue;
		fprintf(out, " %9s |", results->allocators->list[i].name);
		columns++;
	}
	fprintf(out, "\n|---|");
	while (columns-- > 0)
		fprintf(out, "---|");
	fprintf(out, "\n");
	for (unsigned i = 0; i < results->count; i++)
		if (results->rows[i].series == series && results->rows[i].part == part)
			print_point(out, results, &results->rows[i]);
}

void bench_report_series(FILE *out, const struct bench_results *results)
{
	for (unsigned i = 0; i < bench_series_count; i++) {
		const struct bench_series *series = &bench_series[i];
		unsigned parts = bench_workloads_parts(bench_workloads_find(series->workload));

		for (unsigned part = 0; part < parts; part++)
			print_series(out, results, series, part);
	}
	fprintf(out, "\n");
	for (unsigned i = 0; i < results->count; i++)
		print_notes(out, &results->rows[i]);
}

static void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c < 0x20)
			fprintf(out, "\\u%04x", *c);
		else
			fputc(*c, out);
	}
	fputc('"', out);
}

static void json_quartiles(FILE *out, const struct bench_quartiles *value)
{
	fprintf(out, "\"median\":%.6g,\"q1\":%.6g,\"q3\":%.6g,\"uncertainty\":%.4g", value->median,
		value->low, value->high, value->uncertainty);
}

static void json_figure(FILE *out, const struct bench_results *results, const struct bench_row *row,
			unsigned i)
{
	fprintf(out, "{\"allocator\":");
	json_string(out, results->allocators->list[i].name);
	fprintf(out, ",\"noisy\":%s,", row->noisy_figure[i] ? "true" : "false");
	json_quartiles(out, &row->figure[i]);
	fprintf(out, ",\"rounds\":[");
	for (unsigned round = 0; round < row->rounds; round++)
		fprintf(out, "%s%.6g", round ? "," : "", row->samples[i][round]);
	fprintf(out, "]}");
}

static void json_ratio(FILE *out, const char *name, const struct bench_quartiles *ratio, bool noisy)
{
	fprintf(out, ",\"%s\":{\"noisy\":%s,", name, noisy ? "true" : "false");
	json_quartiles(out, ratio);
	fprintf(out, "}");
}

static void json_comparison(FILE *out, const struct bench_results *results,
			    const struct bench_row *row)
{
	const struct bench_allocator *list = results->allocators->list;

	fprintf(out, ",\"best_peer\":");
	if (row->best < 0 || results->tslab < 0) {
		fprintf(out, "null,\"ratio\":null");
		return;
	}
	json_string(out, list[row->best].name);
	json_ratio(out, "ratio", &row->ratio, row->noisy_ratio);
	if (row->best_apt < 0)
		return;
	fprintf(out, ",\"best_of_distribution\":");
	json_string(out, list[row->best_apt].name);
	json_ratio(out, "ratio_of_distribution", &row->ratio_apt,
		   row->ratio_apt.uncertainty > results->options->max_spread);
}

static void json_intervals(FILE *out, const struct bench_results *results, const struct bench_row *row)
{
	const char *comma = "";

	fprintf(out, ",\"compared\":[");
	for (unsigned i = 0; i < results->allocators->count; i++) {
		const struct bench_interval *ratio = &row->compared[i];

		if (!is_compared(results, row, i))
			continue;
		fprintf(out, "%s{\"with\":", comma);
		json_string(out, results->allocators->list[i].name);
		fprintf(out, ",\"ratio\":%.6g,\"interval\":", ratio->median);
		if (ratio->known)
			fprintf(out, "[%.6g,%.6g]}", ratio->low, ratio->high);
		else
			fprintf(out, "null}");
		comma = ",";
	}
	fprintf(out, "]");
}

static void json_limit(FILE *out, const char *name, double limit)
{
	if (limit > 0)
		fprintf(out, ",\"%s\":%g", name, limit);
	else
		fprintf(out, ",\"%s\":null", name);
}

static void json_workload(FILE *out, const struct bench_row *row)
{
	const struct bench_workload *workload = row->workload;
	const struct bench_part *part = part_of(row);
	char name[100], title[100];

	write_name(row, name, sizeof(name));
	write_title(row, title, sizeof(title));
	if (row->series)
		fprintf(out, "\"series\":\"%s\",\"x_title\":\"%s\",\"x\":%u,", row->series->name,
			row->series->title, row->x);
	fprintf(out, "\"name\":\"%s\",\"title\":\"%s\",\"unit\":\"%s\"", name, title, part->unit);
	fprintf(out, ",\"threads\":%u,\"sizes_bytes\":[%" PRIu32 ",%" PRIu32 "],\"objects\":%" PRIu32,
		workload->threads, workload->min_bytes, workload->max_bytes, workload->objects);
	fprintf(out, ",\"operations\":%" PRIu64, workload->operations);
	json_limit(out, "goal_ratio", part->goal_ratio);
	json_limit(out, "landing_ratio", part->landing_ratio);
	json_limit(out, "goal_figure", part->goal_figure);
}

static void json_row(FILE *out, const struct bench_results *results, const struct bench_row *row)
{
	const char *comma = "";

	fprintf(out, "{");
	json_workload(out, row);
	fprintf(out, ",\"skipped\":");
	if (*row->skipped)
		json_string(out, row->skipped);
	else
		fprintf(out, "null");
	if (*row->skipped) {
		fprintf(out, "}");
		return;
	}
	fprintf(out, ",\"verdict\":\"%s\"", verdict(results, row));
	json_comparison(out, results, row);
	json_intervals(out, results, row);
	if (row->has_system_calls)
		fprintf(out, ",\"system_calls\":%" PRIu64, row->system_calls);
	fprintf(out, ",\"figures\":[");
	for (unsigned i = 0; i < results->allocators->count; i++) {
		if (!row->ran[i])
			continue;
		fprintf(out, "%s", comma);
		json_figure(out, results, row, i);
		comma = ",";
	}
	fprintf(out, "]}");
}

static void json_machine(FILE *out)
{
	struct utsname names;
	char model[200];

	uname(&names);
	read_cpu_model(model, sizeof(model));
	fprintf(out, "\"machine\":{\"cpu\":");
	json_string(out, model);
	fprintf(out, ",\"cpus\":%u,\"cycle_ns\":%.6g,\"architecture\":", bench_team_cpus(),
		bench_team_ns_per_cycle());
	json_string(out, names.machine);
	fprintf(out, ",\"kernel\":");
	json_string(out, names.release);
	fprintf(out, ",\"glibc\":");
	json_string(out, gnu_get_libc_version());
	fprintf(out, "}");
}

void bench_report_json(FILE *out, const struct bench_results *results)
{
	const struct bench_options *options = results->options;

	fprintf(out, "{\"program\":\"tslab-bench\",");
	json_machine(out);
	fprintf(out, ",\"seed\":%" PRIu64 ",\"bursts\":%u,\"max_spread\":%g,\"allocators\":[",
		options->seed, options->bursts, options->max_spread);
	for (unsigned i = 0; i < results->allocators->count; i++) {
		fprintf(out, "%s{\"name\":", i ? "," : "");
		json_string(out, results->allocators->list[i].name);
		fprintf(out, ",\"file\":");
		/* The name alone: where it lay is nobody's business who reads published results. */
		json_string(out, strrchr(results->files[i], '/') ?
					 strrchr(results->files[i], '/') + 1 :
					 results->files[i]);
		fprintf(out, "}");
	}
	fprintf(out, "],\"workloads\":[");
	for (unsigned i = 0; i < results->count; i++) {
		fprintf(out, "%s\n", i ? "," : "");
		json_row(out, results, &results->rows[i]);
	}
	fprintf(out, "\n]}\n");
}

static unsigned gate_row(const struct bench_results *results, const struct bench_row *row)
{
	const struct bench_part *part = part_of(row);
	unsigned failed = 0;
	char name[100];

	write_name(row, name, sizeof(name));
	if (part->gate_ratio <= 0 && part->gate_figure <= 0)
		return 0;
	if (*row->skipped) {
		fprintf(stderr, "gate: %s was not measured: it needs %s\n", name, row->skipped);
		return 1;
	}
	if (part->gate_ratio > 0 && (row->best < 0 || row->ratio.median > part->gate_ratio)) {
		fprintf(stderr, "gate: %s is %.2f times the best peer, the limit is %.2f\n", name,
			row->ratio.median, part->gate_ratio);
		failed++;
	}
	if (part->gate_figure > 0 && row->figure[results->tslab].median > part->gate_figure) {
		fprintf(stderr, "gate: %s takes %.0f %s, the limit is %.0f\n", name,
			row->figure[results->tslab].median, part->unit, part->gate_figure);
		failed++;
	}
	if (row->has_system_calls && row->system_calls > 0) {
		fprintf(stderr, "gate: %s made %" PRIu64 " system calls\n", name, row->system_calls);
		failed++;
	}
	return failed;
}

unsigned bench_report_gate(const struct bench_results *results)
{
	unsigned failed = 0;

	if (results->tslab < 0)
		bench_die("--gate without tslab has nothing to judge");
	for (unsigned i = 0; i < results->count; i++)
		failed += gate_row(results, &results->rows[i]);
	return failed;
}
