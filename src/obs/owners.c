/* SPDX-License-Identifier: MIT */
#include "obs/owners.h"

#include <stdlib.h>

static bool take_groups(struct ts_snapshot *s, const union ts_block_copy *copy)
{
	const struct ts_block_chunks *block = &copy->chunks;
	struct ts_chunk_group *more = realloc(
		s->chunk_groups, (s->chunk_group_count + TS_CHUNK_GROUPS_PER_BLOCK) * sizeof(*more));

	if (!more)
		return false;
	s->chunk_groups = more;
	for (unsigned i = 0; i < TS_CHUNK_GROUPS_PER_BLOCK; i++) {
		struct ts_chunk_group *group = &more[s->chunk_group_count];

		group->number = ts_a64_load_rlx(&block->group[i]);
		s->chunk_group_count += group->number != 0;
		for (unsigned c = 0; c < TS_CHUNK_GROUP; c++)
			group->lane[c] = ts_a32_load_rlx(&block->lane[i][c]);
	}
	return true;
}

static int by_number(const void *a, const void *b)
{
	const struct ts_chunk_group *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int by_lane(const void *a, const void *b)
{
	const struct ts_owner *x = a, *y = b;

	return (x->lane > y->lane) - (x->lane < y->lane);
}

bool ts_owners_read(struct ts_owners *owners, struct ts_snapshot *s,
		    const struct ts_chunk_view *chunks, size_t chunk_count)
{
	bool enough = true;

	owners->snapshot = s;
	owners->count = s->lane_view_count;
	owners->owner = calloc(owners->count + 1, sizeof(*owners->owner));
	for (size_t i = 0; enough && i < chunk_count; i++)
		enough = ts_snapshot_walk(s, &chunks[i], (uint64_t)1 << TS_BLOCK_CHUNKS, take_groups);
	if (!owners->owner || !enough || s->header.minor < TS_STATS_MINOR_OWNERS)
		return false;
	for (size_t i = 0; i < owners->count; i++)
		owners->owner[i] =
			(struct ts_owner){ s->lane_views[i].number, s->lane_views[i].epoch };
	if (owners->count)
		qsort(owners->owner, owners->count, sizeof(*owners->owner), by_lane);
	if (s->chunk_group_count)
		qsort(s->chunk_groups, s->chunk_group_count, sizeof(*s->chunk_groups), by_number);
	return true;
}

void ts_owners_free(struct ts_owners *owners)
{
	free(owners->owner);
	owners->owner = NULL;
}

struct ts_epoch_view *ts_owners_find(const struct ts_owners *owners, uint64_t chunk)
{
	const struct ts_snapshot *s = owners->snapshot;
	const struct ts_chunk_group wanted = { .number = chunk / TS_CHUNK_GROUP + 1 };
	const struct ts_chunk_group *group =
		bsearch(&wanted, s->chunk_groups, s->chunk_group_count, sizeof(*group), by_number);
	struct ts_owner lane = { .lane = group ? group->lane[chunk % TS_CHUNK_GROUP] : 0 };
	const struct ts_owner *owner = NULL;

	if (lane.lane)
		owner = bsearch(&lane, owners->owner, owners->count, sizeof(*owner), by_lane);
	return owner ? owner->epoch : NULL;
}
