/* SPDX-License-Identifier: MIT */
#include "label.h"

#include <string.h>

#include <tslab/tslab.h>

#include "contention.h"
#include "lock.h"
#include "process.h"
#include "utf8.h"

static struct ts_block_labels *registry; /* set once, under ts_lock_meta */

static int harmful(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) || /* C0, DEL, C1 */
	       (point >= 0x200e && point <= 0x200f) ||            /* direction marks */
	       (point >= 0x2028 && point <= 0x202e) ||            /* separators, embeddings */
	       (point >= 0x2066 && point <= 0x2069);              /* isolates */
}

void ts_label_clean(const char *given, char clean[32])
{
	const unsigned char *s = (const unsigned char *)(given ? given : "");
	size_t out = 0;

	memset(clean, 0, 32);
	while (*s && out < TSLAB_LABEL_MAX) {
		uint32_t point = 0;
		unsigned length = ts_utf8_decode(s, &point);

		if (!length || harmful(point)) {
			clean[out++] = '?';
			s += length ? length : 1;
			continue;
		}
		if (out + length > TSLAB_LABEL_MAX)
			return;
		memcpy(clean + out, s, length);
		out += length;
		s += length;
	}
}

static uint32_t find(const char clean[32])
{
	uint64_t count = ts_a64_load_acq(&registry->count); /* ORD-20 acquire */

	for (uint32_t id = 1; id < count; id++)
		if (!memcmp(registry->text[id], clean, 32))
			return id;
	return 0;
}

/* Meta lock held. False: no memory. */
static bool start_registry(void)
{
	struct ts_block_labels *made = registry ? NULL : ts_block_get(TS_BLOCK_LABELS, 1);

	if (made) {
		memcpy(made->text[0], "unlabeled", sizeof("unlabeled"));
		ts_a64_store_rel(&made->count, 1); /* ORD-20 release */
		registry = made;
	}
	return registry;
}

/* Meta lock held. 0: no room. */
static uint32_t add(const char clean[32])
{
	uint64_t id = registry ? ts_a64_load_rlx(&registry->count) : TS_LABEL_IDS;

	if (id >= TS_LABEL_IDS) {
		ts_count(labels_overflowed, 1);
		return 0;
	}
	memcpy(registry->text[id], clean, 32);
	ts_contention_start((uint32_t)id);
	/* ORD-20 release: pairs with find(); the text is complete before the id exists. */
	ts_a64_store_rel(&registry->count, id + 1);
	return (uint32_t)id;
}

uint32_t ts_label_id(const char clean[32])
{
	uint32_t id = 0;

	if (!clean[0])
		return 0;
	if (registry && (id = find(clean)))
		return id;
	ts_lock(&ts_lock_meta);
	id = start_registry() ? find(clean) : 0;
	if (!id)
		id = add(clean);
	ts_unlock(&ts_lock_meta);
	return id;
}

const char *ts_label_text(uint32_t id)
{
	/* ORD-20 acquire: pairs with ts_label_id(). */
	return id && registry && id < ts_a64_load_acq(&registry->count) ? registry->text[id] : "";
}
