/* SPDX-License-Identifier: MIT */
/* allocators.c: who is measured, and how a child finds the calls of its allocator. */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static char floor_buffer[1 << 20] __attribute__((aligned(64)));

static void *floor_allocate(size_t bytes)
{
	(void)bytes;
	return floor_buffer;
}

static void *floor_reallocate(void *object, size_t bytes)
{
	(void)bytes;
	return object;
}

static size_t floor_usable_bytes(const void *object)
{
	(void)object;
	return sizeof(floor_buffer);
}

static void floor_release(void *object)
{
	(void)object;
}

static void add(struct bench_allocators *set, const char *name, const char *preload,
		enum bench_kind kind)
{
	struct bench_allocator *allocator = &set->list[set->count];

	if (set->count == BENCH_ALLOCATORS_MAX)
		bench_die("more than %d allocators", BENCH_ALLOCATORS_MAX);
	if (bench_allocators_find(set, name))
		bench_die("two allocators are called %s", name);
	if (strlen(name) == 0 || strlen(name) >= sizeof(allocator->name))
		bench_die("an allocator's name has 1 to %zu characters: '%s'",
			  sizeof(allocator->name) - 1, name);
	strcpy(allocator->name, name);
	allocator->preload = preload;
	allocator->kind = kind;
	set->count++;
}

/* "NAME=FILE" or "FILE"; the loader finds a FILE without a slash. Nothing after a slash is a name. */
static void add_tslab(struct bench_allocators *set, const char *argument)
{
	size_t name_bytes = strcspn(argument, "=/");
	char name[BENCH_NAME_MAX] = "tslab";

	if (argument[name_bytes] != '=') {
		add(set, name, argument, BENCH_TSLAB);
		return;
	}
	if (name_bytes == 0 || name_bytes >= sizeof(name) || argument[name_bytes + 1] == '\0')
		bench_die("--tslab wants FILE or NAME=FILE, not '%s'", argument);
	memcpy(name, argument, name_bytes);
	name[name_bytes] = '\0';
	add(set, name, argument + name_bytes + 1, BENCH_TSLAB);
}

void bench_allocators_init(struct bench_allocators *set, const char *const *tslabs, unsigned count)
{
	set->count = 0;
	add(set, "floor", NULL, BENCH_FLOOR);
	for (unsigned i = 0; i < count; i++)
		add_tslab(set, tslabs[i]);
	if (count == 0)
		add_tslab(set, "libtslab.so.0");
	add(set, "glibc", NULL, BENCH_PEER);
	add(set, "jemalloc", "libjemalloc.so.2", BENCH_PEER);
	add(set, "tcmalloc", "libtcmalloc_minimal.so.4", BENCH_PEER);
	add(set, "mimalloc", "libmimalloc.so.2", BENCH_PEER);
	add(set, "mimalloc-heap", "libmimalloc.so.2", BENCH_PEER_HEAP);
}

void bench_allocators_add_peer(struct bench_allocators *set, const char *argument,
			       enum bench_kind kind)
{
	const char *equals = strchr(argument, '=');
	char name[BENCH_NAME_MAX] = "";
	char *file;

	if (!equals || equals == argument || (size_t)(equals - argument) >= sizeof(name))
		bench_die("a peer is NAME=FILE, not '%s'", argument);
	memcpy(name, argument, (size_t)(equals - argument));
	file = realpath(equals + 1, NULL);
	if (!file)
		bench_die("peer %s: no file %s", name, equals + 1);
	add(set, name, file, kind);
	set->list[set->count - 1].added = true;
}

static bool listed(const char *names, const char *name)
{
	size_t name_bytes = strlen(name);

	for (const char *at = names; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, name_bytes) == 0 &&
		    (at[name_bytes] == ',' || at[name_bytes] == '\0'))
			return true;
	}
	return false;
}

static void must_know_all(const struct bench_allocators *set, const char *option, const char *names)
{
	char copy[1024], *rest = NULL;

	if (strlen(names) >= sizeof(copy))
		bench_die("%s: the list is too long", option);
	strcpy(copy, names);
	for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
		if (!bench_allocators_find(set, name))
			bench_die("%s: no allocator is called '%s'", option, name);
}

void bench_allocators_keep(struct bench_allocators *set, const char *names)
{
	unsigned kept = 0;

	must_know_all(set, "--allocators", names);
	for (unsigned i = 0; i < set->count; i++)
		if (listed(names, set->list[i].name))
			set->list[kept++] = set->list[i];
	set->count = kept;
	if (kept == 0)
		bench_die("--allocators: none left");
}

void bench_allocators_compare(struct bench_allocators *set, const char *names)
{
	bool judged = false;

	must_know_all(set, "--compare", names ? names : "");
	for (unsigned i = 0; i < set->count; i++) {
		struct bench_allocator *allocator = &set->list[i];
		bool build = allocator->kind == BENCH_TSLAB;

		allocator->compared = (build && judged) || listed(names, allocator->name);
		judged = judged || build;
	}
}

const struct bench_allocator *bench_allocators_find(const struct bench_allocators *set,
						    const char *name)
{
	for (unsigned i = 0; i < set->count; i++)
		if (strcmp(set->list[i].name, name) == 0)
			return &set->list[i];
	return NULL;
}

static void *must_find(void *library, const struct bench_allocator *allocator, const char *symbol)
{
	void *address = dlsym(library, symbol);

	if (!address)
		bench_die("%s: %s has no %s", allocator->name,
			  allocator->preload ? allocator->preload : "libc", symbol);
	return address;
}

static void load_tslab(const struct bench_allocator *allocator, void *library,
		       struct bench_calls *calls)
{
	calls->allocate = must_find(library, allocator, "tslab_malloc");
	calls->reallocate = must_find(library, allocator, "tslab_realloc");
	calls->release = must_find(library, allocator, "tslab_free");
	calls->usable_bytes = must_find(library, allocator, "tslab_usable_size");
	calls->epoch_allocate = must_find(library, allocator, "tslab_alloc");
	calls->heap_create = must_find(library, allocator, "tslab_heap_create");
	calls->epoch_open = must_find(library, allocator, "tslab_epoch_open");
	calls->epoch_close = must_find(library, allocator, "tslab_epoch_close");
	calls->epoch_discard = must_find(library, allocator, "tslab_epoch_discard");
	calls->domain_enter = must_find(library, allocator, "tslab_domain_enter");
	calls->domain_exit = must_find(library, allocator, "tslab_domain_exit");
	calls->scope_begin = must_find(library, allocator, "tslab_scope_begin");
	calls->scope_close = must_find(library, allocator, "tslab_scope_close");
	calls->scope_discard = must_find(library, allocator, "tslab_scope_discard");
}

static void load_peer_heap(const struct bench_allocator *allocator, void *library,
			   struct bench_calls *calls)
{
	calls->peer_heap_new = must_find(library, allocator, "mi_heap_new");
	calls->peer_heap_allocate = must_find(library, allocator, "mi_heap_malloc");
	calls->peer_heap_destroy = must_find(library, allocator, "mi_heap_destroy");
}

/* The dynamic linker only warns about a file that it cannot preload: look who answers. */
static void check_preloaded(const struct bench_allocator *allocator, void *library,
			    const struct bench_calls *calls, char *file, size_t file_bytes)
{
	const void *address = (const void *)(uintptr_t)calls->allocate;
	char path[PATH_MAX];
	struct link_map *map;
	Dl_info info;

	if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !dladdr(address, &info))
		bench_die("%s: nobody knows who answers malloc", allocator->name);
	if (strcmp(map->l_name, info.dli_fname) != 0)
		bench_die("%s: %s has no malloc of its own", allocator->name, map->l_name);
	if (allocator->kind != BENCH_TSLAB && dlsym(RTLD_DEFAULT, "malloc") != address)
		bench_die("%s: malloc is answered by another library than %s", allocator->name,
			  map->l_name);
	snprintf(file, file_bytes, "%s", realpath(map->l_name, path) ? path : map->l_name);
}

void bench_allocators_load(const struct bench_allocator *allocator, struct bench_calls *calls,
			   char *file, size_t file_bytes)
{
	const char *name = allocator->preload ? allocator->preload : "libc.so.6";
	void *library;

	memset(calls, 0, sizeof(*calls));
	if (allocator->kind == BENCH_FLOOR) {
		calls->allocate = floor_allocate;
		calls->reallocate = floor_reallocate;
		calls->release = floor_release;
		calls->usable_bytes = floor_usable_bytes;
		snprintf(file, file_bytes, "-");
		return;
	}
	library = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
	if (!library)
		bench_die("%s: %s is not loaded (%s)", allocator->name, name, dlerror());
	if (allocator->kind == BENCH_TSLAB) {
		load_tslab(allocator, library, calls);
	} else {
		calls->allocate = must_find(library, allocator, "malloc");
		calls->reallocate = must_find(library, allocator, "realloc");
		calls->release = must_find(library, allocator, "free");
		calls->usable_bytes = must_find(library, allocator, "malloc_usable_size");
	}
	if (allocator->kind == BENCH_PEER_HEAP)
		load_peer_heap(allocator, library, calls);
	check_preloaded(allocator, library, calls, file, file_bytes);
}
