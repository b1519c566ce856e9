/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "history.h"
#include "reading.h"
#include "recording.h"

struct source the_source;

const struct option_row source_process_rows[] = {
	{ "name", OPTION_TEXT, &the_source.name, "NAME",
	  "the one process with this command name, instead of a PID" },
	{ .name = NULL },
};

const struct option_row source_snapshot_rows[] = {
	{ "stdin", OPTION_FLAG, &the_source.use_stdin, NULL,
	  "read what `tslab stats --json` wrote instead" },
	{ "file", OPTION_FILE, &the_source.file, "FILE",
	  "the same from a file, or a recording, a core dump, or the file of a process that ran\n"
	  "with TSLAB_STATS_DIR" },
	{ "at", OPTION_TEXT, &the_source.at, "TIME",
	  "of a recording in FILE this moment, as for tslab replay" },
	{ "core", OPTION_FILE, &the_source.file, "FILE", "the same" },
	{ "sysroot", OPTION_FILE, &the_source.sysroot, "DIR",
	  "where the process's files lie, if not in its own root directory\n"
	  "(a program that runs under qemu-user)" },
	{ .name = NULL },
};

/* The one process of a name, or of this user if `name` is NULL, that has a segment. 0 = complained. */
static pid_t find_only(const char *name)
{
	DIR *dir = opendir("/proc");
	pid_t found = 0, pid;
	bool unique = true;

	if (!dir)
		return complain("cannot read /proc: %m"), 0;
	while (unique && (pid = proc_next(dir))) {
		struct attachment a;

		if (!(name ? proc_is_named(pid, name) : proc_is_mine(pid)) || !attach(pid, &a))
			continue;
		detach(&a);
		unique = !found;
		if (unique)
			found = pid;
	}
	closedir(dir);
	if (!found)
		complain("no process %s%s%s shows a stats segment", name ? "named \"" : "of yours",
			 name ? name : "", name ? "\"" : "");
	else if (!unique)
		complain("more than one process %s%s%s, for example %d and %d: give a PID",
			 name ? "is named \"" : "shows a stats segment", name ? name : "",
			 name ? "\"" : "", (int)found, (int)pid);
	return unique ? found : 0;
}

bool source_arguments(struct source *source, int argc, char **argv)
{
	int given = argc + (source->name != NULL) + (source->file != NULL) + source->use_stdin;
	char *end;
	long pid;

	if (source->only && !given) {
		source->pid = find_only(NULL);
		return source->pid != 0;
	}
	if (given != 1) {
		complain(given ? "give one of PID, --name, --stdin and --file" : "no process given");
		return complain_usage(), false;
	}
	if (source->use_stdin || source->file)
		return true;
	if (source->name) {
		source->pid = find_only(source->name);
		return source->pid != 0;
	}
	errno = 0;
	pid = strtol(argv[0], &end, 10);
	if (errno || *end || end == argv[0] || pid <= 0 || pid > INT32_MAX) {
		complain("\"%s\" is no process id", argv[0]);
		return complain_usage(), false;
	}
	source->pid = (pid_t)pid;
	return true;
}

/* The figures in some chunks. NULL = complained. */
static struct reading *read_chunks(const struct source *source, const struct ts_target *target,
				   const struct ts_chunk_view *chunks, size_t chunk_count, bool gaps)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	struct ts_snapshot *snapshot;
	const char *why = "";

	if (!reading)
		return complain("not enough memory"), NULL;
	snapshot = &reading->snapshot;
	if (!ts_snapshot_read(snapshot, target, chunks, chunk_count, &why)) {
		complain("process %d: its stats segment is %s", target->pid, why);
		reading_free(reading);
		return NULL;
	}
	snapshot->consistent = snapshot->consistent && !gaps;
	/* What no /proc tells: the last close that looked. */
	if (!snapshot->target.rss_bytes && snapshot->close_count)
		snapshot->target.rss_bytes = snapshot->closes[0].rss_after;
	if (source->pid && !source->brief)
		(void)resident_read(source->pid, snapshot, chunks, chunk_count);
	return reading;
}

static struct reading *read_process(struct source *source)
{
	struct reading *reading;
	struct ts_target target;
	struct attachment *a = &source->attached;

	source->start_time_ns = 0;
	if (!attach_again(source->pid, a)) {
		complain("%s", a->why);
		return NULL;
	}
	proc_describe(source->pid, a->inner_pid, source->brief, &target);
	target.doctor_threshold_s = a->doctor_threshold_s;
	reading = read_chunks(source, &target, a->chunks, a->chunk_count, a->gaps);
	if (reading)
		source->start_time_ns = reading->snapshot.header.start_realtime_ns;
	return reading;
}

static struct reading *read_moment(const struct source *source)
{
	struct history_view view;

	if (!history_go(source->history, source->moment_ns, &view))
		return NULL;
	return read_chunks(source, &view.target, view.chunks, view.chunk_count, view.gaps);
}

/* The document alone is wanted. */
static json_t *only_document(const struct source *source, struct reading *reading)
{
	json_t *document = reading ? json_incref(reading_document(reading, source)) : NULL;

	reading_free(reading);
	return document;
}

static json_t *load_moment(const struct source *source)
{
	return only_document(source, read_moment(source));
}

/* The history stays open for the moments that follow. */
static struct reading *read_recording(struct source *source)
{
	source->history = history_open(source->file);
	if (!source->history || !history_moment(source->history, source->at, &source->moment_ns))
		return NULL;
	return read_moment(source);
}

/* What was read as JSON. */
static struct reading *checked(json_t *document, const char *name, const json_error_t *error)
{
	struct reading *reading = calloc(1, sizeof(*reading));

	if (!document)
		complain("%s, line %d: %s", name, error->line, error->text);
	else if (!json_is_object(document) ||
		 !json_is_integer(json_object_get(document, "schema_version")))
		complain("%s is not a snapshot: no schema_version", name);
	else if (get_u64(document, "schema_version") != 1)
		complain("%s has schema_version %llu, this tool reads 1", name,
			 (unsigned long long)get_u64(document, "schema_version"));
	else if (!reading)
		complain("not enough memory");
	else {
		reading->is_document = true;
		reading->document = document;
		return reading;
	}
	json_decref(document);
	free(reading);
	return NULL;
}

/* What `stats --json` wrote, a recording, a core dump, or a segment's file. */
static struct reading *read_file(struct source *source)
{
	FILE *file = fopen(source->file, "re");
	char magic[8] = "";
	size_t got = file ? fread(magic, 1, sizeof(magic), file) : 0;
	bool recording = got == sizeof(magic) && !memcmp(magic, RECORDING_MAGIC, got);
	struct reading *reading;
	struct ts_target target;
	struct attachment a;
	json_error_t error;

	if (source->at && file && !recording) {
		fclose(file);
		return complain("--at: %s is no recording", source->file), NULL;
	}
	if (got && magic[0] == '{') {
		rewind(file);
		reading = checked(json_loadf(file, 0, &error), source->file, &error);
		fclose(file);
		return reading;
	}
	if (file)
		fclose(file);
	if (recording)
		return read_recording(source);
	if (!attach_file(source->file, &a, &target)) {
		complain("%s", a.why);
		return NULL;
	}
	reading = read_chunks(source, &target, a.chunks, a.chunk_count, a.gaps);
	detach(&a);
	return reading;
}

struct reading *source_read(struct source *source)
{
	json_error_t error;

	if (source->file)
		return read_file(source);
	if (source->use_stdin)
		return checked(json_loadf(stdin, 0, &error), "stdin", &error);
	return read_process(source);
}

json_t *reading_document(struct reading *reading, const struct source *source)
{
	if (reading->document)
		return reading->document;
	if (!source->bare)
		symbols_resolve(&reading->snapshot,
				source->file && !source->sysroot ? "/" : source->sysroot);
	reading->document = make_document(&reading->snapshot, source);
	return reading->document;
}

void reading_free(struct reading *reading)
{
	if (!reading)
		return;
	ts_snapshot_free(&reading->snapshot);
	json_decref(reading->document);
	free(reading);
}

json_t *source_load(struct source *source)
{
	return only_document(source, source_read(source));
}

json_t *source_document(struct source *source, int argc, char **argv)
{
	return source_arguments(source, argc, argv) ? source_load(source) : NULL;
}

int source_show(struct source *source, int argc, char **argv, int (*show)(const json_t *document))
{
	json_t *document = source_document(source, argc, argv);
	int code;

	if (!document)
		return EXIT_TROUBLE;
	code = show(document);
	json_decref(document);
	return code;
}

bool source_wait(struct source *source, uint64_t ms)
{
	source->over = !pace_wait(ms);
	if (source->over || proc_is_alive(source->pid))
		return !source->over;
	source->over = true;
	fprintf(stderr, "process %d has ended\n", (int)source->pid);
	return false;
}

/* Another process may have got the number. */
static json_t *load_same(struct source *source)
{
	uint64_t start_time_ns = source->start_time_ns;
	json_t *document = source_load(source);

	if (!document)
		source->over = !proc_is_alive(source->pid); /* meanwhile */
	if (!document || source->start_time_ns == start_time_ns)
		return document;
	source->over = true;
	fprintf(stderr, "process %d has ended; another one has its number\n", (int)source->pid);
	json_decref(document);
	return NULL;
}

static json_t *load_later(struct source *source, uint64_t ms)
{
	struct history_facts facts;

	history_describe(source->history, &facts);
	source->moment_ns += ms * 1000000u;
	source->over = source->moment_ns > facts.to_ns;
	return source->over ? NULL : load_moment(source);
}

json_t *source_next(struct source *source, uint64_t ms)
{
	if (source->history)
		return load_later(source, ms);
	if (!source->pid)
		return complain("this takes a process or a recording: a snapshot is one moment"),
		       NULL;
	return source_wait(source, ms) ? load_same(source) : NULL;
}

struct reading *source_read_again(struct source *source)
{
	struct reading *reading = source->history             ? read_moment(source) :
				  source->pid || source->file ? source_read(source) :
								NULL;

	if (reading || !source->name)
		return reading;
	source->pid = find_only(source->name);
	return source->pid ? source_read(source) : NULL;
}

json_t *source_reload(struct source *source)
{
	return only_document(source, source_read_again(source));
}

void source_close(struct source *source)
{
	history_close(source->history);
	source->history = NULL;
	detach(&source->attached);
}
