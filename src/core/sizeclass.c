/* SPDX-License-Identifier: MIT */
#include "sizeclass.h"

#include <string.h>

#define CLASS(bytes, units)                                                                        \
	{                                                                                          \
		bytes, units, (units)*TS_UNIT_BYTES / (bytes),                                     \
			(units)*TS_UNIT_BYTES / (bytes) * (bytes)                                  \
	}

const struct ts_sizeclass ts_sizeclasses[TS_CLASS_COUNT] = {
	CLASS(64, 1),    CLASS(96, 1),    CLASS(128, 1),   CLASS(192, 1),   CLASS(256, 1),
	CLASS(384, 1),   CLASS(512, 1),   CLASS(768, 1),   CLASS(16, 1),    CLASS(32, 1),
	CLASS(48, 1),    CLASS(80, 1),    CLASS(112, 1),   CLASS(160, 1),   CLASS(224, 1),
	CLASS(320, 1),   CLASS(448, 1),   CLASS(640, 1),   CLASS(896, 1),   CLASS(1024, 1),
	CLASS(1280, 1),  CLASS(1536, 1),  CLASS(1792, 1),  CLASS(2048, 1),  CLASS(2560, 1),
	CLASS(3072, 3),  CLASS(3584, 1),  CLASS(4096, 1),  CLASS(5120, 2),  CLASS(6144, 3),
	CLASS(7168, 1),  CLASS(8192, 1),  CLASS(10240, 4), CLASS(12288, 3), CLASS(14336, 2),
	CLASS(16384, 2), CLASS(20480, 5), CLASS(24576, 3), CLASS(28672, 4), CLASS(32768, 4),
};

uint16_t ts_sizeclass_of[TS_SMALL_MAX_BYTES / TS_GRANULE_BYTES + 1];
const uint16_t ts_sizeclass_gated[TS_SMALL_MAX_BYTES / TS_GRANULE_BYTES + 2] = {
	[0 ... TS_SMALL_MAX_BYTES / TS_GRANULE_BYTES + 1] = TS_CLASS_GATE * TS_PLACE_BYTES
};
uint64_t ts_sizeclass_template[TS_CLASS_COUNT][TS_SLAB_UNITS_MAX * TS_UNIT_NODES];
uint64_t ts_sizeclass_start_nodes[TS_CLASS_COUNT];

static unsigned smallest_that_holds(size_t bytes)
{
	unsigned best = TS_CLASS_COUNT;

	for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
		if (ts_sizeclasses[c].bytes >= bytes &&
		    (best == TS_CLASS_COUNT || ts_sizeclasses[c].bytes < ts_sizeclasses[best].bytes))
			best = c;
	return best;
}

static void fill_template(unsigned c)
{
	const struct ts_sizeclass *class = &ts_sizeclasses[c];
	uint64_t *words = ts_sizeclass_template[c];

	memset(words, 0xff, sizeof(ts_sizeclass_template[c]));
	for (unsigned slot = 0; slot < class->slab_slots; slot++) {
		unsigned granule = slot * (class->bytes >> TS_GRANULE_SHIFT);

		words[granule / 64] &= ~((uint64_t)1 << (granule % 64));
		ts_sizeclass_start_nodes[c] |= (uint64_t)1 << (granule / 64);
	}
}

void ts_sizeclass_start(void)
{
	for (size_t g = 0; g <= TS_SMALL_MAX_BYTES / TS_GRANULE_BYTES; g++)
		ts_sizeclass_of[g] =
			(uint16_t)(smallest_that_holds(g * TS_GRANULE_BYTES) * TS_PLACE_BYTES);
	for (unsigned c = 0; c < TS_CLASS_COUNT; c++)
		fill_template(c);
}
