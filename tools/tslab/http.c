/* SPDX-License-Identifier: MIT */
/*
 * http.c: libmicrohttpd behind the door, in one thread and one loop.
 *
 * Each connection carries one request. When all places are taken, the oldest connection gives way: an
 * answer takes a millisecond, so one that is still there does not read what it asked for.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "tool.h"

struct place {
	int fd; /* -1: free */
	bool local;
	uint64_t since_ms;
};

struct hall {
	const struct http_server *server;
	struct MHD_Daemon *daemon;
	struct place places[HTTP_SERVED_MAX];
	const char *machine; /* this machine's name */
};

/* ---------------------------------------------------------------------------------------- requests -- */

static const char *argument(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

static const char *header(const struct http_request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

static int descriptor_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static struct place *place_of(struct hall *hall, int fd)
{
	for (int i = 0; i < HTTP_SERVED_MAX; i++)
		if (hall->places[i].fd == fd)
			return &hall->places[i];
	return NULL;
}

static bool is_address(const char *host)
{
	struct in6_addr any;

	return inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
}

/*
 * A page from elsewhere can have its own name resolve to our address ("DNS rebinding"), but the browser
 * then says that name. Addresses are safe, and so are names that we know to be ours.
 */
static bool is_our_name(const struct hall *hall, const char *header)
{
	char host[256];
	char *end;

	if (!header || strlen(header) >= sizeof(host))
		return false;
	strcpy(host, header);
	end = strrchr(host, ':');
	if (host[0] == '[') {
		end = strchr(host, ']');
		memmove(host, host + 1, strlen(host));
		end = end ? end - 1 : NULL;
	}
	if (end)
		*end = '\0';
	if (is_address(host) || !strcasecmp(host, "localhost") || !strcasecmp(host, hall->machine))
		return true;
	for (size_t i = 0; i < hall->server->host_count; i++)
		if (!strcasecmp(host, hall->server->hosts[i]))
			return true;
	return false;
}

static void set_text(struct http_answer *answer, unsigned status, const char *text)
{
	*answer = (struct http_answer){ status, "text/plain; charset=utf-8", text, strlen(text),
					false };
}

static void find_answer(struct hall *hall, struct MHD_Connection *connection, const char *path,
			const char *method, struct http_answer *answer)
{
	const struct place *place = place_of(hall, descriptor_of(connection));
	const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
	struct http_request request = { path, argument, header, connection };

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return set_text(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (!(place && place->local) && !is_our_name(hall, host))
		return set_text(answer, MHD_HTTP_MISDIRECTED_REQUEST,
				"this server does not go by that name; --host NAME allows it\n");
	set_text(answer, MHD_HTTP_NOT_FOUND, "nothing is here\n");
	hall->server->respond(hall->server->context, &request, answer);
	if (answer->body_bytes > HTTP_ANSWER_BYTES_MAX)
		set_text(answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer is too long\n");
}

/* No other site may show, run or read anything of this one, nor this one load anything from elsewhere. */
static void add_headers(struct MHD_Response *response, const struct http_answer *answer)
{
	static const char *const headers[][2] = {
		{ "Connection", "close" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
		{ "Content-Security-Policy",
		  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
		  "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	};

	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		MHD_add_response_header(response, headers[i][0], headers[i][1]);
	MHD_add_response_header(response, "Content-Type", answer->type);
	MHD_add_response_header(response, "Cache-Control",
				answer->may_be_kept ? "max-age=3600" : "no-store");
	if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
}

/* Answers at the head already, so that nobody's request body is waited for. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *body,
			      size_t *body_bytes, void **state)
{
	struct http_answer answer;
	struct MHD_Response *response;
	enum MHD_Result result;

	(void)version, (void)body, (void)body_bytes, (void)state;
	find_answer(context, connection, path, method, &answer);
	response = MHD_create_response_from_buffer(answer.body_bytes, (void *)answer.body,
						   answer.may_be_kept ? MHD_RESPMEM_PERSISTENT :
									MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	add_headers(response, &answer);
	result = MHD_queue_response(connection, answer.status, response);
	MHD_destroy_response(response);
	return result;
}

/* ------------------------------------------------------------------------------------- connections -- */

static void note_end(void *context, struct MHD_Connection *connection, void **socket_context,
		     enum MHD_ConnectionNotificationCode code)
{
	struct place *place = place_of(context, descriptor_of(connection));

	(void)socket_context;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED && place)
		place->fd = -1;
}

static struct place *oldest(struct hall *hall)
{
	struct place *found = NULL;

	for (int i = 0; i < HTTP_SERVED_MAX; i++) {
		struct place *place = &hall->places[i];

		if (place->fd >= 0 && (!found || place->since_ms < found->since_ms))
			found = place;
	}
	return found;
}

static struct place *free_place(struct hall *hall)
{
	struct place *place = place_of(hall, -1);

	if (place)
		return place;
	MHD_run(hall->daemon); /* maybe somebody is through */
	place = place_of(hall, -1);
	if (place)
		return place;
	shutdown(oldest(hall)->fd, SHUT_RDWR);
	MHD_run(hall->daemon);
	return place_of(hall, -1);
}

static void admit(void *context, int fd, bool local, const struct sockaddr *peer, socklen_t peer_bytes)
{
	struct hall *hall = context;
	struct place *place = free_place(hall);

	if (!place) {
		close(fd);
		return;
	}
	*place = (struct place){ fd, local, http_now_ms() };
	if (MHD_add_connection(hall->daemon, fd, peer, peer_bytes) != MHD_YES)
		place->fd = -1; /* closed by it */
}

/* Ends requests that take too long; milliseconds until the next may. */
static int end_late(struct hall *hall)
{
	const struct place *place = oldest(hall);
	uint64_t now = http_now_ms();

	if (!place)
		return -1;
	if (place->since_ms + HTTP_REQUEST_MS_MAX > now)
		return (int)(place->since_ms + HTTP_REQUEST_MS_MAX - now);
	shutdown(place->fd, SHUT_RDWR);
	return 0;
}

/* -------------------------------------------------------------------------------------------- loop -- */

static void stay_quiet(void *context, const char *format, va_list arguments)
{
	(void)context, (void)format, (void)arguments; /* what clients do wrong is no news */
}

static struct MHD_Daemon *start(struct hall *hall)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0,
				NULL, NULL, handle, hall, MHD_OPTION_EXTERNAL_LOGGER, stay_quiet,
				NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_SERVED_MAX,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(4 * HTTP_HEAD_BYTES_MAX),
				MHD_OPTION_NOTIFY_CONNECTION, note_end, hall, MHD_OPTION_END);
}

static int sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static void loop(struct hall *hall, struct http_door *door)
{
	struct pollfd polled[] = {
		{ .fd = http_door_fd(door), .events = POLLIN },
		{ .fd = MHD_get_daemon_info(hall->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		  .events = POLLIN },
	};
	sigset_t blocked, before;

	/* The signals that end the loop arrive while it waits, and only then. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	while (!*hall->server->stop) {
		int wait_ms = sooner(http_door_turn(door), end_late(hall));
		MHD_UNSIGNED_LONG_LONG pending_ms;
		struct timespec timeout;

		MHD_run(hall->daemon);
		if (MHD_get_timeout(hall->daemon, &pending_ms) == MHD_YES && !pending_ms)
			wait_ms = 0;
		timeout = (struct timespec){ wait_ms / 1000, wait_ms % 1000 * 1000000L };
		ppoll(polled, 2, wait_ms < 0 ? NULL : &timeout, &before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
}

bool http_serve(const struct http_server *server)
{
	struct hall hall = { .server = server };
	struct http_door *door;
	char machine[256] = "";

	gethostname(machine, sizeof(machine) - 1);
	hall.machine = machine;
	for (int i = 0; i < HTTP_SERVED_MAX; i++)
		hall.places[i].fd = -1;
	signal(SIGPIPE, SIG_IGN);
	hall.daemon = start(&hall);
	door = hall.daemon ? http_door_open(server->listeners, admit, &hall) : NULL;
	if (!door) {
		complain("cannot start the server: %m");
		return false;
	}
	loop(&hall, door);
	http_door_close(door);
	MHD_stop_daemon(hall.daemon);
	return true;
}
