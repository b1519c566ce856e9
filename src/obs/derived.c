/* SPDX-License-Identifier: MIT */
/* derived.c: figures of a snapshot that follow from others. */
#include "obs/snapshot.h"

uint64_t ts_snapshot_retained_bytes(const struct ts_snapshot *s)
{
	return s->thread_sum.retained_bytes + ts_a64_load_rlx(&s->process.w.pool_bytes);
}

uint64_t ts_snapshot_committed_bytes(const struct ts_snapshot *s)
{
	return s->lanes.chunk_bytes + s->lanes.large_bytes + ts_snapshot_retained_bytes(s);
}

uint64_t ts_snapshot_slab_bytes(const struct ts_snapshot *s)
{
	uint64_t units = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		units += s->lanes.units[i];
	return units * s->header.slab_unit_bytes;
}

uint64_t ts_epoch_refcount(const struct ts_epoch_view *epoch)
{
	return epoch->lanes->open_scopes + epoch->references;
}

uint64_t ts_epoch_slabs(const struct ts_snapshot *s, const struct ts_epoch_view *epoch)
{
	uint64_t slabs = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		if (s->classes[i].units_per_slab)
			slabs += epoch->lanes->units[i] / s->classes[i].units_per_slab;
	return slabs;
}

uint64_t ts_epoch_full_slabs(const struct ts_snapshot *s, const struct ts_epoch_view *epoch)
{
	uint64_t full = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		const struct ts_class_sum *sum = &epoch->lanes->cls[i];

		if (s->classes[i].objects_per_slab)
			full += ts_minus(sum->allocs, sum->frees) / s->classes[i].objects_per_slab;
	}
	return full;
}

uint64_t ts_epoch_reclaimable_units(const struct ts_snapshot *s, const struct ts_epoch_view *epoch)
{
	uint64_t units = s->header.slab_unit_bytes ?
				 epoch->lanes->chunk_bytes / s->header.slab_unit_bytes :
				 0;

	if (!ts_lane_sum_live_objects(epoch->lanes))
		return units;
	return ts_minus(units, epoch->lanes->units_live);
}

bool ts_contention_met(const struct ts_contention_view *contention, uint64_t cls)
{
	uint64_t sum = 0;

#define ADD(name) sum += contention->cls[cls].name;
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(LABEL_CLASS, scope, ADD(name))
#include "core/words.def"
#undef ADD
	return sum != 0;
}
