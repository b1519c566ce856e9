/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a sequence of calls against a model that knows what each must return. Any difference, and
 * any object that is damaged, aborts. One byte names a call, the next ones its arguments; the calls are those
 * of one thread. See fuzz.h for how it is run.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

#include "fuzz.h"

enum { EPOCHS = 6, OBJECTS = 48, HANDLES = 16, DEPTH = 8, NO_EPOCH = -1 };
enum state { NEVER, OPEN, CLOSING, OVER };

static struct epoch {
	tslab_epoch_t id;
	enum state state;
	unsigned live, inside;
	bool limited;
} epochs[EPOCHS];

static struct object {
	unsigned char *p;
	size_t bytes;
	int epoch; /* NO_EPOCH: the default one of the process */
	unsigned char mark;
} objects[OBJECTS];

static struct handle {
	tslab_handle_t handle;
	int epoch;
	bool live;
	unsigned char mark;
} handles[HANDLES];

static int scopes[DEPTH];
static unsigned depth, default_live;
static tslab_heap *heap;
static const uint8_t *at, *end;
uint64_t fuzz_operations;

static void fail(const char *what, int line)
{
	fprintf(stderr, "api.c:%d: %s\n", line, what);
	abort();
}
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail(#condition, __LINE__);                                                \
	} while (0)

static unsigned byte(void)
{
	return at < end ? *at++ : 0;
}

static size_t size(void)
{
	static const size_t most[] = { 64, 1024, 8192, 40000, 300000, 64, 256, 768 };
	unsigned pick = byte();

	return most[pick % 8] * (1 + byte()) / 256;
}

static uint64_t refusals(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };

	MUST(tslab_stats_process(&s) == 0);
	return s.refused_double + s.refused_wild + s.refused_foreign + s.refused_stale_handle +
	       s.refused_wrong_handle;
}

/* --------------------------------------------------------------------------------------- epochs -- */

static void maybe_over(struct epoch *e)
{
	if (e->state == CLOSING && !e->live && !e->inside)
		e->state = OVER;
}

static int refused_state(const struct epoch *e)
{
	return e->state == CLOSING ? -EALREADY : -ESTALE;
}

static void gone(int index)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		if (objects[i].p && objects[i].epoch == index)
			objects[i].p = NULL;
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i].epoch == index)
			handles[i].live = false;
	epochs[index].live = 0;
	epochs[index].state = OVER;
}

/* Handles of an older epoch in this place are stale for ever, and forgotten. */
static void is_open(int index)
{
	epochs[index].state = OPEN;
	epochs[index].live = epochs[index].inside = 0;
	epochs[index].limited = false;
	for (unsigned i = 0; i < HANDLES; i++)
		if (handles[i].epoch == index)
			handles[i].handle = TSLAB_HANDLE_NONE;
}

static bool place_is_free(int index)
{
	return epochs[index].state == NEVER || epochs[index].state == OVER;
}

static void do_open(void)
{
	int index = (int)(byte() % EPOCHS);

	if (!place_is_free(index))
		return;
	MUST(tslab_epoch_open(heap, "fuzz", &epochs[index].id) == 0);
	is_open(index);
}

static void do_close(void)
{
	struct epoch *e = &epochs[byte() % EPOCHS];
	int result;

	if (e->state == NEVER)
		return;
	result = tslab_epoch_close(e->id);
	MUST(result == (e->state == OPEN ? 0 : refused_state(e)));
	if (!result)
		e->state = CLOSING;
	maybe_over(e);
}

static void do_discard(void)
{
	int index = (int)(byte() % EPOCHS), result;
	struct epoch *e = &epochs[index];

	if (e->state == NEVER)
		return;
	result = tslab_epoch_discard(e->id);
	MUST(result == (e->state != OPEN ? refused_state(e) : e->inside ? -EBUSY : 0));
	if (!result)
		gone(index);
}

static void push(int index)
{
	scopes[depth++] = index;
	epochs[index].inside++;
}

static void do_enter(void)
{
	int index = (int)(byte() % EPOCHS);
	struct epoch *e = &epochs[index];

	if (e->state == NEVER || depth == DEPTH)
		return;
	MUST(tslab_domain_enter(e->id) == (e->state == OPEN ? 0 : -ESTALE));
	if (e->state == OPEN)
		push(index);
}

/* The innermost scope of the epoch goes; what the call must return. */
static int leave(int index)
{
	unsigned i = depth;

	while (i && scopes[i - 1] != index)
		i--;
	if (!i)
		return -EINVAL;
	memmove(&scopes[i - 1], &scopes[i], (depth - i) * sizeof(scopes[0]));
	epochs[index].inside--;
	return i == depth-- ? 0 : -EPERM;
}

static void do_exit(void)
{
	int index = (int)(byte() % EPOCHS);

	if (epochs[index].state == NEVER)
		return;
	MUST(tslab_domain_exit(epochs[index].id) == leave(index));
	maybe_over(&epochs[index]);
}

static void do_begin(void)
{
	static const char *const labels[] = { "one", "two", NULL };
	int index = (int)(byte() % EPOCHS);

	if (!place_is_free(index) || depth == DEPTH)
		return;
	MUST(tslab_scope_begin(heap, labels[byte() % 3], &epochs[index].id) == 0);
	is_open(index);
	push(index);
}

/* Where two errors are possible at once, either is right: such calls are left out. */
static void do_end(void)
{
	int index = (int)(byte() % EPOCHS), expected;
	bool discard = byte() & 1;
	struct epoch *e = &epochs[index];

	if (e->state != OPEN || (e->inside > 1 && scopes[depth - 1] != index))
		return;
	expected = leave(index);
	if (expected != -EINVAL && discard && e->inside)
		expected = -EBUSY;
	MUST((discard ? tslab_scope_discard : tslab_scope_close)(e->id) == expected);
	if (expected == -EINVAL || expected == -EBUSY)
		return;
	if (discard)
		gone(index);
	else
		e->state = CLOSING;
	maybe_over(e);
}

static void do_limit(void)
{
	struct epoch *e = &epochs[byte() % EPOCHS];

	if (e->state != OPEN)
		return;
	MUST(tslab_epoch_set_limit(e->id, (uint64_t)byte() << 14) == 0);
	e->limited = true;
}

static void do_advance(void)
{
	tslab_epoch_t now = TSLAB_EPOCH_NONE;

	MUST(tslab_epoch_advance(heap, &now) == 0);
	MUST(tslab_epoch_current(heap) == now);
}

/* -------------------------------------------------------------------------------------- objects -- */

static void check_object(const struct object *o)
{
	size_t stride = o->bytes > 4096 ? 509 : 1;

	for (size_t i = 0; i < o->bytes; i += stride)
		MUST(o->p[i] == o->mark);
	MUST(o->bytes == 0 || o->p[o->bytes - 1] == o->mark);
	MUST(tslab_usable_size(o->p) >= o->bytes);
}

static unsigned *live_of(int epoch)
{
	return epoch == NO_EPOCH ? &default_live : &epochs[epoch].live;
}

/* An allocation came back: right or wrong in the state of its epoch. */
static bool allowed(const void *p, int epoch)
{
	const struct epoch *e = epoch == NO_EPOCH ? NULL : &epochs[epoch];

	if (e && e->state != OPEN) {
		MUST(!p && errno == ESTALE);
		return false;
	}
	MUST(p || (e && e->limited && errno == ENOMEM));
	MUST(((uintptr_t)p & (TSLAB_ALIGNMENT - 1)) == 0);
	return p != NULL;
}

static void keep(struct object *o, void *p, size_t bytes, int epoch)
{
	static unsigned char mark;

	o->p = p;
	o->bytes = bytes;
	o->epoch = epoch;
	o->mark = ++mark;
	memset(p, o->mark, bytes);
	++*live_of(epoch);
}

static void do_allocate(void)
{
	struct object *o = &objects[byte() % OBJECTS];
	unsigned how = byte();
	int epoch = depth ? scopes[depth - 1] : NO_EPOCH;
	size_t bytes = size();
	unsigned char *p;

	if (o->p)
		return;
	errno = 0;
	if (how % 4 == 0) {
		epoch = (int)(how / 4 % EPOCHS);
		if (epochs[epoch].state == NEVER)
			return;
		p = tslab_alloc(epochs[epoch].id, bytes);
	} else if (how % 4 == 1) {
		size_t align = (size_t)1 << how / 4 % 14;

		p = tslab_aligned_alloc(align, bytes);
		MUST(((uintptr_t)p & (align - 1)) == 0);
	} else if (how % 4 == 2) {
		p = tslab_calloc(1, bytes);
		for (size_t i = 0; p && i < bytes; i++)
			MUST(p[i] == 0);
	} else {
		p = tslab_malloc(bytes);
	}
	if (allowed(p, epoch))
		keep(o, p, bytes, epoch);
}

static void do_realloc(void)
{
	struct object *o = &objects[byte() % OBJECTS];
	size_t bytes = size();
	struct object was = *o;
	unsigned char *p;

	if (!o->p)
		return;
	check_object(o);
	errno = 0;
	p = tslab_realloc(o->p, bytes);
	if (!p) {
		const struct epoch *e = &epochs[o->epoch < 0 ? 0 : o->epoch];

		MUST(o->epoch >= 0);
		MUST((e->state == CLOSING && errno == ESTALE) || (e->limited && errno == ENOMEM));
		check_object(o);
		return;
	}
	o->p = p;
	o->bytes = bytes < was.bytes ? bytes : was.bytes;
	check_object(o);
	--*live_of(o->epoch);
	keep(o, p, bytes, o->epoch);
}

static void forget(struct object *o)
{
	--*live_of(o->epoch);
	if (o->epoch != NO_EPOCH)
		maybe_over(&epochs[o->epoch]);
	o->p = NULL;
}

static void do_free(void)
{
	struct object *o = &objects[byte() % OBJECTS];
	unsigned how = byte();
	unsigned char *p = o->p;
	uint64_t before;

	if (!p)
		return;
	check_object(o);
	before = refusals();
	if (how % 4 == 0 && o->bytes > 32) {
		tslab_free(p + 1 + how / 4 % 31);
		MUST(refusals() == before + 1);
		check_object(o);
		return;
	}
	tslab_free(p);
	MUST(refusals() == before);
	forget(o);
	if (how % 4 == 1) {
		tslab_free(p);
		MUST(refusals() == before + 1);
	}
}

static void do_free_many(void)
{
	void *batch[OBJECTS];
	unsigned first = byte() % OBJECTS, count = byte() % OBJECTS, taken = 0;

	for (unsigned i = 0; i < count; i++) {
		struct object *o = &objects[(first + i) % OBJECTS];

		if (!o->p)
			continue;
		check_object(o);
		batch[taken++] = o->p;
		forget(o);
	}
	MUST(tslab_free_many(batch, taken) == taken);
}

static void do_owner(void)
{
	const struct object *o = &objects[byte() % OBJECTS];
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	if (!o->p)
		return;
	MUST(tslab_owner(o->p + (o->bytes ? byte() % o->bytes : 0), &info) == 0);
	MUST(info.object == o->p && info.live && info.object_bytes >= o->bytes);
	MUST(o->epoch == NO_EPOCH || info.epoch == epochs[o->epoch].id);
}

/* -------------------------------------------------------------------------------------- handles -- */

static void do_handle_alloc(void)
{
	struct handle *h = &handles[byte() % HANDLES];
	int epoch = (int)(byte() % EPOCHS), result;
	struct epoch *e = &epochs[epoch];
	static unsigned char mark;

	if (h->live || e->state == NEVER)
		return;
	result = tslab_handle_alloc(e->id, 1 + byte() * 8, &h->handle);
	if (e->state != OPEN || result) {
		MUST(result == (e->state == OPEN ? -ENOMEM : -ESTALE));
		MUST(e->state != OPEN || e->limited);
		h->handle = TSLAB_HANDLE_NONE;
		return;
	}
	h->epoch = epoch;
	h->live = true;
	h->mark = ++mark;
	e->live++;
	*(unsigned char *)tslab_handle_get(heap, h->handle) = h->mark;
}

static void do_handle_use(void)
{
	struct handle *h = &handles[byte() % HANDLES];
	unsigned char *p;

	if (h->handle == TSLAB_HANDLE_NONE)
		return;
	p = tslab_handle_get(heap, h->handle);
	MUST(h->live ? p && *p == h->mark : !p);
	if (byte() & 1)
		return;
	MUST(tslab_handle_free(heap, h->handle) == (h->live ? 0 : -ESTALE));
	if (!h->live)
		return;
	h->live = false;
	epochs[h->epoch].live--;
	maybe_over(&epochs[h->epoch]);
}

/* ------------------------------------------------------------------------------------ the whole -- */

static void do_check(void)
{
	for (unsigned i = 0; i < EPOCHS; i++) {
		struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };
		int result;

		if (epochs[i].state == NEVER)
			continue;
		result = tslab_stats_epoch(epochs[i].id, &s);
		MUST(result == (epochs[i].state == OVER ? -ESTALE : 0));
		MUST(result ||
		     (s.live_objects == epochs[i].live && s.open_scopes == epochs[i].inside));
	}
	MUST(tslab_domain_current() == (depth ? epochs[scopes[depth - 1]].id : TSLAB_EPOCH_NONE));
}

static void finish(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };

	do_check();
	while (depth) {
		int index = scopes[depth - 1];

		MUST(tslab_domain_exit(epochs[index].id) == leave(index));
		maybe_over(&epochs[index]);
	}
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (!objects[i].p)
			continue;
		check_object(&objects[i]);
		tslab_free(objects[i].p);
		forget(&objects[i]);
	}
	do_check();
	MUST(tslab_heap_destroy(heap) == 0);
	MUST(tslab_stats_process(&s) == 0);
	MUST(s.live_objects == 0 && s.allocations == s.frees && default_live == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static void (*const calls[])(void) = {
		do_allocate, do_free,      do_open,         do_enter,      do_allocate, do_exit,
		do_begin,    do_end,       do_handle_alloc, do_handle_use, do_realloc,  do_close,
		do_discard,  do_free_many, do_check,        do_owner,      do_limit,    do_advance,
	};
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	at = data;
	end = data + bytes;
	memset(epochs, 0, sizeof(epochs));
	memset(objects, 0, sizeof(objects));
	memset(handles, 0, sizeof(handles));
	depth = default_live = 0;
	options.retain_bytes = byte() & 1 ? 0 : TSLAB_RETAIN_DEFAULT_BYTES;
	heap = tslab_heap_create(&options);
	MUST(heap);
	while (at < end) {
		calls[byte() % (sizeof(calls) / sizeof(calls[0]))]();
		fuzz_operations++;
	}
	finish();
	return 0;
}
