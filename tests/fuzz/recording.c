/* SPDX-License-Identifier: MIT */
/*
 * Whatever stands in a recording, reading it ends and stays within it, a moment is the same whichever way it is
 * reached, and what a frame holds can be read as a segment. The first byte of an input says what the others are:
 *   0  a file as it is
 *   1  a file whose frames get good checksums first
 *   2  frames before they are compressed: length 16 bits, a byte of flags (1 = key frame, above it the number
 *      of chunks less one), the changes of words
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "tests/fuzz/fuzz.h"
#include "tools/tslab/recording.h"

uint64_t fuzz_operations; /* moments that could be read */

enum { FRAMES_READ = 40, CHUNKS_MOST = 6 };

static void require(bool ok)
{
	if (!ok)
		abort();
}

static uint64_t sum_image(const struct recording *r)
{
	uint64_t sum = r->image_words;

	for (size_t i = 0; i < r->image_words; i++)
		sum = sum * 31 + r->image[i];
	return sum;
}

static void read_moment(const struct recording *r)
{
	struct ts_chunk_view chunks[TS_SNAPSHOT_CHUNKS_MAX];
	struct ts_snapshot snapshot;
	struct ts_target target;
	const char *why = NULL;
	size_t count;
	bool gaps;

	count = recording_view(r, &target, chunks, &gaps);
	require(count <= TS_SNAPSHOT_CHUNKS_MAX && recording_image_words(count) <= r->image_words);
	if (!ts_snapshot_read(&snapshot, &target, chunks, count, &why))
		require(why && *why);
	ts_snapshot_free(&snapshot);
	fuzz_operations++;
}

/* Forwards, and one of them once more from its key frame. */
static void read_recording(const void *bytes, size_t size)
{
	struct recording r, again;
	const char *why = NULL;
	uint64_t sum = 0;
	size_t last = 0;

	if (!recording_open(&r, bytes, size, &why)) {
		require(why && *why);
		recording_close(&r);
		return;
	}
	for (size_t i = 0; i < r.frame_count && i < FRAMES_READ; i++) {
		require(recording_find(&r, r.frames[i].realtime_ns) >= i);
		if (!recording_go(&r, i, &why))
			continue;
		read_moment(&r);
		last = i;
		sum = sum_image(&r);
	}
	require(recording_open(&again, bytes, size, &why));
	if (sum)
		require(recording_go(&again, last, &why) && sum_image(&again) == sum);
	recording_close(&again);
	recording_close(&r);
}

static void mend_checksums(uint8_t *bytes, size_t size)
{
	struct recording_header head;
	struct frame_header header;
	size_t at;

	if (size < sizeof(head))
		return;
	memcpy(&head, bytes, sizeof(head));
	for (at = head.header_bytes; at < size && size - at >= sizeof(header);) {
		memcpy(&header, bytes + at, sizeof(header));
		if (header.stored_bytes > size - at - sizeof(header))
			return;
		header.checksum = frame_checksum(header, bytes + at + sizeof(header));
		memcpy(bytes + at, &header, sizeof(header));
		at += sizeof(header) + header.stored_bytes;
	}
}

/* Returns how many bytes the frame takes at `to`. */
static size_t make_frame(uint8_t *to, size_t room, const uint8_t *raw, size_t raw_bytes,
			 unsigned flags, uint64_t number)
{
	struct frame_header header = {
		.raw_bytes = (uint32_t)raw_bytes | (flags & 1 ? FRAME_KEY : 0),
		.image_words = (uint32_t)recording_image_words(1 + (flags >> 1) % CHUNKS_MOST),
		.realtime_ns = number * 1000000000u,
	};
	z_stream z = { .next_in = (void *)raw,
		       .avail_in = (unsigned)raw_bytes,
		       .next_out = to + sizeof(header),
		       .avail_out = (unsigned)(room - sizeof(header)) };

	require(deflateInit2(&z, 1, Z_DEFLATED, FRAME_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	require(deflate(&z, Z_FINISH) == Z_STREAM_END);
	header.stored_bytes = (uint32_t)z.total_out;
	deflateEnd(&z);
	header.checksum = frame_checksum(header, to + sizeof(header));
	memcpy(to, &header, sizeof(header));
	return sizeof(header) + header.stored_bytes;
}

static void read_frames(const uint8_t *data, size_t bytes)
{
	const struct recording_header head = { .magic = RECORDING_MAGIC,
					       .version = RECORDING_VERSION,
					       .header_bytes = sizeof(head),
					       .pid = 42 };
	/* A frame of nothing takes three bytes here. */
	size_t room = sizeof(head) + (bytes / 3 + 1) * (sizeof(struct frame_header) + 64) + 2 * bytes;
	uint8_t *file = malloc(room);
	size_t size = sizeof(head);

	require(file != NULL);
	memcpy(file, &head, sizeof(head));
	for (uint64_t number = 1; bytes >= 3; number++) {
		size_t length = data[0] | (size_t)data[1] << 8;
		unsigned flags = number == 1 ? data[2] | 1u : data[2];

		data += 3;
		bytes -= 3;
		length = length < bytes ? length : bytes;
		size += make_frame(file + size, room - size, data, length, flags, number);
		data += length;
		bytes -= length;
	}
	read_recording(file, size);
	free(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t *copy;

	if (bytes < 1)
		return 0;
	if (data[0] % 3 == 2) {
		read_frames(data + 1, bytes - 1);
		return 0;
	}
	/* Memory that ends where the file does. */
	copy = malloc(bytes);
	require(copy != NULL);
	memcpy(copy, data + 1, bytes - 1);
	if (data[0] % 3 == 1)
		mend_checksums(copy, bytes - 1);
	copy = realloc(copy, bytes - 1 ? bytes - 1 : 1);
	require(copy != NULL);
	read_recording(copy, bytes - 1);
	free(copy);
	return 0;
}
