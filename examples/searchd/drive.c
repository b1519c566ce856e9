/* SPDX-License-Identifier: MIT */
/*
 * searchd-drive: sends real requests to a searchd over several connections that stay open, and checks
 * each answer against the code lists, which it reads for itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX_BYTES (1 << 20)
#define HEAD_MAX_BYTES 4096
#define CONNECTIONS_MAX 64
#define ANSWER_TIMEOUT_S 60

struct plan {
	const char *data_directory;
	uint16_t port;
	unsigned requests;
	unsigned connections;
	json_t *countries;
	json_t *languages;
	json_t *subdivisions;
	size_t *subdivision_counts; /* per country */
};

struct client {
	const struct plan *plan;
	pthread_t thread;
	unsigned first_request;
	unsigned requests;
	unsigned failures;
	uint64_t *latencies_ns;
	int socket;
	char *answer; /* the body of the last one */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------------------------------- HTTP -- */

static bool dial(struct client *client)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(client->plan->port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = ANSWER_TIMEOUT_S };
	int on = 1;

	client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->socket < 0)
		return false;
	setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(client->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return connect(client->socket, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static bool send_all(int socket, const char *text, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(socket, text, bytes, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		text += sent;
		bytes -= (size_t)sent;
	}
	return true;
}

static bool receive_exactly(int socket, char *buffer, size_t bytes)
{
	while (bytes) {
		ssize_t received = recv(socket, buffer, bytes, 0);

		if (received <= 0)
			return false;
		buffer += received;
		bytes -= (size_t)received;
	}
	return true;
}

/* The bytes of the head, which ends with an empty line, or -1; what came of the body follows it. */
static ssize_t receive_head(int socket, char *buffer, size_t *received_bytes)
{
	*received_bytes = 0;
	while (*received_bytes < HEAD_MAX_BYTES) {
		ssize_t received =
			recv(socket, buffer + *received_bytes, HEAD_MAX_BYTES - *received_bytes, 0);
		const char *end;

		if (received <= 0)
			return -1;
		*received_bytes += (size_t)received;
		buffer[*received_bytes] = '\0';
		end = strstr(buffer, "\r\n\r\n");
		if (end)
			return end + 4 - buffer;
	}
	return -1;
}

static long content_length(const char *head)
{
	const char *field = strcasestr(head, "\r\nContent-Length:");

	return field ? strtol(field + strlen("\r\nContent-Length:"), NULL, 10) : -1;
}

/* The HTTP status, with the body in client->answer; -1 if there was no proper answer. */
static int exchange(struct client *client, const char *method, const char *target)
{
	char head[HEAD_MAX_BYTES + 1];
	size_t received, body_now;
	ssize_t head_bytes;
	long body_bytes;
	int length;

	length = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", method,
			  target, strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
	if (length >= (int)sizeof(head) || !send_all(client->socket, head, (size_t)length))
		return -1;
	head_bytes = receive_head(client->socket, head, &received);
	body_bytes = head_bytes < 0 ? -1 : content_length(head);
	body_now = head_bytes < 0 ? 0 : received - (size_t)head_bytes;
	if (body_bytes < 0 || body_bytes >= ANSWER_MAX_BYTES || body_now > (size_t)body_bytes)
		return -1;
	memcpy(client->answer, head + head_bytes, body_now);
	if (!receive_exactly(client->socket, client->answer + body_now, (size_t)body_bytes - body_now))
		return -1;
	client->answer[body_bytes] = '\0';
	return strncmp(head, "HTTP/1.1 ", 9) == 0 ? atoi(head + 9) : -1;
}

/* --------------------------------------------------------------------------------------- checks -- */

__attribute__((format(printf, 2, 3))) static bool complain(const char *target, const char *format, ...)
{
	va_list arguments;

	flockfile(stderr);
	fprintf(stderr, "searchd-drive: %s: ", target);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	funlockfile(stderr);
	return false;
}

/* NULL unless the answer has this status and is JSON. */
static json_t *ask(struct client *client, const char *method, const char *target, int status)
{
	int got = exchange(client, method, target);
	json_t *json;

	if (got != status) {
		complain(target, got < 0 ? "no answer" : "status %d, not %d", got, status);
		return NULL;
	}
	json = json_loads(client->answer, 0, NULL);
	if (!json)
		complain(target, "the answer isn't JSON: %.60s", client->answer);
	return json;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void search_target(char *target, size_t bytes, const char *words)
{
	size_t length = (size_t)snprintf(target, bytes, "/search?limit=100&q=");

	for (const unsigned char *c = (const unsigned char *)words; *c && length + 4 < bytes; c++)
		length += (size_t)snprintf(target + length, bytes - length, "%%%02x", *c);
}

/* Searching for an entry's whole name finds that entry, or at least the 100 shortest names. */
static bool check_search(struct client *client, const json_t *entry, const char *code_key)
{
	const char *name = text_of(entry, "name");
	char target[HEAD_MAX_BYTES / 2];
	json_t *answer, *results, *result;
	bool found = false;
	size_t i;

	search_target(target, sizeof(target), name);
	answer = ask(client, "GET", target, 200);
	if (!answer)
		return false;
	results = json_object_get(answer, "results");
	json_array_foreach(results, i, result)
		found = found || (strcmp(text_of(result, "name"), name) == 0 &&
				  strcmp(text_of(result, "code"), text_of(entry, code_key)) == 0);
	found = found || json_array_size(results) == 100;
	json_decref(answer);
	return found || complain(target, "\"%s\" isn't in the answer", name);
}

static bool check_country(struct client *client, size_t index)
{
	const json_t *country = json_array_get(client->plan->countries, index);
	size_t expected = client->plan->subdivision_counts[index];
	char target[64];
	json_t *answer;
	bool good;

	snprintf(target, sizeof(target), "/country/%s", text_of(country, "alpha_2"));
	answer = ask(client, "GET", target, 200);
	if (!answer)
		return false;
	good = strcmp(text_of(answer, "name"), text_of(country, "name")) == 0 &&
	       json_array_size(json_object_get(answer, "subdivisions")) == expected;
	json_decref(answer);
	return good || complain(target, "not \"%s\" with %zu subdivisions",
				text_of(country, "name"), expected);
}

/* What a careless client sends is answered with an error, and nothing else happens. */
static bool check_refusal(struct client *client, unsigned number)
{
	static const struct {
		const char *method, *target;
		int status;
	} refusals[] = {
		{ "GET", "/country/QQ", 404 },
		{ "GET", "/country/", 404 },
		{ "GET", "/search", 400 },
		{ "GET", "/search?q=a&limit=1000", 400 },
		{ "DELETE", "/search?q=a", 405 },
		{ "GET", "/nowhere", 404 },
		{ "GET", "/country/'%20OR%201=1%20--", 404 },
	};
	size_t i = number % (sizeof(refusals) / sizeof(refusals[0]));
	json_t *answer = ask(client, refusals[i].method, refusals[i].target, refusals[i].status);
	bool good = json_is_string(json_object_get(answer, "error"));

	json_decref(answer);
	return good || complain(refusals[i].target, "no error text");
}

static bool one_request(struct client *client, unsigned number)
{
	const struct plan *plan = client->plan;
	size_t index;

	switch (number % 8) {
	case 0:
		return check_refusal(client, number / 8);
	case 1:
	case 2:
	case 3:
		return check_country(client, number % json_array_size(plan->countries));
	case 4:
		index = number % json_array_size(plan->countries);
		return check_search(client, json_array_get(plan->countries, index), "alpha_2");
	default:
		index = (size_t)number * 31 % json_array_size(plan->languages);
		return check_search(client, json_array_get(plan->languages, index), "alpha_3");
	}
}

/* ------------------------------------------------------------------------------------------ run -- */

static void *run_client(void *argument)
{
	struct client *client = argument;

	if (!dial(client)) {
		complain("connect", "%s", strerror(errno));
		client->failures = client->requests;
		return NULL;
	}
	for (unsigned i = 0; i < client->requests; i++) {
		uint64_t start_ns = now_ns();

		if (!one_request(client, client->first_request + i))
			client->failures++;
		client->latencies_ns[i] = now_ns() - start_ns;
	}
	close(client->socket);
	return NULL;
}

static json_t *read_list(const char *directory, const char *standard)
{
	char path[PATH_MAX];
	json_error_t error;
	json_t *root, *list;

	snprintf(path, sizeof(path), "%s/iso_%s.json", directory, standard);
	root = json_load_file(path, 0, &error);
	if (!root || !json_array_size(json_object_get(root, standard))) {
		fprintf(stderr, "searchd-drive: %s: %s\n", path, root ? "no entries" : error.text);
		exit(2);
	}
	list = json_incref(json_object_get(root, standard));
	json_decref(root);
	return list;
}

static void count_subdivisions(struct plan *plan)
{
	size_t countries = json_array_size(plan->countries);
	json_t *country, *subdivision;
	size_t i, j;

	plan->subdivision_counts = calloc(countries, sizeof(*plan->subdivision_counts));
	if (!plan->subdivision_counts)
		exit(2);
	json_array_foreach(plan->countries, i, country)
		json_array_foreach(plan->subdivisions, j, subdivision)
			plan->subdivision_counts[i] += strncmp(text_of(subdivision, "code"),
							       text_of(country, "alpha_2"), 2) == 0;
}

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void report(const struct plan *plan, uint64_t *latencies_ns, uint64_t elapsed_ns,
		   unsigned failures)
{
	double seconds = (double)elapsed_ns / 1e9;

	qsort(latencies_ns, plan->requests, sizeof(*latencies_ns), by_value);
	printf("%u requests over %u connections in %.2f s (%.0f a second), %u wrong answers;"
	       " half within %.2f ms, 99 %% within %.2f ms\n",
	       plan->requests, plan->connections, seconds, plan->requests / seconds, failures,
	       (double)latencies_ns[plan->requests / 2] / 1e6,
	       (double)latencies_ns[(uint64_t)plan->requests * 99 / 100] / 1e6);
}

static unsigned drive(const struct plan *plan)
{
	uint64_t *latencies_ns = calloc(plan->requests, sizeof(*latencies_ns));
	struct client *clients = calloc(plan->connections, sizeof(*clients));
	uint64_t start_ns = now_ns();
	unsigned failures = 0, given = 0;

	if (!latencies_ns || !clients)
		exit(2);
	for (unsigned i = 0; i < plan->connections; i++) {
		struct client *client = &clients[i];

		client->plan = plan;
		client->first_request = given;
		client->requests = (plan->requests - given) / (plan->connections - i);
		client->latencies_ns = latencies_ns + given;
		client->answer = malloc(ANSWER_MAX_BYTES);
		given += client->requests;
		if (!client->answer || pthread_create(&client->thread, NULL, run_client, client) != 0)
			exit(2);
	}
	for (unsigned i = 0; i < plan->connections; i++) {
		pthread_join(clients[i].thread, NULL);
		failures += clients[i].failures;
		free(clients[i].answer);
	}
	report(plan, latencies_ns, now_ns() - start_ns, failures);
	free(latencies_ns);
	free(clients);
	return failures;
}

/* --------------------------------------------------------------------------------- command line -- */

static const char usage[] =
	"Usage: searchd-drive --port N [OPTION]...\n"
	"Sends requests to a searchd on 127.0.0.1 and checks the answers.\n"
	"\n"
	"  --port N          where searchd listens\n"
	"  --requests N      how many (default 4000)\n"
	"  --connections N   over how many connections at once (default 4)\n"
	"  --data DIR        the lists (default /usr/share/iso-codes/json)\n"
	"  --help            print this and exit\n"
	"\n"
	"Exit status: 0 if all answers were right, 1 if not, 2 if it could not run.\n";

static unsigned number(const char *option, const char *text, unsigned most)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < 1 || value > most) {
		fprintf(stderr, "searchd-drive: --%s %s: not a number from 1 to %u\n", option, text,
			most);
		exit(2);
	}
	return (unsigned)value;
}

static void read_options(struct plan *plan, int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "requests", required_argument, NULL, 'r' },
		{ "connections", required_argument, NULL, 'c' },
		{ "data", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'p')
			plan->port = (uint16_t)number("port", optarg, UINT16_MAX);
		else if (option == 'r')
			plan->requests = number("requests", optarg, 100000000);
		else if (option == 'c')
			plan->connections = number("connections", optarg, CONNECTIONS_MAX);
		else if (option == 'd')
			plan->data_directory = optarg;
		else if (option == 'h')
			exit(fputs(usage, stdout) < 0);
		else
			exit(2);
	}
	if (!plan->port || optind < argc) {
		fputs("searchd-drive: --port is needed, arguments are not\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct plan plan = { .data_directory = "/usr/share/iso-codes/json",
			     .requests = 4000,
			     .connections = 4 };
	unsigned failures;

	read_options(&plan, argc, argv);
	plan.countries = read_list(plan.data_directory, "3166-1");
	plan.languages = read_list(plan.data_directory, "639-3");
	plan.subdivisions = read_list(plan.data_directory, "3166-2");
	count_subdivisions(&plan);
	failures = drive(&plan);
	free(plan.subdivision_counts);
	json_decref(plan.subdivisions);
	json_decref(plan.languages);
	json_decref(plan.countries);
	return failures ? 1 : 0;
}
