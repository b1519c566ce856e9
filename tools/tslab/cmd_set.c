/* SPDX-License-Identifier: MIT */
/* What a running process can be told: its control page is the one thing of it that others may write. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/control.h"
#include "tool.h"

static bool as_json;

static const struct option_row options[] = {
	{ "json", OPTION_FLAG, &as_json, NULL, "what is set, as an object" },
	{ .name = NULL },
};

static const char *const probe_names[] = { "large", "always", "never" };
enum { PROBES = sizeof(probe_names) / sizeof(probe_names[0]) };

static bool parse_whole(const char *text, uint64_t most, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *value <= most;
}

static bool parse_probe(const char *text, uint64_t *value)
{
	for (*value = 0; *value < PROBES; (*value)++)
		if (!strcmp(text, probe_names[*value]))
			return true;
	return false;
}

/* One NAME=VALUE; with a NULL page it is only looked at. False = complained. */
static bool apply(struct ts_control *page, const char *setting)
{
	const char *text = strchr(setting, '=') + 1;
	size_t length = (size_t)(text - setting);
	uint64_t value = 0;
	ts_a64 *word = NULL;
	bool good = false;

	if (!strncmp(setting, "sample-rate=", length)) {
		good = parse_whole(text, TS_SAMPLE_INTERVAL_MAX, &value);
		word = page ? &page->sample_interval : NULL;
	} else if (!strncmp(setting, "rss-probe=", length)) {
		good = parse_probe(text, &value);
		word = page ? &page->rss_probe : NULL;
	} else if (!strncmp(setting, "trace-failures=", length)) {
		good = parse_whole(text, 1, &value);
		word = page ? &page->trace_failures : NULL;
	} else if (!strncmp(setting, "guard-rate=", length)) {
		good = parse_whole(text, TS_SAMPLE_INTERVAL_MAX, &value);
		word = page ? &page->guard_interval : NULL;
	} else if (!strncmp(setting, "capture-sites=", length)) {
		good = parse_whole(text, 1, &value);
		value = !value;
		word = page ? &page->capture_off : NULL;
	} else if (!strncmp(setting, "doctor-threshold=", length)) {
		good = parse_ms(text, &value);
		value /= 1000;
		word = page ? &page->doctor_threshold_s : NULL;
	} else {
		complain("there is no \"%.*s\" to set", (int)length - 1, setting);
		return false;
	}
	if (!good)
		complain("\"%s\" is no value for %.*s", text, (int)length - 1, setting);
	else if (word)
		ts_a64_store_rlx(word, value);
	return good;
}

static int show(const struct ts_control *page)
{
	uint64_t probe = ts_a64_load_rlx(&page->rss_probe);
	uint64_t interval = ts_a64_load_rlx(&page->sample_interval);
	uint64_t trace = ts_a64_load_rlx(&page->trace_failures);
	uint64_t guard = ts_a64_load_rlx(&page->guard_interval);
	uint64_t capture = ts_a64_load_rlx(&page->capture_off) != 1;
	uint64_t threshold_s = ts_a64_load_rlx(&page->doctor_threshold_s);
	const char *when = probe < PROBES ? probe_names[probe] : "?";
	json_t *object;
	int code;

	if (!as_json) {
		printf("sample-rate=%llu\nrss-probe=%s\ntrace-failures=%llu\nguard-rate=%llu\n"
		       "capture-sites=%llu\ndoctor-threshold=%llus\n",
		       (unsigned long long)interval, when, (unsigned long long)trace,
		       (unsigned long long)guard, (unsigned long long)capture,
		       (unsigned long long)threshold_s);
		return EXIT_FINE;
	}
	object = json_pack("{s:I, s:s, s:I, s:I, s:I, s:I}", "sample-rate", (json_int_t)interval,
			   "rss-probe", when, "trace-failures", (json_int_t)trace, "guard-rate",
			   (json_int_t)guard, "capture-sites", (json_int_t)capture,
			   "doctor-threshold", (json_int_t)threshold_s);
	code = print_json(object, EXIT_FINE);
	json_decref(object);
	return code;
}

/* ------------------------------------------------------------------------------------------- page -- */

struct page_search {
	const char *instance;
	int fd;
};

static bool open_if_control(const char *path, const char *link, void *context)
{
	struct page_search *search = context;

	if (!is_control_link(link, search->instance))
		return true;
	search->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return search->fd < 0;
}

/* What this tool can write: the owner cannot make the page smaller under it. */
static struct ts_control *map_page(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct ts_control *page;
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) ||
	    st.st_size < (off_t)sizeof(*page))
		return NULL;
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (!memcmp(page->magic, TS_CONTROL_MAGIC, sizeof(page->magic)) &&
	    page->version == TS_CONTROL_VERSION && page->bytes >= sizeof(*page))
		return page;
	munmap(page, sizeof(*page));
	return NULL;
}

/* NULL = complained. */
static struct ts_control *find_page(pid_t pid)
{
	struct page_search search = { TS_STATS_NAME, -1 };
	bool readable = attach_visit_fds(pid, open_if_control, &search);
	struct ts_control *page;

	/* As with the figures: the program's own, else a preloaded malloc's. */
	search.instance = TS_STATS_MALLOC_NAME;
	if (search.fd < 0)
		readable = attach_visit_fds(pid, open_if_control, &search);
	if (!readable) {
		complain("process %d cannot be looked into: %s", (int)pid, strerror(errno));
		return NULL;
	}
	if (search.fd < 0) {
		complain("process %d has no control page: it does not use libtslab, or runs with "
			 "TSLAB_CONTROL=0 or TSLAB_STATS=0",
			 (int)pid);
		return NULL;
	}
	page = map_page(search.fd);
	close(search.fd);
	if (!page)
		complain("process %d: its control page is not one that this tool knows", (int)pid);
	return page;
}

static bool check_settings(char **settings, int count)
{
	for (int i = 0; i < count; i++)
		if (!apply(NULL, settings[i]))
			return false;
	return true;
}

static int run(struct source *source, int argc, char **argv)
{
	struct ts_control *page;
	int settings;

	for (settings = 0; settings < argc && strchr(argv[settings], '='); settings++)
		;
	/* All or nothing: a bad one among them changes nothing. */
	if (!check_settings(argv, settings))
		return complain_usage();
	if (!source_arguments(source, argc - settings, argv + settings))
		return EXIT_TROUBLE;
	page = find_page(source->pid);
	if (!page)
		return EXIT_TROUBLE;
	for (int i = 0; i < settings; i++)
		apply(page, argv[i]);
	return settings ? EXIT_FINE : show(page);
}

const struct command command_set = {
	.name = "set",
	.summary = "change what a process does, while it runs",
	.usage = "[NAME=VALUE]...",
	.text = "Changes what a process does, while it runs; without NAME=VALUE shows what is set.\n\n"
		"  sample-rate=N        time one allocation in N; 0 = none. Costs a slow path for each\n"
		"                       allocation while it is on\n"
		"  rss-probe=WHEN       read the resident set before and after an epoch ends: large (for\n"
		"                       epochs that hold 16 MiB or more), always, never\n"
		"  trace-failures=0|1   print failed allocations on the process's stderr\n"
		"  guard-rate=N         put one allocation in about N between pages that trap; 0 = none\n"
		"  capture-sites=0|1    look up where scopes are entered and allocations fail (1 at first)\n"
		"  doctor-threshold=TIME  what tslab doctor, serve and top take for --threshold; 0 = 60s\n",
	.options = options,
	.words = "sample-rate=|rss-probe=|trace-failures=|guard-rate=|capture-sites=|doctor-threshold=",
	.source = SOURCE_PROCESS,
	.notes = "A lane of the process takes notice when it is bound or takes the slow path next.",
	.run = run,
};
