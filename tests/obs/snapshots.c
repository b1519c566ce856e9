/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of a process that opens and ends epochs at full speed, taken from another process.
 *
 *   snapshots [--count N]      (3000)
 *
 * Each epoch tells by its label and its time of birth which one it is: the workload knows the id that comes
 * next, and its clock is the id. A snapshot that shows the words of one life under the id of another is
 * torn. And no counter may ever be lower than in the snapshot before. Prints TAP.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "obs/fields.h"
#include "tools/tslab/tool.h"
#include "tslab/tslab.h"

enum { FIELDS_MAX = 512, ROWS_MAX = 64, EXCHANGED = 64, COMPLAINTS_MAX = 10 };

/* -- the clock ---------------------------------------------------------------------------------------- */

static bool scripted; /* in the workload */
static __thread uint64_t epoch_time_ns;

/* Instead of the C library's: the time at which an epoch is opened is what its thread wants it to be. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!scripted)
		return (int)syscall(SYS_clock_gettime, clock, now);
	/* No offset of CLOCK_BOOTTIME, and no time passes. */
	*now = (struct timespec){ .tv_sec = 0, .tv_nsec = 0 };
	if (clock == CLOCK_MONOTONIC_COARSE) {
		now->tv_sec = (time_t)(epoch_time_ns / 1000000000u);
		now->tv_nsec = (long)(epoch_time_ns % 1000000000u);
	}
	return 0;
}

/* -- the workload ------------------------------------------------------------------------------------- */

static void *exchanged[EXCHANGED];

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "snapshots: %s\n", what);
	_exit(1);
}

/* Objects go to another thread, now and then. */
static void exchange(unsigned round)
{
	void *object = tslab_malloc(32 + round % 700);

	require(object != NULL, "malloc");
	tslab_free(__atomic_exchange_n(&exchanged[round % EXCHANGED], object, __ATOMIC_ACQ_REL));
}

/* The id that the slot's next epoch has; 0 before it is known. */
static void expect(uint64_t *next, uint64_t id)
{
	require(!*next || *next == id, "an epoch has another id than foreseen");
	*next = id + (1 << 16);
}

static void kept_pair(uint64_t *next)
{
	tslab_epoch_t epoch;

	epoch_time_ns = *next;
	require(!tslab_scope_begin(NULL, "kept", &epoch), "begin");
	expect(next, epoch);
	for (unsigned i = 0; i < 4; i++)
		require(tslab_malloc(100) != NULL, "malloc");
	require(!tslab_scope_discard(epoch), "discard");
}

static void opened(uint64_t *next, unsigned round)
{
	tslab_epoch_t epoch;
	char label[32];
	void *object;

	epoch_time_ns = *next;
	snprintf(label, sizeof(label), "opened %016" PRIx64, *next);
	require(!tslab_epoch_open(NULL, label, &epoch), "open");
	expect(next, epoch);
	require((object = tslab_alloc(epoch, 100)) != NULL, "alloc");
	if (round % 3)
		require(!tslab_epoch_close(epoch), "close");
	tslab_free(object);
	if (round % 3 == 0)
		require(!tslab_epoch_discard(epoch), "discard");
}

static void relabelled(tslab_epoch_t epoch, unsigned round)
{
	char label[32];

	memset(label, 'a' + (int)(round % 26), 31);
	label[31] = '\0';
	require(!tslab_epoch_set_label(epoch, label), "label");
}

static void *work(void *arg)
{
	uint64_t next_kept = 0, next_opened = 0;
	tslab_epoch_t named;

	require(!tslab_epoch_open(NULL, "aaaa", &named), "open");
	(void)arg;
	for (unsigned round = 0;; round++) {
		kept_pair(&next_kept);
		kept_pair(&next_kept);
		opened(&next_opened, round);
		relabelled(named, round);
		exchange(round);
	}
	return NULL;
}

static void run_workload(void)
{
	pthread_t thread;

	scripted = true;
	for (unsigned i = 0; i < 2; i++)
		require(!pthread_create(&thread, NULL, work, NULL), "thread");
	for (;;)
		pause();
}

/* -- the observer ------------------------------------------------------------------------------------- */

static uint64_t torn, backwards;

static void complain_once(uint64_t *count, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void complain_once(uint64_t *count, const char *format, ...)
{
	va_list list;

	if (++*count > COMPLAINTS_MAX)
		return;
	va_start(list, format);
	printf("# ");
	vprintf(format, list);
	printf("\n");
	va_end(list);
}

static bool is_one_letter(const char *label)
{
	size_t letters = strspn(label, (const char[]){ label[0], '\0' });

	return letters == strlen(label);
}

static void check_epoch(const struct ts_snapshot *s, const struct ts_epoch_view *epoch)
{
	bool kept = !strcmp(epoch->label, "kept"), known = true;
	uint64_t labelled = epoch->id;

	if (sscanf(epoch->label, "opened %" SCNx64, &labelled) == 1)
		known = labelled != 0; /* the first of its thread, which could not foresee its id */
	else if (!kept && strcmp(epoch->label, "default") != 0)
		labelled = is_one_letter(epoch->label) ? epoch->id : 0;
	if (known && labelled != epoch->id)
		complain_once(&torn, "epoch %" PRIx64 " has the label %s", epoch->id, epoch->label);
	if ((kept || known) && epoch->open_since_ns && epoch->open_since_ns != epoch->id)
		complain_once(&torn, "epoch %" PRIx64 " \"%s\" was opened at %" PRIx64, epoch->id,
			      epoch->label, epoch->open_since_ns);
	if (epoch->close_since_ns && epoch->state == 1)
		complain_once(&torn, "epoch %" PRIx64 " is closing and active", epoch->id);
	if (epoch->label_id && strcmp(epoch->label, s->labels[epoch->label_id % TS_LABEL_IDS]) != 0)
		complain_once(&torn, "epoch %" PRIx64 " has the label %s and its id is that of %s",
			      epoch->id, epoch->label, s->labels[epoch->label_id % TS_LABEL_IDS]);
}

/* The rows of a group whose counters go on; 0: its rows come and go. */
static size_t rows_of(const struct ts_snapshot *s, enum ts_field_group group)
{
	switch (group) {
	case TS_GROUP_CLASS:
		return TS_CLASS_COUNT;
	case TS_GROUP_THREAD:
		return s->thread_count < ROWS_MAX ? s->thread_count : ROWS_MAX;
	case TS_GROUP_ALLOC_WALL:
	case TS_GROUP_CLOSE_TIME:
	case TS_GROUP_LOCK_WAIT:
		return TS_HISTOGRAM_BUCKETS;
	default:
		return !ts_groups[group].rows;
	}
}

static void check_counters(const struct ts_snapshot *s)
{
	static uint64_t last[FIELDS_MAX][ROWS_MAX];

	for (size_t f = 0; f < ts_field_count; f++) {
		const struct ts_field *field = &ts_fields[f];

		if (strcmp(field->kind, "COUNTER") != 0 || field->type != TS_VALUE_U64)
			continue;
		for (size_t row = 0; row < rows_of(s, field->group); row++) {
			struct ts_subject subject = {
				.snapshot = s,
				.cls = &s->classes[row % TS_CLASS_COUNT],
				.thread = row < s->thread_count ? &s->threads[row] : NULL,
				.close = s->close_count ? &s->closes[0] : NULL,
				.bucket = (unsigned)row,
			};
			uint64_t value = field->value(&subject).u64;

			if (value < last[f][row])
				complain_once(&backwards, "%s[%zu] went from %" PRIu64 " to %" PRIu64,
					      field->name, row, last[f][row], value);
			last[f][row] = value;
		}
	}
}

static void check_balance(const struct ts_snapshot *s)
{
	for (unsigned i = 0; i < TS_CLASS_COUNT; i++)
		if (s->lanes.cls[i].frees > s->lanes.cls[i].allocs)
			complain_once(&torn, "class %u: %" PRIu64 " frees of %" PRIu64 " objects",
				      i, s->lanes.cls[i].frees, s->lanes.cls[i].allocs);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Does the workload run? Its threads may get the processor later than the reader. */
static bool shows_epochs(pid_t pid, const struct attachment *a)
{
	const struct ts_target target = { .pid = (int)pid, .source = "live" };
	struct ts_snapshot s;
	const char *why;
	size_t epochs;

	if (!ts_snapshot_read(&s, &target, a->chunks, a->chunk_count, &why))
		return false;
	epochs = s.epoch_count;
	ts_snapshot_free(&s);
	return epochs > 0;
}

static bool attach_in_time(pid_t pid, struct attachment *a)
{
	struct attachment none = { .pid = 0 };

	*a = none;
	for (unsigned tries = 0; tries < 6000; tries++) {
		if (attach_again(pid, a) && shows_epochs(pid, a))
			return true;
		usleep(10000);
	}
	printf("Bail out! %s\n", a->chunk_count ? "the workload opens no epoch" : a->why);
	return false;
}

static bool observe(pid_t pid, uint64_t count)
{
	const struct ts_target target = { .pid = (int)pid, .source = "live" };
	uint64_t inconsistent = 0, malformed = 0, epochs = 0, spent_ns = 0;
	struct attachment a;

	if (!attach_in_time(pid, &a))
		return false;
	for (uint64_t n = 0; n < count; n++) {
		struct ts_snapshot s;
		uint64_t began = now_ns();
		const char *why;

		if (!ts_snapshot_read(&s, &target, a.chunks, a.chunk_count, &why)) {
			printf("Bail out! the segment is %s\n", why);
			return false;
		}
		spent_ns += now_ns() - began;
		inconsistent += !s.consistent;
		malformed += s.malformed;
		epochs += s.epoch_count;
		for (size_t i = 0; i < s.epoch_count; i++)
			check_epoch(&s, &s.epochs[i]);
		check_counters(&s);
		check_balance(&s);
		ts_snapshot_free(&s);
	}
	detach(&a);
	printf("# %" PRIu64 " snapshots, %.1f us each, %.1f epochs in each, %" PRIu64
	       " say that they are inconsistent\n",
	       count, (double)spent_ns / 1000 / (double)count, (double)epochs / (double)count,
	       inconsistent);
	printf("%s 1 - no epoch shows words of another life\n", torn ? "not ok" : "ok");
	printf("%s 2 - no counter goes backwards\n", backwards ? "not ok" : "ok");
	printf("%s 3 - every block is well formed, and epochs are seen\n",
	       malformed || epochs < count ? "not ok" : "ok");
	printf("%s 4 - most snapshots are consistent\n", inconsistent > count / 2 ? "not ok" : "ok");
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "count", required_argument, NULL, 'c' },
						 { NULL, 0, NULL, 0 } };
	uint64_t count = 3000;
	int option, status;
	bool done;
	pid_t pid;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'c' || !(count = strtoull(optarg, NULL, 10))) {
			fprintf(stderr, "usage: snapshots [--count N]\n");
			return 2;
		}
	}
	pid = fork();
	if (pid == 0)
		run_workload();
	printf("1..4\n");
	fflush(stdout);
	done = pid > 0 && observe(pid, count);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		printf("Bail out! the workload ended\n");
		return 1;
	}
	return !done || torn || backwards;
}
