/* SPDX-License-Identifier: MIT */
#include "obs/fields.h"

#include <elf.h>
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

static uint64_t ts_field_chunk_units(const struct ts_snapshot *s, uint64_t chunks)
{
	return s->header.slab_unit_bytes ?
		       chunks * (s->header.chunk_bytes / s->header.slab_unit_bytes) :
		       0;
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

static const char *ts_field_site(const struct ts_domain_view *domain)
{
	if (!domain->place)
		return "";
	snprintf(text, sizeof(text), "%s+0x%llx", domain->place->module,
		 (unsigned long long)domain->place->offset);
	return text;
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
#define P(word) ts_a64_load_rlx(&S->process.w.word)
#define T(word) (S->thread_sum.word)

#define TYPE_U64 .type = TS_VALUE_U64, .u64
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
