/* SPDX-License-Identifier: MIT */
/*
 * searchd: a small search server over the ISO code lists, written as an example of memory by lifetime.
 *
 *   memory.c   gives jansson and SQLite their memory
 *   store.c    loads the lists into SQLite and answers queries
 *   http.c     one epoch a request
 *   worker.c   one epoch a background job
 *   main.c     options, start and stop
 */
#ifndef SEARCHD_H
#define SEARCHD_H

#include <tslab/tslab.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store;
struct worker;

struct searchd {
	tslab_heap *heap; /* of the requests */
	const char *data_directory;
	uint16_t port; /* 0 = any free port */
	unsigned http_threads;
	unsigned job_interval_ms;
	bool leak; /* one job takes the faulty error path, see worker.c */
	struct store *store;
	struct worker *worker;
	atomic_ulong requests_answered;
};

/* ------------------------------------------------------------------------------------- memory.c -- */

/* Before any other call to jansson or SQLite. Returns false, with a message, when refused. */
bool memory_start(void);
/* After the last call to either. */
void memory_stop(void);

/* -------------------------------------------------------------------------------------- store.c -- */

/* NULL, with a message, when the lists in @directory can't be read. */
struct store *store_load(const char *directory);
void store_close(struct store *store);

/* The answers are JSON made in the caller's scope; NULL = out of memory. */
json_t *store_search(struct store *store, const char *words, unsigned limit);
/* @code: "FR"; an unknown one gives json_null(). */
json_t *store_country(struct store *store, const char *code);
/* 1, 0, or -1 when out of memory. */
int store_has_code(struct store *store, const char *standard, const char *code);

/* The entries of one list, as a JSON array made in the caller's scope; NULL, with a message. */
json_t *store_read_list(const char *directory, const char *standard);
/* The code of such an entry ("FR", "fra", "FR-75"), or NULL. */
const char *store_entry_code(const char *standard, const json_t *entry);

/* ------------------------------------------------------------------------------------- worker.c -- */

struct worker_report {
	unsigned long jobs_done;
	unsigned long mismatches_found;
	unsigned scopes_forgotten; /* open now, through the fault that --leak plants */
};

struct worker *worker_start(struct searchd *searchd);
void worker_stop(struct worker *worker);
struct worker_report worker_report(struct worker *worker);
/* Leave the forgotten scopes and discard their epoch; waits until that is done. Returns how many. */
unsigned worker_repair(struct worker *worker);

/* --------------------------------------------------------------------------------------- http.c -- */

struct MHD_Daemon;

/* NULL, with a message. On return searchd->port is the port that is listened on. */
struct MHD_Daemon *http_start(struct searchd *searchd);
void http_stop(struct MHD_Daemon *daemon);

#endif
