/* SPDX-License-Identifier: MIT */
/*
 * team.c: the threads of one child.
 *
 * Threads stay from burst to burst, as a server's do. One thread is timed by its own CPU time, which
 * equals wall time on an idle CPU and does not see other programs; several are timed by the wall.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "arch.h"
#include "bench.h"

static pthread_barrier_t team_start, team_end;

void *bench_team_pages(size_t bytes)
{
	void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (pages == MAP_FAILED)
		bench_die("no memory for the benchmark's own tables");
	return pages;
}

unsigned bench_team_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		bench_die("sched_getaffinity failed");
	return (unsigned)CPU_COUNT(&set);
}

/* Thread i gets the i-th allowed CPU from the end: interrupts tend to prefer the first. */
static void pin(unsigned index, const cpu_set_t *allowed)
{
	int skip = (int)(index % (unsigned)CPU_COUNT(allowed));
	cpu_set_t one;

	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (!CPU_ISSET(cpu, allowed) || skip-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) != 0)
			bench_die("cannot pin a thread to CPU %d", cpu);
		return;
	}
}

static double now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double bench_team_cpu_ns(void)
{
	return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* From smaps_rollup: statm lags behind by the kernel's per-CPU counts. */
uint64_t bench_team_resident_bytes(void)
{
	char text[4096], *line;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t got;
	unsigned long long kib;

	if (fd < 0)
		bench_die("cannot open /proc/self/smaps_rollup");
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[got > 0 ? got : 0] = '\0';
	line = strstr(text, "\nRss:");
	if (!line || sscanf(line, "\nRss: %llu kB", &kib) != 1)
		bench_die("cannot read Rss in /proc/self/smaps_rollup");
	return (uint64_t)kib * 1024;
}

double bench_team_ns_per_cycle(void)
{
	static double ns_per_cycle;
	uint64_t begin, hz = ts_arch_cycles_hz();
	double from;

	if (hz)
		ns_per_cycle = 1e9 / (double)hz;
	if (ns_per_cycle > 0)
		return ns_per_cycle;
	from = now_ns(CLOCK_MONOTONIC);
	begin = ts_arch_cycles();
	while (now_ns(CLOCK_MONOTONIC) - from < 1e7)
		;
	ns_per_cycle = (now_ns(CLOCK_MONOTONIC) - from) / (double)(ts_arch_cycles() - begin);
	return ns_per_cycle;
}

static cpu_set_t team_allowed;

static void prepare(struct bench_worker *worker)
{
	const struct bench_workload *workload = worker->run->workload;

	pin(worker->index, &team_allowed);
	worker->random = (worker->run->seed + 1) * 0x9e3779b97f4a7c15ull + worker->index + 1;
	if (workload->objects)
		worker->objects = bench_team_pages(workload->objects * sizeof(void *));
	if (workload->prepare)
		workload->prepare(worker);
}

static void *team_member(void *argument)
{
	struct bench_worker *worker = argument;

	prepare(worker);
	pthread_barrier_wait(&team_end);
	for (;;) {
		pthread_barrier_wait(&team_start);
		worker->run->workload->burst(worker);
		pthread_barrier_wait(&team_end);
	}
	return NULL;
}

void bench_team_start(struct bench_run *run)
{
	unsigned threads = run->workload->threads;
	pthread_t thread;

	sched_getaffinity(0, sizeof(team_allowed), &team_allowed);
	pthread_barrier_init(&team_start, NULL, threads);
	pthread_barrier_init(&team_end, NULL, threads);
	for (unsigned i = 0; i < threads; i++) {
		run->workers[i].run = run;
		run->workers[i].index = i;
	}
	for (unsigned i = 1; i < threads; i++)
		if (pthread_create(&thread, NULL, team_member, &run->workers[i]) != 0)
			bench_die("cannot start a thread");
	prepare(&run->workers[0]);
	if (threads > 1)
		pthread_barrier_wait(&team_end);
}

/* Operations of a burst that one CPU does. */
static double operations_of_cpu(const struct bench_workload *workload)
{
	double cpus = CPU_COUNT(&team_allowed);

	if (!workload->each_thread || workload->threads <= cpus)
		return (double)workload->operations;
	return (double)workload->operations * workload->threads / cpus;
}

void bench_team_burst(struct bench_run *run, double figures[BENCH_PARTS_MAX])
{
	const struct bench_workload *workload = run->workload;
	bool several = workload->threads > 1;
	clockid_t clock = several ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
	double begin;

	if (several)
		pthread_barrier_wait(&team_start);
	begin = now_ns(clock);
	if (run->marked)
		bench_process_mark();
	workload->burst(&run->workers[0]);
	if (run->marked)
		bench_process_mark();
	if (several)
		pthread_barrier_wait(&team_end);
	figures[0] = (now_ns(clock) - begin) / operations_of_cpu(workload);
	if (workload->read_figures)
		workload->read_figures(run, figures);
}
