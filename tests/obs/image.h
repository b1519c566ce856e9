/* SPDX-License-Identifier: MIT */
/* image.h: a segment made by hand, to be read as it is, or damaged first. */
#ifndef TESTS_OBS_IMAGE_H
#define TESTS_OBS_IMAGE_H

#include "obs/format.h"

enum { IMAGE_BLOCKS = 16 };

extern union image {
	char bytes[IMAGE_BLOCKS * TS_BLOCK_BYTES];
	uint64_t words[IMAGE_BLOCKS * TS_BLOCK_BYTES / 8];
} image;

#define SET(field, value) ts_a64_store_rlx(&(field), (value))

/* One process, two threads, two epochs of a ring entry and one of the program's, two lanes. */
void make_image(void);
/* An epoch's row of it. */
void image_set_epoch(struct ts_epoch_words *row, uint64_t id, uint64_t ring_entry, const char *label);

#endif
