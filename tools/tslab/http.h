/* SPDX-License-Identifier: MIT */
/*
 * http.h: an HTTP server that one hostile client cannot keep from the others.
 *
 * A connection waits at the *door* (http_door.c) until the whole head of its request lies in the socket,
 * and only then takes one of the few places of libmicrohttpd (http.c). Who sends slowly, or nothing, costs
 * a descriptor for two seconds and no place; when the door is crowded, who has waited longest is shown out.
 */
#ifndef TSLAB_HTTP_H
#define TSLAB_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	HTTP_HEAD_BYTES_MAX = 4096,
	HTTP_HEAD_MS_MAX = 2000,    /* for the head of a request */
	HTTP_REQUEST_MS_MAX = 5000, /* for the whole of it, answer included */
	HTTP_WAITING_MAX = 1024,    /* connections at the door */
	HTTP_SERVED_MAX = 16,       /* connections that are answered */
	HTTP_LISTEN_MAX = 8,        /* sockets */
	HTTP_ANSWER_BYTES_MAX = 16 << 20,
};

uint64_t http_now_ms(void);

/* -- http_listen.c: where clients come from -- */

struct http_listener {
	int fd;
	bool local;       /* a Unix socket: its peers are known by user, not by name */
	const char *path; /* ours, to be removed; NULL: somebody else's, or TCP */
};

struct http_listeners {
	struct http_listener all[HTTP_LISTEN_MAX];
	size_t count;
};

/* Each: false = complained. */
bool http_listen_tcp(struct http_listeners *listeners, const char *address, uint16_t port);
bool http_listen_unix(struct http_listeners *listeners, const char *path);
/* Sockets that systemd, or who else started us, has opened (LISTEN_FDS); none is fine. */
bool http_listen_inherited(struct http_listeners *listeners);
void http_listen_end(struct http_listeners *listeners);

/* -- http_door.c -- */

struct http_door;

/* Takes over the descriptor of a connection whose request head is complete. */
typedef void http_admit(void *context, int fd, bool local, const struct sockaddr *peer,
			socklen_t peer_bytes);

struct http_door *http_door_open(const struct http_listeners *listeners, http_admit *admit,
				 void *context);
/* To be polled for input by whoever runs the loop. */
int http_door_fd(const struct http_door *door);
/* Looks at everybody who moved and shows out who is too slow. Milliseconds until it must be called again. */
int http_door_turn(struct http_door *door);
void http_door_close(struct http_door *door);

/* -- http_accept.c -- */

/* Does somebody with this Accept header want the special type of content rather than the usual one? */
bool http_prefers(const char *accept, const char *special, const char *usual);

/* -- http.c -- */

struct http_request {
	const char *path;
	const char *(*argument)(const struct http_request *request,
				const char *name); /* NULL: not given */
	const char *(*header)(const struct http_request *request,
			      const char *name); /* NULL: not given */
	void *connection;
};

struct http_answer {
	unsigned status;
	const char *type;
	const void *body; /* stays as it is until the next request */
	size_t body_bytes;
	bool may_be_kept; /* by the browser: it never changes */
};

/* Answers GET and HEAD of a path. */
typedef void http_respond(void *context, const struct http_request *request,
			  struct http_answer *answer);

struct http_server {
	const struct http_listeners *listeners;
	const char *const *hosts; /* names besides addresses, localhost and this machine's */
	size_t host_count;
	http_respond *respond;
	void *context;
	const volatile int *stop; /* ends the loop; set by a signal's handler */
};

/* Serves until told to stop. False = complained. */
bool http_serve(const struct http_server *server);

#endif
