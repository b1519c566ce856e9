/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "http.h"
#include "tool.h"

enum { BACKLOG = 1024, INHERITED_FIRST = 3 };

uint64_t http_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool keep(struct http_listeners *listeners, int fd, bool local, const char *path)
{
	if (listeners->count == HTTP_LISTEN_MAX) {
		close(fd);
		complain("at most %d places to listen at", HTTP_LISTEN_MAX);
		return false;
	}
	listeners->all[listeners->count++] = (struct http_listener){ fd, local, path };
	return true;
}

static bool is_loopback(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;

	if (address->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int bind_tcp(const struct addrinfo *at)
{
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (!bind(fd, at->ai_addr, at->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	close(fd);
	return -1;
}

bool http_listen_tcp(struct http_listeners *listeners, const char *address, uint16_t port)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found;
	char service[8];
	int error, fd;

	snprintf(service, sizeof(service), "%u", port);
	error = getaddrinfo(address, service, &hints, &found);
	if (error) {
		complain("--listen: \"%s\": %s", address, gai_strerror(error));
		return false;
	}
	if (!is_loopback(found->ai_addr))
		complain("note: whoever reaches %s can read the figures; there is no password",
			 address);
	fd = bind_tcp(found);
	freeaddrinfo(found);
	if (fd < 0) {
		complain("cannot listen at %s port %u: %m", address, port);
		return false;
	}
	complain(strchr(address, ':') ? "serving http://[%s]:%u/" : "serving http://%s:%u/",
		 address, port);
	return keep(listeners, fd, false, NULL);
}

/* A socket that nobody listens at is what an earlier server left behind. */
static bool remove_stale(const struct sockaddr_un *at)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(at->sun_path, &st))
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode))
		return errno = EEXIST, false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	stale = connect(fd, (const struct sockaddr *)at, sizeof(*at)) && errno == ECONNREFUSED;
	close(fd);
	if (!stale)
		return errno = EADDRINUSE, false;
	return !unlink(at->sun_path);
}

bool http_listen_unix(struct http_listeners *listeners, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	mode_t mask = umask(0177); /* for its own user from the first moment */
	int fd = -1;

	if (strlen(path) < sizeof(at.sun_path)) {
		memcpy(at.sun_path, path, strlen(path));
		if (remove_stale(&at))
			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	} else {
		errno = ENAMETOOLONG;
	}
	if (fd >= 0 && (bind(fd, (const struct sockaddr *)&at, sizeof(at)) || listen(fd, BACKLOG))) {
		close(fd);
		fd = -1;
	}
	umask(mask);
	if (fd < 0) {
		complain("cannot listen at %s: %m", path);
		return false;
	}
	return keep(listeners, fd, true, path);
}

static bool inherit(struct http_listeners *listeners, int fd)
{
	struct sockaddr_storage at = { .ss_family = AF_UNSPEC };
	socklen_t at_bytes = sizeof(at), option_bytes = sizeof(int);
	int listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &option_bytes) || !listening ||
	    getsockname(fd, (struct sockaddr *)&at, &at_bytes)) {
		complain("LISTEN_FDS: descriptor %d is no listening socket", fd);
		return false;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return keep(listeners, fd, at.ss_family == AF_UNIX, NULL);
}

bool http_listen_inherited(struct http_listeners *listeners)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int count = fds ? atoi(fds) : 0;

	/* Meant for a process further up, else. */
	if (!pid || atoi(pid) != (int)getpid() || count <= 0)
		return true;
	for (int i = 0; i < count; i++)
		if (!inherit(listeners, INHERITED_FIRST + i))
			return false;
	return true;
}

void http_listen_end(struct http_listeners *listeners)
{
	for (size_t i = 0; i < listeners->count; i++) {
		close(listeners->all[i].fd);
		if (listeners->all[i].path)
			unlink(listeners->all[i].path);
	}
	listeners->count = 0;
}
