/* SPDX-License-Identifier: MIT */
#include "obs/snapshot.h"

#include <stdlib.h>
#include <string.h>

#define W(words, name) ts_a64_load_rlx(&(words)->name)

/* ---------------------------------------------------------------------------------------- growing -- */

/* Room for one more element; false when there is no memory. Doubles, so `count` tells when to grow. */
static bool grow(void **array, size_t count, size_t element_bytes)
{
	void *bigger;

	if (count & (count - 1) || (count && count < 16))
		return true;
	bigger = realloc(*array, (count < 16 ? 16 : 2 * count) * element_bytes);
	if (!bigger)
		return false;
	*array = bigger;
	return true;
}

#define APPEND(array, count)                                                                       \
	(grow((void **)&(array), (count), sizeof(*(array))) ? &(array)[(count)++] : NULL)

/* Most tables are in order already, as the blocks are. */
static void sort(void *array, size_t count, size_t element_bytes,
		 int (*compare)(const void *a, const void *b))
{
	const char *element = array;

	for (size_t i = 1; i < count; i++, element += element_bytes) {
		if (compare(element, element + element_bytes) <= 0)
			continue;
		qsort(array, count, element_bytes, compare);
		return;
	}
}

static void copy_text(char *to, size_t to_bytes, const char *from, size_t from_bytes)
{
	size_t length = strnlen(from, from_bytes < to_bytes ? from_bytes : to_bytes - 1);

	memcpy(to, from, length);
	memset(to + length, 0, to_bytes - length);
}

/* ---------------------------------------------------------------------------------------- walking -- */

/* What is of no kind that this reader knows is passed over. */
#define KIND(kind) ((uint64_t)1 << (kind))

static bool is_of(uint64_t kinds, uint32_t kind)
{
	return kind < 64 && (kinds >> kind & 1);
}

bool ts_snapshot_walk(struct ts_snapshot *s, const struct ts_chunk_view *chunk, uint64_t kinds,
		      ts_take_block *take)
{
	size_t at = 0;

	while (chunk->bytes - at >= TS_BLOCK_BYTES) {
		const struct ts_block_head *head = (const void *)((const char *)chunk->base + at);
		/* ORD-20 acquire: pairs with the release of the kind, the last word of a new block. */
		uint32_t kind = ts_a32_load_acq((const ts_a32 *)&head->kind);
		uint32_t slots = ts_a32_load_acq((const ts_a32 *)&head->slots);
		union ts_block_copy copy;

		if (kind == TS_BLOCK_NONE)
			break;
		if (slots == 0 || slots > (chunk->bytes - at) / TS_BLOCK_BYTES) {
			s->malformed++;
			break;
		}
		at += (size_t)slots * TS_BLOCK_BYTES;
		if (!is_of(kinds, kind))
			continue;
		if (!ts_blockread_length_ok(kind, slots)) {
			s->malformed++;
		} else {
			if (!ts_blockread_fit(head, slots, &s->shape, &copy))
				s->consistent = false;
			copy.head.kind = kind;
			copy.head.slots = slots;
			if (!take(s, &copy))
				return false;
		}
	}
	return true;
}

bool ts_snapshot_check_header(const struct ts_chunk_view *chunk, struct ts_block_header *header,
			      const char **why)
{
	union ts_block_copy copy;
	struct ts_shape shape;

	if (chunk->bytes < TS_BLOCK_BYTES) {
		*why = "shorter than a header";
		return false;
	}
	ts_blockread_copy(chunk->base, 1, &copy);
	*header = copy.header;
	header->version[sizeof(header->version) - 1] = '\0';
	header->features[sizeof(header->features) - 1] = '\0';
	if (header->build_id_bytes > sizeof(header->build_id))
		header->build_id_bytes = 0;
	if (memcmp(header->magic, TS_STATS_MAGIC, sizeof(header->magic)) != 0)
		*why = "none (wrong magic)";
	else if (header->endian != TS_STATS_ENDIAN)
		*why = "of another byte order";
	else if (header->major != TS_STATS_MAJOR)
		*why = "of another format version than this tool reads";
	else if (header->block_bytes != TS_BLOCK_BYTES || header->header_bytes > TS_BLOCK_BYTES ||
		 !ts_blockread_shape(header, &shape))
		*why = "inconsistent in its header";
	else
		return true;
	return false;
}

/* ------------------------------------------------------------------------- first pass: what there is -- */

static bool take_epochs(struct ts_snapshot *s, const struct ts_block_epochs *block)
{
	for (unsigned i = 0; i < TS_EPOCHS_PER_BLOCK; i++) {
		const struct ts_epoch_words *row = &block->row[i];
		const uint64_t label[] = { W(row, label0), W(row, label1), W(row, label2),
					   W(row, label3) };
		struct ts_epoch_view *epoch;

		if (!W(row, id))
			continue;
		epoch = APPEND(s->epochs, s->epoch_count);
		if (!epoch)
			return false;
		memset(epoch, 0, sizeof(*epoch));
		epoch->resident_bytes = TS_UNKNOWN;
		epoch->id = W(row, id);
		epoch->state = W(row, state);
		epoch->heap_id = W(row, heap_id);
		epoch->ring_index = W(row, ring_index);
		epoch->is_default = W(row, kind) == 1;
		epoch->label_id = W(row, label_id);
		copy_text(epoch->label, sizeof(epoch->label), (const char *)label, sizeof(label));
		epoch->open_since_ns = W(row, open_since_ns);
		epoch->close_since_ns = W(row, close_since_ns);
		epoch->limit_bytes = W(row, limit_bytes);
		epoch->charged_bytes = W(row, charged_bytes);
		epoch->references = W(row, references);
		epoch->abandoned = W(row, abandoned);
		epoch->abandoned_site = W(row, abandoned_site);
	}
	return true;
}

static bool take_sites(struct ts_snapshot *s, const struct ts_block_sites *block)
{
	for (unsigned i = 0; i < TS_SITES_PER_BLOCK; i++) {
		struct ts_site_view *site = APPEND(s->sites, s->site_count);

		if (!site)
			return false;
		site->module = block->site[i].module;
		site->offset = block->site[i].offset;
	}
	return true;
}

static bool take_module(struct ts_snapshot *s, const struct ts_block_module *block)
{
	struct ts_module_view *module = APPEND(s->modules, s->module_count);

	if (!module)
		return false;
	module->index = block->index;
	module->build_id_bytes =
		block->build_id_bytes <= sizeof(module->build_id) ? block->build_id_bytes : 0;
	memcpy(module->build_id, block->build_id, sizeof(module->build_id));
	copy_text(module->path, sizeof(module->path), block->path, sizeof(block->path));
	return true;
}

static void take_labels(struct ts_snapshot *s, const struct ts_block_labels *block)
{
	s->label_count = W(block, count) <= TS_LABEL_IDS ? W(block, count) : TS_LABEL_IDS;
	for (unsigned i = 0; i < TS_LABEL_IDS; i++)
		copy_text(s->labels[i], sizeof(s->labels[i]), block->text[i], sizeof(block->text[i]));
}

static bool take_thread(struct ts_snapshot *s, const struct ts_block_thread *block)
{
	struct ts_thread_view *thread = APPEND(s->threads, s->thread_count);

	if (!thread)
		return false;
#define TAKE(name) thread->name = W(&block->w, name);
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(THREAD, scope, TAKE(name))
#include "core/words.def"
#undef TAKE
	ts_blockread_add_thread(&s->thread_sum, block);
	ts_blockread_add_thread_classes(s->class_counts, block);
	return true;
}

static bool take_label(struct ts_snapshot *s, const struct ts_block_label *block)
{
	struct ts_contention_view *view;

	if (block->label_id >= TS_LABEL_IDS)
		return true;
	view = APPEND(s->contention, s->contention_count);
	if (!view)
		return false;
	view->label_id = block->label_id;
	for (unsigned i = 0; i < TS_CLASS_ROWS; i++) {
#define TAKE(name) view->cls[i].name = W(&block->cls[i], name);
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(LABEL_CLASS, scope, TAKE(name))
#include "core/words.def"
#undef TAKE
	}
	return true;
}

/* An entry is whole while its first and last word are the same number. */
static bool take_failures(struct ts_snapshot *s, const struct ts_block_failures *block)
{
	for (unsigned i = 0; i < TS_FAILURES_PER_BLOCK; i++) {
		const struct ts_failure_words *event = &block->event[i];
		const uint64_t label[] = { W(event, label0), W(event, label1), W(event, label2),
					   W(event, label3) };
		uint64_t what = W(event, what);
		struct ts_failure_view *view;

		if (!W(event, begin) || W(event, begin) != W(event, end))
			continue;
		view = APPEND(s->failures, s->failure_count);
		if (!view)
			return false;
		memset(view, 0, sizeof(*view));
		view->number = W(event, begin);
		view->time_ns = W(event, time_ns);
		view->epoch_id = W(event, epoch_id);
		view->bytes = W(event, bytes);
		view->reason = what & 0xff;
		view->cls = (what >> 8 & 0xff) - 1 < TS_CLASS_ROWS ? (what >> 8 & 0xff) - 1 :
								     TS_CLASS_ROWS;
		view->error = what >> 16 & 0xffff;
		view->site = what >> 32;
		view->tid = W(event, tid);
		copy_text(view->label, sizeof(view->label), (const char *)label, sizeof(label));
	}
	return true;
}

static bool take_closes(struct ts_snapshot *s, const struct ts_block_closes *block)
{
	for (unsigned i = 0; i < TS_CLOSES_PER_BLOCK; i++) {
		const struct ts_close_words *event = &block->event[i];
		const uint64_t label[] = { W(event, label0), W(event, label1), W(event, label2),
					   W(event, label3) };
		struct ts_close_view *view;

		if (!W(event, begin) || W(event, begin) != W(event, end))
			continue;
		view = APPEND(s->closes, s->close_count);
		if (!view)
			return false;
		copy_text(view->label, sizeof(view->label), (const char *)label, sizeof(label));
#define TAKE(name) view->name = W(event, name);
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLOSE, scope, TAKE(name))
#include "core/words.def"
#undef TAKE
	}
	return true;
}

#define TABLES                                                                                     \
	(KIND(TS_BLOCK_PROCESS) | KIND(TS_BLOCK_EPOCHS) | KIND(TS_BLOCK_SITES) |                   \
	 KIND(TS_BLOCK_MODULE) | KIND(TS_BLOCK_LABELS) | KIND(TS_BLOCK_THREAD) |                   \
	 KIND(TS_BLOCK_CLASSES) | KIND(TS_BLOCK_LABEL) | KIND(TS_BLOCK_FAILURES) |                 \
	 KIND(TS_BLOCK_CLOSES) | KIND(TS_BLOCK_HISTOGRAMS) | KIND(TS_BLOCK_HEAPS))

static bool take_tables(struct ts_snapshot *s, const union ts_block_copy *copy)
{
	switch (copy->head.kind) {
	case TS_BLOCK_PROCESS:
		s->process = copy->process;
		return true;
	case TS_BLOCK_EPOCHS:
		return take_epochs(s, &copy->epochs);
	case TS_BLOCK_SITES:
		return take_sites(s, &copy->sites);
	case TS_BLOCK_MODULE:
		return take_module(s, &copy->module);
	case TS_BLOCK_LABELS:
		take_labels(s, &copy->labels);
		return true;
	case TS_BLOCK_THREAD:
		return take_thread(s, &copy->thread);
	case TS_BLOCK_CLASSES:
		ts_blockread_add_classes(s->class_counts, &copy->classes);
		return true;
	case TS_BLOCK_LABEL:
		return take_label(s, &copy->label);
	case TS_BLOCK_FAILURES:
		return take_failures(s, &copy->failures);
	case TS_BLOCK_CLOSES:
		return take_closes(s, &copy->closes);
	case TS_BLOCK_HISTOGRAMS:
		for (unsigned i = 0; i < TS_HISTOGRAMS; i++)
			for (unsigned b = 0; b < TS_HISTOGRAM_BUCKETS; b++)
				s->times[i][b] += ts_a64_load_rlx(&copy->histograms.times[i][b]);
		return true;
	case TS_BLOCK_HEAPS:
		if (W(&copy->heaps.heap[0], id) == 1)
			s->current_epoch = W(&copy->heaps.heap[0], ring_current);
		return true;
	default:
		return true;
	}
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct ts_epoch_view *)a)->id, y = ((const struct ts_epoch_view *)b)->id;

	return (x > y) - (x < y);
}

static struct ts_epoch_view *find_epoch(struct ts_snapshot *s, uint64_t id)
{
	size_t low = 0, high = s->epoch_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->epochs[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->epoch_count && s->epochs[low].id == id ? &s->epochs[low] : NULL;
}

/* Whether a replaced b in its ring entry. Eras of different slots cannot be compared. */
static bool is_newer(const struct ts_epoch_view *a, const struct ts_epoch_view *b)
{
	/* Whoever replaces an epoch closes it. */
	if ((a->state == 1) != (b->state == 1))
		return a->state == 1;
	return a->open_since_ns > b->open_since_ns;
}

/* The newest epoch of a ring entry is what the entry names; older ones drain on their own. */
static bool find_current_ring(struct ts_snapshot *s)
{
	enum { HEAPS_MAX = 256, RING = 16 };
	struct ts_epoch_view **newest, **entry;
	size_t heaps = 0;

	for (size_t i = 0; i < s->epoch_count; i++)
		if (s->epochs[i].ring_index && s->epochs[i].heap_id < HEAPS_MAX &&
		    s->epochs[i].heap_id >= heaps)
			heaps = s->epochs[i].heap_id + 1;
	newest = calloc(heaps * RING + 1, sizeof(*newest));
	if (!newest)
		return false;
	for (size_t i = 0; i < s->epoch_count; i++) {
		struct ts_epoch_view *epoch = &s->epochs[i];

		if (!epoch->ring_index || epoch->ring_index > RING || epoch->heap_id >= heaps)
			continue;
		entry = &newest[epoch->heap_id * RING + epoch->ring_index - 1];
		if (!*entry || is_newer(epoch, *entry))
			*entry = epoch;
	}
	for (size_t i = 0; i < heaps * RING; i++) {
		if (!newest[i])
			continue;
		newest[i]->ring_current = true;
		s->ring_closing += i < RING && newest[i]->state != 1;
	}
	free(newest);
	return true;
}

/* ----------------------------------------------------------------- second pass: what belongs to whom -- */

static bool take_lane(struct ts_snapshot *s, const struct ts_block_lane *lane)
{
	struct ts_epoch_view *epoch = find_epoch(s, W(&lane->w, epoch_id));
	struct ts_lane_view *view;

	ts_blockread_add_lane(epoch ? epoch->lanes : &s->lanes, lane);
	ts_blockread_add_resting(s->resting_units, lane);
	if (!epoch)
		return true;
	view = APPEND(s->lane_views, s->lane_view_count);
	if (!view)
		return false;
	view->epoch = epoch;
	view->number = ts_a32_load_rlx(&lane->number);
	view->next = epoch->first_lane;
	epoch->first_lane = s->lane_view_count;
	view->thread_index = W(&lane->w, thread_index);
	view->enters = ts_minus(W(&lane->w, enters), W(&lane->w, enters_base));
	view->exits = ts_minus(W(&lane->w, exits), W(&lane->w, enters_base));
	return true;
}

/* By now the lanes of no epoch are in the total. */
static void sum_epochs(struct ts_snapshot *s)
{
	for (size_t i = 0; i < s->epoch_count; i++)
		ts_lane_sum_add(&s->lanes, s->epochs[i].lanes);
}

static bool make_epoch_sums(struct ts_snapshot *s)
{
	s->epoch_lanes = calloc(s->epoch_count + 1, sizeof(*s->epoch_lanes));
	for (size_t i = 0; s->epoch_lanes && i < s->epoch_count; i++)
		s->epochs[i].lanes = &s->epoch_lanes[i];
	return s->epoch_lanes != NULL;
}

/* Rows from `first` on belong to the same thread. */
static bool add_scope(struct ts_snapshot *s, size_t first, const struct ts_domain_view *scope)
{
	struct ts_domain_view *domain = NULL;

	for (size_t i = first; i < s->domain_count && !domain; i++)
		if (s->domains[i].epoch_id == scope->epoch_id && s->domains[i].site == scope->site)
			domain = &s->domains[i];
	if (domain) {
		domain->open += scope->open;
		if (scope->oldest_since_ns < domain->oldest_since_ns)
			domain->oldest_since_ns = scope->oldest_since_ns;
		return true;
	}
	domain = APPEND(s->domains, s->domain_count);
	if (!domain)
		return false;
	*domain = *scope;
	return true;
}

static bool take_scopes(struct ts_snapshot *s, const struct ts_block_thread *thread)
{
	uint64_t depth = W(&thread->w, depth);
	size_t first = s->domain_count;

	for (unsigned i = 0; i < TS_SCOPES_SHOWN && i < depth; i++) {
		struct ts_domain_view scope = {
			.epoch_id = W(&thread->scope[i], epoch_id),
			.site = W(&thread->scope[i], site),
			.tid = W(&thread->w, tid),
			.open = 1,
			.oldest_since_ns = W(&thread->scope[i], since_ns),
		};

		if (scope.epoch_id && find_epoch(s, scope.epoch_id) && !add_scope(s, first, &scope))
			return false;
	}
	return true;
}

#define OWNERS (KIND(TS_BLOCK_LANE) | KIND(TS_BLOCK_THREAD))

static bool take_owners(struct ts_snapshot *s, const union ts_block_copy *copy)
{
	if (copy->head.kind == TS_BLOCK_LANE)
		return take_lane(s, &copy->lane);
	if (copy->head.kind == TS_BLOCK_THREAD)
		return take_scopes(s, &copy->thread);
	return true;
}

/* Scopes whose thread has ended are known by number and last enter site only. */
static bool add_abandoned(struct ts_snapshot *s)
{
	for (size_t i = 0; i < s->epoch_count; i++) {
		struct ts_domain_view scope = {
			.epoch_id = s->epochs[i].id,
			.site = s->epochs[i].abandoned_site,
			.open = s->epochs[i].abandoned,
		};

		if (scope.open && !add_scope(s, s->domain_count, &scope))
			return false;
	}
	return true;
}

static int by_epoch_and_age(const void *a, const void *b)
{
	const struct ts_domain_view *x = a, *y = b;

	if (x->epoch_id != y->epoch_id)
		return x->epoch_id < y->epoch_id ? -1 : 1;
	return (x->oldest_since_ns > y->oldest_since_ns) - (x->oldest_since_ns < y->oldest_since_ns);
}

static void count_enters(const struct ts_snapshot *s, const struct ts_epoch_view *epoch,
			 struct ts_domain_view *domain)
{
	const struct ts_lane_view *lane;

	for (size_t next = epoch->first_lane; next; next = lane->next) {
		lane = &s->lane_views[next - 1];
		if (lane->thread_index - 1 < s->thread_count &&
		    s->threads[lane->thread_index - 1].tid == domain->tid) {
			domain->enters += lane->enters;
			domain->exits += lane->exits;
		}
	}
}

/* The place of a site, made on first use. NULL: unknown to the library, or more than anybody needs. */
static struct ts_place_view *find_place(struct ts_snapshot *s, uint64_t index)
{
	const struct ts_site_view *site = index < s->site_count ? &s->sites[index] : NULL;
	const struct ts_module_view *module = site ? ts_snapshot_module(s, site->module - 1) : NULL;
	struct ts_place_view *place;

	for (size_t i = 0; i < s->place_count; i++)
		if (s->places[i].site == index)
			return &s->places[i];
	if (!module || s->place_count == TS_PLACES_MAX)
		return NULL;
	place = &s->places[s->place_count++];
	place->site = index;
	place->offset = site->offset;
	memcpy(place->module, module->path, sizeof(place->module));
	for (unsigned i = 0; i < module->build_id_bytes; i++) {
		place->build_id[2 * i] = "0123456789abcdef"[module->build_id[i] >> 4];
		place->build_id[2 * i + 1] = "0123456789abcdef"[module->build_id[i] & 15];
	}
	return place;
}

static int newest_failure(const void *a, const void *b)
{
	uint64_t x = ((const struct ts_failure_view *)a)->number,
		 y = ((const struct ts_failure_view *)b)->number;

	return (x < y) - (x > y);
}

static int newest_close(const void *a, const void *b)
{
	uint64_t x = ((const struct ts_close_view *)a)->begin,
		 y = ((const struct ts_close_view *)b)->begin;

	return (x < y) - (x > y);
}

/* Of this epoch, while it drains; for the epoch that a ring entry names, of the entry's last one. */
static const struct ts_close_view *find_close(const struct ts_snapshot *s,
					      const struct ts_epoch_view *epoch)
{
	uint64_t place = epoch->ring_index | epoch->heap_id << 8;

	for (size_t i = 0; i < s->close_count; i++)
		if (s->closes[i].epoch_id == epoch->id ||
		    (epoch->ring_current && s->closes[i].what >> 8 == place))
			return &s->closes[i];
	return NULL;
}

static void finish_events(struct ts_snapshot *s)
{
	sort(s->failures, s->failure_count, sizeof(*s->failures), newest_failure);
	sort(s->closes, s->close_count, sizeof(*s->closes), newest_close);
	for (size_t i = 0; i < s->failure_count; i++)
		s->failures[i].place = find_place(s, s->failures[i].site);
	for (size_t i = 0; i < s->epoch_count; i++)
		s->epochs[i].last_close = find_close(s, &s->epochs[i]);
}

static bool finish_domains(struct ts_snapshot *s)
{
	size_t wanted = s->domain_count + s->failure_count;
	size_t places = wanted < TS_PLACES_MAX ? wanted : TS_PLACES_MAX;

	s->places = calloc(places + 1, sizeof(*s->places));
	if (!s->places)
		return false;
	sort(s->domains, s->domain_count, sizeof(*s->domains), by_epoch_and_age);
	for (size_t i = 0; i < s->domain_count; i++) {
		struct ts_epoch_view *epoch = find_epoch(s, s->domains[i].epoch_id);

		s->domains[i].place = find_place(s, s->domains[i].site);
		if (!epoch)
			continue;
		count_enters(s, epoch, &s->domains[i]);
		if (!epoch->domain_count++)
			epoch->first_domain = i;
	}
	return true;
}

static void sum_classes(struct ts_snapshot *s)
{
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		s->classes[i].units = s->lanes.units[i];
		s->classes[i].resting_units = s->resting_units[i];
	}
	for (unsigned i = 0; i < TS_CLASS_ROWS; i++) {
#define ADD(name) s->class_total.name += s->class_counts[i].name;
#define TS_WORD(scope, name, kind, unit, text) TS_OF_SCOPE(CLASS, scope, ADD(name))
#include "core/words.def"
#undef ADD
	}
}

static void take_class_table(struct ts_snapshot *s)
{
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++) {
		s->class_bytes[i] = s->header.size_class[i].object_bytes;
		s->classes[i].index = i;
		s->classes[i].object_bytes = s->class_bytes[i];
		s->classes[i].objects_per_slab = s->header.size_class[i].objects_per_slab;
		s->classes[i].units_per_slab = s->header.size_class[i].units_per_slab;
		s->classes[i].sum = &s->lanes.cls[i];
		s->classes[i].counts = &s->class_counts[i];
	}
}

bool ts_snapshot_read(struct ts_snapshot *s, const struct ts_target *target,
		      const struct ts_chunk_view *chunks, size_t chunk_count, const char **why)
{
	bool enough = true;

	memset(s, 0, sizeof(*s));
	s->target = *target;
	s->consistent = true;
	s->chunk_count = chunk_count;
	if (!chunk_count) {
		*why = "missing";
		return false;
	}
	if (!ts_snapshot_check_header(&chunks[0], &s->header, why))
		return false;
	ts_blockread_shape(&s->header, &s->shape);
	take_class_table(s);
	for (size_t i = 0; i < chunk_count; i++) {
		s->segment_bytes += chunks[i].bytes;
		enough = enough && ts_snapshot_walk(s, &chunks[i], TABLES, take_tables);
	}
	sort(s->epochs, s->epoch_count, sizeof(*s->epochs), by_id);
	s->open_epochs = s->epoch_count;
	enough = enough && find_current_ring(s) && make_epoch_sums(s);
	for (size_t i = 0; i < chunk_count; i++)
		enough = enough && ts_snapshot_walk(s, &chunks[i], OWNERS, take_owners);
	if (!enough || !add_abandoned(s) || !finish_domains(s)) {
		*why = "too large for the memory there is";
		return false;
	}
	finish_events(s);
	sum_epochs(s);
	sum_classes(s);
	return true;
}

void ts_snapshot_free(struct ts_snapshot *s)
{
	free(s->epochs);
	free(s->epoch_lanes);
	free(s->domains);
	free(s->places);
	free(s->sites);
	free(s->modules);
	free(s->threads);
	free(s->lane_views);
	free(s->contention);
	free(s->failures);
	free(s->closes);
	free(s->chunk_groups);
	memset(s, 0, sizeof(*s));
}

const struct ts_module_view *ts_snapshot_module(const struct ts_snapshot *s, uint32_t index)
{
	for (size_t i = 0; i < s->module_count; i++)
		if (s->modules[i].index == index)
			return &s->modules[i];
	return NULL;
}
