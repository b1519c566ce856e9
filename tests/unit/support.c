/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

const uint32_t class_bytes[CLASS_COUNT] = {
	64,   96,   128,  192,  256,   384,   512,   768,   16,    32,    48,    80,    112,  160,
	224,  320,  448,  640,  896,   1024,  1280,  1536,  1792,  2048,  2560,  3072,  3584, 4096,
	5120, 6144, 7168, 8192, 10240, 12288, 14336, 16384, 20480, 24576, 28672, 32768,
};

unsigned class_of(size_t bytes)
{
	unsigned best = CLASS_COUNT;

	for (unsigned i = 0; i < CLASS_COUNT; i++) {
		if (class_bytes[i] >= bytes &&
		    (best == CLASS_COUNT || class_bytes[i] < class_bytes[best]))
			best = i;
	}
	return best;
}

static unsigned char pattern(const unsigned char *at, uint64_t seed)
{
	return (unsigned char)((((uintptr_t)at * 0x9e3779b97f4a7c15ull) ^ seed) >> 29);
}

void fill(void *ptr, size_t bytes, uint64_t seed)
{
	unsigned char *at = ptr;

	for (size_t i = 0; i < bytes; i++)
		at[i] = pattern(at + i, seed);
}

bool holds(const void *ptr, size_t bytes, uint64_t seed)
{
	const unsigned char *at = ptr;

	for (size_t i = 0; i < bytes; i++) {
		if (at[i] != pattern(at + i, seed))
			return false;
	}
	return true;
}

int in_child(void (*body)(void *), void *arg)
{
	int status = 0;

	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		body(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

int in_child_stderr(void (*body)(void *), void *arg, char *text, size_t text_bytes)
{
	int ends[2], status = 0;
	size_t have = 0;
	ssize_t got;

	fflush(NULL);
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		body(arg);
		_exit(0);
	}
	close(ends[1]);
	while (have + 1 < text_bytes && (got = read(ends[0], text + have, text_bytes - 1 - have)) > 0)
		have += (size_t)got;
	text[have] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

bool exited_well(int status)
{
	if (WIFSIGNALED(status))
		print_message("# child: signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void child_require(bool ok, const char *what, int line)
{
	char text[256];

	if (ok)
		return;
	int length = snprintf(text, sizeof(text), "# child, line %d: %s\n", line, what);
	if (write(STDOUT_FILENO, text, (size_t)length) != length)
		_exit(2);
	_exit(1);
}

void on_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, arg), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

void await_next_report(void)
{
	usleep(250000);
}

size_t anon_rss_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	size_t kib = 0, found = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		found += sscanf(line, "Anonymous: %zu kB", &kib) == 1;
	fclose(f);
	assert_int_equal(found, 1);
	return kib * 1024;
}

struct tslab_process_stats counters(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_stats_process(&s), 0);
	return s;
}

uint64_t refusals(const struct tslab_process_stats *s)
{
	return s->refused_double + s->refused_wild + s->refused_foreign + s->refused_stale_handle +
	       s->refused_wrong_handle + s->refused_exit + s->exits_out_of_order +
	       s->refused_argument;
}

tslab_heap *new_heap(const char *name, uint64_t limit_bytes, uint64_t retain_bytes)
{
	struct tslab_heap_options options = TSLAB_HEAP_OPTIONS_INIT;

	options.name = name;
	options.limit_bytes = limit_bytes;
	options.retain_bytes = retain_bytes;
	tslab_heap *heap = tslab_heap_create(&options);
	assert_non_null(heap);
	return heap;
}

tslab_epoch_t new_epoch(tslab_heap *heap, const char *label)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;

	assert_int_equal(tslab_epoch_open(heap, label, &epoch), 0);
	assert_int_not_equal(epoch, TSLAB_EPOCH_NONE);
	return epoch;
}

uint64_t live_objects(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	return s.live_objects;
}

tslab_epoch_t begin(tslab_heap *heap, const char *label)
{
	tslab_epoch_t epoch = TSLAB_EPOCH_NONE;

	assert_int_equal(tslab_scope_begin(heap, label, &epoch), 0);
	assert_int_equal(tslab_domain_current(), epoch);
	return epoch;
}

void *free_strays(void *arg)
{
	struct strays *strays = arg;

	for (unsigned i = 0; i < strays->count; i++)
		tslab_free(strays->objects[i]);
	return NULL;
}

uint64_t committed_bytes(tslab_epoch_t epoch)
{
	struct tslab_epoch_stats s = { .struct_bytes = sizeof(s) };

	assert_int_equal(tslab_stats_epoch(epoch, &s), 0);
	return s.committed_bytes;
}

uint64_t in_default_epoch(void)
{
	return committed_bytes(tslab_epoch_default(tslab_heap_default()));
}
