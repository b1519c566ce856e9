/* SPDX-License-Identifier: MIT */
#include "recording.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

size_t recording_image_words(size_t chunk_count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < chunk_count; i++)
		bytes += ts_stats_chunk_bytes((unsigned)i);
	return TARGET_WORDS + bytes / sizeof(uint64_t);
}

uint32_t frame_checksum(struct frame_header header, const void *stored)
{
	header.checksum = 0;
	return (uint32_t)crc32(crc32(0, (const void *)&header, sizeof(header)), stored,
			       header.stored_bytes);
}

const unsigned char *frame_window(const unsigned char *raw, size_t raw_bytes, unsigned *bytes)
{
	*bytes = raw_bytes < FRAME_WINDOW ? (unsigned)raw_bytes : FRAME_WINDOW;
	return raw + raw_bytes - *bytes;
}

/* ------------------------------------------------------------------------------------------ reading -- */

static struct frame_header header_at(const struct recording *r, size_t offset)
{
	struct frame_header header;

	memcpy(&header, r->bytes + offset, sizeof(header));
	return header;
}

/* Is there a whole frame at `offset` that can follow the last? */
static bool is_frame(const struct recording *r, size_t offset, uint64_t last_ns)
{
	struct frame_header header;

	if (r->size - offset < sizeof(header))
		return false;
	header = header_at(r, offset);
	return header.stored_bytes <= r->size - offset - sizeof(header) &&
	       header.image_words <= recording_image_words(TS_SNAPSHOT_CHUNKS_MAX) &&
	       (header.raw_bytes & ~FRAME_KEY) <= 2u * FRAME_NUMBER_BYTES * header.image_words &&
	       (header.raw_bytes & ~FRAME_KEY) / 1040 <= header.stored_bytes && /* deflate's best */
	       header.realtime_ns >= last_ns && (r->frame_count || header.raw_bytes & FRAME_KEY) &&
	       frame_checksum(header, r->bytes + offset + sizeof(header)) == header.checksum;
}

static bool add_frame(struct recording *r, size_t offset)
{
	struct frame_header header = header_at(r, offset);
	size_t count = r->frame_count;

	/* Doubles, so the count tells when to grow. */
	if (!(count & (count - 1))) {
		struct frame_at *frames =
			realloc(r->frames, (count ? 2 * count : 1) * sizeof(*frames));

		if (!frames)
			return false;
		r->frames = frames;
	}
	r->frames[r->frame_count++] =
		(struct frame_at){ offset, header.realtime_ns, (header.raw_bytes & FRAME_KEY) != 0 };
	return true;
}

bool recording_open(struct recording *r, const void *bytes, size_t size, const char **why)
{
	uint64_t last_ns = 0;
	size_t offset;

	*r = (struct recording){ .bytes = bytes, .size = size, .current = SIZE_MAX };
	*why = "no recording";
	if (size < sizeof(r->header))
		return false;
	memcpy(&r->header, bytes, sizeof(r->header));
	if (memcmp(r->header.magic, RECORDING_MAGIC, sizeof(r->header.magic)) != 0)
		return false;
	*why = "a recording of another version than this tool reads";
	if (r->header.version != RECORDING_VERSION || r->header.header_bytes < sizeof(r->header) ||
	    r->header.header_bytes > size)
		return false;
	r->header.comm[sizeof(r->header.comm) - 1] = '\0';
	r->header.container[sizeof(r->header.container) - 1] = '\0';
	r->header.boot_id[sizeof(r->header.boot_id) - 1] = '\0';
	*why = "too large for the memory there is";
	for (offset = r->header.header_bytes; is_frame(r, offset, last_ns);) {
		if (!add_frame(r, offset))
			return recording_close(r), false;
		last_ns = r->frames[r->frame_count - 1].realtime_ns;
		offset += sizeof(struct frame_header) + header_at(r, offset).stored_bytes;
	}
	r->cut = offset != size;
	*why = "a recording without a whole frame";
	return r->frame_count > 0;
}

void recording_close(struct recording *r)
{
	free(r->frames);
	free(r->image);
	free(r->raw);
	*r = (struct recording){ .current = SIZE_MAX };
}

size_t recording_find(const struct recording *r, uint64_t realtime_ns)
{
	size_t low = 0, high = r->frame_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (r->frames[middle].realtime_ns <= realtime_ns)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static bool decompress(const struct recording *r, const struct frame_header *header,
		       const unsigned char *stored, unsigned char *raw, uint32_t raw_bytes)
{
	z_stream z = { .next_in = (void *)stored,
		       .avail_in = header->stored_bytes,
		       .next_out = raw,
		       .avail_out = raw_bytes };
	unsigned bytes;
	bool good;

	if (inflateInit2(&z, FRAME_WINDOW_BITS) != Z_OK)
		return false;
	good = true;
	if (!(header->raw_bytes & FRAME_KEY) && r->raw_bytes) {
		const unsigned char *before = frame_window(r->raw, r->raw_bytes, &bytes);

		good = inflateSetDictionary(&z, before, bytes) == Z_OK;
	}
	good = good && inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_out == 0;
	inflateEnd(&z);
	return good;
}

/* A number of seven bits a byte; false behind the end. */
static bool take_number(const unsigned char **at, const unsigned char *end, uint64_t *number)
{
	*number = 0;
	for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
		unsigned char byte = *(*at)++;

		*number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

/* First how far it is from each changed word to the next, then how much each changed. */
static bool apply(struct recording *r, const unsigned char *raw, size_t raw_bytes)
{
	const unsigned char *end = raw + raw_bytes, *gaps = raw, *changes = raw;
	uint64_t count, gap, change, word = 0;

	if (!take_number(&gaps, end, &count) || count > r->image_words)
		return false;
	changes = gaps;
	for (uint64_t i = 0; i < count; i++)
		if (!take_number(&changes, end, &gap))
			return false;
	for (uint64_t i = 0; i < count; i++) {
		if (!take_number(&gaps, end, &gap) || !take_number(&changes, end, &change) ||
		    gap >= r->image_words - word)
			return false;
		word += gap;
		r->image[word] += change & 1 ? ~(change >> 1) : change >> 1;
	}
	return changes == end;
}

/* Zeros are not touched: what a frame says of its size may be a lie. */
static bool resize(struct recording *r, size_t words)
{
	uint64_t *image = r->image_words == words ? r->image : calloc(words, sizeof(*image));

	if (!image || image == r->image)
		return image != NULL;
	if (r->image)
		memcpy(image, r->image,
		       (words < r->image_words ? words : r->image_words) * sizeof(*image));
	free(r->image);
	r->image = image;
	r->image_words = words;
	return true;
}

static void forget_image(struct recording *r)
{
	free(r->image);
	r->image = NULL;
	r->image_words = 0;
}

static bool step(struct recording *r, size_t frame)
{
	struct frame_header header = header_at(r, r->frames[frame].offset);
	uint32_t raw_bytes = header.raw_bytes & ~FRAME_KEY;
	unsigned char *raw = malloc(raw_bytes + 1);
	bool good;

	if (header.raw_bytes & FRAME_KEY)
		forget_image(r);
	good = raw && header.image_words >= TARGET_WORDS && resize(r, header.image_words) &&
	       decompress(r, &header, r->bytes + r->frames[frame].offset + sizeof(header), raw,
			  raw_bytes) &&
	       apply(r, raw, raw_bytes);
	free(r->raw);
	r->raw = raw;
	r->raw_bytes = raw ? raw_bytes : 0;
	r->current = good ? frame : SIZE_MAX;
	return good;
}

bool recording_go(struct recording *r, size_t frame, const char **why)
{
	size_t first = frame;

	*why = "damaged, or too large for the memory there is";
	while (!r->frames[first].key)
		first--;
	if (r->current != SIZE_MAX && r->current >= first && r->current <= frame)
		first = r->current + 1;
	for (; first <= frame; first++)
		if (!step(r, first))
			return false;
	return true;
}

size_t recording_view(const struct recording *r, struct ts_target *target,
		      struct ts_chunk_view chunks[TS_SNAPSHOT_CHUNKS_MAX], bool *gaps)
{
	const uint64_t *word = r->image;
	size_t count = 0, at = TARGET_WORDS;

	*target = (struct ts_target){
		.pid = r->header.pid,
		.ns_pid = r->header.ns_pid,
		.source = "replay",
		.realtime_ns = word[WORD_REALTIME],
		.boot_ns = word[WORD_REALTIME] + word[WORD_BOOT],
		.monotonic_ns = word[WORD_REALTIME] + word[WORD_MONOTONIC],
		.rss_bytes = word[WORD_RSS],
		.anon_rss_bytes = word[WORD_ANON_RSS],
	};
	memcpy(target->comm, r->header.comm, sizeof(target->comm));
	memcpy(target->container, r->header.container, sizeof(target->container) - 1);
	memcpy(target->boot_id, r->header.boot_id, sizeof(target->boot_id));
	*gaps = word[WORD_GAPS] != 0;
	while (count < TS_SNAPSHOT_CHUNKS_MAX && count < word[WORD_CHUNKS] &&
	       recording_image_words(count + 1) <= r->image_words) {
		chunks[count].base = r->image + at;
		chunks[count].bytes = ts_stats_chunk_bytes((unsigned)count);
		at += chunks[count++].bytes / sizeof(*word);
	}
	return count;
}
