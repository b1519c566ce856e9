/* SPDX-License-Identifier: MIT */
#include "searchd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: searchd [OPTION]...\n"
	"Searches the ISO code lists over HTTP on 127.0.0.1.\n"
	"\n"
	"  --port N            listen there (default 8080; 0 = any free port)\n"
	"  --data DIR          the lists (default /usr/share/iso-codes/json)\n"
	"  --threads N         threads that answer requests (default 2)\n"
	"  --job-interval MS   pause between background jobs (default 500)\n"
	"  --leak              plant a bug: one background job forgets to leave its scopes\n"
	"  --help              print this and exit\n"
	"\n"
	"GET /search?q=WORDS[&limit=N]   GET /country/XX   GET /stats   POST /repair   POST /quit\n";

enum {
	OPTION_PORT = 1,
	OPTION_DATA,
	OPTION_THREADS,
	OPTION_JOB_INTERVAL,
	OPTION_LEAK,
	OPTION_HELP
};

static const struct option options[] = {
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "data", required_argument, NULL, OPTION_DATA },
	{ "threads", required_argument, NULL, OPTION_THREADS },
	{ "job-interval", required_argument, NULL, OPTION_JOB_INTERVAL },
	{ "leak", no_argument, NULL, OPTION_LEAK },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

/* Ends the program with a message unless @text is a number from @least to @most. */
static unsigned number(const char *option, const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < least || value > most) {
		fprintf(stderr, "searchd: --%s %s: not a number from %u to %u\n", option, text,
			least, most);
		exit(2);
	}
	return (unsigned)value;
}

static void read_option(struct searchd *searchd, int option)
{
	switch (option) {
	case OPTION_PORT:
		searchd->port = (uint16_t)number("port", optarg, 0, UINT16_MAX);
		break;
	case OPTION_DATA:
		searchd->data_directory = optarg;
		break;
	case OPTION_THREADS:
		searchd->http_threads = number("threads", optarg, 1, 64);
		break;
	case OPTION_JOB_INTERVAL:
		searchd->job_interval_ms = number("job-interval", optarg, 1, 3600000);
		break;
	case OPTION_LEAK:
		searchd->leak = true;
		break;
	case OPTION_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("Try 'searchd --help'.\n", stderr);
		exit(2);
	}
}

static void read_options(struct searchd *searchd, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		read_option(searchd, option);
	if (optind < argc) {
		fprintf(stderr, "searchd: %s: no arguments are taken\n", argv[optind]);
		exit(2);
	}
}

/* Blocked before any thread starts, so that only serve() sees them. */
static sigset_t block_signals(void)
{
	sigset_t stop;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &stop, NULL);
	signal(SIGPIPE, SIG_IGN);
	return stop;
}

static bool serve(struct searchd *searchd, const sigset_t *stop)
{
	struct MHD_Daemon *daemon = http_start(searchd);
	int signal_number;

	if (!daemon)
		return false;
	printf("searchd: process %d serves http://127.0.0.1:%u\n", (int)getpid(), searchd->port);
	fflush(stdout);
	sigwait(stop, &signal_number);
	http_stop(daemon);
	return true;
}

static bool run(struct searchd *searchd, const sigset_t *stop)
{
	bool served = false;

	searchd->store = store_load(searchd->data_directory);
	if (!searchd->store)
		return false;
	searchd->worker = worker_start(searchd);
	if (searchd->worker) {
		served = serve(searchd, stop);
		worker_stop(searchd->worker);
	}
	store_close(searchd->store);
	return served;
}

int main(int argc, char **argv)
{
	struct searchd searchd = { .data_directory = "/usr/share/iso-codes/json",
				   .port = 8080,
				   .http_threads = 2,
				   .job_interval_ms = 500 };
	sigset_t stop;
	bool good;

	read_options(&searchd, argc, argv);
	stop = block_signals();
	if (!memory_start())
		return 1;
	good = run(&searchd, &stop);
	memory_stop();
	return good ? 0 : 1;
}
