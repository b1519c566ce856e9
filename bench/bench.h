/* SPDX-License-Identifier: MIT */
/*
 * bench.h: what the files of tslab-bench share.
 *
 * A parent process starts one child process for each allocator, preloads the allocator there as a user
 * would, and lets the children work in turn. A round is one generation of children, so that every round
 * has fresh address-space placement; within a round each child runs several short bursts, interleaved
 * with those of the others, and the median burst is the allocator's figure for the round.
 *
 * All allocators are called through the same table of pointers (struct bench_calls). The benchmark's own
 * memory comes from mmap, never from an allocator under test.
 */
#ifndef TSLAB_BENCH_BENCH_H
#define TSLAB_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tslab/tslab.h>

#define BENCH_NAME_MAX 32
#define BENCH_ALLOCATORS_MAX 24
#define BENCH_ROUNDS_MAX 200
#define BENCH_BURSTS_MAX 64
#define BENCH_THREADS_MAX 64
#define BENCH_PARTS_MAX 6
#define BENCH_QUEUE 64 /* lifetimes in a queue */

/* ------------------------------------------------------------------------------- allocators.c -- */

enum bench_kind {
	BENCH_FLOOR, /* hands out one static buffer: the cost of the loop and of the two calls */
	BENCH_TSLAB, /* tslab_malloc and tslab_free, and epochs where the workload has lifetimes */
	BENCH_PEER,  /* malloc and free */
	BENCH_PEER_HEAP, /* a peer's own heaps that are destroyed as a whole; lifetimes only */
};

struct bench_allocator {
	char name[BENCH_NAME_MAX];
	const char *preload; /* file or soname; NULL = what libc has */
	enum bench_kind kind;
	bool added;    /* a peer that the distribution does not provide */
	bool compared; /* tslab's ratio to it is reported, with its interval */
};

struct bench_calls {
	void *(*allocate)(size_t bytes);
	void *(*reallocate)(void *object, size_t bytes);
	void (*release)(void *object);
	size_t (*usable_bytes)(const void *object);
	/* BENCH_TSLAB only */
	void *(*epoch_allocate)(tslab_epoch_t epoch, size_t bytes);
	tslab_heap *(*heap_create)(const struct tslab_heap_options *options);
	int (*epoch_open)(tslab_heap *heap, const char *label, tslab_epoch_t *epoch);
	int (*epoch_close)(tslab_epoch_t epoch);
	int (*epoch_discard)(tslab_epoch_t epoch);
	int (*domain_enter)(tslab_epoch_t epoch);
	int (*domain_exit)(tslab_epoch_t epoch);
	int (*scope_begin)(tslab_heap *heap, const char *label, tslab_epoch_t *epoch);
	int (*scope_close)(tslab_epoch_t epoch);
	int (*scope_discard)(tslab_epoch_t epoch);
	/* BENCH_PEER_HEAP only */
	void *(*peer_heap_new)(void);
	void *(*peer_heap_allocate)(void *heap, size_t bytes);
	void (*peer_heap_destroy)(void *heap);
};

struct bench_allocators {
	struct bench_allocator list[BENCH_ALLOCATORS_MAX];
	unsigned count;
};

/* The floor, the builds of tslab ("FILE" or "NAME=FILE") and what the distribution provides. */
void bench_allocators_init(struct bench_allocators *set, const char *const *tslabs, unsigned count);
/* "NAME=FILE", BENCH_PEER or BENCH_PEER_HEAP; dies on a bad argument. */
void bench_allocators_add_peer(struct bench_allocators *set, const char *argument,
			       enum bench_kind kind);
/* Keeps those named in a comma-separated list; dies on an unknown name. */
void bench_allocators_keep(struct bench_allocators *set, const char *names);
/* Marks each tslab build but the first, and those named in the list (or NULL); dies on an unknown name. */
void bench_allocators_compare(struct bench_allocators *set, const char *names);
const struct bench_allocator *bench_allocators_find(const struct bench_allocators *set,
						    const char *name);
/* In the child: fills the table and proves that the preloaded library is the one that answers. */
void bench_allocators_load(const struct bench_allocator *allocator, struct bench_calls *calls,
			   char *file, size_t file_bytes);

/* -------------------------------------------------------------------------------- workloads.c -- */

struct bench_run;
struct bench_worker;

enum bench_who {
	BENCH_EVERYBODY,  /* all but peer heaps */
	BENCH_LIFETIMES,  /* peer heaps too */
	BENCH_TSLAB_ONLY, /* no peer has the operation */
};

/* One figure of a workload: a row of the table. Lower is better; a limit of 0 is none. */
struct bench_part {
	const char *name;  /* NULL if the workload has only one */
	const char *title; /* follows the workload's */
	const char *unit;
	double goal_ratio;    /* to the best peer */
	double landing_ratio; /* acceptable with a reason */
	double goal_figure;   /* the goal for the figure itself */
	double gate_ratio;    /* --gate fails above it */
	double gate_figure;
};

struct bench_workload {
	const char *name;
	const char *title;
	enum bench_who who;
	unsigned threads;
	unsigned cpus;    /* needed; 0 = 2 for several threads */
	bool each_thread; /* @operations are those of each thread; a figure is a CPU's time for one */
	bool memory;      /* the figure is of memory, of which the floor has none */
	bool counts_system_calls;
	bool growth;                   /* of a series, not of the table */
	uint32_t min_bytes, max_bytes; /* sizes are uniform in between */
	uint32_t objects;              /* live objects, or objects of a lifetime, per thread */
	uint64_t operations;           /* of one burst; what a time is divided by */
	struct bench_part parts[BENCH_PARTS_MAX];     /* those with a unit */
	void (*prepare)(struct bench_worker *worker); /* each thread, once, not timed */
	void (*burst)(struct bench_worker *worker);   /* each thread, timed */
	/* One figure for each part, if the only one is not the time of a burst by its operations. */
	void (*read_figures)(struct bench_run *run, double *figures);
};

extern const struct bench_workload bench_workloads[];
extern const unsigned bench_workloads_count;
const struct bench_workload *bench_workloads_find(const char *name);
unsigned bench_workloads_parts(const struct bench_workload *workload);

/* The loops, by file. Each runs for every allocator. */
void bench_pair_burst(struct bench_worker *worker);
void bench_replace_prepare(struct bench_worker *worker);
void bench_replace_burst(struct bench_worker *worker);
void bench_batch_burst(struct bench_worker *worker);
void bench_lifo_burst(struct bench_worker *worker);
void bench_lookup_burst(struct bench_worker *worker);
void bench_resident_prepare(struct bench_worker *worker);
void bench_resident_burst(struct bench_worker *worker);
void bench_resident_figures(struct bench_run *run, double *figures);
void bench_lifetime_prepare(struct bench_worker *worker);
void bench_frame_prepare(struct bench_worker *worker);
void bench_discard_burst(struct bench_worker *worker);
void bench_free_each_burst(struct bench_worker *worker);
void bench_epoch_burst(struct bench_worker *worker);
void bench_scope_burst(struct bench_worker *worker);
void bench_queue_burst(struct bench_worker *worker);
void bench_latency_prepare(struct bench_worker *worker);
void bench_latency_churn_prepare(struct bench_worker *worker);
void bench_latency_churn_burst(struct bench_worker *worker);
void bench_latency_stack_burst(struct bench_worker *worker);
void bench_latency_request_burst(struct bench_worker *worker);
void bench_latency_queue_burst(struct bench_worker *worker);
void bench_latency_figures(struct bench_run *run, double *figures);
void bench_many_prepare(struct bench_worker *worker);
void bench_many_burst(struct bench_worker *worker);
void bench_many_figures(struct bench_run *run, double *figures);
void bench_mixed_prepare(struct bench_worker *worker);
void bench_mixed_burst(struct bench_worker *worker);
void bench_mixed_figures(struct bench_run *run, double *figures);
void bench_large_prepare(struct bench_worker *worker);
void bench_large_burst(struct bench_worker *worker);
void bench_grow_prepare(struct bench_worker *worker);
void bench_grow_double_burst(struct bench_worker *worker);
void bench_grow_eighth_burst(struct bench_worker *worker);
void bench_growth_ends_burst(struct bench_worker *worker);
void bench_growth_ends_figures(struct bench_run *run, double *figures);
void bench_pipe_prepare(struct bench_worker *worker);
void bench_pipe_burst(struct bench_worker *worker);
void bench_larson_prepare(struct bench_worker *worker);
void bench_larson_burst(struct bench_worker *worker);

/* ------------------------------------------------------------------------------------- team.c -- */

struct bench_worker {
	struct bench_run *run;
	unsigned index;
	uint64_t random;
	void **objects;  /* workload->objects pointers */
	uint16_t *sizes; /* of lifetimes: drawn beforehand */
	uint32_t next_size;
	tslab_heap *heap; /* tslab's lifetimes are opened here; NULL = the default heap */
	uint64_t sink;    /* keeps what a loop read */
} __attribute__((aligned(128)));

struct bench_run {
	const struct bench_workload *workload;
	const struct bench_allocator *allocator;
	struct bench_calls calls;
	uint64_t seed;
	uint64_t base_resident_bytes;
	uint64_t live_bytes;
	bool marked; /* show a tracer where the burst begins and ends */
	struct bench_worker workers[BENCH_THREADS_MAX];
};

/* Starts the threads, each on its CPU, and runs workload->prepare in each. */
void bench_team_start(struct bench_run *run);
/* Runs one burst in all threads. */
void bench_team_burst(struct bench_run *run, double figures[BENCH_PARTS_MAX]);
/* Zeroed, resident memory that no allocator under test sees. */
void *bench_team_pages(size_t bytes);
/* The calling thread's CPU time. */
double bench_team_cpu_ns(void);
/* Resident bytes of the process. */
uint64_t bench_team_resident_bytes(void);
/* Of the counter that ts_arch_cycles() reads. */
double bench_team_ns_per_cycle(void);
/* How many CPUs the process may use. */
unsigned bench_team_cpus(void);

/* splitmix64: cheaper generators have patterns that may suit one allocator better than another. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* A number below @bound from 32 random bits, without a division. */
static inline uint32_t bench_scale(uint32_t random, uint32_t bound)
{
	return (uint32_t)(((uint64_t)random * bound) >> 32);
}

/* ------------------------------------------------------------------------------------ child.c -- */

/* What the parent tells a child on its command line. */
struct bench_job {
	const struct bench_allocator *allocator;
	const struct bench_workload *workload;
	uint64_t seed;
	int channel; /* socket to the parent; -1 = print the figures of @bursts */
	unsigned bursts;
};

/* What a child answers once it is prepared. */
struct bench_ready {
	char file[256]; /* the library that answered malloc */
};

/* Runs in the child and does not return. */
void bench_child_main(const struct bench_job *job) __attribute__((noreturn));

/* ---------------------------------------------------------------------------------- process.c -- */

struct bench_process {
	int pid;
	int channel;
	char file[256];
};

/* Replaces the calling process by a child that does @job with its allocator preloaded. */
void bench_process_exec(const struct bench_job *job) __attribute__((noreturn));
/* Recognises the command line that bench_process_exec made. Return: true and @job, or false. */
bool bench_process_is_child(int argc, char **argv, struct bench_job *job);
/* Starts a child and waits until it is prepared. */
void bench_process_start(struct bench_process *process, struct bench_job *job);
void bench_process_burst(struct bench_process *process, double figures[BENCH_PARTS_MAX]);
void bench_process_stop(struct bench_process *process);
/* Runs @job to its end and counts the system calls of its last burst. */
uint64_t bench_process_system_calls(const struct bench_job *job);
/* Called by the child right before and after that burst. */
void bench_process_mark(void);

/* ------------------------------------------------------------------------------- statistics.c -- */

struct bench_quartiles {
	double low, median, high;
	double uncertainty; /* of the median, relative: 1.57 IQR / sqrt(n) as the notch of a box plot */
};

struct bench_interval {
	double median;
	double low, high; /* hold the true median with 95 % confidence */
	bool known;       /* false: too few samples for that */
};

struct bench_quartiles bench_statistics_quartiles(const double *samples, unsigned count);
struct bench_interval bench_statistics_interval(const double *samples, unsigned count);

/* ----------------------------------------------------------------------------------- growth.c -- */

#define BENCH_SERIES_MAX 12

enum bench_axis { BENCH_AXIS_OBJECTS, BENCH_AXIS_THREADS };

/* A workload at several sizes. */
struct bench_series {
	const char *name;
	const char *title; /* what grows */
	const char *workload;
	enum bench_axis axis;
	unsigned values[BENCH_SERIES_MAX]; /* those above 0 */
};

extern const struct bench_series bench_series[];
extern const unsigned bench_series_count;
unsigned bench_series_length(const struct bench_series *series);
struct bench_workload bench_series_workload(const struct bench_series *series, unsigned point);
/* Is there memory enough for one allocator at this size? */
bool bench_series_fits(const struct bench_workload *workload);

/* ----------------------------------------------------------------------------------- rounds.c -- */

struct bench_options {
	unsigned rounds;     /* at least */
	unsigned max_rounds; /* when the first ones vary too much */
	unsigned bursts;
	double max_spread; /* largest relative uncertainty of a median that is printed */
	uint64_t seed;
	unsigned growth_most; /* last point of a series */
	bool one_at_a_time;   /* no allocator has a process while another one works */
};

struct bench_row {
	const struct bench_workload *workload;
	unsigned part;
	const struct bench_series *series; /* of which this is a point; NULL = a row of the table */
	unsigned x;
	unsigned rounds;
	char skipped[32]; /* what the workload needs and this machine lacks; "" = nothing */
	bool ran[BENCH_ALLOCATORS_MAX];
	double samples[BENCH_ALLOCATORS_MAX][BENCH_ROUNDS_MAX];
	struct bench_quartiles figure[BENCH_ALLOCATORS_MAX];
	int best;                                /* index of the best peer, -1 if nobody else ran */
	int best_apt;                            /* the same among those of the distribution */
	struct bench_quartiles ratio, ratio_apt; /* tslab to them, paired by round */
	struct bench_interval compared[BENCH_ALLOCATORS_MAX]; /* the same for allocators so marked */
	bool noisy; /* a figure or the ratio is less certain than allowed */
	bool noisy_figure[BENCH_ALLOCATORS_MAX];
	bool noisy_ratio;
	bool has_system_calls;
	uint64_t system_calls; /* tslab, in one burst */
};

struct bench_results {
	const struct bench_options *options;
	const struct bench_allocators *allocators;
	char files[BENCH_ALLOCATORS_MAX][256];
	int tslab; /* index of the first tslab, which is judged; -1 = left out */
	struct bench_row *rows;
	unsigned count;
};

/* @rows: one for each part of a workload. */
void bench_rounds_run(struct bench_results *results, struct bench_row *rows, unsigned parts);

/* ----------------------------------------------------------------------------------- report.c -- */

void bench_report_machine(FILE *out, const struct bench_results *results);
void bench_report_text(FILE *out, const struct bench_results *results);
void bench_report_series(FILE *out, const struct bench_results *results);
void bench_report_json(FILE *out, const struct bench_results *results);
/* Return: how many limits were exceeded; a line on stderr for each. */
unsigned bench_report_gate(const struct bench_results *results);

/* ------------------------------------------------------------------------------------- main.c -- */

void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
