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

/* Left to itself a recording is as detailed as fits into so much a day, and at least each 30 s. */
enum {
	DAY_BYTES = 40000000,
	DAY_MS = 86400000,
	START_MS = 10000,   /* what there is at first to be spent: for so long */
	SAVED_MS = 3600000, /* what may be left of a quiet time: for so long */
	DETAIL_MOST_MS = 30000,
};
#define DETAIL_AS_FITS UINT64_MAX

static struct {
	const char *out;
	uint64_t interval_ms;
	uint64_t detail_ms;
	uint64_t rotate_bytes;
	size_t count;
} set = { .interval_ms = 1000, .detail_ms = DETAIL_AS_FITS, .rotate_bytes = 100 << 20 };

static const struct option_row options[] = {
	{ "out", OPTION_FILE, &set.out, "FILE", "where to; it must not be there yet" },
	{ "interval", OPTION_MS, &set.interval_ms, "TIME",
	  "between two moments (default 1s; suffix ms, s, m)" },
	{ "detail", OPTION_MS, &set.detail_ms, "TIME",
	  "how often each epoch's counts are renewed (default: as often as a day below 50 MB allows,\n"
	  "at least each 30s); totals and size classes are at each moment" },
	{ "count", OPTION_COUNT, &set.count, "N", "end after so many moments" },
	{ "rotate", OPTION_BYTES, &set.rotate_bytes, "SIZE",
	  "most disk space (default 100M): at half of it FILE becomes FILE.1, and a new one is begun" },
	{ .name = NULL },
};

/* What a recording may still take for detail. */
struct allowance {
	int64_t credit;      /* bytes times the milliseconds of a day */
	uint64_t full_bytes; /* the last moment in full */
	uint64_t since_full_ms;
};

struct output {
	int fd;
	uint64_t bytes;
	uint64_t frames;
	struct recording_header header;
	struct recorder *recorder;
	struct allowance allowance;
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

static bool detail_fits(struct allowance *left)
{
	const int64_t most = (int64_t)DAY_BYTES * SAVED_MS;

	left->credit +=
		DAY_BYTES * (int64_t)(set.interval_ms < SAVED_MS ? set.interval_ms : SAVED_MS);
	left->credit = left->credit < most ? left->credit : most;
	left->since_full_ms += set.interval_ms;
	return left->since_full_ms >= DETAIL_MOST_MS ||
	       left->credit >= (int64_t)left->full_bytes * DAY_MS;
}

static void spend(struct allowance *left, enum frame_kind kind, uint64_t bytes)
{
	left->credit -= (int64_t)bytes * DAY_MS;
	if (kind == FRAME_FULL)
		left->full_bytes = bytes;
	if (kind != FRAME_BRIEF)
		left->since_full_ms = 0;
}

static enum frame_kind next_kind(struct output *out)
{
	uint64_t each = set.detail_ms / set.interval_ms;
	bool detailed = set.detail_ms == DETAIL_AS_FITS ? detail_fits(&out->allowance) :
							  each <= 1 || out->frames % each == 0;

	if (out->frames % KEY_FRAMES == 0)
		return FRAME_ALONE;
	return detailed ? FRAME_FULL : FRAME_BRIEF;
}

/* The process as it is now. False = complained, or it has ended. */
static bool record_moment(struct output *out, struct source *source)
{
	struct ts_target target;
	struct attachment *a = &source->attached;
	const void *frame;
	size_t bytes;
	enum frame_kind kind = next_kind(out);
	bool good = false;

	if (!attach_again(source->pid, a)) {
		complain("%s", a->why);
		return false;
	}
	proc_describe(source->pid, a->inner_pid, true, &target);
	frame = recorder_frame(out->recorder, &target, a->chunks, a->chunk_count, a->gaps, kind,
			       &bytes);
	if (frame && out->frames && out->bytes + bytes > set.rotate_bytes / 2) {
		kind = FRAME_ALONE;
		good = rotate(out);
		frame = good ? recorder_frame(out->recorder, &target, a->chunks, a->chunk_count,
					      a->gaps, kind, &bytes) :
			       NULL;
	}
	if (frame && out->bytes + bytes > set.rotate_bytes / 2)
		return complain("--rotate: one moment takes %zu bytes, more than half of that",
				bytes),
		       false;
	if (!frame)
		return complain("not enough memory for another moment"), false;
	/* What begins a recording is not held against it. */
	if (out->frames)
		spend(&out->allowance, kind, bytes);
	out->frames++;
	return append(out, frame, bytes);
}

static void describe(struct output *out, pid_t pid)
{
	struct ts_target target;

	proc_describe(pid, proc_inner_pid(pid), true, &target);
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
	struct output out = { .fd = -1,
			      .recorder = recorder_new(),
			      .allowance = { .credit = (int64_t)DAY_BYTES * START_MS } };
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
