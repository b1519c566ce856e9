/* SPDX-License-Identifier: MIT */
/* The stats segment of this process: who may read it, that nobody may write it, fork, and its absence. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/control.h"
#include "obs/format.h"
#include "tslab/stats.h"

static const char *self_path;

/* Number of a chunk's descriptor in this process, -1 if there is none. */
static int find_chunk_fd(const char *name)
{
	char wanted[64], path[64], link[128];
	const struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	int found = -1;

	assert_non_null(dir);
	snprintf(wanted, sizeof(wanted), "/memfd:%s (deleted)", name);
	while ((entry = readdir(dir))) {
		ssize_t length;

		snprintf(path, sizeof(path), "/proc/self/fd/%.20s", entry->d_name);
		length = readlink(path, link, sizeof(link) - 1);
		link[length > 0 ? length : 0] = '\0';
		if (!strcmp(link, wanted))
			found = atoi(entry->d_name);
	}
	closedir(dir);
	return found;
}

/* The segment as a reader sees it: a descriptor of its own. */
static int open_as_reader(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void use_library(void)
{
	void *object = tslab_malloc(100);

	assert_non_null(object);
	tslab_free(object);
}

static int segment_fd(void)
{
	int fd;

	use_library();
	fd = find_chunk_fd(TS_STATS_NAME);
	assert_true(fd >= 0);
	return fd;
}

static void test_sealed(void **state)
{
	int fd = segment_fd(), reader = open_as_reader(fd);
	char byte = 0;
	struct stat st;
	void *map;

	(void)state;
	assert_true(reader >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0400);
	assert_int_equal(st.st_size % TS_BLOCK_BYTES, 0);
	assert_int_equal(fcntl(fd, F_GET_SEALS),
			 F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);

	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, reader, 0);
	assert_true(map != MAP_FAILED);
	assert_memory_equal((char *)map + offsetof(struct ts_block_header, magic), TS_STATS_MAGIC, 8);
	munmap(map, (size_t)st.st_size);

	/* Not even through the owner's descriptor, which was opened for writing. */
	assert_int_equal(pwrite(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_true(mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
		    MAP_FAILED);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, st.st_size * 2), -1);
	assert_int_equal(errno, EPERM);
	close(reader);
}

static void test_header(void **state)
{
	struct ts_block_header header;
	int fd = segment_fd();

	(void)state;
	assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(header.head.kind, TS_BLOCK_HEADER);
	assert_memory_equal(header.magic, TS_STATS_MAGIC, 8);
	assert_true(header.endian == TS_STATS_ENDIAN);
	assert_int_equal(header.major, TS_STATS_MAJOR);
	assert_int_equal(header.arch_machine, TS_ARCH_ELF_MACHINE);
	assert_int_equal(header.pid, getpid());
	assert_int_equal(header.page_bytes, sysconf(_SC_PAGESIZE));
	assert_string_equal(header.version, tslab_version());
	assert_int_equal(header.class_count, TSLAB_CLASS_COUNT);
	for (unsigned i = 0; i < TSLAB_CLASS_COUNT; i++) {
		struct tslab_class_stats cls = { .struct_bytes = sizeof(cls) };

		assert_int_equal(tslab_stats_class(i, &cls), 0);
		assert_int_equal(header.size_class[i].object_bytes, cls.object_bytes);
		assert_int_equal(header.size_class[i].objects_per_slab, cls.objects_per_slab);
	}
	assert_true(header.build_id_bytes > 0);
}

static const char *const field_names[] = {
#define TS_WORD(scope, name, kind, unit, text) #scope "." #name,
#include "core/words.def"
};
enum { FIELD_COUNT = sizeof(field_names) / sizeof(field_names[0]) };

/* The directory names every word, where a reader that knows nothing finds it. */
static void test_directory(void **state)
{
	static const char *const scopes[] = { "?",      "PROCESS",    "LANE",         "EPOCH",
					      "THREAD", "CLASS",      "THREAD_CLASS", "FAILURE",
					      "CLOSE",  "LABEL_CLASS" };
	static const size_t bytes[] = { 0,
					sizeof(struct ts_process_words),
					sizeof(struct ts_lane_words),
					sizeof(struct ts_epoch_words),
					sizeof(struct ts_thread_words),
					sizeof(struct ts_class_row),
					sizeof(struct ts_thread_class_words),
					sizeof(struct ts_failure_words),
					sizeof(struct ts_close_words),
					sizeof(struct ts_label_class_words) };
	struct ts_block_fields block = { .head = { .kind = 0 } };
	int fd = segment_fd();

	(void)state;
	for (unsigned i = 0; i < FIELD_COUNT; i++) {
		const struct ts_field_entry *entry = &block.entry[i % TS_FIELDS_PER_BLOCK];
		off_t at = (off_t)(1 + i / TS_FIELDS_PER_BLOCK) * TS_BLOCK_BYTES;
		char name[128];

		if (i % TS_FIELDS_PER_BLOCK == 0)
			assert_int_equal(pread(fd, &block, sizeof(block), at), sizeof(block));
		assert_int_equal(block.head.kind, TS_BLOCK_FIELDS);
		assert_in_range(entry->scope, 1, TS_SCOPE_LABEL_CLASS);
		snprintf(name, sizeof(name), "%s.%s", scopes[entry->scope], entry->name);
		assert_string_equal(name, field_names[i]);
		assert_true(entry->offset + entry->bytes <= bytes[entry->scope]);
		assert_in_range(entry->kind, TS_KIND_COUNTER, TS_KIND_ID);
	}
}

/* -- the control page -------------------------------------------------------------------------------- */

static int control_in_child(void)
{
	struct ts_control *parents = ts_control();
	int fd;

	use_library();
	fd = find_chunk_fd(TS_STATS_NAME TS_CONTROL_MARK);
	if (fd < 0 || ts_control() != parents)
		return 1;
	if (ts_a64_load_rlx(&ts_control()->sample_interval) != 77)
		return 2;
	ts_a64_store_rlx(&ts_control()->sample_interval, 99);
	return 0;
}

/* Others may write it, nobody can cut it, and a child of fork has its own. */
static void test_control(void **state)
{
	uint64_t interval = 77;
	struct stat st;
	int fd, status;
	pid_t child;

	(void)state;
	use_library();
	fd = find_chunk_fd(TS_STATS_NAME TS_CONTROL_MARK);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pwrite(fd, &interval, sizeof(interval),
				offsetof(struct ts_control, sample_interval)),
			 sizeof(interval));
	assert_int_equal(ts_a64_load_rlx(&ts_control()->sample_interval), 77);
	assert_int_equal(ftruncate(fd, 0), -1);
	child = fork();
	if (!child)
		_exit(control_in_child());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(ts_a64_load_rlx(&ts_control()->sample_interval), 77);
	/* Whatever is written there, the library works on. */
	for (int i = 0; i < 200; i++) {
		uint64_t noise[3] = { (uint64_t)rand() << 33 | (uint64_t)rand(), (uint64_t)rand(),
				      (uint64_t)rand() };
		void *object;

		assert_int_equal(pwrite(fd, noise, sizeof(noise),
					offsetof(struct ts_control, sample_interval)),
				 sizeof(noise));
		object = tslab_malloc(100 + (size_t)i * 500);
		assert_non_null(object);
		memset(object, 1, 100 + (size_t)i * 500);
		tslab_free(object);
	}
	ts_a64_store_rlx(&ts_control()->sample_interval, 0);
	ts_a64_store_rlx(&ts_control()->rss_probe, 0);
	ts_a64_store_rlx(&ts_control()->trace_failures, 0);
}

/* -- what other programs must not find in it ---------------------------------------------------------- */

/* A word of the segment that points into this process's memory would tell where it lies. */
static void test_no_addresses(void **state)
{
	static uint64_t words[1 << 15];
	unsigned long long start[512], end[512];
	FILE *maps;
	char line[512];
	struct timespec now;
	tslab_epoch_t epoch;
	size_t ranges = 0;
	int fd = segment_fd();

	(void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
	/* Their shadow memory lies where two small numbers side by side look like addresses. */
	skip();
#endif
	assert_int_equal(tslab_epoch_open(NULL, "addresses", &epoch), 0);
	assert_int_equal(tslab_domain_enter(epoch), 0);
	assert_non_null(tslab_malloc(1000));
	assert_non_null(tslab_malloc(100000));
	maps = fopen("/proc/self/maps", "r");
	assert_non_null(maps);
	while (ranges < 512 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%llx-%llx", &start[ranges], &end[ranges]) == 2 &&
		    start[ranges] > 1u << 20)
			ranges++;
	fclose(maps);
	assert_true(ranges > 5);
	assert_int_equal(pread(fd, words, sizeof(words), 0), sizeof(words));
	clock_gettime(CLOCK_BOOTTIME, &now);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		/* A process id above another small number may look like an address too. */
		if (words[i] >> 32 == (uint64_t)getpid())
			continue;
		uint64_t age_ns = (uint64_t)now.tv_sec * 1000000000u - words[i] + 1000000000u;

		for (size_t k = 0; k < ranges; k++)
			/*
			 * This process is young: a word that is a time is one of the last hour. Only
			 * qemu-user maps as low as two small numbers side by side are as one word.
			 */
			if ((words[i] >> 40 || !(words[i] >> 32)) && words[i] >= start[k] &&
			    words[i] < end[k] && age_ns > 3600 * 1000000000ull)
				fail_msg("word %zu is the address %llx", i,
					 (unsigned long long)words[i]);
	}
	assert_int_equal(tslab_domain_exit(epoch), 0);
	assert_int_equal(tslab_epoch_discard(epoch), 0);
}

/* -- fork ------------------------------------------------------------------------------------------- */

static struct ts_block_header header_of(int fd)
{
	struct ts_block_header header;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		memset(&header, 0, sizeof(header));
	return header;
}

static int in_forked_child(void)
{
	struct tslab_epoch_stats inherited = { .struct_bytes = sizeof(inherited) };
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };
	tslab_epoch_t epoch;
	int fd;

	/* The parent's segment is gone before the child has made a single call; its figures come later. */
	if (tslab_stats_epoch(tslab_epoch_default(NULL), &inherited) != -EAGAIN)
		return 8;
	if (find_chunk_fd(TS_STATS_NAME) >= 0)
		return 1;
	for (int i = 0; i < 1000; i++)
		tslab_free(tslab_malloc(64));
	if (tslab_epoch_open(NULL, "child", &epoch))
		return 7;
	if (tslab_stats_epoch(tslab_epoch_default(NULL), &inherited))
		return 9;
	if (tslab_stats_process(&stats) || stats.allocations < 1000)
		return 2;
	fd = find_chunk_fd(TS_STATS_NAME);
	if (fd < 0)
		return 3;
	if (header_of(fd).pid != (uint32_t)getpid())
		return 4;
	if (fcntl(fd, F_GET_SEALS) !=
	    (F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return 5;
	return stats.segment_bytes ? 0 : 6;
}

static void test_fork(void **state)
{
	static char before[1 << 18], after[1 << 18];
	int fd = segment_fd(), status;
	pid_t child;

	(void)state;
	assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
	child = fork();
	if (!child)
		_exit(in_forked_child());
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
	/* Locks taken around fork count; nothing else may have moved. */
	for (size_t block = 0; block < sizeof(before); block += TS_BLOCK_BYTES)
		if (((struct ts_block_head *)(before + block))->kind != TS_BLOCK_PROCESS)
			assert_memory_equal(before + block, after + block, TS_BLOCK_BYTES);
	assert_true(segment_fd() == fd);
}

/* A descriptor number that the program closed and got again belongs to the program. */
static int child_keeps_foreign_fd(int fd)
{
	char path[] = "/tmp/tslab-test-XXXXXX";
	int own = mkstemp(path);
	pid_t child;
	int status;

	unlink(path);
	if (own < 0 || dup2(own, fd) != fd)
		return 1;
	child = fork();
	if (!child)
		_exit(fcntl(fd, F_GETFD) < 0 ? 2 : 0);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 3;
	return WEXITSTATUS(status);
}

static void test_recycled_fd(void **state)
{
	int fd = segment_fd(), status;
	pid_t child = fork();
	tslab_epoch_t epoch;

	(void)state;
	if (!child) {
		/* A slow path, on which the child gets its own segment. */
		fd = tslab_epoch_open(NULL, "child", &epoch);
		fd = find_chunk_fd(TS_STATS_NAME);
		_exit(fd < 0 ? 9 : child_keeps_foreign_fd(fd));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* -- growth and absence ------------------------------------------------------------------------------- */

static void test_growth(void **state)
{
	enum { EPOCHS = 1200 };
	static tslab_epoch_t epochs[EPOCHS];
	struct tslab_process_stats before = { .struct_bytes = sizeof(before) }, after = before;

	(void)state;
	use_library();
	assert_int_equal(tslab_stats_process(&before), 0);
	for (int i = 0; i < EPOCHS; i++) {
		assert_int_equal(tslab_epoch_open(NULL, "many", &epochs[i]), 0);
		assert_non_null(tslab_alloc(epochs[i], 64));
	}
	assert_int_equal(tslab_stats_process(&after), 0);
	assert_int_equal(after.open_epochs - before.open_epochs, EPOCHS);
	assert_int_equal(after.live_objects - before.live_objects, EPOCHS);
	assert_true(after.segment_bytes > before.segment_bytes);
	assert_true(find_chunk_fd(TS_STATS_NAME "+1") >= 0);
	assert_int_equal(tslab_root.chunk_count >= 2, 1);
	for (int i = 0; i < EPOCHS; i++)
		assert_int_equal(tslab_epoch_discard(epochs[i]), 0);
}

static int run_self(const char *argument)
{
	pid_t child = fork();
	int status;

	if (!child) {
		if (!strcmp(argument, "--off"))
			setenv("TSLAB_STATS", "0", 1);
		/* Through the launcher: an emulated program cannot start another one by itself. */
		execl("/bin/sh", "sh", "-c", "exec $TEST_RUNNER \"$0\" \"$@\"", self_path, argument,
		      (char *)NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Runs in a process of its own. Without a segment everything but the segment works. */
static int without_segment(void)
{
	struct tslab_process_stats stats = { .struct_bytes = sizeof(stats) };
	void *object = tslab_malloc(100);

	if (!object)
		return 1;
	if (tslab_stats_process(&stats) || stats.live_objects != 1 || stats.segment_bytes)
		return 2;
	tslab_free(object);
	return 0;
}

static int switched_off(void)
{
	int code = without_segment();

	return code ? code : find_chunk_fd(TS_STATS_NAME) >= 0 ? 3 : tslab_root.chunk_count ? 4 : 0;
}

/* No descriptor left: private memory instead, which debuggers find through tslab_root. */
static int out_of_descriptors(void)
{
	const struct rlimit none = { 3, 3 };
	int code;

	if (setrlimit(RLIMIT_NOFILE, &none))
		return 5;
	code = without_segment();
	if (code)
		return code;
	return tslab_root.chunk_count == 1 &&
			       !memcmp((char *)(uintptr_t)tslab_root.chunk[0].address +
					       offsetof(struct ts_block_header, magic),
				       TS_STATS_MAGIC, 8) ?
		       0 :
		       6;
}

static void test_absence(void **state)
{
	(void)state;
	assert_int_equal(run_self("--off"), 0);
	assert_int_equal(run_self("--no-descriptors"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sealed),       cmocka_unit_test(test_header),
		cmocka_unit_test(test_directory),    cmocka_unit_test(test_control),
		cmocka_unit_test(test_no_addresses), cmocka_unit_test(test_fork),
		cmocka_unit_test(test_recycled_fd),  cmocka_unit_test(test_growth),
		cmocka_unit_test(test_absence),
	};

	/* Not by returning: what runs at exit, in sanitizers, needs descriptors. */
	if (argc == 2 && !strcmp(argv[1], "--off"))
		_exit(switched_off());
	if (argc == 2 && !strcmp(argv[1], "--no-descriptors"))
		_exit(out_of_descriptors());
	self_path = argv[0];
	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
