/* SPDX-License-Identifier: MIT */
/*
 * family.c: what the malloc family promises, asked by a program under a preloaded libtslab-malloc.so.
 * Compiled with -fno-builtin: the compiler knows too much about malloc. The last tests misuse it on
 * purpose.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <regex.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <tslab/malloc.h>
#include <unistd.h>

#include "../tap.h"

enum { MIB = 1 << 20 };

/* Volatile: no compiler is to warn of what this program does on purpose. */
static volatile size_t too_much = (size_t)PTRDIFF_MAX + 1, all = SIZE_MAX, odd = 48;

static bool aligned(const void *p, size_t alignment)
{
	return p && (uintptr_t)p % alignment == 0;
}

static bool any_size(void)
{
	static char *objects[6000];
	bool ok = true;

	for (size_t i = 0; i < 6000; i++) {
		objects[i] = malloc(i);
		ok &= EXPECT(aligned(objects[i], 16) && malloc_usable_size(objects[i]) >= i);
		memset(objects[i], (int)(i % 251), malloc_usable_size(objects[i]));
	}
	for (size_t i = 0; i < 6000; i++) {
		for (size_t k = 0; k < i; k++)
			if ((unsigned char)objects[i][k] != i % 251)
				return EXPECT(!"an object keeps its contents");
		free(objects[i]);
	}
	return ok;
}

static bool nothing_is_something(void)
{
	void *p[] = { malloc(0),    malloc(0),        calloc(0, 5),
		      calloc(5, 0), realloc(NULL, 0), aligned_alloc(64, 0) };
	bool ok = true;

	for (unsigned i = 0; i < 6; i++) {
		ok &= EXPECT(p[i] != NULL);
		for (unsigned k = 0; k < i; k++)
			ok &= EXPECT(p[i] != p[k]);
	}
	for (unsigned i = 0; i < 6; i++)
		free(p[i]);
	return ok;
}

static int refused(const void *p)
{
	int error = errno;

	errno = 0;
	return EXPECT(!p) && EXPECT(error == ENOMEM);
}

static bool too_large(void)
{
	char *volatile p = malloc(10);
	bool ok = refused(malloc(too_much)) & refused(malloc(all)) & refused(calloc(too_much, 2)) &
		  refused(calloc(all / 4, 5)) & refused(realloc(NULL, too_much)) &
		  refused(memalign(4096, too_much)) & refused(pvalloc(all)) &
		  refused(valloc(too_much));

	strcpy(p, "kept");
	ok &= refused(realloc(p, too_much)) & refused(reallocarray(p, all / 4, 5));
	ok &= EXPECT(!strcmp(p, "kept"));
	free(p);
	return ok;
}

static bool resizing(void)
{
	size_t size = 1;
	char *p = realloc(NULL, size);
	bool ok = true;

	p[0] = 'x';
	while (size < 8 * MIB) {
		p = realloc(p, size * 3);
		memset(p + size, (int)(size % 251), size * 2);
		size *= 3;
	}
	for (size_t at = 1; at < size; at *= 3)
		ok &= EXPECT((unsigned char)p[at] == at % 251 &&
			     (unsigned char)p[at * 3 - 1] == at % 251);
	while (size > 3) {
		size /= 3;
		p = realloc(p, size);
		ok &= EXPECT((unsigned char)p[size - 1] == size / 3 % 251 &&
			     malloc_usable_size(p) >= size);
	}
	p = reallocarray(p, 100, 10);
	ok &= EXPECT(malloc_usable_size(p) >= 1000 && p[0] == 'x');
	return ok & EXPECT(!realloc(p, 0));
}

static bool alignments(void)
{
	static void *objects[1000];
	unsigned count = 0;
	bool ok = true;

	for (size_t alignment = 1; alignment <= 4 * MIB; alignment *= 2)
		for (size_t bytes = 1; bytes < 3 * MIB; bytes = bytes * 5 + 3) {
			void *p = NULL;

			objects[count++] = memalign(alignment, bytes);
			ok &= EXPECT(aligned(objects[count - 1], alignment));
			objects[count++] = aligned_alloc(alignment, bytes);
			ok &= EXPECT(aligned(objects[count - 1], alignment));
			if (alignment >= sizeof(void *))
				ok &= EXPECT(!posix_memalign(&p, alignment, bytes) &&
					     aligned(p, alignment));
			objects[count++] = p;
			ok &= EXPECT(count + 3 < 1000);
		}
	for (unsigned i = 0; i < count; i++) {
		if (objects[i])
			memset(objects[i], 0xaa, malloc_usable_size(objects[i]));
		free(objects[i]);
	}
	return ok;
}

static bool bad_alignments(void)
{
	void *p = &p;
	bool ok;

	errno = 77;
	ok = EXPECT(posix_memalign(&p, 3, 10) == EINVAL) &
	     EXPECT(posix_memalign(&p, 4, 10) == EINVAL) &
	     EXPECT(posix_memalign(&p, 0, 10) == EINVAL) &
	     EXPECT(posix_memalign(&p, 48, 10) == EINVAL) &
	     EXPECT(posix_memalign(&p, 64, too_much) == ENOMEM) & EXPECT(p == &p) &
	     EXPECT(errno == 77);
	ok &= EXPECT(!aligned_alloc(odd, 96)) & EXPECT(errno == EINVAL);
	p = memalign(odd, 96); /* as glibc: the next power of two */
	ok &= EXPECT(aligned(p, 64));
	free(p);
	return ok;
}

static bool pages(void)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *p = valloc(10), *q = pvalloc(1), *r = pvalloc(page_bytes + 1);
	bool ok = EXPECT(aligned(p, page_bytes)) & EXPECT(aligned(q, page_bytes)) &
		  EXPECT(aligned(r, page_bytes)) & EXPECT(malloc_usable_size(q) >= page_bytes) &
		  EXPECT(malloc_usable_size(r) >= 2 * page_bytes);

	free(p);
	free(q);
	free(r);
	return ok;
}

static bool zeroed(void)
{
	static const char zeroes[3 * MIB];
	bool ok = true;

	for (size_t bytes = 1; bytes <= sizeof(zeroes); bytes = bytes * 3 + 1)
		for (unsigned turn = 0; turn < 3; turn++) {
			void *p = calloc(1, bytes);

			ok &= EXPECT(p && !memcmp(p, zeroes, bytes));
			memset(p, 0xff, malloc_usable_size(p));
			free(p);
		}
	return ok;
}

static void *free_there(void *p)
{
	errno = 78;
	free(p);
	return errno == 78 ? p : NULL;
}

static bool free_leaves_errno(void)
{
	void *there = NULL;
	pthread_t thread;
	bool ok = true;

	for (size_t bytes = 1; bytes < 64 * MIB; bytes *= 4) {
		void *p = malloc(bytes), *q = malloc(bytes);

		errno = 77;
		free(p);
		ok &= EXPECT(errno == 77);
		ok &= EXPECT(!pthread_create(&thread, NULL, free_there, q) &&
			     !pthread_join(thread, &there));
		ok &= EXPECT(there == q);
	}
	errno = 77;
	free(NULL);
	return ok & EXPECT(errno == 77);
}

static bool other_names(void)
{
	static const char *const give[] = { "malloc", "__libc_malloc", "valloc", "__libc_valloc" };
	static const char *const take[] = { "free", "__libc_free", "cfree", "__libc_cfree" };
	bool ok = true;

	for (unsigned i = 0; i < 4; i++)
		for (unsigned k = 0; k < 4; k++) {
			void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, give[i]);
			void (*release)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, take[k]);

			ok &= EXPECT(allocate && release);
			if (allocate && release)
				release(memset(allocate(100), 1, 100));
		}
	return ok;
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Memory that the C library allocates and the program frees, and the other way round. */
static bool c_library(void)
{
	char *text = NULL, *line = NULL;
	size_t bytes = 0;
	int *numbers = malloc(300000 * sizeof(int));
	regex_t regex;
	FILE *file = open_memstream(&text, &bytes);
	bool ok = EXPECT(file != NULL);

	for (int i = 0; i < 300000; i++)
		numbers[i] = (int)((unsigned)i * 2654435761u >> 3);
	qsort(numbers, 300000, sizeof(int), by_value);
	for (int i = 0; i < 20000; i++)
		fprintf(file, "line %d\n", numbers[i * 15]);
	fclose(file);
	file = fmemopen(text, bytes, "r");
	bytes = 0;
	while (getline(&line, &bytes, file) > 0)
		ok &= !strncmp(line, "line ", 5);
	fclose(file);
	free(line);
	free(text);
	free(numbers);
	ok &= EXPECT(!regcomp(&regex, "(a|b)*c{2,40}[^x-z]+", REG_EXTENDED));
	ok &= EXPECT(!regexec(&regex, "ababccd", 0, NULL, 0));
	regfree(&regex);
	ok &= EXPECT(asprintf(&line, "%s %0500d", setlocale(LC_ALL, ""), 1) > 500);
	line = realloc(line, 10000);
	free(line);
	line = strdup("text");
	ok &= EXPECT(malloc_usable_size(line) >= 5);
	free(line);
	free(getcwd(NULL, 0));
	return ok;
}

static size_t resident_bytes(void)
{
	unsigned long total, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static bool trimming(void)
{
	struct mallinfo2 before = mallinfo2(), after;
	char *p = malloc(40 * MIB);
	size_t resident;
	bool ok;

	memset(p, 1, 40 * MIB);
	after = mallinfo2();
	ok = EXPECT(after.hblks == before.hblks + 1) &
	     EXPECT(after.hblkhd - before.hblkhd >= 40 * MIB) &
	     EXPECT(after.uordblks - before.uordblks >= 40 * MIB);
	free(p);
	ok &= EXPECT(mallinfo2().keepcost >= 40 * MIB) &
	      EXPECT(mallinfo().hblks == (int)before.hblks);
	resident = resident_bytes();
	ok &= EXPECT(malloc_trim(0) == 1) & EXPECT(mallinfo2().keepcost == 0) &
	      EXPECT(malloc_trim(0) == 0);
	return ok & EXPECT(resident - resident_bytes() >= 39 * MIB);
}

/* -- misuse ------------------------------------------------------------------------------------- */

static bool foreign_pointers(void)
{
	char *foreign = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t before = tslab_malloc_fallbacks();
	bool ok;

	strcpy(foreign, "mine");
	errno = 77;
	free(foreign);
	ok = EXPECT(errno == 77) & EXPECT(tslab_malloc_fallbacks() == before + 1);
	ok &= EXPECT(!realloc(foreign, 10)) & EXPECT(errno == EINVAL);
	ok &= EXPECT(malloc_usable_size(foreign) == 0);
	return ok & EXPECT(tslab_malloc_fallbacks() == before + 2) & EXPECT(!strcmp(foreign, "mine"));
}

static bool double_frees(void)
{
	char *volatile p = malloc(100);
	uint64_t before = tslab_malloc_fallbacks();
	char *q, *r;
	bool ok;

	usleep(200000); /* one line on stderr in 100 ms */
	free(p);
	free(p);
	q = malloc(100);
	r = malloc(100);
	ok = EXPECT(q != r) & EXPECT(tslab_malloc_fallbacks() == before);
	free(q + 16);
	strcpy(q, "kept");
	free(r);
	ok &= EXPECT(!strcmp(q, "kept"));
	free(q);
	return ok;
}

int main(void)
{
	tap_ok(tslab_malloc_fallbacks != NULL, "libtslab-malloc.so is preloaded");
	if (tap_failed)
		return tap_end();
	tap_ok(any_size(), "objects of any size are aligned and keep their contents");
	tap_ok(nothing_is_something(), "objects of no size are unique");
	tap_ok(too_large(), "what is too large is refused with ENOMEM, and nothing is lost");
	tap_ok(resizing(), "realloc keeps the contents; to nothing it frees");
	tap_ok(alignments(), "alignments up to 4 MiB");
	tap_ok(bad_alignments(), "alignments that are none are refused");
	tap_ok(pages(), "valloc and pvalloc");
	tap_ok(zeroed(), "calloc gives zeroes, also where memory is used again");
	tap_ok(free_leaves_errno(), "free leaves errno alone");
	tap_ok(other_names(), "all names of the family belong together");
	tap_ok(c_library(), "memory passes between the program and the C library");
	tap_ok(trimming(), "malloc_trim returns what is kept, and mallinfo tells it");
	tap_ok(tslab_malloc_fallbacks() == 0, "no fallback so far");
	tap_ok(foreign_pointers(), "foreign pointers are refused and counted");
	tap_ok(double_frees(), "second frees are refused and do no harm");
	return tap_end();
}
