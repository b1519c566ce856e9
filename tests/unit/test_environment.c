/* SPDX-License-Identifier: MIT */
/*
 * The TSLAB_* variables: what is understood, and what is said of the rest, once, while the default holds.
 * This process never uses the library: each case is a child in which it starts anew.
 */
#include "support.h"

#include <unistd.h>

#include "config.h"
#include "core/control.h"

static char said[4096];

struct variable {
	const char *name;
	const char *value;
};

/* What became of the variable. */
static void show(void *arg)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };
	const struct variable *variable = arg;
	void *objects[16];

	setenv(variable->name, variable->value, 1);
	/* Above what the thread's cache takes. */
	for (unsigned i = 0; i < 16; i++)
		REQUIRE((objects[i] = tslab_malloc(100000)) != NULL);
	for (unsigned i = 0; i < 16; i++)
		tslab_free(objects[i]);
	REQUIRE(!tslab_stats_process(&s));
	dprintf(STDERR_FILENO, "range %llu kept %d sample %llu probe %llu trace %llu segment %d\n",
		(unsigned long long)s.range_bytes, s.pool_bytes > 0,
		(unsigned long long)ts_a64_load_rlx(&ts_control()->sample_interval),
		(unsigned long long)ts_a64_load_rlx(&ts_control()->rss_probe),
		(unsigned long long)ts_a64_load_rlx(&ts_control()->trace_failures),
		s.segment_bytes > 0);
}

static void run_with(const char *name, const char *value)
{
	struct variable variable = { name, value };

	if (!exited_well(in_child_stderr(show, &variable, said, sizeof(said))))
		fail_msg("%s=%s: %s", name, value, said);
}

static const char *word(const char *name)
{
	static char text[64];
	const char *at = strstr(said, name);

	if (!at || sscanf(at + strlen(name), "%63s", text) != 1)
		fail_msg("no %s in: %s", name, said);
	return text;
}

static void understood(const char *name, const char *value, const char *figure, const char *is)
{
	run_with(name, value);
	if (strstr(said, "tslab: "))
		fail_msg("%s=%s is understood, but: %s", name, value, said);
	assert_string_equal(word(figure), is);
}

/* One line, and the default. */
static void refused(const char *name, const char *value, const char *figure, const char *otherwise)
{
	char line[128];

	run_with(name, value);
	snprintf(line, sizeof(line), "tslab: %s=", name);
	if (!strstr(said, line) || !strstr(said, ": ignored\n"))
		fail_msg("%s=%s is taken in silence: %s", name, value, said);
	assert_null(strstr(strstr(said, line) + 1, "tslab: "));
	assert_string_equal(word(figure), otherwise);
}

static void sizes(void **state)
{
	static const char *const senseless[] = {
		"banana", "-1", "12Q", "1GB", "1.5G", " 1G", "2T", "99999999999999999999999999",
		"0x1000", "G",  "0"
	};
	char usual[64];

	(void)state;
	unsetenv("TSLAB_RANGE"); /* runs under an emulator set it */
	run_with("TSLAB_UNKNOWN", "1");
	snprintf(usual, sizeof(usual), "%s", word("range "));
	understood("TSLAB_RANGE", "1G", "range ", "1073741824");
	understood("TSLAB_RANGE", "1048576K", "range ", "1073741824");
	understood("TSLAB_RANGE", "1073741824", "range ", "1073741824");
	understood("TSLAB_RANGE", "1023M", "range ", "1073741824");
	understood("TSLAB_RANGE", "4096", "range ", "4194304"); /* the least there is */
	understood("TSLAB_RANGE", "", "range ", usual);
	for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++)
		refused("TSLAB_RANGE", senseless[i], "range ", usual);
	understood("TSLAB_RETAIN", "0", "kept ", "0");
	understood("TSLAB_RETAIN", "64M", "kept ", "1");
	refused("TSLAB_RETAIN", "much", "kept ", "1");
	refused("TSLAB_RETAIN", "18446744073709551616", "kept ", "1");
	refused("TSLAB_RETAIN", "16777216T", "kept ", "1");
	refused("TSLAB_RETAIN", "G", "kept ", "1");
}

static void numbers(void **state)
{
	(void)state;
	understood("TSLAB_SAMPLE", "4096", "sample ", "4096");
	understood("TSLAB_SAMPLE", "0", "sample ", "0");
	refused("TSLAB_SAMPLE", "4k", "sample ", TSLAB_SAMPLING ? "1024" : "0");
	refused("TSLAB_SAMPLE", "1099511627777", "sample ", TSLAB_SAMPLING ? "1024" : "0");
	understood("TSLAB_TRACE_FAILURES", "1", "trace ", "1");
	refused("TSLAB_TRACE_FAILURES", "yes", "trace ", "0");
	understood("TSLAB_STATS", "0", "segment ", "0");
	understood("TSLAB_STATS", "1", "segment ", TSLAB_STATS ? "1" : "0");
	if (TSLAB_STATS) {
		refused("TSLAB_STATS", "off", "segment ", "1");
		refused("TSLAB_CONTROL", "no", "segment ", "1");
	}
}

static void words(void **state)
{
	(void)state;
	understood("TSLAB_RSS_PROBE", "always", "probe ", "1");
	understood("TSLAB_RSS_PROBE", "never", "probe ", "2");
	refused("TSLAB_RSS_PROBE", "sometimes", "probe ", "0");
	refused("TSLAB_RSS_PROBE", "alwayss", "probe ", "0");
	understood("TSLAB_ON_ERROR", "report", "probe ", "0");
	understood("TSLAB_ON_ERROR", "abort", "probe ", "0");
	refused("TSLAB_ON_ERROR", "abort!", "probe ", "0");
}

/* What is repeated cannot speak to a terminal, and has an end. */
static void harmless(void **state)
{
	char longer[5000];

	(void)state;
	refused("TSLAB_RANGE", "1\033]0;title\007\n%n~\xff", "range ", word("range "));
	assert_null(strchr(said, '\033'));
	assert_null(strchr(said, '\007'));
	assert_non_null(strstr(said, "1?]0;title??%n~?"));
	memset(longer, 'G', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	refused("TSLAB_RANGE", longer, "range ", word("range "));
	assert_true(strlen(said) < 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(words),
		cmocka_unit_test(harmless),
	};

	return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
