/* SPDX-License-Identifier: MIT */
/* Any other command at a moment of a recording. */
#include <time.h>

#include "history.h"
#include "tool.h"

static bool as_json;

static const struct option_row options[] = {
	{ "at", OPTION_TEXT, &the_source.at, "TIME",
	  "which moment: 2026-01-31T12:00:00Z, a Unix time, +90s from the start, -5m from the\n"
	  "end (default: the last)" },
	{ "json", OPTION_FLAG, &as_json, NULL,
	  "without COMMAND: what the recording holds, as an object" },
	{ .name = NULL },
};

static const char *date(uint64_t ns, char *text, size_t text_bytes)
{
	time_t seconds = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(text, text_bytes, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return "?";
	return text;
}

static int show_facts(const char *path)
{
	struct history *h = history_open(path);
	char from[40], to[40], comm[64], bytes[HUMAN_BYTES];
	struct history_facts f;
	json_t *object;
	int code = EXIT_FINE;

	if (!h)
		return EXIT_TROUBLE;
	history_describe(h, &f);
	history_close(h);
	date(f.from_ns, from, sizeof(from));
	date(f.to_ns, to, sizeof(to));
	clean(f.comm, comm, sizeof(comm));
	if (!as_json) {
		printf("process %d (%s), %llu moments from %s to %s, %s: %.0f bytes a moment%s\n",
		       f.pid, comm, (unsigned long long)f.frames, from, to,
		       human_bytes(f.bytes, bytes), (double)f.bytes / (double)f.frames,
		       f.cut ? "; the last one was cut" : "");
		return EXIT_FINE;
	}
	object = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "pid", f.pid, "comm", comm,
			   "from", from, "to", to, "moments", (json_int_t)f.frames, "bytes",
			   (json_int_t)f.bytes, "interval_ms", (json_int_t)f.interval_ms, "cut",
			   (int)f.cut);
	code = print_json(object, code);
	json_decref(object);
	return code;
}

/* Options may stand behind the file too: argv[0] is the file, as a program's name is before its options. */
static int run(struct source *source, int argc, char **argv)
{
	const struct command *command;
	const char *path = argc ? argv[0] : NULL, *at;
	int code;

	if (!path)
		return complain("give a file"), complain_usage();
	if (!options_read(&command_replay, &argc, &argv, &code))
		return code;
	if (!argc && !source->at)
		return show_facts(path);
	command = argc ? find_command(argv[0]) : NULL;
	if (!command || command->source != SOURCE_SNAPSHOT) {
		complain(argc ? "\"%s\" is no command for a moment" : "give a command",
			 argc ? argv[0] : "");
		return complain_usage();
	}
	at = source->at;
	if (!options_read(command, &argc, &argv, &code))
		return code;
	source->file = path;
	source->at = at ? at : source->at;
	return command->run(source, argc, argv);
}

const struct command command_replay = {
	.name = "replay",
	.summary = "ask any other command of a moment in the past",
	.usage = "FILE [--at TIME] [COMMAND [OPTION]...]",
	.text = "Runs another command on a moment of what tslab record wrote: stats, top, leaks, doctor, drain,\n"
		"trace, hist, verify, and watch from that moment on. Without a command it says what is there.\n",
	.options = options,
	.stops = true,
	.run = run,
};
