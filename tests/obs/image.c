/* SPDX-License-Identifier: MIT */
#include "tests/obs/image.h"

#include "obs/blockread.h"

#include <stdlib.h>
#include <string.h>

union image image __attribute__((aligned(64)));
static size_t image_used;

static void *add_block(enum ts_block_kind kind, unsigned slots)
{
	struct ts_block_head *head = (void *)(image.bytes + image_used);

	if (image_used + slots * TS_BLOCK_BYTES > sizeof(image))
		abort();
	head->kind = kind;
	head->slots = slots;
	image_used += slots * TS_BLOCK_BYTES;
	return head;
}

static struct ts_block_header *add_header(void)
{
	struct ts_block_header *header = add_block(TS_BLOCK_HEADER, 1);

	memcpy(header->magic, TS_STATS_MAGIC, 8);
	header->endian = TS_STATS_ENDIAN;
	header->major = TS_STATS_MAJOR;
	header->minor = TS_STATS_MINOR;
	memcpy(header->row_bytes, ts_blockread_own.row_bytes, sizeof(header->row_bytes));
	header->header_bytes = sizeof(*header);
	header->block_bytes = TS_BLOCK_BYTES;
	header->pid = 42;
	header->slab_unit_bytes = 8192;
	header->chunk_bytes = 65536;
	header->class_count = TS_CLASS_COUNT;
	header->ring_epochs = 16;
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		header->size_class[i].object_bytes = 64 * (i + 1);
		header->size_class[i].objects_per_slab = (uint16_t)(128 / (i + 1));
		header->size_class[i].units_per_slab = 1;
	}
	return header;
}

void image_set_epoch(struct ts_epoch_words *row, uint64_t id, uint64_t ring_entry, const char *label)
{
	uint64_t words[4] = { 0 };

	memcpy(words, label, strlen(label) < 32 ? strlen(label) : 32);
	SET(row->id, id);
	SET(row->state, 1);
	SET(row->ring_index, ring_entry);
	SET(row->label0, words[0]);
	SET(row->label1, words[1]);
	SET(row->label2, words[2]);
	SET(row->label3, words[3]);
	SET(row->open_since_ns, 1000000000);
}

void make_image(void)
{
	struct ts_block_epochs *epochs;
	struct ts_block_thread *thread;
	struct ts_block_process *process;
	struct ts_block_module *module;
	struct ts_block_sites *sites;
	struct ts_block_lane *lane;
	struct ts_block_classes *classes;

	memset(&image, 0, sizeof(image));
	image_used = 0;
	add_header();
	process = add_block(TS_BLOCK_PROCESS, 1);
	SET(process->w.refused_double, 3);
	SET(process->w.epochs_opened, 1);
	epochs = add_block(TS_BLOCK_EPOCHS, 1);
	image_set_epoch(&epochs->row[0], 5 << 16 | 20, 3, "old ring entry");
	SET(epochs->row[0].state, 2);
	image_set_epoch(&epochs->row[1], 2 << 16 | 21, 3, "new ring entry");
	image_set_epoch(&epochs->row[2], 1 << 16 | 22, 0, "job");
	thread = add_block(TS_BLOCK_THREAD, 2);
	SET(thread->w.tid, 1001);
	SET(thread->w.depth, 2);
	SET(thread->w.epochs_opened, 2);
	SET(thread->w.retained_bytes, 65536);
	for (unsigned i = 0; i < 2; i++) {
		SET(thread->scope[i].epoch_id, 1 << 16 | 22);
		SET(thread->scope[i].site, 1);
		SET(thread->scope[i].since_ns, 2000000000 + i);
	}
	add_block(TS_BLOCK_THREAD, 2);
	lane = add_block(TS_BLOCK_LANE, 1);
	SET(lane->w.epoch_id, 1 << 16 | 22);
	ts_a32_store_rlx(&lane->number, 7);
	SET(lane->w.thread_index, 1);
	SET(lane->w.enters, 12);
	SET(lane->w.exits, 10);
	SET(lane->w.enters_base, 10);
	SET(lane->w.chunk_bytes, 131072);
	SET(lane->w.units_live, 3);
	SET(lane->cls[0].allocs, 300);
	SET(lane->cls[0].frees, 100);
	lane = add_block(TS_BLOCK_LANE, 1);
	SET(lane->cls[0].allocs, 50);
	SET(lane->cls[0].frees, 50);
	SET(lane->w.chunk_bytes, 65536); /* kept by its thread, no epoch's */
	module = add_block(TS_BLOCK_MODULE, 1);
	module->build_id_bytes = 2;
	module->build_id[0] = 0xab;
	module->build_id[1] = 0x0c;
	strcpy(module->path, "/usr/bin/program");
	sites = add_block(TS_BLOCK_SITES, 1);
	sites->site[1].module = 1;
	sites->site[1].offset = 0x1234;
	classes = add_block(TS_BLOCK_CLASSES, 1);
	SET(classes->row[4].slow_others, 44);
	SET(classes->row[5].slow_others, 55);
}
