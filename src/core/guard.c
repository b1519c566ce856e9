/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <tslab/tslab.h>

#include "epoch.h"
#include "lock.h"
#include "os.h"
#include "process.h"
#include "report.h"
#include "site.h"
#include "slab.h"
#include "thread.h"

/* A guard object is an ordinary small one: what follows from being large never meets it. */
#define GUARD_MAX_BYTES TS_SMALL_MAX_BYTES
/* Between the object's end and the page's, where its alignment leaves some: looked at when it is freed. */
#define FILLER 0xa7

/* Changed under ts_lock_meta; a signal handler reads them as they are. */
struct slot {
	enum { UNUSED, LIVE, FREED, OVER } state;
	char *object;
	size_t bytes;
	void *twin;
	uint64_t ended; /* number of the free: the lowest is used again first */
	uint64_t epoch_id;
	uint32_t entered, allocated, freed; /* sites */
	char label[32];
};

struct ts_guard_area ts_guard_area;
static struct slot slots[TS_GUARD_SLOTS];
static uint64_t ends;
static bool refused; /* the OS had no address space: not tried again */

/* -- pages -------------------------------------------------------------------------------------- */

/* A page that traps, one that a slot uses, and so on; it ends with one that traps. */
static char *page_of(unsigned i)
{
	return (char *)ts_a64_load_rlx(&ts_guard_area.start) +
	       (2 * (size_t)i + 1) * ts_os_page_bytes();
}

static unsigned slot_of(const void *p)
{
	uint64_t page = ((uintptr_t)p - ts_a64_load_rlx(&ts_guard_area.start)) / ts_os_page_bytes();

	return (unsigned)(page / 2 < TS_GUARD_SLOTS ? page / 2 : TS_GUARD_SLOTS - 1);
}

/* Meta lock held. */
static bool area_ready(void)
{
	size_t bytes = (2 * TS_GUARD_SLOTS + 1) * ts_os_page_bytes();
	char *start;

	if (ts_a64_load_rlx(&ts_guard_area.bytes))
		return true;
	if (refused)
		return false;
	start = ts_os_reserve(bytes, TS_OS_PAGE_MAX_BYTES);
	/* One mapping where the kernel has guard pages, instead of two for each slot. */
	if (!start || ts_os_commit(start, bytes) || !ts_os_trap(start, bytes)) {
		refused = true;
		return false;
	}
	ts_a64_store_rlx(&ts_guard_area.start, (uintptr_t)start);
	ts_a64_store_rlx(&ts_guard_area.bytes, bytes);
	return true;
}

/* -- placing ------------------------------------------------------------------------------------ */

static uint64_t random_below(struct ts_thread *thread, uint64_t n)
{
	uint64_t x = thread->guard_random;

	if (!x)
		x = (uintptr_t)thread ^ ts_os_clock_ns() ^ thread->id << 32;
	x = x * 6364136223846793005u + 1442695040888963407u;
	thread->guard_random = x;
	return (x >> 33) % n;
}

/* One in `interval` on average, at no regular distance: a loop that allocates in turn is met everywhere. */
static bool due(struct ts_thread *thread, uint64_t interval)
{
	if (!thread->to_guard || thread->to_guard > 2 * interval)
		thread->to_guard = 1 + random_below(thread, 2 * interval - 1);
	return --thread->to_guard == 0;
}

/* Meta lock held. A slot that was never used, else the one that was freed first; NULL: all are in use. */
static struct slot *take_slot(void)
{
	struct slot *best = NULL;

	for (unsigned i = 0; i < TS_GUARD_SLOTS; i++) {
		if (slots[i].state == UNUSED)
			return &slots[i];
		if (slots[i].state != LIVE && (!best || slots[i].ended < best->ended))
			best = &slots[i];
	}
	return best;
}

/* Meta lock held. */
static void *occupy(struct slot *slot, void *twin, size_t bytes, size_t align, uint32_t site)
{
	uint64_t t = ts_range_granule(twin);
	struct ts_lane *lane =
		ts_lane_of_bin((struct ts_bin *)ts_a64_load_rlx(&ts_range.headers[t >> 9]));
	struct ts_epoch *epoch = ts_lane_epoch(lane);
	char *page = page_of((unsigned)(slot - slots));
	char *end = page + ts_os_page_bytes();
	const struct ts_scope *scope = ts_thread_scope_in(lane);

	if (!epoch || !ts_os_untrap(page, ts_os_page_bytes()))
		return twin;
	/* Ending it looks at the guard slots then (keep.h). */
	ts_a32_store_rlx(&epoch->altered, 1);
	slot->object = (char *)((uintptr_t)(end - (bytes ? bytes : 1)) & ~(uintptr_t)(align - 1));
	memset(slot->object + bytes, FILLER, (size_t)(end - slot->object) - bytes);
	slot->bytes = bytes;
	slot->twin = twin;
	slot->epoch_id = ts_a64_load_rlx(&lane->epoch_id);
	slot->entered = scope ? scope->site : 0;
	slot->allocated = site;
	slot->freed = 0;
	ts_epoch_label(epoch, slot->label);
	slot->state = LIVE;
	ts_a32_store_rlx(&ts_guard_area.live, ts_a32_load_rlx(&ts_guard_area.live) + 1);
	ts_count(guarded_objects, 1);
	return slot->object;
}

void *ts_guard_place_sampled(void *twin, size_t bytes, size_t align, const void *pc, uint64_t interval)
{
	struct ts_thread *thread = ts_tls.self;
	int saved = errno;
	struct slot *slot;
	uint32_t site;
	void *p = twin;

	if (!twin || !thread || thread->ending || bytes > GUARD_MAX_BYTES ||
	    bytes > ts_os_page_bytes() || align > ts_os_page_bytes() || !due(thread, interval))
		return twin;
	site = ts_site_id(pc);
	ts_lock(&ts_lock_meta);
	slot = area_ready() ? take_slot() : NULL;
	if (slot)
		p = occupy(slot, twin, bytes, align < TS_GRANULE_BYTES ? TS_GRANULE_BYTES : align,
			   site);
	if (p == twin)
		ts_count(guards_missed, 1);
	ts_unlock(&ts_lock_meta);
	errno = saved;
	return p;
}

/* -- ending ------------------------------------------------------------------------------------- */

/* Meta lock held. */
static void vacate(struct slot *slot, uint32_t site, bool over)
{
	char *page = page_of((unsigned)(slot - slots));

	(void)ts_os_trap(page, ts_os_page_bytes());
	slot->state = over ? OVER : FREED;
	slot->freed = site;
	slot->ended = ++ends;
	ts_a32_store_rlx(&ts_guard_area.live, ts_a32_load_rlx(&ts_guard_area.live) - 1);
}

static void report(const struct slot *slot, const char *what, const void *p)
{
	char entered[64], allocated[64], freed[64], detail[256];

	ts_site_describe(slot->entered, entered, sizeof(entered));
	ts_site_describe(slot->allocated, allocated, sizeof(allocated));
	ts_site_describe(slot->freed, freed, sizeof(freed));
	snprintf(detail, sizeof(detail), "size=%zu entered=%s allocated=%s freed=%s", slot->bytes,
		 slot->entered ? entered : "-", allocated, slot->freed ? freed : "-");
	ts_refused(.what = what, .label = slot->label, .address = (uintptr_t)p, .detail = detail);
}

/* Meta lock held: bytes behind the object, up to its page's end, that were changed. */
static void look_behind(const struct slot *slot)
{
	const char *end = page_of((unsigned)(slot - slots)) + ts_os_page_bytes();

	for (const char *p = slot->object + slot->bytes; p < end; p++) {
		if (*(const unsigned char *)p == FILLER)
			continue;
		ts_count(overflows_found, 1);
		report(slot, "overflow of an object", slot->object);
		return;
	}
}

void *ts_guard_free(void *p, const void *pc)
{
	struct slot *slot = &slots[slot_of(p)];
	uint32_t site = ts_site_id(pc);
	void *twin = NULL;

	ts_lock(&ts_lock_meta);
	if (slot->object != p) {
		ts_count(refused_wild, 1);
		report(slot, "free of a pointer that is no object's start", p);
	} else if (slot->state != LIVE) {
		ts_count(refused_double, 1);
		report(slot,
		       slot->state == OVER ? "free of an object whose epoch is over" : "double free",
		       p);
	} else {
		look_behind(slot);
		twin = slot->twin;
		vacate(slot, site, false);
	}
	ts_unlock(&ts_lock_meta);
	return twin;
}

void *ts_guard_twin(const void *p, size_t *bytes, const void **object)
{
	const struct slot *slot = &slots[slot_of(p)];
	void *twin = NULL;

	ts_lock(&ts_lock_meta);
	if (slot->state == LIVE && (const char *)p >= slot->object &&
	    (const char *)p <= slot->object + slot->bytes) {
		twin = slot->twin;
		*bytes = slot->bytes;
		*object = slot->object;
	}
	ts_unlock(&ts_lock_meta);
	return twin;
}

void ts_guard_end_epoch_on(uint64_t epoch_id)
{
	ts_lock(&ts_lock_meta);
	for (unsigned i = 0; i < TS_GUARD_SLOTS; i++)
		if (slots[i].state == LIVE && slots[i].epoch_id == epoch_id)
			vacate(&slots[i], 0, true);
	ts_unlock(&ts_lock_meta);
}

void ts_guard_recover(void)
{
	for (unsigned i = 0; i < TS_GUARD_SLOTS; i++)
		if (slots[i].state == LIVE && !tslab_usable_size(slots[i].twin))
			vacate(&slots[i], 0, true);
}

/* -- what an address was ------------------------------------------------------------------------ */

static void describe_site(uint32_t site, char text[64])
{
	text[0] = '\0';
	if (site)
		ts_site_describe(site, text, 64);
}

/* The slot that an access at this address was meant for: in a page that traps, the nearer one. */
static const struct slot *meant(uintptr_t address)
{
	size_t page_bytes = ts_os_page_bytes();
	size_t offset = address - ts_a64_load_rlx(&ts_guard_area.start);
	size_t page = offset / page_bytes;

	if (page % 2 == 0 && page &&
	    (offset % page_bytes < page_bytes / 2 || page / 2 == TS_GUARD_SLOTS))
		page--;
	return &slots[page / 2];
}

int tslab_guard_describe(const void *address, struct tslab_guard_info *info)
{
	const struct slot *slot;

	if (!info || info->struct_bytes != sizeof(*info))
		return -EINVAL;
	if (!ts_guard_owns(address))
		return -ENOENT;
	slot = meant((uintptr_t)address);
	if (slot->state == UNUSED)
		return -ENOENT;
	info->object = slot->object;
	info->object_bytes = slot->bytes;
	info->offset = (ptrdiff_t)((uintptr_t)address - (uintptr_t)slot->object);
	info->epoch = slot->epoch_id;
	info->state = slot->state == LIVE  ? TSLAB_GUARD_LIVE :
		      slot->state == FREED ? TSLAB_GUARD_FREED :
					     TSLAB_GUARD_ENDED;
	memcpy(info->label, slot->label, sizeof(info->label));
	describe_site(slot->entered, info->entered_at);
	describe_site(slot->allocated, info->allocated_at);
	describe_site(slot->freed, info->freed_at);
	return 0;
}
