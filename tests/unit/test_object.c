/* SPDX-License-Identifier: MIT */
/* Objects: sizes, alignment, contents, realloc, large ones, owner. */
#include "support.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/redzone.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

/* One size: where it lies, what class serves it, that its bytes are its own. */
static void check_size(size_t bytes)
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	unsigned want = class_of(bytes ? bytes : 1);
	void *p = tslab_malloc(bytes);

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % TSLAB_ALIGNMENT, 0);
	size_t usable = tslab_usable_size(p);
	assert_true(usable >= bytes);
	assert_int_equal(tslab_owner(p, &info), 0);
	if (want < CLASS_COUNT) {
		assert_int_equal(info.class_index, want);
		assert_int_equal(usable, class_bytes[want]);
	} else {
		assert_int_equal(info.class_index, UINT32_MAX);
		assert_true(usable <= bytes + 64 * KIB);
	}
	assert_int_equal(info.object_bytes, usable);
	assert_ptr_equal(info.object, p);
	assert_int_equal(info.live, 1);
	fill(p, usable, bytes);
	assert_true(holds(p, usable, bytes));
	tslab_free(p);
}

static void class_boundaries(void **state)
{
	(void)state;
	check_size(0);
	check_size(1);
	for (unsigned i = 0; i < CLASS_COUNT; i++) {
		check_size(class_bytes[i] - 1);
		check_size(class_bytes[i]);
		check_size(class_bytes[i] + 1);
	}
	for (size_t bytes = 32 * KIB; bytes <= 8 * MIB; bytes *= 2) {
		check_size(bytes - 1);
		check_size(bytes);
		check_size(bytes + 1);
	}
}

static void every_small_size(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes <= 2048; bytes++)
		check_size(bytes);
}

static void zero_bytes_are_unique(void **state)
{
	(void)state;
	void *p = tslab_malloc(0), *q = tslab_malloc(0), *r = tslab_calloc(0, 10),
	     *s = tslab_calloc(10, 0);

	assert_true(p && q && r && s);
	assert_true(p != q && r != s && p != r && p != s && q != r && q != s);
	tslab_free(p);
	tslab_free(q);
	tslab_free(r);
	tslab_free(s);
}

static void impossible_sizes(void **state)
{
	(void)state;
	/* Through a volatile, for the compiler knows that these cannot be had. */
	volatile size_t too_big[] = { (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 4096,
				      PTRDIFF_MAX };
	tslab_epoch_t epoch = tslab_epoch_default(NULL);
	void *kept = tslab_malloc(100);

	fill(kept, 100, 8);
	for (unsigned i = 0; i < sizeof(too_big) / sizeof(too_big[0]); i++) {
		size_t bytes = too_big[i];

		assert_null_errno(tslab_malloc(bytes), ENOMEM);
		assert_null_errno(tslab_calloc(1, bytes), ENOMEM);
		assert_null_errno(tslab_calloc(bytes, bytes), ENOMEM);
		assert_null_errno(tslab_realloc(kept, bytes), ENOMEM);
		assert_null_errno(tslab_aligned_alloc(4096, bytes), ENOMEM);
		assert_null_errno(tslab_alloc(epoch, bytes), ENOMEM);
		assert_true(holds(kept, 100, 8));
	}
	assert_null_errno(tslab_calloc((volatile size_t){ SIZE_MAX / 2 }, 3), ENOMEM);
	assert_null_errno(tslab_calloc((volatile size_t){ (size_t)1 << 33 }, (size_t)1 << 33),
			  ENOMEM);
	tslab_free(kept);
}

static void calloc_zeroes_used_memory(void **state)
{
	(void)state;
	static const size_t sizes[] = { 16, 100, 768, 5000, 32768, 40000, 200000, 3000000 };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (unsigned round = 0; round < 5; round++) {
			unsigned char *p = tslab_calloc(sizes[i], 1);

			assert_non_null(p);
			for (size_t at = 0; at < sizes[i]; at++) {
				if (p[at])
					fail_msg("byte %zu of %zu is %d", at, sizes[i], p[at]);
			}
			memset(p, 0xa5, sizes[i]);
			tslab_free(p);
		}
	}
}

/* What the OS gives is zero: nobody touches it to make it so. Tags, and valgrind's redzones, do. */
static void calloc_leaves_fresh_memory_alone(void **state)
{
#if defined(TSLAB_MTE) || TSLAB_REDZONE == TS_REDZONE_VALGRIND
	(void)state;
#else
	enum { BYTES = 64 * MIB };
	static unsigned char is_there[BYTES / 4096];
	size_t pages = BYTES / (size_t)sysconf(_SC_PAGESIZE), there = 0;
	unsigned char *p = tslab_calloc(1, BYTES);

	(void)state;
	assert_non_null(p);
	assert_int_equal(mincore(p, BYTES, is_there), 0);
	for (size_t i = 0; i < pages; i++)
		there += is_there[i] & 1;
	assert_true(there < pages / 16);
	tslab_free(p);
#endif
}

static void aligned(void **state)
{
	(void)state;
	static const size_t bad[] = { 0, 3, 24, 100, 8 * MIB, ((size_t)1 << 63), SIZE_MAX };

	for (size_t alignment = 1; alignment <= 4 * MIB; alignment *= 2) {
		for (size_t bytes = 0; bytes <= 300000; bytes = bytes * 3 + 7) {
			void *p = tslab_aligned_alloc(alignment, bytes);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % alignment, 0);
			assert_int_equal((uintptr_t)p % TSLAB_ALIGNMENT, 0);
			assert_true(tslab_usable_size(p) >= bytes + !bytes);
			fill(p, bytes, alignment);
			assert_true(holds(p, bytes, alignment));
			tslab_free(p);
		}
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_counted(fail_invalid,
			       assert_null_errno(tslab_aligned_alloc(bad[i], 64), EINVAL));
}

/* The smallest class that is a multiple of the alignment serves it. */
static void aligned_classes(void **state)
{
	(void)state;
	for (size_t alignment = 1; alignment <= 8 * KIB; alignment *= 2) {
		for (size_t bytes = 0; bytes <= 32 * KIB; bytes += bytes < 2 * KIB ? 1 : 61) {
			struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
			void *p = tslab_aligned_alloc(alignment, bytes);
			uint32_t want = UINT32_MAX, smallest = UINT32_MAX;

			for (unsigned c = 0; c < CLASS_COUNT; c++) {
				if (class_bytes[c] % alignment == 0 && class_bytes[c] < smallest &&
				    class_bytes[c] >= bytes + TS_REDZONE_BYTES) {
					smallest = class_bytes[c];
					want = c;
				}
			}
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % alignment, 0);
			assert_int_equal(tslab_owner(p, &info), 0);
			assert_int_equal(info.class_index, want);
			tslab_free(p);
		}
	}
}

/* Several aligned objects at once must not share bytes, and each is freed by its own pointer. */
static void aligned_neighbours(void **state)
{
	(void)state;
	enum { COUNT = 64 };
	void *objects[COUNT];

	for (size_t alignment = 32; alignment <= 65536; alignment *= 2) {
		struct tslab_process_stats before = counters();

		for (unsigned i = 0; i < COUNT; i++) {
			objects[i] = tslab_aligned_alloc(alignment, 100 + i);
			assert_non_null(objects[i]);
			fill(objects[i], 100 + i, i);
		}
		for (unsigned i = 0; i < COUNT; i++) {
			assert_true(holds(objects[i], 100 + i, i));
			tslab_free(objects[i]);
		}
		struct tslab_process_stats after = counters();
		assert_int_equal(refusals(&after), refusals(&before));
		assert_int_equal(after.live_objects, before.live_objects);
	}
}

/* From every class to every other, and to large and back: the common part stays. */
static void realloc_across_classes(void **state)
{
	(void)state;
	static const size_t large[] = { 40000, 65536, 65537, 300000, 2 * MIB + 1 };
	enum { SIZES = CLASS_COUNT + 5 };
	size_t sizes[SIZES];

	for (unsigned i = 0; i < CLASS_COUNT; i++)
		sizes[i] = class_bytes[i] - i % 3;
	memcpy(sizes + CLASS_COUNT, large, sizeof(large));
	for (unsigned from = 0; from < SIZES; from++) {
		for (unsigned to = 0; to < SIZES; to++) {
			size_t less = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
			unsigned char *p = tslab_malloc(sizes[from]);

			assert_non_null(p);
			for (size_t at = 0; at < sizes[from]; at += 61)
				p[at] = (unsigned char)(at >> 3 ^ from);
			p = tslab_realloc(p, sizes[to]);
			assert_non_null(p);
			assert_true(tslab_usable_size(p) >= sizes[to]);
			for (size_t at = 0; at < less; at += 61)
				assert_int_equal(p[at], (unsigned char)(at >> 3 ^ from));
			tslab_free(p);
		}
	}
}

/* An array that grows by little is moved now and then only, unless a limit counts what it has beyond its need. */
static void realloc_growth(void **state)
{
	enum { FROM = 200000, TO = 4 << 20 };
	tslab_epoch_t epochs[2] = { new_epoch(NULL, "free"), new_epoch(NULL, "limited") };

	(void)state;
	assert_int_equal(tslab_epoch_set_limit(epochs[1], 64 << 20), 0);
	for (unsigned limited = 0; limited < 2; limited++) {
		unsigned moves = 0, steps = 0;
		char *p = tslab_alloc(epochs[limited], FROM);
		/* Behind it lies another one, so that it cannot grow where it is. */
		char *wall = tslab_alloc(epochs[limited], FROM);

		assert_true(p && wall);
		for (size_t bytes = FROM; bytes < TO; bytes += bytes / 16, steps++) {
			char *grown = tslab_realloc(p, bytes);

			assert_non_null(grown);
			assert_true(tslab_usable_size(grown) >= bytes);
			if (limited && grown != p)
				assert_true(tslab_usable_size(grown) < bytes + (64 << 10));
			if (grown != p) {
				moves++;
				tslab_free(wall);
				wall = tslab_alloc(epochs[limited], FROM);
			}
			p = grown;
		}
		assert_true(limited || moves < steps / 2);
		assert_int_equal(tslab_epoch_discard(epochs[limited]), 0);
	}
}

static void realloc_edges(void **state)
{
	(void)state;
	int local = 0;
	void *p = tslab_realloc(NULL, 100);

	assert_non_null(p);
	fill(p, 100, 1);
	/* 0 bytes: a minimal object, not a free. */
	p = tslab_realloc(p, 0);
	assert_non_null(p);
	assert_true(tslab_usable_size(p) >= 1);
	tslab_free(p);
	assert_refused(refused_double, assert_null_errno(tslab_realloc(p, 10), EINVAL));
	assert_refused(refused_foreign, assert_null_errno(tslab_realloc(&local, 10), EINVAL));
	p = tslab_malloc(64);
	fill(p, 64, 2);
	assert_refused(refused_wild, assert_null_errno(tslab_realloc((char *)p + 16, 10), EINVAL));
	assert_true(holds(p, 64, 2));
	tslab_free(p);
}

static void realloc_keeps_the_epoch(void **state)
{
	(void)state;
	tslab_epoch_t a = new_epoch(NULL, "a"), b = new_epoch(NULL, "b");
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	void *p = tslab_alloc(a, 30);
	assert_int_equal(tslab_domain_enter(b), 0);
	for (size_t bytes = 30; bytes < 5 * MIB; bytes = bytes * 2 + 5) {
		p = tslab_realloc(p, bytes);
		assert_non_null(p);
		assert_int_equal(tslab_owner(p, &info), 0);
		assert_int_equal(info.epoch, a);
	}
	tslab_free(p);
	assert_int_equal(live_objects(a), 0);
	assert_int_equal(live_objects(b), 0);
	assert_int_equal(tslab_domain_exit(b), 0);
	assert_int_equal(tslab_epoch_discard(a), 0);
	assert_int_equal(tslab_epoch_discard(b), 0);
}

static void *grow(void *arg)
{
	void **p = arg;
	void *q = tslab_realloc(*p, 10000);

	if (q)
		*p = q;
	return NULL;
}

/* Another thread resizes an object of a lane that this thread holds. */
static void realloc_of_another_threads_object(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "shared");
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };

	assert_int_equal(tslab_domain_enter(epoch), 0);
	unsigned char *p = tslab_malloc(128);
	memset(p, 0x3c, 128);
	on_thread(grow, &p);
	assert_true(tslab_usable_size(p) >= 10000);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(p[i], 0x3c);
	assert_int_equal(tslab_owner(p, &info), 0);
	assert_int_equal(info.epoch, epoch);
	tslab_free(p);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

static void large_objects(void **state)
{
	(void)state;
	enum { COUNT = 40 };
	void *objects[COUNT];
	size_t sizes[COUNT];
	uint64_t seed = 0x9e3779b97f4a7c15ull;

	tslab_epoch_t epoch = new_epoch(NULL, "large");
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			sizes[i] = 32 * KIB + 1 + rnd(&seed) % (i % 8 ? 500 * KIB : 6 * MIB);
			objects[i] = tslab_alloc(epoch, sizes[i]);
			assert_non_null(objects[i]);
			fill(objects[i], 4096, i);
			fill((char *)objects[i] + sizes[i] - 4096, 4096, ~i);
		}
		assert_int_equal(live_objects(epoch), COUNT);
		for (unsigned i = 0; i < COUNT; i++) {
			assert_true(holds(objects[i], 4096, i));
			assert_true(holds((char *)objects[i] + sizes[i] - 4096, 4096, ~i));
			tslab_free(objects[i]);
			assert_refused_somehow(tslab_free(objects[i]));
		}
	}
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

/* Slots are handed out again: a long life of one object costs what one object costs. */
static void reuse_is_bounded(void **state)
{
	(void)state;
	tslab_epoch_t epoch = new_epoch(NULL, "reuse");
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned i = 0; i < 300000; i++) {
		void *p = tslab_malloc(16 + i % 700);

		assert_non_null(p);
		tslab_free(p);
	}
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	assert_true(s.committed_bytes <= 1 * MIB);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

static void free_many_counts(void **state)
{
	(void)state;
	enum { COUNT = 1000 };
	void *objects[COUNT];
	tslab_epoch_t epochs[3];
	int local = 0;

	for (unsigned i = 0; i < 3; i++)
		epochs[i] = new_epoch(NULL, "batch");
	for (unsigned i = 0; i < COUNT; i++)
		objects[i] = i % 10 == 9 ? NULL : tslab_alloc(epochs[i % 3], 10 + i * 53 % 50000);
	assert_int_equal(tslab_free_many(objects, COUNT), COUNT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(live_objects(epochs[i]), 0);
	/* The same again: only the NULLs are accepted. */
	struct tslab_process_stats before = counters();
	assert_int_equal(tslab_free_many(objects, COUNT), COUNT / 10);
	struct tslab_process_stats after = counters();
	assert_int_equal(refusals(&after) - refusals(&before), COUNT - COUNT / 10);
	/* One object twice in one batch, and one that is nobody's. */
	void *p = tslab_alloc(epochs[0], 64);
	void *twice[] = { p, p, &local };
	assert_int_equal(tslab_free_many(twice, 3), 1);
	assert_int_equal(tslab_free_many(NULL, 0), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(tslab_epoch_close(epochs[i]), 0);
}

static void *free_batch(void *arg)
{
	void **objects = arg;

	return (void *)(uintptr_t)tslab_free_many(objects, 2000);
}

static void free_many_from_another_thread(void **state)
{
	(void)state;
	enum { COUNT = 2000 };
	static void *objects[COUNT];
	tslab_epoch_t epoch = new_epoch(NULL, "remote-batch");
	pthread_t thread;
	void *accepted;

	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			objects[i] = tslab_malloc(64 + i % 200);
			assert_non_null(objects[i]);
		}
		assert_int_equal(pthread_create(&thread, NULL, free_batch, objects), 0);
		assert_int_equal(pthread_join(thread, &accepted), 0);
		assert_int_equal((uintptr_t)accepted, COUNT);
	}
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

static void free_keeps_errno(void **state)
{
	(void)state;
	int local = 0;
	void *small = tslab_malloc(50), *large = tslab_malloc(3 * MIB);
	void *batch[] = { tslab_malloc(20), tslab_malloc(30) };

	errno = 4711;
	tslab_free(NULL);
	assert_int_equal(errno, 4711);
	tslab_free(small);
	assert_int_equal(errno, 4711);
	tslab_free(large);
	assert_int_equal(errno, 4711);
	tslab_free(small);
	assert_int_equal(errno, 4711);
	tslab_free(&local);
	assert_int_equal(errno, 4711);
	tslab_free_many(batch, 2);
	assert_int_equal(errno, 4711);
	tslab_free_many(batch, 2);
	assert_int_equal(errno, 4711);
}

/* From any address in it, wherever its slab has it. */
static void start_of_each_object(void **state)
{
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	tslab_epoch_t epoch = new_epoch(NULL, "starts");

	(void)state;
	for (unsigned c = 0; c < CLASS_COUNT; c++)
		for (unsigned i = 0; i < 20; i++) {
			char *p = tslab_alloc(epoch, class_bytes[c]);

			assert_non_null(p);
			assert_int_equal(tslab_owner(p + class_bytes[c] - 1, &info), 0);
			assert_ptr_equal(info.object, p);
			assert_true(info.live && info.object_bytes == class_bytes[c]);
		}
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

static void owner_of_addresses(void **state)
{
	(void)state;
	struct tslab_owner_info info = { .struct_bytes = sizeof(info) };
	tslab_heap *heap = new_heap("owner", 0, 0);
	tslab_epoch_t epoch = new_epoch(heap, "owned");
	char *p = tslab_alloc(epoch, 200), *large = tslab_alloc(epoch, 200000);
	int local = 0;

	assert_int_equal(tslab_owner(p, NULL), -EINVAL);
	info.struct_bytes = 0;
	assert_int_equal(tslab_owner(p, &info), -EINVAL);
	info.struct_bytes = sizeof(info);
	assert_int_equal(tslab_owner(NULL, &info), -ENOENT);
	assert_int_equal(tslab_owner(&local, &info), -ENOENT);
	assert_int_equal(tslab_owner((void *)UINTPTR_MAX, &info), -ENOENT);
	assert_int_equal(tslab_owner(p + 150, &info), 0);
	assert_ptr_equal(info.object, p);
	assert_int_equal(info.object_bytes, 224);
	assert_int_equal(info.live, 1);
	assert_int_equal(info.epoch, epoch);
	assert_string_equal(info.label, "owned");
	assert_string_equal(info.heap_name, "owner");
	assert_int_equal(tslab_owner(large + 199999, &info), 0);
	assert_ptr_equal(info.object, large);
	assert_int_equal(info.class_index, UINT32_MAX);
	assert_true(info.epoch_age_ns < 3600ull * 1000000000ull);
	tslab_free(p);
	/* Its memory may still be the epoch's, but nothing lives there. */
	if (tslab_owner(p, &info) == 0)
		assert_int_equal(info.live, 0);
	assert_int_equal(tslab_heap_destroy(heap), 0);
	assert_int_equal(tslab_owner(large, &info), -ENOENT);
}

/* Random sizes, random order, every object's bytes checked; figures balance at the end. */
static void random_mix(void **state)
{
	(void)state;
	enum { SLOTS = 3000, STEPS = 200000 };
	static struct {
		void *p;
		size_t bytes;
		uint64_t tag;
	} slots[SLOTS];
	uint64_t seed = 88172645463325252ull;
	tslab_epoch_t epoch = new_epoch(NULL, "mix");

	print_message("# seed %llu\n", (unsigned long long)seed);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)(rnd(&seed) % SLOTS);

		if (slots[i].p) {
			assert_true(holds(slots[i].p, slots[i].bytes, slots[i].tag));
			tslab_free(slots[i].p);
			slots[i].p = NULL;
		} else {
			slots[i].bytes = rnd(&seed) % (step % 50 ? 600 : 70000);
			slots[i].tag = rnd(&seed);
			slots[i].p = tslab_malloc(slots[i].bytes);
			assert_non_null(slots[i].p);
			fill(slots[i].p, slots[i].bytes, slots[i].tag);
		}
	}
	uint64_t live = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		live += slots[i].p != NULL;
	assert_int_equal(live_objects(epoch), live);
	for (unsigned i = 0; i < SLOTS; i++) {
		assert_true(!slots[i].p || holds(slots[i].p, slots[i].bytes, slots[i].tag));
		tslab_free(slots[i].p);
	}
	assert_int_equal(live_objects(epoch), 0);
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_close(epoch), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(class_boundaries),
		cmocka_unit_test(every_small_size),
		cmocka_unit_test(zero_bytes_are_unique),
		cmocka_unit_test(impossible_sizes),
		cmocka_unit_test(calloc_zeroes_used_memory),
		cmocka_unit_test(calloc_leaves_fresh_memory_alone),
		cmocka_unit_test(aligned),
		cmocka_unit_test(aligned_classes),
		cmocka_unit_test(aligned_neighbours),
		cmocka_unit_test(realloc_across_classes),
		cmocka_unit_test(realloc_growth),
		cmocka_unit_test(realloc_edges),
		cmocka_unit_test(realloc_keeps_the_epoch),
		cmocka_unit_test(realloc_of_another_threads_object),
		cmocka_unit_test(large_objects),
		cmocka_unit_test(reuse_is_bounded),
		cmocka_unit_test(free_many_counts),
		cmocka_unit_test(free_many_from_another_thread),
		cmocka_unit_test(free_keeps_errno),
		cmocka_unit_test(start_of_each_object),
		cmocka_unit_test(owner_of_addresses),
		cmocka_unit_test(random_mix),
	};

	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
