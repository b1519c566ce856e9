/* SPDX-License-Identifier: MIT */
/*
 * The background worker: every few hundred milliseconds it reads the lists of languages from disk again
 * and checks them against what is served. A job is an epoch; each check of a job is a scope in it.
 * Whatever a job parsed goes when its epoch is discarded, so no check cleans up after itself.
 *
 * The fault that --leak plants is of the most common kind: an error path that returns early. See
 * run_check() and run_job(). It is taken by one job, once the server has answered LEAK_AFTER_REQUESTS.
 */
#include "searchd.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <tslab/tslab.h>

#define WORKER_LABEL "background-worker-3"
#define LEAK_AFTER_REQUESTS 1000

struct worker {
	struct searchd *searchd;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	bool stopping;
	bool repair_wanted;
	unsigned scopes_repaired;
	struct worker_report report;
	/* the worker's thread only */
	bool leak_done;
	tslab_epoch_t forgotten; /* kept so that the demonstration can end well */
};

struct job {
	struct worker *worker;
	tslab_epoch_t epoch;
	bool faulty;
	unsigned mismatches;
	unsigned scopes_forgotten;
};

/* Are all codes of @standard in @reference as well? In truth they are not, in either direction. */
static const struct check {
	const char *standard;
	const char *reference;
} checks[] = {
	{ "639-2", "639-3" }, /* ISO 639-2 has codes for whole families of languages */
	{ "639-3", "639-2" }, /* ISO 639-3 has many thousand languages more */
};

#define CHECKS (sizeof(checks) / sizeof(checks[0]))

static bool list_matches(const struct searchd *searchd, const struct check *check)
{
	json_t *list = store_read_list(searchd->data_directory, check->standard);
	json_t *entry;
	size_t i;

	if (!list)
		return false;
	json_array_foreach(list, i, entry) {
		const char *code = store_entry_code(check->standard, entry);

		if (!code || store_has_code(searchd->store, check->reference, code) != 1)
			return false;
	}
	return true;
}

static void run_check(struct job *job, const struct check *check)
{
	if (tslab_domain_enter(job->epoch) != 0)
		return;
	if (!list_matches(job->worker->searchd, check)) {
		job->mismatches++;
		if (job->faulty) {
			job->scopes_forgotten++;
			return; /* the bug of --leak: this path forgets tslab_domain_exit() */
		}
	}
	tslab_domain_exit(job->epoch);
}

static void run_job(struct job *job)
{
	if (tslab_epoch_open(NULL, WORKER_LABEL, &job->epoch) != 0)
		return;
	for (size_t i = 0; i < CHECKS; i++)
		run_check(job, &checks[i]);
	if (job->faulty && job->mismatches)
		return; /* the bug of --leak, second half: nor does anybody end the epoch */
	tslab_epoch_discard(job->epoch);
}

/* A scope is left on the thread that entered it, so the worker repairs what the worker forgot. */
static void repair(struct worker *worker)
{
	unsigned scopes = 0;

	while (tslab_domain_current() == worker->forgotten &&
	       tslab_domain_exit(worker->forgotten) == 0)
		scopes++;
	tslab_epoch_discard(worker->forgotten);
	worker->forgotten = TSLAB_EPOCH_NONE;
	worker->scopes_repaired = scopes;
	worker->report.scopes_forgotten = 0;
}

static void finish_job(struct worker *worker, const struct job *job)
{
	worker->report.jobs_done++;
	worker->report.mismatches_found += job->mismatches;
	if (job->scopes_forgotten) {
		worker->leak_done = true;
		worker->forgotten = job->epoch;
		worker->report.scopes_forgotten = job->scopes_forgotten;
	}
}

/* Returns when the next job is due, or there is something else to do. Called with the lock held. */
static void wait_for_work(struct worker *worker)
{
	uint64_t interval_ns = (uint64_t)worker->searchd->job_interval_ms * 1000000;
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	interval_ns += (uint64_t)due.tv_nsec;
	due.tv_sec += (time_t)(interval_ns / 1000000000);
	due.tv_nsec = (long)(interval_ns % 1000000000);
	while (!worker->stopping && !worker->repair_wanted)
		if (pthread_cond_timedwait(&worker->changed, &worker->lock, &due) != 0)
			return;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct searchd *searchd = worker->searchd;

	pthread_mutex_lock(&worker->lock);
	while (!worker->stopping) {
		struct job job = { .worker = worker };

		job.faulty = searchd->leak && !worker->leak_done &&
			     atomic_load(&searchd->requests_answered) >= LEAK_AFTER_REQUESTS;
		pthread_mutex_unlock(&worker->lock);
		run_job(&job);
		pthread_mutex_lock(&worker->lock);
		finish_job(worker, &job);
		wait_for_work(worker);
		if (worker->repair_wanted) {
			repair(worker);
			worker->repair_wanted = false;
			pthread_cond_broadcast(&worker->changed);
		}
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

static bool worker_init(struct worker *worker, struct searchd *searchd)
{
	pthread_condattr_t monotonic;

	worker->searchd = searchd;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&worker->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return pthread_create(&worker->thread, NULL, work, worker) == 0;
}

struct worker *worker_start(struct searchd *searchd)
{
	struct worker *worker = tslab_calloc(1, sizeof(*worker));

	if (worker && worker_init(worker, searchd))
		return worker;
	fprintf(stderr, "searchd: the background worker can't start\n");
	tslab_free(worker);
	return NULL;
}

void worker_stop(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->stopping = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	pthread_cond_destroy(&worker->changed);
	pthread_mutex_destroy(&worker->lock);
	tslab_free(worker);
}

struct worker_report worker_report(struct worker *worker)
{
	struct worker_report report;

	pthread_mutex_lock(&worker->lock);
	report = worker->report;
	pthread_mutex_unlock(&worker->lock);
	return report;
}

unsigned worker_repair(struct worker *worker)
{
	unsigned scopes = 0;

	pthread_mutex_lock(&worker->lock);
	if (worker->report.scopes_forgotten) {
		worker->repair_wanted = true;
		pthread_cond_broadcast(&worker->changed);
		while (worker->repair_wanted && !worker->stopping)
			pthread_cond_wait(&worker->changed, &worker->lock);
		scopes = worker->scopes_repaired;
	}
	pthread_mutex_unlock(&worker->lock);
	return scopes;
}
