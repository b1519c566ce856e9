/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figures.h"
#include "obs/render.h"
#include "series.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------------------- taking -- */

static void drop_all(struct figures *f)
{
	for (size_t i = 0; i < f->count; i++)
		reading_free(f->readings[i]);
	f->count = 0;
	buffer_clear(&f->metrics[0]);
	buffer_clear(&f->metrics[1]);
	buffer_clear(&f->snapshot);
	buffer_clear(&f->processes);
}

void figures_end(struct figures *f)
{
	drop_all(f);
	source_close(&f->source);
	free(f->readings);
	buffer_free(&f->metrics[0]);
	buffer_free(&f->metrics[1]);
	buffer_free(&f->snapshot);
	buffer_free(&f->processes);
	f->readings = NULL;
	f->taken = false;
}

static bool add(struct figures *f, struct reading *reading)
{
	struct reading **readings =
		reading ? realloc(f->readings, (f->count + 1) * sizeof(*readings)) : NULL;

	if (!readings) {
		reading_free(reading);
		return false;
	}
	f->readings = readings;
	readings[f->count++] = reading;
	return true;
}

/* What is no process of ours, or ends meanwhile, is no trouble. */
static void add_each(struct figures *f)
{
	struct source source = f->source;
	DIR *dir = opendir("/proc");

	while (dir && (source.pid = proc_next(dir))) {
		add(f, source_read(&source));
		source_close(&source);
	}
	if (dir)
		closedir(dir);
	if (!f->count)
		complain("no process uses libtslab that this user may read");
}

size_t figures_take(struct figures *f)
{
	uint64_t began = now_ns(), now_ms = began / 1000000;

	if (f->taken && now_ms - f->taken_ms < f->interval_ms)
		return f->count;
	drop_all(f);
	f->taken = true;
	f->taken_ms = now_ms;
	f->source.brief = true;
	complain_into(f->why, sizeof(f->why));
	if (f->all)
		add_each(f);
	else if (!add(f, source_read_again(&f->source)))
		f->errors++;
	complain_into(NULL, 0);
	f->seconds = (double)(now_ns() - began) / 1e9;
	return f->count;
}

/* ------------------------------------------------------------------------------------------ metrics -- */

const struct buffer *figures_metrics(struct figures *f, const struct metrics_format *format)
{
	const struct metrics_self self = { f->seconds, f->errors };
	struct buffer *text = &f->metrics[format->openmetrics];

	if (!text->bytes && !metrics_write(text, format, f->readings, f->count, &self))
		buffer_clear(text);
	return text->bytes ? text : NULL;
}

/* --------------------------------------------------------------------------------------------- JSON -- */

static bool put_bytes(void *buffer, const char *bytes, size_t count)
{
	buffer_put(buffer, bytes, count);
	return true;
}

static int put_json(const char *bytes, size_t count, void *buffer)
{
	buffer_put(buffer, bytes, count);
	return 0;
}

/* Whole, or not at all. */
static const struct buffer *made(struct buffer *text, bool good)
{
	if (!good || text->failed)
		buffer_clear(text);
	return text->bytes ? text : NULL;
}

static uint64_t pid_of(const struct reading *reading)
{
	return reading->is_document ? get_u64(reading->document, "pid") :
				      (uint64_t)reading->snapshot.target.pid;
}

static struct reading *find_reading(struct figures *f, uint64_t pid)
{
	if (!pid && f->count > 1) {
		snprintf(f->why, sizeof(f->why), "several processes: choose one with ?pid=N");
		return NULL;
	}
	for (size_t i = 0; i < f->count; i++)
		if (!pid || pid_of(f->readings[i]) == pid)
			return f->readings[i];
	if (f->count)
		snprintf(f->why, sizeof(f->why), "no process %llu is shown", (unsigned long long)pid);
	return NULL;
}

/* As text, without a document in between: that is made for the doctor alone, of what it looks at. */
static bool put_snapshot(struct figures *f, struct reading *reading)
{
	struct source doctors = f->source;
	json_t *document, *findings;
	struct ts_json json;
	bool good;

	symbols_resolve(&reading->snapshot, doctors.sysroot);
	ts_json_start(&json, put_bytes, &f->snapshot);
	ts_render_snapshot(&json, &reading->snapshot);
	if (!ts_json_end(&json))
		return false;
	doctors.groups = TROUBLE_GROUPS;
	doctors.wants = may_be_trouble;
	document = reading_document(reading, &doctors);
	findings = document ? find_trouble(document, f->threshold_s) : NULL;
	f->snapshot.bytes -= strlen("}\n");
	buffer_put_text(&f->snapshot, ",\"findings\":");
	good = findings && !json_dump_callback(findings, put_json, &f->snapshot, JSON_COMPACT);
	buffer_put_text(&f->snapshot, "}");
	json_decref(findings);
	return good;
}

static bool put_document(struct figures *f, json_t *document)
{
	json_t *copy = json_copy(document);
	bool good = copy &&
		    !json_object_set_new(copy, "findings", find_trouble(document, f->threshold_s)) &&
		    !json_dump_callback(copy, put_json, &f->snapshot, JSON_COMPACT);

	json_decref(copy);
	return good;
}

const struct buffer *figures_snapshot(struct figures *f, uint64_t pid)
{
	struct reading *reading;

	if (f->snapshot.bytes && f->snapshot_pid == pid)
		return &f->snapshot;
	buffer_clear(&f->snapshot);
	reading = find_reading(f, pid);
	if (!reading)
		return NULL;
	f->snapshot_pid = pid;
	return made(&f->snapshot, reading->is_document ? put_document(f, reading->document) :
							 put_snapshot(f, reading));
}

/* Those whose figures are here: what the page's list offers can be shown. */
static void put_process(struct ts_json *json, const struct reading *reading)
{
	static const struct {
		enum ts_field_group group;
		const char *name;
	} shown[] = {
		{ TS_GROUP_SNAPSHOT, "pid" },           { TS_GROUP_SNAPSHOT, "ns_pid" },
		{ TS_GROUP_SNAPSHOT, "comm" },          { TS_GROUP_SNAPSHOT, "arch" },
		{ TS_GROUP_SNAPSHOT, "container" },     { TS_GROUP_SNAPSHOT, "start_time_ns" },
		{ TS_GROUP_GLOBAL, "open_epochs" },     { TS_GROUP_GLOBAL, "live_bytes" },
		{ TS_GROUP_GLOBAL, "committed_bytes" }, { TS_GROUP_GLOBAL, "rss_bytes_current" }
	};
	const struct figure_row whole = row_of_reading(reading);
	struct ts_value value;

	ts_json_open(json, NULL, '{');
	for (unsigned i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		if (row_value(&whole, field_named(shown[i].group, shown[i].name), &value))
			ts_json_value(json, shown[i].name, &value);
	ts_json_close(json, '}');
}

const struct buffer *figures_processes(struct figures *f)
{
	struct ts_json json;

	if (f->processes.bytes)
		return &f->processes;
	ts_json_start(&json, put_bytes, &f->processes);
	ts_json_open(&json, NULL, '[');
	for (size_t i = 0; i < f->count; i++)
		put_process(&json, f->readings[i]);
	ts_json_close(&json, ']');
	return made(&f->processes, ts_json_end(&json));
}
