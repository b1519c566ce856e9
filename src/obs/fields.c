/* SPDX-License-Identifier: MIT */
#include "obs/fields.h"

#include "core/histogram.h"

#include <elf.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Text of the field that was asked for last. */
static char text[640];

/* ------------------------------------------------------------------------ what rows compute with -- */

static const char *ts_field_rfc3339(uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000u);
	char day[32];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || !strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
		return "";
	snprintf(text, sizeof(text), "%s.%09uZ", day, (unsigned)(realtime_ns % 1000000000u));
	return text;
}

static const char *ts_field_hex(const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	text[2 * count] = '\0';
	return text;
}

const char *ts_field_machine(uint32_t e_machine)
{
	switch (e_machine) {
	case EM_X86_64:
		return "x86_64";
	case EM_AARCH64:
		return "aarch64";
	case EM_RISCV:
		return "riscv64";
	default:
		return "unknown";
	}
}

static uint64_t ts_field_empty_units(const struct ts_snapshot *s)
{
	uint64_t unit_bytes = s->header.slab_unit_bytes;

	if (!unit_bytes)
		return 0;
	return ts_minus(s->lanes.chunk_bytes / unit_bytes, s->lanes.units_live) +
	       ts_snapshot_retained_bytes(s) / unit_bytes;
}

static double ts_field_fragmentation(const struct ts_snapshot *s)
{
	double committed = (double)ts_snapshot_committed_bytes(s);
	double live = (double)ts_lane_sum_live_bytes(&s->lanes, s->class_bytes);

	return committed > live ? 1 - live / committed : 0;
}

static uint64_t ts_field_epoch_id(const struct ts_epoch_view *epoch)
{
	return epoch->ring_current ? epoch->ring_index - 1 : epoch->id & 0xffff;
}

static const char *ts_field_state(const struct ts_epoch_view *epoch)
{
	static const char *const names[] = { "OVER", "ACTIVE", "CLOSING", "DISCARDING", "COMMITTED" };

	return epoch->state < sizeof(names) / sizeof(names[0]) ? names[epoch->state] : "UNKNOWN";
}

static const char *ts_field_place(const struct ts_place_view *place)
{
	if (!place)
		return "";
	snprintf(text, sizeof(text), "%s+0x%llx", place->module, (unsigned long long)place->offset);
	return text;
}

static const char *ts_field_reason(unsigned reason)
{
	static const char *const names[] = { "unknown", "threshold",    "exhaustion",
					     "mapfail", "epoch_closed", "invalid" };

	return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : names[0];
}

static double ts_field_ratio(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

/* A moment of the segment's clock, nanoseconds since boot, as Unix time. */
static uint64_t ts_field_realtime(const struct ts_snapshot *s, uint64_t boot_ns)
{
	return ts_minus(s->target.realtime_ns, ts_minus(s->target.boot_ns, boot_ns));
}

static uint64_t ts_field_close_epoch(const struct ts_close_view *close)
{
	uint64_t ring_index = close->what >> 8 & 0xff;

	return ring_index ? ring_index - 1 : close->epoch_id & 0xffff;
}

static double ts_field_cooperation(const struct ts_close_view *close)
{
	if (!close || !close->purge_bytes || !close->rss_before)
		return NAN;
	return 100 * ((double)close->rss_before - (double)close->rss_after) /
	       (double)close->purge_bytes;
}

/* The bands of the sampler's documentation; no samples, no judgement. */
static const char *ts_field_interpretation(const struct ts_snapshot *s)
{
	double ratio =
		ts_field_ratio(s->thread_sum.alloc_wall_ns_sum, s->thread_sum.alloc_cpu_ns_sum);

	if (!s->thread_sum.alloc_samples)
		return "no samples";
	return ratio > 2    ? "scheduler interference" :
	       ratio >= 1.5 ? "moderate noise" :
			      "clean measurement";
}

/* Upper bound of a bucket; the last one has none. */
static double ts_field_bound(unsigned bucket)
{
	return bucket + 1 < TS_HISTOGRAM_BUCKETS ? (double)ts_histogram_bound(bucket) : (double)NAN;
}

/* ------------------------------------------------------------------------------------ by size class -- */

static uint64_t ts_field_class_slabs(const struct ts_class_view *cls, uint64_t units)
{
	return cls->units_per_slab ? units / cls->units_per_slab : 0;
}

static uint64_t ts_field_class_full(const struct ts_class_view *cls)
{
	uint64_t slabs = ts_field_class_slabs(cls, cls->units);
	uint64_t full = cls->objects_per_slab ?
				ts_minus(cls->sum->allocs, cls->sum->frees) / cls->objects_per_slab :
				0;

	return full < slabs ? full : slabs;
}

static uint64_t ts_field_cache_capacity(const struct ts_snapshot *s, const struct ts_class_view *cls)
{
	uint64_t slab_bytes = cls->units_per_slab * s->header.slab_unit_bytes;
	uint64_t retain = ts_a64_load_rlx(&s->process.w.retain_limit_bytes);

	return slab_bytes ? retain / slab_bytes : 0;
}

/* Sums of what the classes show. */

static uint64_t ts_field_slabs_opened(const struct ts_snapshot *s)
{
	return s->class_total.slabs_opened + s->class_total.slabs_adopted;
}

static uint64_t ts_field_slabs_recycled(const struct ts_snapshot *s)
{
	uint64_t slabs = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		slabs += ts_field_class_slabs(&s->classes[i], s->class_counts[i].units_recycled);
	return slabs;
}

static uint64_t ts_field_slabs_overflowed(const struct ts_snapshot *s)
{
	uint64_t slabs = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		slabs += ts_field_class_slabs(&s->classes[i], s->class_counts[i].units_overflowed);
	return slabs;
}

static uint64_t ts_field_net_slabs(const struct ts_snapshot *s)
{
	uint64_t slabs = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		slabs += ts_field_class_slabs(&s->classes[i], s->lanes.units[i]);
	return slabs;
}

static uint64_t ts_field_free_slots(const struct ts_snapshot *s)
{
	uint64_t free = 0;

	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		const struct ts_class_view *cls = &s->classes[i];

		free += ts_minus(ts_field_class_slabs(cls, cls->units) * cls->objects_per_slab,
				 ts_minus(cls->sum->allocs, cls->sum->frees));
	}
	return free;
}

static double ts_field_hit_rate(const struct ts_snapshot *s)
{
	uint64_t small = ts_minus(ts_lane_sum_allocs(&s->lanes), s->lanes.large_allocs);

	return ts_field_ratio(ts_minus(small, ts_class_slow_hits(&s->class_total)), small);
}

/* Of a scope whose thread has ended only the epoch's age is known: it is at most that old. */
static uint64_t ts_field_scope_age_ns(const struct ts_snapshot *s, const struct ts_domain_view *domain)
{
	return domain->oldest_since_ns ? ts_minus(s->target.boot_ns, domain->oldest_since_ns) : 0;
}

/* ---------------------------------------------------------------------------------------- the rows -- */

#define S (subject->snapshot)
#define C (subject->cls)
#define E (subject->epoch)
#define D (subject->domain)
#define W (subject->thread)
#define L (subject->close)
#define F (subject->failure)
#define B (subject->bucket)
#define G (subject->contention)
#define K(word) (C->counts->word)
#define N(word) (G->cls[C->index].word)
#define A(word) (S->class_total.word)
#define P(word) ts_a64_load_rlx(&S->process.w.word)
#define T(word) (S->thread_sum.word)

#define TYPE_U64 .type = TS_VALUE_U64, .u64
#define TYPE_KNOWN_U64 .type = TS_VALUE_KNOWN_U64, .u64
#define TYPE_I64 .type = TS_VALUE_I64, .i64
#define TYPE_F64 .type = TS_VALUE_F64, .f64
#define TYPE_BOOL .type = TS_VALUE_BOOL, .boolean
#define TYPE_TEXT .type = TS_VALUE_TEXT, .text

#define TS_FIELD(group_, name_, kind_, type_, unit_, metric_, value_, help_)                       \
	static struct ts_value value_of_##group_##_##name_(const struct ts_subject *subject)       \
	{                                                                                          \
		(void)subject;                                                                     \
		return (struct ts_value){ TYPE_##type_ = (value_) };                               \
	}
#include "obs/fields.def"

const struct ts_group ts_groups[TS_GROUP_COUNT] = {
	[TS_GROUP_SNAPSHOT] = { "", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_GLOBAL] = { "", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_LAST_CLOSE] = { "last_epoch_close", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_CLOSE] = { "closes", TS_GROUP_SNAPSHOT, true },
	[TS_GROUP_LABELS] = { "label_registry", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_FAILURES] = { "alloc_failures", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_RECENT] = { "recent", TS_GROUP_FAILURES, true },
	[TS_GROUP_SAMPLING] = { "sampling", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_TLS_CACHE] = { "tls_cache", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_BACKEND] = { "backend", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_SAFETY] = { "safety", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_INVALID_FREE] = { "invalid_free", TS_GROUP_SAFETY, false },
	[TS_GROUP_CLASS] = { "classes", TS_GROUP_SNAPSHOT, true },
	[TS_GROUP_CONTENTION] = { "contention_by_label", TS_GROUP_CLASS, true },
	[TS_GROUP_EPOCH] = { "epochs", TS_GROUP_SNAPSHOT, true },
	[TS_GROUP_DOMAIN] = { "domains", TS_GROUP_EPOCH, true },
	[TS_GROUP_THREAD] = { "threads", TS_GROUP_SNAPSHOT, true },
	[TS_GROUP_HIST] = { "hist", TS_GROUP_SNAPSHOT, false },
	[TS_GROUP_ALLOC_WALL] = { "alloc_wall_ns", TS_GROUP_HIST, true },
	[TS_GROUP_CLOSE_TIME] = { "epoch_close_ns", TS_GROUP_HIST, true },
	[TS_GROUP_LOCK_WAIT] = { "lock_wait_ns", TS_GROUP_HIST, true },
};

const char *ts_group_path(enum ts_field_group group, char *path, size_t path_bytes)
{
	const struct ts_group *g = &ts_groups[group];
	char above[96] = "";

	if (g->parent != TS_GROUP_SNAPSHOT)
		ts_group_path(g->parent, above, sizeof(above));
	snprintf(path, path_bytes, "%s%s%s%s", above, g->name, g->rows ? "[]" : "",
		 *g->name ? "." : "");
	return path;
}

const struct ts_field ts_fields[] = {
#define TS_FIELD(group_, name_, kind_, type_, unit_, metric_, value_, help_)                       \
	{ .group = TS_GROUP_##group_,                                                              \
	  .name = #name_,                                                                          \
	  .kind = #kind_,                                                                          \
	  .type = TS_VALUE_##type_,                                                                \
	  .unit = unit_,                                                                           \
	  .metric = metric_,                                                                       \
	  .help = help_,                                                                           \
	  .value = value_of_##group_##_##name_ },
#include "obs/fields.def"
};

const size_t ts_field_count = sizeof(ts_fields) / sizeof(ts_fields[0]);
