/* SPDX-License-Identifier: MIT */
/*
 * The server of `tslab serve`, asked with arbitrary bytes over TCP. The first byte says after how many of the
 * others the client pauses, so that requests come in parts too.
 *
 * Whatever is sent: the server lives, a whole head gets one answer that begins as an answer does and has a status
 * that this server has, and then the connection is closed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "tools/tslab/http.h"
#include "tools/tslab/tool.h"

uint64_t fuzz_operations;

static struct http_listeners listeners;
static struct sockaddr_in address = { .sin_family = AF_INET };

int complain(const char *format, ...)
{
	(void)format;
	return EXIT_TROUBLE;
}

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "http: %s: %m\n", what);
	abort();
}

/* Looks at all that the tool's own answers look at. */
static void respond(void *context, const struct http_request *request, struct http_answer *answer)
{
	const char *accept = request->header(request, "Accept");
	const char *pid = request->argument(request, "pid");

	(void)context;
	if (strcmp(request->path, "/") != 0)
		return;
	answer->status = 200;
	answer->type = accept && http_prefers(accept, "application/openmetrics-text", "text/plain") ?
			       "application/openmetrics-text" :
			       "text/plain";
	answer->body = pid ? pid : "";
	answer->body_bytes = pid ? strlen(pid) : 0;
	answer->may_be_kept = false;
}

static void *serve(void *arg)
{
	static const volatile int stop;
	const struct http_server server = { .listeners = &listeners,
					    .respond = respond,
					    .stop = &stop };

	(void)arg;
	require(http_serve(&server), "the server ended");
	return NULL;
}

static void start(void)
{
	socklen_t bytes = sizeof(address);
	pthread_t thread;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	require(fd >= 0 && !bind(fd, (const struct sockaddr *)&address, bytes) && !listen(fd, 64) &&
			!getsockname(fd, (struct sockaddr *)&address, &bytes),
		"listen");
	listeners.all[0] = (struct http_listener){ .fd = fd };
	listeners.count = 1;
	require(!pthread_create(&thread, NULL, serve, NULL), "thread");
}

static int reach(void)
{
	/* Longer than the server gives anybody: what is not answered until then hangs. */
	const struct timeval patience = { .tv_sec = HTTP_REQUEST_MS_MAX / 1000 + 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	require(fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) &&
			!connect(fd, (const struct sockaddr *)&address, sizeof(address)),
		"connect");
	return fd;
}

static bool is_status(unsigned status)
{
	static const unsigned known[] = { 200, 400, 404, 405, 408, 411, 413,
					  414, 417, 421, 431, 501, 505 };

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == status)
			return true;
	return false;
}

/* Nothing at all is an answer too: a client that sends rubbish may find its connection reset. */
static void check_answer(int fd)
{
	char answer[8192], more[1024];
	size_t bytes = 0;
	unsigned status;
	ssize_t got;

	while ((got = recv(fd, answer + bytes, sizeof(answer) - 1 - bytes, 0)) > 0 &&
	       bytes < sizeof(answer) - 1)
		bytes += (size_t)got;
	while (got > 0)
		got = recv(fd, more, sizeof(more), 0);
	require(got == 0 || errno != EAGAIN, "no answer, and no end");
	answer[bytes] = '\0';
	if (!bytes || memcmp(answer, "HTTP/1.1 100", strlen("HTTP/1.1 100")) == 0)
		return;
	require(sscanf(answer, "HTTP/1.%*1[01] %3u", &status) == 1, "this is no answer");
	require(is_status(status), "a status that this server does not have");
}

/* Heads that are not whole are left at the door. */
static bool is_whole(const uint8_t *data, size_t bytes)
{
	return bytes > HTTP_HEAD_BYTES_MAX || memmem(data, bytes, "\r\n\r\n", 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static bool started;
	size_t first;
	int fd;

	if (!bytes)
		return 0;
	if (!started)
		start();
	started = true;
	first = data[0] < bytes ? data[0] : 0;
	data++;
	bytes--;
	fd = reach();
	if (first) {
		send(fd, data, first, MSG_NOSIGNAL);
		usleep(200);
	}
	send(fd, data + first, bytes - first, MSG_NOSIGNAL);
	if (is_whole(data, bytes))
		check_answer(fd);
	close(fd);
	fuzz_operations++;
	return 0;
}
