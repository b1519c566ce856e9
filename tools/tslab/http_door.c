/* SPDX-License-Identifier: MIT */
/*
 * http_door.c: who gets in, and when.
 *
 * Bytes are looked at, not taken (MSG_PEEK): libmicrohttpd reads the same request from the same socket.
 * Sockets are watched edge by edge, or those bytes would report themselves for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#include "http.h"
#include "tool.h"

struct visitor {
	TAILQ_ENTRY(visitor) link; /* by time of arrival */
	int fd;
	bool local;
	uint64_t came_ms;
	struct sockaddr_storage peer;
	socklen_t peer_bytes;
};

struct http_door {
	const struct http_listeners *listeners;
	http_admit *admit;
	void *context;
	int epoll;
	size_t waiting_count;
	TAILQ_HEAD(, visitor) waiting;
};

enum { EVENTS_A_TURN = 64, ACCEPTS_A_TURN = 256 };

struct http_door *http_door_open(const struct http_listeners *listeners, http_admit *admit,
				 void *context)
{
	struct http_door *door = calloc(1, sizeof(*door));

	if (!door)
		return NULL;
	*door = (struct http_door){ .listeners = listeners, .admit = admit, .context = context };
	TAILQ_INIT(&door->waiting);
	door->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < listeners->count; i++) {
		struct epoll_event event = { .events = EPOLLIN,
					     .data.ptr = (void *)&listeners->all[i] };

		if (epoll_ctl(door->epoll, EPOLL_CTL_ADD, listeners->all[i].fd, &event)) {
			http_door_close(door);
			return NULL;
		}
	}
	return door;
}

int http_door_fd(const struct http_door *door)
{
	return door->epoll;
}

/* The descriptor, which is no longer the door's business. */
static int forget(struct http_door *door, struct visitor *visitor)
{
	int fd = visitor->fd;

	epoll_ctl(door->epoll, EPOLL_CTL_DEL, fd, NULL);
	TAILQ_REMOVE(&door->waiting, visitor, link);
	door->waiting_count--;
	free(visitor);
	return fd;
}

static void show_out(struct http_door *door, struct visitor *visitor, const char *why)
{
	if (why)
		send(visitor->fd, why, strlen(why), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(forget(door, visitor));
}

#define LAST_WORDS(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static void look_at(struct http_door *door, struct visitor *visitor)
{
	char head[HTTP_HEAD_BYTES_MAX];
	ssize_t bytes = recv(visitor->fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);
	struct sockaddr_storage peer = visitor->peer;
	socklen_t peer_bytes = visitor->peer_bytes;
	bool local = visitor->local;

	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (bytes <= 0)
		show_out(door, visitor, NULL);
	else if (head[0] < 'A' || head[0] > 'Z') /* empty lines first, TLS, noise */
		show_out(door, visitor, LAST_WORDS("400 Bad Request"));
	else if (memmem(head, (size_t)bytes, "\r\n\r\n", 4))
		door->admit(door->context, forget(door, visitor), local,
			    (const struct sockaddr *)&peer, peer_bytes);
	else if (bytes == sizeof(head))
		show_out(door, visitor, LAST_WORDS("431 Request Header Fields Too Large"));
}

/* On a Unix socket the kernel says who is there: our own user and root may read. */
static bool is_welcome(int fd, bool local)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);

	if (!local)
		return true;
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void receive(struct http_door *door, int fd, const struct sockaddr_storage *peer,
		    socklen_t peer_bytes, bool local)
{
	struct visitor *visitor = is_welcome(fd, local) ? calloc(1, sizeof(*visitor)) : NULL;
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = visitor };

	if (!visitor || epoll_ctl(door->epoll, EPOLL_CTL_ADD, fd, &event)) {
		free(visitor);
		close(fd);
		return;
	}
	if (door->waiting_count == HTTP_WAITING_MAX)
		show_out(door, TAILQ_FIRST(&door->waiting), NULL);
	*visitor = (struct visitor){ .fd = fd,
				     .local = local,
				     .came_ms = http_now_ms(),
				     .peer = *peer,
				     .peer_bytes = peer_bytes };
	TAILQ_INSERT_TAIL(&door->waiting, visitor, link);
	door->waiting_count++;
	look_at(door, visitor);
}

static void accept_from(struct http_door *door, const struct http_listener *listener)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t peer_bytes = sizeof(peer);
		int fd = accept4(listener->fd, (struct sockaddr *)&peer, &peer_bytes,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			receive(door, fd, &peer, peer_bytes, listener->local);
		else if ((errno == EMFILE || errno == ENFILE) && !TAILQ_EMPTY(&door->waiting))
			show_out(door, TAILQ_FIRST(&door->waiting), NULL);
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static bool is_listener(const struct http_door *door, const void *what)
{
	const struct http_listener *first = door->listeners->all;

	return (const struct http_listener *)what >= first &&
	       (const struct http_listener *)what < first + door->listeners->count;
}

int http_door_turn(struct http_door *door)
{
	struct epoll_event events[EVENTS_A_TURN];
	int count = epoll_wait(door->epoll, events, EVENTS_A_TURN, 0);
	struct visitor *first;
	uint64_t now;

	/* Those inside first: accepting may show somebody out that an event is about. */
	for (int i = 0; i < count; i++)
		if (!is_listener(door, events[i].data.ptr))
			look_at(door, events[i].data.ptr);
	for (int i = 0; i < count; i++)
		if (is_listener(door, events[i].data.ptr))
			accept_from(door, events[i].data.ptr);
	now = http_now_ms();
	while ((first = TAILQ_FIRST(&door->waiting)) && first->came_ms + HTTP_HEAD_MS_MAX <= now)
		show_out(door, first, LAST_WORDS("408 Request Timeout"));
	return first ? (int)(first->came_ms + HTTP_HEAD_MS_MAX - now) : -1;
}

void http_door_close(struct http_door *door)
{
	while (!TAILQ_EMPTY(&door->waiting))
		show_out(door, TAILQ_FIRST(&door->waiting), NULL);
	close(door->epoll);
	free(door);
}
