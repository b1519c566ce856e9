/* SPDX-License-Identifier: MIT */
/*
 * recording.h: a process's segment over time, in a file.
 *
 * A header, then frames. A frame is one moment: an image of the segment's words, with what /proc said then
 * in front. It is stored as the words that differ from the frame before, as differences, compressed; every
 * KEY_FRAMES-th from an image of zeros, so that a moment is found without reading all before it. What a
 * reader makes of an image is what it would have made of the process: no figure is lost or rounded. (Frames in
 * brief, which are for those who ask for them, leave words of lanes as they were, and have one lane more.)
 *
 * A recording is hostile input, like a segment: lengths are checked against the bytes that there are, and
 * frames against their checksum.
 */
#ifndef TSLAB_RECORDING_H
#define TSLAB_RECORDING_H

#include "obs/snapshot.h"

#define RECORDING_MAGIC "TSLABREC"
enum { RECORDING_VERSION = 1, KEY_FRAMES = 600 };

/* Little-endian, as the segment is. */
struct recording_header {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes;
	int32_t pid;
	int32_t ns_pid;
	uint64_t interval_ms;
	char comm[32];
	char container[72];
	char boot_id[40];
};

struct frame_header {
	uint32_t stored_bytes; /* behind this header */
	uint32_t raw_bytes; /* the same decompressed; FRAME_KEY: does not build on the frame before */
	uint32_t checksum; /* CRC-32 of both, with 0 here */
	uint32_t image_words;
	uint64_t realtime_ns;
};
#define FRAME_KEY 0x80000000u

/* Deflate's window: what of the frame before can help. */
enum { FRAME_WINDOW = 32768, FRAME_WINDOW_BITS = -15, FRAME_NUMBER_BYTES = 10 };

/* Shared by both sides: the checksum, and the end of a frame's raw bytes, as long as a window. */
uint32_t frame_checksum(struct frame_header header, const void *stored);
const unsigned char *frame_window(const unsigned char *raw, size_t raw_bytes, unsigned *bytes);

/* The first words of an image; the chunks follow, each with its full length. */
enum target_word {
	WORD_REALTIME,
	WORD_BOOT, /* less the realtime, and so the next: they run alike */
	WORD_MONOTONIC,
	WORD_RSS,
	WORD_ANON_RSS,
	WORD_CHUNKS,
	WORD_GAPS,
	TARGET_WORDS,
};

/* Words of an image with so many chunks. */
size_t recording_image_words(size_t chunk_count);

struct frame_at {
	size_t offset;
	uint64_t realtime_ns;
	bool key;
};

struct recording {
	const unsigned char *bytes;
	size_t size;
	struct recording_header header;
	struct frame_at *frames;
	size_t frame_count;
	bool cut; /* something behind the last whole frame */
	/* the frame that is at hand */
	size_t current; /* SIZE_MAX: none yet */
	uint64_t *image;
	size_t image_words;
	unsigned char *raw;
	size_t raw_bytes;
};

/* Looks at what a file holds, which stays the caller's. False with *why, a sentence's end: "PATH is ...". */
bool recording_open(struct recording *r, const void *bytes, size_t size, const char **why);
void recording_close(struct recording *r);
/* The last frame at or before that time, else the first. */
size_t recording_find(const struct recording *r, uint64_t realtime_ns);
/* Makes the image of a frame. False with *why. */
bool recording_go(struct recording *r, size_t frame, const char **why);
/* What to read a snapshot of: good until the next recording_go(). Returns how many chunks. */
size_t recording_view(const struct recording *r, struct ts_target *target,
		      struct ts_chunk_view chunks[TS_SNAPSHOT_CHUNKS_MAX], bool *gaps);

/* Writing. */
struct recorder;
/* NULL: no memory. */
struct recorder *recorder_new(void);
void recorder_free(struct recorder *recorder);
enum frame_kind {
	FRAME_ALONE, /* does not build on the frame before */
	FRAME_FULL,
	FRAME_BRIEF, /* with what lanes count by class as of the last one that was not brief */
};
/* A frame of this moment, header and all; its bytes are good until the next. NULL: no memory. */
const void *recorder_frame(struct recorder *recorder, const struct ts_target *target,
			   const struct ts_chunk_view *chunks, size_t chunk_count, bool gaps,
			   enum frame_kind kind, size_t *bytes);

#endif
