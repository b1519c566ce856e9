/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metrics.h"

static struct {
	unsigned naming; /* of the words below */
	struct texts files;
	const char *output;
	bool all;
	bool openmetrics;
	bool list;
} set = { .naming = 2 };

static const struct option_row options[] = {
	{ "all", OPTION_FLAG, &set.all, NULL,
	  "every process that uses the library and that you may read; none is fine" },
	{ "stdin", OPTION_FLAG, &the_source.use_stdin, NULL,
	  "read what `tslab stats --json` wrote instead" },
	{ "file", OPTION_TEXTS, &set.files, "FILE",
	  "the same from a file, or a core dump; may be given more than once" },
	{ "output", OPTION_FILE, &set.output, "FILE",
	  "into this file, which changes at once (textfile collector)" },
	{ "naming", OPTION_CHOICE, &set.naming, "seed|clean|both",
	  "names of old, or those that keep the conventions where the old ones do not,\n"
	  "or both, the default" },
	{ "openmetrics", OPTION_FLAG, &set.openmetrics, NULL, "the format of OpenMetrics 1.0" },
	{ "list", OPTION_FLAG, &set.list, NULL,
	  "the metrics: name, type, labels, naming, meaning; needs no process" },
	{ .name = NULL },
};

struct readings {
	struct reading **list;
	size_t count;
};

static uint64_t pid_of(const struct reading *reading)
{
	return reading->is_document ? get_u64(reading->document, "pid") :
				      (uint64_t)reading->snapshot.target.pid;
}

static bool take(struct readings *readings, struct reading *reading)
{
	struct reading **list;

	if (!reading)
		return false;
	list = realloc(readings->list, (readings->count + 1) * sizeof(*list));
	if (!list) {
		reading_free(reading);
		return complain("not enough memory"), false;
	}
	readings->list = list;
	for (size_t i = 0; i < readings->count; i++) {
		if (pid_of(list[i]) == pid_of(reading)) {
			complain("process %llu is given twice", (unsigned long long)pid_of(reading));
			reading_free(reading);
			return false;
		}
	}
	list[readings->count++] = reading;
	return true;
}

/* A process that ends while it is looked at is no trouble. */
static bool take_all(struct readings *readings)
{
	DIR *dir = opendir("/proc");
	bool good = true;
	pid_t pid;

	if (!dir)
		return complain("cannot read /proc: %m"), false;
	while (good && (pid = proc_next(dir))) {
		struct source source = { .pid = pid };
		struct reading *reading;
		struct attachment a;

		if (!attach(pid, &a))
			continue;
		detach(&a);
		reading = source_read(&source);
		if (reading)
			good = take(readings, reading);
	}
	closedir(dir);
	return good;
}

static bool take_source(struct readings *readings, struct source source, int argc, char **argv)
{
	return source_arguments(&source, argc, argv) && take(readings, source_read(&source));
}

/* `argv`: process ids. */
static bool load(struct readings *readings, const struct source *source, int argc, char **argv)
{
	if (set.all && (argc || set.files.count || source->name || source->use_stdin)) {
		complain("--all stands for itself");
		return complain_usage(), false;
	}
	if (set.all)
		return take_all(readings);
	for (size_t i = 0; i < set.files.count; i++)
		if (!take_source(readings, (struct source){ .file = set.files.text[i] }, 0, NULL))
			return false;
	for (int i = 0; i < argc; i++)
		if (!take_source(readings, (struct source){ .pid = 0 }, 1, &argv[i]))
			return false;
	/* Or nothing was given, which is complained about. */
	if (source->name || source->use_stdin || (!argc && !set.files.count))
		return take_source(readings, *source, 0, NULL);
	return true;
}

/* Beside the file, so that it can take its name. */
static FILE *open_beside(const char *path, char *temporary, size_t temporary_bytes)
{
	FILE *to;
	int fd;

	if ((size_t)snprintf(temporary, temporary_bytes, "%s.XXXXXX", path) >= temporary_bytes) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return NULL;
	to = fchmod(fd, 0644) ? NULL : fdopen(fd, "w"); /* others read it: it holds no secret */
	if (!to) {
		close(fd);
		unlink(temporary);
	}
	return to;
}

static int write_file(const char *path, const struct buffer *text)
{
	char temporary[4096];
	FILE *to = open_beside(path, temporary, sizeof(temporary));
	bool good;

	if (!to)
		return complain("cannot write beside %s: %m", path);
	good = fwrite(text->text, 1, text->bytes, to) == text->bytes;
	good = !fclose(to) && good && !rename(temporary, path);
	if (good)
		return EXIT_FINE;
	complain("cannot write %s: %m", path);
	unlink(temporary);
	return EXIT_TROUBLE;
}

static int write_metrics(const struct readings *readings)
{
	static const enum metrics_naming namings[] = { METRICS_SEED, METRICS_CLEAN, METRICS_BOTH };
	const struct metrics_format format = {
		.naming = namings[set.naming],
		.openmetrics = set.openmetrics,
		.of_many = set.all || readings->count > 1,
	};
	struct buffer text = { .text = NULL };
	int code = EXIT_FINE;

	if (!metrics_write(&text, &format, readings->list, readings->count, NULL))
		code = complain("not enough memory");
	else if (set.output)
		code = write_file(set.output, &text);
	else
		fwrite(text.text, 1, text.bytes, stdout); /* whose errors are told at the end */
	buffer_free(&text);
	return code;
}

static int run(struct source *source, int argc, char **argv)
{
	struct readings readings = { NULL, 0 };
	int code = EXIT_TROUBLE;

	if (argc < 1 || strcmp(argv[0], "prometheus") != 0) {
		complain(argc ? "no format \"%s\"" : "no format given", argv[0]);
		return complain_usage();
	}
	if (set.list)
		return metrics_list(stdout), EXIT_FINE;
	if (load(&readings, source, argc - 1, argv + 1))
		code = write_metrics(&readings);
	for (size_t i = 0; i < readings.count; i++)
		reading_free(readings.list[i]);
	free(readings.list);
	return code;
}

const struct command command_export = {
	.name = "export",
	.summary = "write the figures as metrics for Prometheus",
	.usage = "prometheus",
	.text = "Writes the figures of a process as metrics, in the text format of Prometheus. With --all, or of\n"
		"several PIDs or files, each series has the labels pid, comm and allocator.\n",
	.options = options,
	.source = SOURCE_PROCESS,
	.words = "prometheus",
	.notes = "Exit status: 0 written, 2 trouble; then nothing is, and the file of --output stays as it is.",
	.run = run,
};
