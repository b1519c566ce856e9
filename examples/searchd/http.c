/* SPDX-License-Identifier: MIT */
/*
 * The HTTP side: an epoch a request.
 *
 * The epoch is opened when the request's head has arrived, entered while the answer is made, and
 * discarded when libmicrohttpd is through with the request, whether the answer was sent or the client
 * went away. So the answer's JSON tree, its text and the request's own state need no clean-up path.
 */
#include "searchd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tslab/stats.h>
#include <tslab/tslab.h>
#include <unistd.h>

#define RESULTS_DEFAULT 10
#define RESULTS_MAX 100
#define CONNECTION_TIMEOUT_S 30
/* What one request needs, so that a thread's next one asks the system for nothing. */
#define RETAIN_BYTES (4u << 20)

struct request {
	tslab_epoch_t epoch; /* in which this very structure lies */
	struct searchd *searchd;
	struct MHD_Connection *connection;
	const char *method;
	const char *path;
	unsigned status;
	bool quit;
};

/* ------------------------------------------------------------------------------------- answers -- */

static json_t *problem(struct request *request, unsigned status, const char *text)
{
	request->status = status;
	return json_pack("{s:s}", "error", text);
}

static const char *argument(const struct request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static json_t *answer_search(struct request *request)
{
	const char *words = argument(request, "q");
	const char *limit_text = argument(request, "limit");
	unsigned long limit = RESULTS_DEFAULT;
	char *end;

	if (!words || !*words)
		return problem(request, MHD_HTTP_BAD_REQUEST, "q is missing: /search?q=WORDS");
	if (limit_text) {
		limit = strtoul(limit_text, &end, 10);
		if (end == limit_text || *end || limit < 1 || limit > RESULTS_MAX)
			return problem(request, MHD_HTTP_BAD_REQUEST, "limit is 1 to 100");
	}
	return json_pack("{s:s, s:o}", "query", words, "results",
			 store_search(request->searchd->store, words, (unsigned)limit));
}

static json_t *answer_country(struct request *request)
{
	const char *code = request->path + strlen("/country/");
	json_t *country = store_country(request->searchd->store, code);

	if (json_is_null(country))
		return problem(request, MHD_HTTP_NOT_FOUND, "no such country: /country/FR");
	return country;
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* What the process knows about its own memory; `tslab stats` tells the same from outside. */
static json_t *memory_figures(void)
{
	struct tslab_process_stats memory = { .struct_bytes = sizeof(memory) };

	if (tslab_stats_process(&memory) != 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "live_objects", integer(memory.live_objects),
			 "live_bytes", integer(memory.live_bytes), "committed_bytes",
			 integer(memory.committed_bytes), "open_epochs",
			 integer(memory.open_epochs), "open_scopes", integer(memory.open_scopes));
}

static json_t *answer_stats(struct request *request)
{
	struct searchd *searchd = request->searchd;
	struct worker_report worker = worker_report(searchd->worker);

	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "requests_answered",
			 integer(atomic_load(&searchd->requests_answered)), "jobs_done",
			 integer(worker.jobs_done), "mismatches_found",
			 integer(worker.mismatches_found), "scopes_forgotten",
			 integer(worker.scopes_forgotten), "memory", memory_figures());
}

static json_t *answer_repair(struct request *request)
{
	return json_pack("{s:i}", "scopes_left", (int)worker_repair(request->searchd->worker));
}

static json_t *answer_quit(struct request *request)
{
	request->quit = true;
	return json_pack("{s:b}", "quitting", 1);
}

static const struct route {
	const char *method;
	const char *path;
	bool prefix; /* the path goes on */
	json_t *(*answer)(struct request *request);
} routes[] = {
	{ "GET", "/search", false, answer_search }, { "GET", "/country/", true, answer_country },
	{ "GET", "/stats", false, answer_stats },   { "POST", "/repair", false, answer_repair },
	{ "POST", "/quit", false, answer_quit },
};

#define ROUTES (sizeof(routes) / sizeof(routes[0]))

static bool route_matches(const struct route *route, const char *path)
{
	return route->prefix ? strncmp(path, route->path, strlen(route->path)) == 0 :
			       strcmp(path, route->path) == 0;
}

static json_t *answer(struct request *request)
{
	for (size_t i = 0; i < ROUTES; i++) {
		const struct route *route = &routes[i];

		if (!route_matches(route, request->path))
			continue;
		if (strcmp(request->method, route->method) != 0)
			return problem(request, MHD_HTTP_METHOD_NOT_ALLOWED, "wrong method");
		request->status = MHD_HTTP_OK;
		return route->answer(request);
	}
	return problem(request, MHD_HTTP_NOT_FOUND, "no such page");
}

/* The answer's text, in the request's epoch; NULL when out of memory. */
static char *answer_text(struct request *request)
{
	char *text = NULL;
	json_t *json;

	if (tslab_domain_enter(request->epoch) != 0)
		return NULL;
	json = answer(request);
	if (json)
		text = json_dumps(json, JSON_COMPACT);
	tslab_domain_exit(request->epoch);
	return text;
}

static enum MHD_Result send_text(struct request *request, char *text)
{
	static char out_of_memory[] = "{\"error\":\"out of memory\"}";
	struct MHD_Response *response;
	enum MHD_Result queued;

	if (!text) {
		text = out_of_memory;
		request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	/* "persistent" for libmicrohttpd: the text outlives the response, see request_end() */
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	queued = MHD_queue_response(request->connection, request->status, response);
	MHD_destroy_response(response);
	return queued;
}

/* ------------------------------------------------------------------------- a request's lifetime -- */

static struct request *request_begin(struct searchd *searchd)
{
	struct request *request;
	tslab_epoch_t epoch;

	if (tslab_epoch_open(searchd->heap, "request", &epoch) != 0)
		return NULL;
	request = tslab_alloc(epoch, sizeof(*request));
	if (!request) {
		tslab_epoch_discard(epoch);
		return NULL;
	}
	*request = (struct request){ .epoch = epoch, .searchd = searchd };
	return request;
}

/* Called once a request for which request_begin() succeeded. */
static void request_end(void *context, struct MHD_Connection *connection, void **state,
			enum MHD_RequestTerminationCode why)
{
	struct searchd *searchd = context;
	struct request *request = *state;
	bool quit;

	(void)connection;
	(void)why;
	if (!request)
		return;
	quit = request->quit;
	tslab_epoch_discard(request->epoch); /* takes the request along */
	*state = NULL;
	atomic_fetch_add(&searchd->requests_answered, 1);
	if (quit)
		kill(getpid(), SIGTERM);
}

static enum MHD_Result request_step(void *context, struct MHD_Connection *connection,
				    const char *path, const char *method, const char *version,
				    const char *body, size_t *body_bytes, void **state)
{
	struct request *request = *state;

	(void)version;
	(void)body;
	if (!request) {
		*state = request_begin(context);
		return *state ? MHD_YES : MHD_NO;
	}
	if (*body_bytes) {
		*body_bytes = 0; /* no page takes a body */
		return MHD_YES;
	}
	request->connection = connection;
	request->method = method;
	request->path = path;
	return send_text(request, answer_text(request));
}

/* ------------------------------------------------------------------------------- start and stop -- */

struct MHD_Daemon *http_start(struct searchd *searchd)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(searchd->port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct MHD_OptionItem options[] = {
		{ MHD_OPTION_SOCK_ADDR, 0, &address },
		{ MHD_OPTION_THREAD_POOL_SIZE, searchd->http_threads, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_TIMEOUT_S, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)request_end, searchd },
		{ MHD_OPTION_END, 0, NULL },
	};
	struct tslab_heap_options heap = TSLAB_HEAP_OPTIONS_INIT;
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *daemon;

	heap.name = "requests";
	heap.retain_bytes = RETAIN_BYTES;
	searchd->heap = tslab_heap_create(&heap);
	if (!searchd->heap) {
		fprintf(stderr, "searchd: no heap for requests: %s\n", strerror(errno));
		return NULL;
	}

	daemon = MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG,
				  searchd->port, NULL, NULL, request_step, searchd,
				  MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!daemon) {
		fprintf(stderr, "searchd: 127.0.0.1:%u: %s\n", searchd->port, strerror(errno));
		return NULL;
	}
	info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
	if (info)
		searchd->port = info->port;
	return daemon;
}

void http_stop(struct MHD_Daemon *daemon)
{
	MHD_stop_daemon(daemon);
}
