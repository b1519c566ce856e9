/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "obs/render.h"
#include "tool.h"

void source_option(struct source *source, int option, const char *argument)
{
	if (option == 'N')
		source->name = argument;
	else if (option == 'S')
		source->use_stdin = true;
	else if (option == 'R')
		source->sysroot = argument;
}

/* The one process of a name that has a segment. 0 = complained. */
static pid_t find_named(const char *name)
{
	DIR *dir = opendir("/proc");
	pid_t found = 0, pid;
	bool unique = true;

	if (!dir)
		return complain("cannot read /proc: %m"), 0;
	while ((pid = proc_next(dir))) {
		struct attachment a;

		if (!proc_is_named(pid, name) || !attach(pid, &a))
			continue;
		detach(&a);
		unique = !found;
		if (!unique)
			break;
		found = pid;
	}
	closedir(dir);
	if (!found)
		complain("no process named \"%s\" shows a stats segment", name);
	else if (!unique)
		complain("more than one process is named \"%s\", for example %d and %d: give a PID",
			 name, (int)found, (int)pid);
	return unique ? found : 0;
}

bool source_arguments(struct source *source, int argc, char **argv)
{
	int given = argc + (source->name != NULL) + source->use_stdin;
	char *end;
	long pid;

	if (given != 1) {
		complain(given ? "give one of PID, --name and --stdin" : "no process given");
		return false;
	}
	if (source->use_stdin)
		return true;
	if (source->name) {
		source->pid = find_named(source->name);
		return source->pid != 0;
	}
	errno = 0;
	pid = strtol(argv[0], &end, 10);
	if (errno || *end || end == argv[0] || pid <= 0 || pid > INT32_MAX) {
		complain("\"%s\" is no process id", argv[0]);
		return false;
	}
	source->pid = (pid_t)pid;
	return true;
}

static bool into_stream(void *context, const char *bytes, size_t count)
{
	return fwrite(bytes, 1, count, context) == count;
}

static json_t *to_document(const struct ts_snapshot *snapshot)
{
	struct ts_json json;
	json_error_t error;
	char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);
	json_t *document = NULL;
	bool good = false;

	if (stream) {
		ts_json_start(&json, into_stream, stream);
		ts_render_snapshot(&json, snapshot);
		good = ts_json_end(&json);
		good = !fclose(stream) && good;
	}
	if (good)
		document = json_loadb(text, length, JSON_ALLOW_NUL, &error);
	if (!good)
		complain("not enough memory");
	else if (!document)
		complain("the figures make no sense: %s", error.text);
	free(text);
	return document;
}

static json_t *load_process(const struct source *source)
{
	struct ts_snapshot snapshot;
	struct ts_target target;
	json_t *document = NULL;
	const char *why = "";
	struct attachment a;

	if (!attach(source->pid, &a)) {
		complain("%s", a.why);
		return NULL;
	}
	proc_describe(source->pid, &target);
	if (ts_snapshot_read(&snapshot, &target, a.chunks, a.chunk_count, &why)) {
		snapshot.consistent = snapshot.consistent && !a.gaps;
		if (!source->bare)
			symbols_resolve(&snapshot, source->sysroot);
		document = to_document(&snapshot);
	} else {
		complain("process %d: its stats segment is %s", (int)source->pid, why);
	}
	ts_snapshot_free(&snapshot);
	detach(&a);
	return document;
}

json_t *source_load(const struct source *source)
{
	json_error_t error;
	json_t *document;

	if (!source->use_stdin)
		return load_process(source);
	document = json_loadf(stdin, 0, &error);
	if (!document)
		complain("stdin, line %d: %s", error.line, error.text);
	else if (!json_is_object(document) ||
		 !json_is_integer(json_object_get(document, "schema_version")))
		complain("stdin is not a snapshot: no schema_version");
	else if (get_u64(document, "schema_version") != 1)
		complain("stdin has schema_version %llu, this tool reads 1",
			 (unsigned long long)get_u64(document, "schema_version"));
	else
		return document;
	json_decref(document);
	return NULL;
}
