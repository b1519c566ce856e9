/* SPDX-License-Identifier: MIT */
/* recorder.c: the writing side of recording.h. */
#include <stddef.h>
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

/*
 * The blocks of a chunk, each whole as any reader of the segment takes it; zeros behind the last. Returns how
 * many words they take.
 */
static size_t copy_chunk(uint64_t *to, const struct ts_chunk_view *chunk, size_t room,
			 const struct ts_shape *shape)
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
			break;
		ts_blockread_fit(head, slots, shape, &copy);
		if (kind == TS_BLOCK_HEADER)
			memcpy(copy.header.row_bytes, ts_blockread_own.row_bytes,
			       sizeof(copy.header.row_bytes));
		copy.head.kind = kind;
		copy.head.slots = slots;
		memcpy((char *)to + at, &copy, slots * TS_BLOCK_BYTES);
		at += slots * TS_BLOCK_BYTES;
	}
	return at / sizeof(*to);
}

/* Returns where the last chunk's blocks end, in words. */
static size_t make_image(uint64_t *image, const struct ts_target *target,
			 const struct ts_chunk_view *chunks, size_t chunk_count, bool gaps)
{
	size_t at = TARGET_WORDS, end = at;
	struct ts_shape shape = ts_blockread_own;
	struct ts_block_header header;
	const char *why;

	if (chunk_count && ts_snapshot_check_header(&chunks[0], &header, &why))
		ts_blockread_shape(&header, &shape);
	image[WORD_REALTIME] = target->realtime_ns;
	image[WORD_BOOT] = target->boot_ns - target->realtime_ns;
	image[WORD_MONOTONIC] = target->monotonic_ns - target->realtime_ns;
	image[WORD_RSS] = target->rss_bytes;
	image[WORD_ANON_RSS] = target->anon_rss_bytes;
	image[WORD_CHUNKS] = chunk_count;
	image[WORD_GAPS] = gaps;
	for (size_t i = 0; i < chunk_count; i++) {
		end = at +
		      copy_chunk(image + at, &chunks[i], ts_stats_chunk_bytes((unsigned)i), &shape);
		at += ts_stats_chunk_bytes((unsigned)i) / sizeof(*image);
	}
	return end;
}

/* -- moments in brief ---------------------------------------------------------------------------- */

/*
 * What a lane counts by size class changes most, by random amounts that nothing compresses. Between moments in
 * full these words stay as they were, and a lane of no epoch has what they grew by: all that is added up over
 * lanes is exact, and the counts by epoch are those of the last moment in full.
 */
#define LANE_WORD(member) (offsetof(struct ts_block_lane, member) / sizeof(uint64_t))
enum {
	LANE_WORDS = sizeof(struct ts_block_lane) / sizeof(uint64_t),
	COUNT_WORDS = TS_CLASS_COUNT * sizeof(struct ts_class_words) / sizeof(uint64_t),
	BLOCK_WORDS = TS_BLOCK_BYTES / sizeof(uint64_t),
};

static bool is_lane(const uint64_t *block)
{
	return ((const struct ts_block_head *)block)->kind == TS_BLOCK_LANE;
}

/* A lane's words that grow, where it is the lane that it was. */
static void hold(const uint64_t *before, uint64_t *now, uint64_t *rest)
{
	static const size_t others[] = { LANE_WORD(w.slow_hits), LANE_WORD(w.slow_misses),
					 LANE_WORD(w.collected) };
	const struct ts_block_head *was = (const void *)before, *is = (const void *)now;

	if (!is_lane(before) || ts_a64_load_rlx(&was->seq) != ts_a64_load_rlx(&is->seq) ||
	    before[LANE_WORD(w.epoch_id)] != now[LANE_WORD(w.epoch_id)])
		return;
	for (size_t i = 0; i < COUNT_WORDS + sizeof(others) / sizeof(others[0]); i++) {
		size_t word = i < COUNT_WORDS ? LANE_WORD(cls) + i : others[i - COUNT_WORDS];

		rest[word] += now[word] - before[word];
		now[word] = before[word];
	}
}

/* Both images have `words`, the blocks of `now` end at `end`. Without room for that lane all stays in full. */
static void make_brief(const uint64_t *before, uint64_t *now, size_t end, size_t words)
{
	uint64_t *rest = now + end;
	size_t at = TARGET_WORDS;

	if (words - end < LANE_WORDS)
		return;
	for (size_t chunk = 0; at < end; chunk++) {
		size_t chunk_end = at + ts_stats_chunk_bytes((unsigned)chunk) / sizeof(*now),
		       block = at;

		while (block < end && block < chunk_end) {
			const struct ts_block_head *head = (const void *)(now + block);

			if (head->kind == TS_BLOCK_NONE)
				break;
			if (is_lane(now + block))
				hold(before + block, now + block, rest);
			block += head->slots * BLOCK_WORDS;
		}
		at = chunk_end;
	}
	*(struct ts_block_head *)rest = (struct ts_block_head){
		.kind = TS_BLOCK_LANE,
		.slots = 1,
	};
	now[WORD_GAPS] = 1; /* figures of two moments */
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
			   enum frame_kind kind, size_t *bytes)
{
	size_t words = recording_image_words(chunk_count), raw_bytes, stored, end;
	const bool key = kind == FRAME_ALONE;
	struct frame_header header;

	if (!make_room(recorder, words))
		return NULL;
	if (key)
		memset(recorder->before, 0, words * sizeof(*recorder->before));
	else if (recorder->before_words < words)
		memset(recorder->before + recorder->before_words, 0,
		       (words - recorder->before_words) * sizeof(*recorder->before));
	end = make_image(recorder->now, target, chunks, chunk_count, gaps);
	if (kind == FRAME_BRIEF)
		make_brief(recorder->before, recorder->now, end, words);
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
