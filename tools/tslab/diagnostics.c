/* SPDX-License-Identifier: MIT */
/* diagnostics.c: what the doctor looks at, class by class, as data. */
#include "tool.h"

/* Why the allocations of a class left the fast path. */
static json_t *slow_path_of(const json_t *row)
{
	uint64_t hits = get_u64(row, "slow_path_hits"),
		 closed = get_u64(row, "slow_path_epoch_closed");
	uint64_t misses = get_u64(row, "slow_path_cache_miss");

	return json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s}", "class_index",
			 (json_int_t)get_u64(row, "class_index"), "object_size",
			 (json_int_t)get_u64(row, "object_size"), "slow_path_hits",
			 (json_int_t)hits, "cache_miss_pct", percent(misses, hits + closed),
			 "epoch_closed_pct", percent(closed, hits + closed), "partial_null_pct",
			 percent(get_u64(row, "current_partial_null"), hits), "partial_full_pct",
			 percent(get_u64(row, "current_partial_full"), hits), "recommendation",
			 closed > misses   ? DOCTOR_CLOSED :
			 misses * 2 > hits ? DOCTOR_UNDERSIZED :
					     DOCTOR_SLOW_PATH);
}

/* What the closes and returns of a class came to. */
static json_t *reclamation_of(const json_t *row)
{
	uint64_t scanned = get_u64(row, "epoch_close_scanned_slabs");
	uint64_t recycled = get_u64(row, "epoch_close_recycled_slabs");

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "class_index",
			 (json_int_t)get_u64(row, "class_index"), "madvise_calls",
			 (json_int_t)get_u64(row, "madvise_calls"), "madvise_bytes",
			 (json_int_t)get_u64(row, "madvise_bytes"), "madvise_failures",
			 (json_int_t)get_u64(row, "madvise_failures"), "scanned_slabs",
			 (json_int_t)scanned, "recycled_slabs", (json_int_t)recycled, "cache_size",
			 (json_int_t)get_u64(row, "cache_size"), "yield_pct",
			 percent(recycled, scanned));
}

void add_diagnostics(json_t *document)
{
	json_t *slow = json_array(), *reclamation = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(document, "classes"), i, row) {
		if (get_u64(row, "slow_path_hits") + get_u64(row, "slow_path_epoch_closed"))
			json_array_append_new(slow, slow_path_of(row));
		if (get_u64(row, "madvise_calls") + get_u64(row, "epoch_close_scanned_slabs"))
			json_array_append_new(reclamation, reclamation_of(row));
	}
	json_object_set_new(
		document, "diagnostics",
		json_pack("{s:o, s:o, s:o, s:o}", "leaks",
			  find_leaks(document, doctor_threshold(document, DOCTOR_THRESHOLD_UNSET)),
			  "slow_path", slow, "reclamation", reclamation, "findings",
			  find_trouble(document, DOCTOR_THRESHOLD_UNSET)));
}
