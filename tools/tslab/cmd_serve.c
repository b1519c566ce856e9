/* SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "config.h"
#include "figures.h"
#include "http.h"
#include "page.h"

enum { PORT_DEFAULT = 2112 };

static struct {
	bool all;
	size_t port; /* 0: not given */
	struct texts addresses, hosts;
	const char *path;
	uint64_t interval_ms, threshold_s;
	unsigned naming; /* of the words below */
} set = { .interval_ms = 5000, .threshold_s = DOCTOR_THRESHOLD_UNSET, .naming = 2 };

static const struct option_row options[] = {
	{ "all", OPTION_FLAG, &set.all, NULL, "all processes that can be read, new ones too" },
	{ "port", OPTION_COUNT, &set.port, "PORT", "(default 2112)" },
	{ "listen", OPTION_TEXTS, &set.addresses, "ADDRESS",
	  "where to listen (default 127.0.0.1); more than once if need be" },
	{ "unix", OPTION_FILE, &set.path, "PATH",
	  "listen at a Unix socket, for this user and root; without --listen and --port\n"
	  "at no other. Sockets that systemd hands over (LISTEN_FDS) count likewise" },
	{ "host", OPTION_TEXTS, &set.hosts, "NAME",
	  "a name that clients may call this server by, besides addresses, localhost and\n"
	  "the machine's name" },
	{ "interval", OPTION_MS, &set.interval_ms, "TIME",
	  "read the process at most so often, and only when somebody asks (default 5s)" },
	{ "naming", OPTION_CHOICE, &set.naming, "seed|clean|both", "of metrics, as in tslab export" },
	{ "threshold", OPTION_SECONDS, &set.threshold_s, "TIME",
	  "the doctor's: how long a scope may be open and an epoch may drain\n"
	  "(default 60s, or what tslab set says)" },
	{ .name = NULL },
};

#if TSLAB_HAVE_MICROHTTPD

static volatile int stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

/* ----------------------------------------------------------------------------------------- answers -- */

static void answer_text(struct http_answer *answer, const char *type, const struct buffer *made)
{
	if (!made)
		return;
	answer->status = 200;
	answer->type = type;
	answer->body = made->text;
	answer->body_bytes = made->bytes;
}

/* What cannot be answered, and why, as JSON. */
static void answer_failure(struct http_answer *answer, unsigned status, const char *why)
{
	static char text[1200];
	json_t *failure = json_pack("{s:s}", "error", why);

	answer->status = status;
	answer->type = "application/json";
	answer->body = text;
	answer->body_bytes = failure ? json_dumpb(failure, text, sizeof(text), JSON_COMPACT) : 0;
	json_decref(failure);
}

/* OpenMetrics is for those who ask for it: Prometheus takes both, and prefers that. */
static bool wants_openmetrics(const struct http_request *request)
{
	const char *accept = request->header(request, "Accept");

	return accept && http_prefers(accept, "application/openmetrics-text", "text/plain");
}

static void answer_metrics(struct figures *figures, const struct http_request *request,
			   struct http_answer *answer)
{
	const struct metrics_format format = { .naming = set.naming + 1,
					       .of_many = set.all,
					       .openmetrics = wants_openmetrics(request) };

	figures_take(figures);
	answer_text(answer, metrics_content_type(&format), figures_metrics(figures, &format));
}

static void answer_snapshot(struct figures *figures, const struct http_request *request,
			    struct http_answer *answer)
{
	const char *pid = request->argument(request, "pid");
	const struct buffer *made;
	size_t number = 0, count;

	if (pid && !parse_count(pid, &number))
		return answer_failure(answer, 400, "pid: no process id");
	count = figures_take(figures);
	made = figures_snapshot(figures, number);
	if (made)
		answer_text(answer, "application/json", made);
	else
		answer_failure(answer, count ? 404 : 503, figures->why);
}

static void answer_processes(struct figures *figures, const struct http_request *request,
			     struct http_answer *answer)
{
	(void)request;
	figures_take(figures);
	answer_text(answer, "application/json", figures_processes(figures));
}

/* Also how often it is worth while to ask. */
static void answer_health(struct figures *figures, const struct http_request *request,
			  struct http_answer *answer)
{
	static char text[128];
	struct buffer good = { .text = text };
	size_t count = figures_take(figures);

	(void)request;
	if (!count)
		return answer_failure(answer, 503, figures->why);
	good.bytes = (size_t)snprintf(text, sizeof(text),
				      "{\"status\":\"ok\",\"processes\":%zu,\"interval_ms\":%llu}",
				      count, (unsigned long long)figures->interval_ms);
	answer_text(answer, "application/json", &good);
}

static const struct {
	const char *path;
	void (*answer)(struct figures *figures, const struct http_request *request,
		       struct http_answer *answer);
} routes[] = {
	{ "/metrics", answer_metrics },
	{ "/api/v1/snapshot", answer_snapshot },
	{ "/api/v1/processes", answer_processes },
	{ "/healthz", answer_health },
};

static void respond(void *context, const struct http_request *request, struct http_answer *answer)
{
	const char *name = !strcmp(request->path, "/") ? "index.html" : request->path + 1;

	for (unsigned i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (!strcmp(request->path, routes[i].path))
			return routes[i].answer(context, request, answer);
	for (size_t i = 0; i < page_file_count; i++)
		if (!strcmp(name, page_files[i].name))
			*answer = (struct http_answer){ 200, page_files[i].type, page_files[i].bytes,
							page_files[i].byte_count, true };
}

/* ----------------------------------------------------------------------------------------- sockets -- */

static bool open_sockets(struct http_listeners *listeners)
{
	uint16_t port = (uint16_t)(set.port ? set.port : PORT_DEFAULT);

	if (!http_listen_inherited(listeners))
		return false;
	if (set.path && !http_listen_unix(listeners, set.path))
		return false;
	for (size_t i = 0; i < set.addresses.count; i++)
		if (!http_listen_tcp(listeners, set.addresses.text[i], port))
			return false;
	if (set.addresses.count || (listeners->count && !set.port))
		return true;
	return http_listen_tcp(listeners, "127.0.0.1", port);
}

static int serve(struct figures *figures)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct http_listeners listeners = { .count = 0 };
	const struct http_server server = { .listeners = &listeners,
					    .hosts = set.hosts.text,
					    .host_count = set.hosts.count,
					    .respond = respond,
					    .context = figures,
					    .stop = &stop };
	bool good;

	/* What one look needs the next one needs again: not back to the system and from it in between. */
	mallopt(M_TRIM_THRESHOLD, 2 * HTTP_ANSWER_BYTES_MAX);
	mallopt(M_MMAP_THRESHOLD, HTTP_ANSWER_BYTES_MAX);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	good = open_sockets(&listeners) && http_serve(&server);
	http_listen_end(&listeners);
	figures_end(figures);
	return good ? EXIT_FINE : EXIT_TROUBLE;
}

/* A process that goes by its name is looked for when somebody asks: it may come later. */
static bool take_source(struct source *source, int argc, char **argv)
{
	bool later = set.all || (source->name && !source->file);

	if (source->use_stdin)
		complain("stdin can be read only once: put the snapshot into a file (--file)");
	else if (later && (argc || (set.all && (source->name || source->file))))
		complain("give one of PID, --name, --all and --file");
	else if (set.port > UINT16_MAX)
		complain("--port: %zu is above 65535", set.port);
	else
		return later || source_arguments(source, argc, argv);
	complain_usage();
	return false;
}

static int run(struct source *source, int argc, char **argv)
{
	struct figures figures = { .all = set.all,
				   .interval_ms = set.interval_ms,
				   .threshold_s = set.threshold_s };

	if (!take_source(source, argc, argv))
		return EXIT_TROUBLE;
	figures.source = *source;
	return serve(&figures);
}

#else

static int run(struct source *source, int argc, char **argv)
{
	(void)source, (void)argc, (void)argv;
	return complain("serve is not part of this build: configure found no libmicrohttpd");
}

#endif

const struct command command_serve = {
	.name = "serve",
	.summary = "show figures to browsers and to Prometheus",
	.usage = "[--all]",
	.text = "Serves a page with live plots (/), metrics for Prometheus (/metrics), what `tslab stats --json`\n"
		"writes together with the doctor's findings (/api/v1/snapshot), a list of the processes\n"
		"(/api/v1/processes), and whether there is one that can be read (/healthz).\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.notes = "With --name the process may end and come back. SIGINT and SIGTERM end the server.\n"
		 "Exit status: 0, 2 trouble.",
	.run = run,
};
