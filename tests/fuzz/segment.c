/* SPDX-License-Identifier: MIT */
/*
 * Whatever stands in a stats segment, reading it ends, stays within it, and what comes out is one JSON
 * object. The first byte of an input says what the others are (128 more: without JSON, which takes long):
 *   0  the bytes of chunks, the second byte says how many
 *   1  changes of a good segment: place 16 bits, kind 8 bits, value 64 bits, each
 *   2  a file, as --file and --core take it
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "obs/render.h"
#include "obs/snapshot.h"
#include "tests/fuzz/fuzz.h"
#include "tests/obs/image.h"
#include "tools/tslab/tool.h"

uint64_t fuzz_operations; /* snapshots that could be read */

static void require(bool ok)
{
	if (!ok)
		abort();
}

static bool into_text(void *context, const char *bytes, size_t count)
{
	return fwrite(bytes, 1, count, context) == count;
}

static void render(const struct ts_snapshot *snapshot)
{
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);
	json_error_t error;
	struct ts_json json;
	json_t *document;

	require(stream != NULL);
	ts_json_start(&json, into_text, stream);
	ts_render_snapshot(&json, snapshot);
	require(ts_json_end(&json) && !fclose(stream));
	document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
	require(json_is_object(document));
	json_decref(document);
	free(text);
}

static bool rendered; /* as well as read */

static void read_chunks(const struct ts_chunk_view *chunks, size_t count)
{
	const struct ts_target target = { .pid = 42, .source = "live", .boot_ns = 12000000000u };
	struct ts_snapshot snapshot;
	const char *why = NULL;

	if (ts_snapshot_read(&snapshot, &target, chunks, count, &why)) {
		if (rendered)
			render(&snapshot);
		fuzz_operations++;
	} else {
		require(why && *why);
	}
	ts_snapshot_free(&snapshot);
}

/* Each chunk in memory of its own, which ends where the chunk does. */
static void read_bytes(const uint8_t *data, size_t bytes, size_t count)
{
	struct ts_chunk_view chunks[4];

	for (size_t i = 0; i < count; i++) {
		size_t length = bytes / count & ~(size_t)(TS_BLOCK_BYTES - 1);
		void *copy = malloc(length + !length);

		require(copy != NULL);
		memcpy(copy, data + i * (bytes / count), length);
		chunks[i] = (struct ts_chunk_view){ copy, length };
	}
	read_chunks(chunks, count);
	for (size_t i = 0; i < count; i++)
		free((void *)chunks[i].base);
}

static void read_changed(const uint8_t *data, size_t bytes)
{
	enum { CHANGE_BYTES = 2 + 1 + 8 };

	make_image();
	for (; bytes >= CHANGE_BYTES; data += CHANGE_BYTES, bytes -= CHANGE_BYTES) {
		size_t place = (data[0] | (size_t)data[1] << 8) % (sizeof(image) / 8);
		uint64_t value;

		memcpy(&value, data + 3, sizeof(value));
		switch (data[2] % 4) {
		case 0:
			image.words[place] = value;
			break;
		case 1:
			image.words[place] ^= value;
			break;
		case 2:
			image.words[place] += value;
			break;
		default: /* one block becomes another's copy */
			memcpy(image.bytes + place / 128 * TS_BLOCK_BYTES,
			       image.bytes + value % IMAGE_BLOCKS * TS_BLOCK_BYTES, TS_BLOCK_BYTES);
		}
	}
	read_chunks(&(struct ts_chunk_view){ image.bytes, sizeof(image) }, 1);
}

static void read_file(const uint8_t *data, size_t bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct ts_target target;
	struct attachment a;
	char path[64];

	require(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (attach_file(path, &a, &target))
		read_chunks(a.chunks, a.chunk_count);
	else
		require(*a.why);
	detach(&a);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 2)
		return 0;
	rendered = data[0] < 128;
	switch (data[0] % 128 % 3) {
	case 0:
		read_bytes(data + 2, bytes - 2, 1 + data[1] % 4);
		break;
	case 1:
		read_changed(data + 1, bytes - 1);
		break;
	default:
		read_file(data + 1, bytes - 1);
	}
	return 0;
}
