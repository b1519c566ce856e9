/* SPDX-License-Identifier: MIT */
/* Writes a process's segment over time; recording.h has the form. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "history.h"
#include "recording.h"
#include "tool.h"

static struct {
	const char *out;
	uint64_t interval_ms;
	uint64_t detail_ms; /* 0: at each interval */
	uint64_t rotate_bytes;
	size_t count;
} set = { .interval_ms = 1000, .rotate_bytes = 100 << 20 };

static const struct option_row options[] = {
	{ "out", OPTION_FILE, &set.out, "FILE", "where to; it must not be there yet" },
	{ "interval", OPTION_MS, &set.interval_ms, "TIME",
	  "between two moments (default 1s; suffix ms, s, m)" },
	{ "detail", OPTION_MS, &set.detail_ms, "TIME",
	  "how often the counts by epoch are renewed, if not at each moment; totals and those by\n"
	  "size class are. 30s halves what a busy program's recording takes, or better" },
	{ "count", OPTION_COUNT, &set.count, "N", "end after so many moments" },
	{ "rotate", OPTION_BYTES, &set.rotate_bytes, "SIZE",
	  "most disk space (default 100M): at half of it FILE becomes FILE.1, and a new one is begun" },
	{ .name = NULL },
};

struct output {
	int fd;
	uint64_t bytes;
	uint64_t frames;
	struct recording_header header;
	struct recorder *recorder;
};

/* All or nothing. False = complained. */
static bool append(struct output *out, const void *bytes, size_t count)
{
	ssize_t written = write(out->fd, bytes, count);

	if (written == (ssize_t)count) {
		out->bytes += count;
		return true;
	}
	complain("cannot write %s: %s", set.out, written < 0 ? strerror(errno) : "no space is left");
	/* What is there stays a recording; a part of a frame would be passed over anyway. */
	if (ftruncate(out->fd, (off_t)out->bytes))
		complain("%s ends with a part of a moment: %m", set.out);
	return false;
}

static bool begin_file(struct output *out)
{
	out->fd =
		open(set.out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0600);
	if (out->fd < 0) {
		complain(errno == EEXIST ? "%s is there already: it is not overwritten" :
					   "cannot write %s: %m",
			 set.out);
		return false;
	}
	out->bytes = out->frames = 0;
	return append(out, &out->header, sizeof(out->header));
}

/* FILE becomes FILE.1, whose older namesake goes. */
static bool rotate(struct output *out)
{
	char older[4096];

	snprintf(older, sizeof(older), "%s" HISTORY_OLDER, set.out);
	close(out->fd);
	out->fd = -1;
	if (rename(set.out, older)) {
		complain("cannot rename %s: %m", set.out);
		return false;
	}
	return begin_file(out);
}

static enum frame_kind next_kind(const struct output *out)
{
	uint64_t each = set.detail_ms / (set.interval_ms ? set.interval_ms : 1);

	if (out->frames % KEY_FRAMES == 0)
		return FRAME_ALONE;
	return each > 1 && out->frames % each ? FRAME_BRIEF : FRAME_FULL;
}

/* The process as it is now. False = complained, or it has ended. */
static bool record_moment(struct output *out, struct source *source)
{
	struct ts_target target;
	struct attachment a;
	const void *frame;
	size_t bytes;
	enum frame_kind kind = next_kind(out);
	bool good = false;

	if (!attach(source->pid, &a)) {
		complain("%s", a.why);
		return false;
	}
	proc_describe(source->pid, true, &target);
	frame = recorder_frame(out->recorder, &target, a.chunks, a.chunk_count, a.gaps, kind, &bytes);
	if (frame && kind != FRAME_ALONE && out->bytes + bytes > set.rotate_bytes / 2) {
		good = rotate(out);
		frame = good ? recorder_frame(out->recorder, &target, a.chunks, a.chunk_count,
					      a.gaps, FRAME_ALONE, &bytes) :
			       NULL;
	}
	detach(&a);
	if (frame && out->bytes + bytes > set.rotate_bytes / 2)
		return complain("--rotate: one moment takes %zu bytes, more than half of that",
				bytes),
		       false;
	if (!frame)
		return complain("not enough memory for another moment"), false;
	out->frames++;
	return append(out, frame, bytes);
}

static void describe(struct output *out, pid_t pid)
{
	struct ts_target target;

	proc_describe(pid, true, &target);
	out->header = (struct recording_header){ .magic = RECORDING_MAGIC,
						 .version = RECORDING_VERSION,
						 .header_bytes = sizeof(out->header),
						 .pid = target.pid,
						 .ns_pid = target.ns_pid,
						 .interval_ms = set.interval_ms };
	memcpy(out->header.comm, target.comm, sizeof(out->header.comm));
	memcpy(out->header.container, target.container, sizeof(target.container));
	memcpy(out->header.boot_id, target.boot_id, sizeof(out->header.boot_id));
}

/* The figures of one look say whose they are; the recording is of that process alone. */
static int record(struct source *source)
{
	struct output out = { .fd = -1, .recorder = recorder_new() };
	char older[4096];
	bool good;

	snprintf(older, sizeof(older), "%s" HISTORY_OLDER, set.out);
	if (!access(older, F_OK))
		return complain("%s is there already: it is not overwritten", older);
	if (!out.recorder)
		return complain("not enough memory");
	describe(&out, source->pid);
	good = begin_file(&out) && record_moment(&out, source);
	for (size_t i = 1; good && (!set.count || i < set.count); i++) {
		if (!source_wait(source, set.interval_ms))
			break;
		good = record_moment(&out, source) || !proc_is_alive(source->pid);
	}
	if (out.fd >= 0 && close(out.fd) && good)
		good = complain("cannot write %s: %m", set.out) == EXIT_FINE;
	recorder_free(out.recorder);
	return good ? EXIT_FINE : EXIT_TROUBLE;
}

static int run(struct source *source, int argc, char **argv)
{
	if (!set.out)
		return complain("--out is missing"), complain_usage();
	if (set.rotate_bytes < 64 << 10)
		return complain("--rotate: at least 64K"), complain_usage();
	if (!source_arguments(source, argc, argv))
		return EXIT_TROUBLE;
	return record(source);
}

const struct command command_record = {
	.name = "record",
	.summary = "write what a process shows over time to a file",
	.usage = "--out FILE",
	.text = "Writes what a process shows to a file, moment after moment, until the process ends. Any other\n"
		"command can be asked of each moment later: see tslab replay.\n",
	.options = options,
	.source = SOURCE_PROCESS,
	.run = run,
};
