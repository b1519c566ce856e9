/* SPDX-License-Identifier: MIT */
/* recorder.c: the writing side of recording.h. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "recording.h"

struct recorder {
	uint64_t *before, *now; /* images */
	size_t before_words;
	size_t room; /* words of each */
	unsigned char *raw, *raw_before;
	size_t raw_before_bytes;
	unsigned char *frame;
	uint64_t last_ns;
	z_stream z;
};

struct recorder *recorder_new(void)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));

	if (recorder && deflateInit2(&recorder->z, Z_BEST_COMPRESSION, Z_DEFLATED,
				     FRAME_WINDOW_BITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(recorder);
		recorder = NULL;
	}
	return recorder;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	deflateEnd(&recorder->z);
	free(recorder->before);
	free(recorder->now);
	free(recorder->raw);
	free(recorder->raw_before);
	free(recorder->frame);
	free(recorder);
}

static bool make_room(struct recorder *recorder, size_t words)
{
	size_t raw_bytes = 2 * FRAME_NUMBER_BYTES * words + FRAME_NUMBER_BYTES;
	uint64_t *before, *now;
	unsigned char *raw, *raw_before, *frame;

	if (words <= recorder->room)
		return true;
	before = realloc(recorder->before, words * sizeof(*before));
	recorder->before = before ? before : recorder->before;
	now = realloc(recorder->now, words * sizeof(*now));
	recorder->now = now ? now : recorder->now;
	raw = realloc(recorder->raw, raw_bytes);
	recorder->raw = raw ? raw : recorder->raw;
	raw_before = realloc(recorder->raw_before, raw_bytes);
	recorder->raw_before = raw_before ? raw_before : recorder->raw_before;
	frame = realloc(recorder->frame,
			sizeof(struct frame_header) + raw_bytes + raw_bytes / 100 + 64);
	recorder->frame = frame ? frame : recorder->frame;
	if (!before || !now || !raw || !raw_before || !frame)
		return false;
	memset(before + recorder->room, 0, (words - recorder->room) * sizeof(*before));
	recorder->room = words;
	return true;
}

/* The blocks of a chunk, each whole as any reader of the segment takes it; zeros behind the last. */
static void copy_chunk(uint64_t *to, const struct ts_chunk_view *chunk, size_t room)
{
	size_t bytes = chunk->bytes < room ? chunk->bytes : room, at = 0;

	memset(to, 0, room);
	while (bytes - at >= TS_BLOCK_BYTES) {
		const struct ts_block_head *head = (const void *)((const char *)chunk->base + at);
		/* ORD-20 acquire: as in the snapshot's walk. */
		uint32_t kind = ts_a32_load_acq((const ts_a32 *)&head->kind);
		uint32_t slots = ts_a32_load_acq((const ts_a32 *)&head->slots); /* ORD-20 */
		union ts_block_copy copy;

		if (kind == TS_BLOCK_NONE || !slots || slots > TS_BLOCKREAD_SLOTS_MAX ||
		    slots > (bytes - at) / TS_BLOCK_BYTES)
			return;
		ts_blockread_copy(head, slots, &copy);
		copy.head.kind = kind;
		copy.head.slots = slots;
		memcpy((char *)to + at, &copy, slots * TS_BLOCK_BYTES);
		at += slots * TS_BLOCK_BYTES;
	}
}

static void make_image(uint64_t *image, const struct ts_target *target,
		       const struct ts_chunk_view *chunks, size_t chunk_count, bool gaps)
{
	size_t at = TARGET_WORDS;

	image[WORD_REALTIME] = target->realtime_ns;
	image[WORD_BOOT] = target->boot_ns - target->realtime_ns;
	image[WORD_MONOTONIC] = target->monotonic_ns - target->realtime_ns;
	image[WORD_RSS] = target->rss_bytes;
	image[WORD_ANON_RSS] = target->anon_rss_bytes;
	image[WORD_CHUNKS] = chunk_count;
	image[WORD_GAPS] = gaps;
	for (size_t i = 0; i < chunk_count; i++) {
		copy_chunk(image + at, &chunks[i], ts_stats_chunk_bytes((unsigned)i));
		at += ts_stats_chunk_bytes((unsigned)i) / sizeof(*image);
	}
}

static unsigned char *put_number(unsigned char *at, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*at++ = (unsigned char)(number | 0x80);
	*at++ = (unsigned char)number;
	return at;
}

/* The first word from `at` on that differs; most of an image does not. */
static size_t next_change(const uint64_t *before, const uint64_t *now, size_t at, size_t words)
{
	enum { STRETCH = TS_BLOCK_BYTES / sizeof(*now) };

	while (at < words) {
		size_t length = words - at < STRETCH ? words - at : STRETCH;

		if (memcmp(before + at, now + at, length * sizeof(*now)) != 0) {
			while (before[at] == now[at])
				at++;
			return at;
		}
		at += length;
	}
	return words;
}

/* As apply() takes it. */
static size_t put_changes(unsigned char *raw, const uint64_t *before, const uint64_t *now,
			  size_t words)
{
	const size_t first = next_change(before, now, 0, words);
	unsigned char *at = raw;
	size_t count = 0, last = 0;

	for (size_t i = first; i < words; i = next_change(before, now, i + 1, words))
		count++;
	at = put_number(at, count);
	for (size_t i = first; i < words; i = next_change(before, now, i + 1, words)) {
		at = put_number(at, i - last);
		last = i;
	}
	for (size_t i = first; i < words; i = next_change(before, now, i + 1, words)) {
		uint64_t change = now[i] - before[i];

		at = put_number(at, change >> 63 ? ~change << 1 | 1 : change << 1);
	}
	return (size_t)(at - raw);
}

/* Behind the header; 0: it did not work. */
static size_t compress_frame(struct recorder *recorder, size_t raw_bytes, bool key)
{
	const size_t room = 2 * FRAME_NUMBER_BYTES * recorder->room;
	unsigned bytes;

	if (deflateReset(&recorder->z) != Z_OK)
		return 0;
	if (!key && recorder->raw_before_bytes) {
		const unsigned char *before =
			frame_window(recorder->raw_before, recorder->raw_before_bytes, &bytes);

		if (deflateSetDictionary(&recorder->z, before, bytes) != Z_OK)
			return 0;
	}
	recorder->z.next_in = recorder->raw;
	recorder->z.avail_in = (unsigned)raw_bytes;
	recorder->z.next_out = recorder->frame + sizeof(struct frame_header);
	recorder->z.avail_out = (unsigned)(room + room / 100);
	return deflate(&recorder->z, Z_FINISH) == Z_STREAM_END ? recorder->z.total_out : 0;
}

static void become_before(struct recorder *recorder, size_t words, size_t raw_bytes)
{
	uint64_t *image = recorder->before;
	unsigned char *raw = recorder->raw_before;

	recorder->before = recorder->now;
	recorder->before_words = words;
	recorder->now = image;
	recorder->raw_before = recorder->raw;
	recorder->raw_before_bytes = raw_bytes;
	recorder->raw = raw;
}

const void *recorder_frame(struct recorder *recorder, const struct ts_target *target,
			   const struct ts_chunk_view *chunks, size_t chunk_count, bool gaps,
			   bool key, size_t *bytes)
{
	size_t words = recording_image_words(chunk_count), raw_bytes, stored;
	struct frame_header header;

	if (!make_room(recorder, words))
		return NULL;
	if (key)
		memset(recorder->before, 0, words * sizeof(*recorder->before));
	else if (recorder->before_words < words)
		memset(recorder->before + recorder->before_words, 0,
		       (words - recorder->before_words) * sizeof(*recorder->before));
	make_image(recorder->now, target, chunks, chunk_count, gaps);
	/* Frames are found by time, which must not go back with the clock. */
	if (target->realtime_ns > recorder->last_ns)
		recorder->last_ns = target->realtime_ns;
	raw_bytes = put_changes(recorder->raw, recorder->before, recorder->now, words);
	stored = compress_frame(recorder, raw_bytes, key);
	if (!stored)
		return NULL;
	header = (struct frame_header){ .stored_bytes = (uint32_t)stored,
					.raw_bytes = (uint32_t)raw_bytes | (key ? FRAME_KEY : 0),
					.image_words = (uint32_t)words,
					.realtime_ns = recorder->last_ns };
	header.checksum = frame_checksum(header, recorder->frame + sizeof(header));
	memcpy(recorder->frame, &header, sizeof(header));
	become_before(recorder, words, raw_bytes);
	*bytes = sizeof(header) + stored;
	return recorder->frame;
}
