/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "figures.h"

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void drop(struct made_text *made)
{
	free(made->text);
	*made = (struct made_text){ NULL, 0 };
}

static void drop_all(struct figures *f)
{
	json_decref(f->documents);
	f->documents = NULL;
	drop(&f->metrics);
	drop(&f->snapshot);
	drop(&f->processes);
}

void figures_end(struct figures *f)
{
	drop_all(f);
	f->taken = FIGURES_NONE;
}

static void add_document(struct figures *f, struct source *source)
{
	json_t *document = source_reload(source);

	if (document)
		json_array_append_new(f->documents, document);
	else
		f->errors++;
}

/* What is no process of ours, or ends meanwhile, is no trouble. */
static void add_each(struct figures *f)
{
	struct source source = f->source;
	DIR *dir = opendir("/proc");

	while (dir && (source.pid = proc_next(dir))) {
		json_t *document = source_load(&source);

		if (document)
			json_array_append_new(f->documents, document);
	}
	if (dir)
		closedir(dir);
	if (!json_array_size(f->documents))
		complain("no process uses libtslab that this user may read");
}

/* What no metric is made of, nor its labels. */
static bool is_for_metrics(const struct ts_field *field)
{
	return *field->metric || field->type == TS_VALUE_TEXT || !strcmp(field->kind, "CONST") ||
	       !strcmp(field->unit, "id");
}

size_t figures_take(struct figures *f, enum figures_detail detail)
{
	static const uint32_t for_metrics =
		~(1u << TS_GROUP_CLOSE | 1u << TS_GROUP_RECENT | 1u << TS_GROUP_DOMAIN);
	uint64_t began = now_ns(), now_ms = began / 1000000;

	if (detail == FIGURES_ALL)
		f->asked_for_all_ms = now_ms;
	if (f->taken >= detail && now_ms - f->taken_ms < f->interval_ms)
		return json_array_size(f->documents);
	/* Who asked for all a moment ago will do so again. */
	if (f->asked_for_all_ms && now_ms - f->asked_for_all_ms <= 2 * f->interval_ms)
		detail = FIGURES_ALL;
	drop_all(f);
	f->taken = detail;
	f->source.bare = detail < FIGURES_ALL;
	f->source.groups = detail < FIGURES_ALL ? for_metrics : 0;
	f->source.wants = detail < FIGURES_ALL ? is_for_metrics : NULL;
	f->source.only_used = detail < FIGURES_ALL;
	f->source.brief = true;
	f->taken_ms = now_ms;
	f->documents = json_array();
	complain_into(f->why, sizeof(f->why));
	if (f->all)
		add_each(f);
	else
		add_document(f, &f->source);
	complain_into(NULL, 0);
	f->seconds = (double)(now_ns() - began) / 1e9;
	return json_array_size(f->documents);
}

/* ------------------------------------------------------------------------------------------ metrics -- */

static void write_metrics(struct figures *f, FILE *to)
{
	const struct metrics_self self = { f->seconds, f->errors };
	size_t count = json_array_size(f->documents);
	json_t **documents = calloc(count + 1, sizeof(*documents));

	for (size_t i = 0; documents && i < count; i++)
		documents[i] = json_array_get(f->documents, i);
	if (documents)
		metrics_write(to, &f->format, documents, count, &self);
	free(documents);
}

const struct made_text *figures_metrics(struct figures *f)
{
	FILE *to;

	if (f->metrics.text)
		return &f->metrics;
	to = open_memstream(&f->metrics.text, &f->metrics.bytes);
	if (!to)
		return NULL;
	__fsetlocking(to, FSETLOCKING_BYCALLER); /* nobody else writes to it */
	write_metrics(f, to);
	if (fclose(to))
		drop(&f->metrics);
	return f->metrics.text ? &f->metrics : NULL;
}

/* --------------------------------------------------------------------------------------------- JSON -- */

static const struct made_text *dump(struct made_text *made, json_t *value)
{
	drop(made);
	made->text = json_dumps(value, JSON_COMPACT);
	made->bytes = made->text ? strlen(made->text) : 0;
	json_decref(value);
	return made->text ? made : NULL;
}

static json_t *find_document(struct figures *f, json_int_t pid)
{
	json_t *document;
	size_t i;

	if (!pid && json_array_size(f->documents) > 1) {
		snprintf(f->why, sizeof(f->why), "several processes: choose one with ?pid=N");
		return NULL;
	}
	json_array_foreach(f->documents, i, document)
		if (!pid || (json_int_t)get_u64(document, "pid") == pid)
			return document;
	if (json_array_size(f->documents))
		snprintf(f->why, sizeof(f->why), "no process %lld is shown", (long long)pid);
	return NULL;
}

const struct made_text *figures_snapshot(struct figures *f, json_int_t pid)
{
	json_t *document;

	if (f->snapshot.text && f->snapshot_pid == pid)
		return &f->snapshot;
	document = find_document(f, pid);
	if (!document)
		return NULL;
	document = json_copy(document);
	json_object_set_new(document, "findings", find_trouble(document, f->threshold_s));
	f->snapshot_pid = pid;
	return dump(&f->snapshot, document);
}

/* Those whose figures are here: what the page's list offers can be shown. */
static json_t *describe_processes(const struct figures *f)
{
	static const char *const shown[] = { "pid",
					     "ns_pid",
					     "comm",
					     "arch",
					     "container",
					     "start_time_ns",
					     "open_epochs",
					     "live_bytes",
					     "committed_bytes",
					     "rss_bytes_current" };
	json_t *list = json_array(), *document, *row;
	size_t i;

	json_array_foreach(f->documents, i, document) {
		row = json_object();
		for (unsigned k = 0; k < sizeof(shown) / sizeof(shown[0]); k++)
			json_object_set(row, shown[k], json_object_get(document, shown[k]));
		json_array_append_new(list, row);
	}
	return list;
}

const struct made_text *figures_processes(struct figures *f)
{
	if (f->processes.text)
		return &f->processes;
	return dump(&f->processes, describe_processes(f));
}
