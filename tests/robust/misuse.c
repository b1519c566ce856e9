/* SPDX-License-Identifier: MIT */
/*
 * misuse: what allocators make of calls that no correct program makes. A child for each case and
 * allocator misuses it many times; the parent tells what became of the child.
 *
 *   misuse [--count N] [--seed N]                          tslab alone, as TAP: all refused, none harmful
 *   misuse --table [--count N] [--seed N] [--peer NAME=FILE]...      a table beside other allocators
 *
 * The peers are those that Debian has: the C library's, and preloaded libjemalloc.so.2,
 * libtcmalloc_minimal.so.4, libmimalloc.so.2; --peer adds more, and libtslab-malloc.so is one as any.
 */
#include "misuse.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tslab/stats.h>
#include <tslab/tslab.h>

enum { PEERS_MAX = 16, HARMED = 42, SECONDS_MAX = 1200 };
#define CHILD_MARK "--child"

struct allocator {
	const char *name;
	const char *preload; /* NULL: none */
};

static struct allocator peers[PEERS_MAX] = {
	{ "glibc", NULL },
	{ "jemalloc", "libjemalloc.so.2" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4" },
	{ "mimalloc", "libmimalloc.so.2" },
};
static unsigned peer_count = 4;
static uint64_t count = 100000, seed = 20261121;
static const struct allocator tslab = { "tslab", NULL };

static void die(const char *what, const char *which) __attribute__((noreturn));

static void die(const char *what, const char *which)
{
	fprintf(stderr, "misuse: %s%s%s\n", what, which ? ": " : "", which ? which : "");
	exit(2);
}

/* --------------------------------------------------------------------------------------- child -- */

void misuse_harm(struct misuse_run *run, const char *what)
{
	snprintf(run->record->harm, sizeof(run->record->harm), "%s", what);
	_exit(HARMED);
}

static struct tslab_process_stats statistics(void)
{
	struct tslab_process_stats s = { .struct_bytes = sizeof(s) };

	if (tslab_stats_process(&s))
		die("no statistics", NULL);
	return s;
}

/* The world that a case leaves: its small objects and the large one; and no epoch of its own. */
static void check_figures(struct misuse_run *run)
{
	struct tslab_process_stats s = statistics();

	run->record->refused = s.refused_double + s.refused_wild + s.refused_foreign +
			       s.refused_stale_handle + s.refused_wrong_handle;
	if (s.live_objects != 64 + 1 || s.allocations - s.frees != s.live_objects || s.closing_epochs)
		misuse_harm(run, "the figures do not balance");
}

/* The dynamic linker only warns about a file that it cannot preload. */
static void check_preloaded(const char *preload)
{
	void *library = strcmp(preload, "-") ? dlopen(preload, RTLD_NOW | RTLD_NOLOAD) : RTLD_NEXT;

	if (!library ||
	    (library != RTLD_NEXT && dlsym(library, "malloc") != dlsym(RTLD_DEFAULT, "malloc")))
		die("is not the program's malloc", preload);
}

/* argv: program, CHILD_MARK, case, allocator, preload or "-", count, seed, descriptor of the record. */
static int child(char **argv)
{
	struct misuse_run run = { .allocate = malloc,
				  .release = free,
				  .count = strtoull(argv[5], NULL, 10),
				  .seed = strtoull(argv[6], NULL, 10),
				  .tslab = !strcmp(argv[3], tslab.name) };
	const struct misuse_case *c = misuse_cases;

	run.record = mmap(NULL, sizeof(*run.record), PROT_READ | PROT_WRITE, MAP_SHARED,
			  atoi(argv[7]), 0);
	if (run.record == MAP_FAILED)
		die("no record", strerror(errno));
	if (run.tslab) {
		run.allocate = tslab_malloc;
		run.release = tslab_free;
	} else {
		check_preloaded(argv[4]);
	}
	while (strcmp(c->name, argv[2]))
		c++;
	alarm(SECONDS_MAX);
	c->play(&run);
	if (run.tslab)
		check_figures(&run);
	return 0;
}

/* -------------------------------------------------------------------------------------- parent -- */

struct outcome {
	struct misuse_record record;
	int status;
	bool spoke; /* a line on stderr */
};

static int temporary(const char *name)
{
	int fd = memfd_create(name, 0);

	if (fd < 0 || ftruncate(fd, sizeof(struct misuse_record)))
		die("no memory file", strerror(errno));
	return fd;
}

static void start_child(const struct misuse_case *c, const struct allocator *who, int record,
			int words)
{
	char count_text[32], seed_text[32], fd_text[16], program[PATH_MAX];
	char *argv[] = { "misuse",
			 CHILD_MARK,
			 (char *)c->name,
			 (char *)who->name,
			 (char *)(who->preload ? who->preload : "-"),
			 count_text,
			 seed_text,
			 fd_text,
			 NULL };

	snprintf(count_text, sizeof(count_text), "%llu", (unsigned long long)count);
	snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
	snprintf(fd_text, sizeof(fd_text), "%d", record);
	if (who->preload)
		setenv("LD_PRELOAD", who->preload, 1);
	if (!realpath("/proc/self/exe", program) || dup2(words, STDERR_FILENO) < 0)
		_exit(2);
	execv(program, argv);
	_exit(2);
}

static struct outcome play(const struct misuse_case *c, const struct allocator *who)
{
	struct outcome o = { .spoke = false };
	int record = temporary("record"), words = memfd_create("stderr", 0);
	struct stat st;
	pid_t pid = fork();

	if (pid == 0)
		start_child(c, who, record, words);
	if (pid < 0 || waitpid(pid, &o.status, 0) != pid || fstat(words, &st))
		die("no child", strerror(errno));
	if (pread(record, &o.record, sizeof(o.record), 0) != sizeof(o.record))
		die("no record", strerror(errno));
	o.spoke = st.st_size > 0;
	if (WIFEXITED(o.status) && WEXITSTATUS(o.status) == 2) {
		char text[256] = "";

		(void)!pread(words, text, sizeof(text) - 1, 0);
		die(who->name, text);
	}
	close(record);
	close(words);
	return o;
}

static bool harmless(const struct outcome *o)
{
	return WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0;
}

/* In a word, and where: after how many misuses. */
static void describe(const struct outcome *o, bool counted, char *text, size_t bytes)
{
	unsigned long long calls = o->record.calls;
	int signal = WIFSIGNALED(o->status) ? WTERMSIG(o->status) : 0;

	if (harmless(o) && counted)
		snprintf(text, bytes, "%s", o->record.refused == calls ? "refused" : "accepts some");
	else if (harmless(o))
		snprintf(text, bytes, "%s", o->spoke ? "reports, goes on" : "ignored, silently");
	else if (o->record.harm[0])
		snprintf(text, bytes, "HARM at %llu: %s", calls, o->record.harm);
	else if (signal == SIGALRM)
		snprintf(text, bytes, "HANGS at %llu", calls);
	else if (o->spoke && (signal == SIGABRT || signal == SIGTRAP || !signal))
		snprintf(text, bytes, "ends the program");
	else if (signal == SIGILL || signal == SIGABRT || signal == SIGTRAP)
		snprintf(text, bytes, "ends the program, silently");
	else
		snprintf(text, bytes, "CRASH at %llu: %s", calls,
			 signal ? strsignal(signal) : "exit status");
}

static bool plays(const struct misuse_case *c, const struct allocator *who)
{
	return c->kind != MISUSE_HANDLE || who == &tslab;
}

static int tap(void)
{
	unsigned number = 0, failed = 0;
	char text[160];

	printf("# %llu misuses a case, seed %llu\n", (unsigned long long)count,
	       (unsigned long long)seed);
	for (const struct misuse_case *c = misuse_cases; c < misuse_cases + misuse_case_count; c++) {
		struct outcome o;
		bool ok;

		if (c->kind == MISUSE_REUSED)
			continue;
		o = play(c, &tslab);
		ok = harmless(&o) && o.record.calls == count && o.record.refused == count;
		describe(&o, true, text, sizeof(text));
		printf("%s %u - %s: %llu of %llu refused, %s\n", ok ? "ok" : "not ok", ++number,
		       c->text, (unsigned long long)o.record.refused,
		       (unsigned long long)o.record.calls, ok ? "none harmful" : text);
		fflush(stdout);
		failed += !ok;
	}
	printf("1..%u\n", number);
	return failed != 0;
}

static void cell(const struct misuse_case *c, const struct allocator *who)
{
	char text[160] = "no handles";

	if (plays(c, who)) {
		struct outcome o = play(c, who);

		describe(&o, who == &tslab, text, sizeof(text));
	}
	printf(" %s |", text);
	fflush(stdout);
}

static int table(void)
{
	printf("| %llu times | tslab |", (unsigned long long)count);
	for (unsigned i = 0; i < peer_count; i++)
		printf(" %s |", peers[i].name);
	printf("\n|---|---|");
	for (unsigned i = 0; i < peer_count; i++)
		printf("---|");
	printf("\n");
	for (const struct misuse_case *c = misuse_cases; c < misuse_cases + misuse_case_count; c++) {
		printf("| %s |", c->text);
		cell(c, &tslab);
		for (unsigned i = 0; i < peer_count; i++)
			cell(c, &peers[i]);
		printf("\n");
	}
	return 0;
}

static void add_peer(const char *argument)
{
	const char *equals = strchr(argument, '=');
	char *file = equals ? realpath(equals + 1, NULL) : NULL;

	if (!equals || equals == argument)
		die("a peer is NAME=FILE, not", argument);
	if (!file)
		die("no file", equals + 1);
	if (peer_count == PEERS_MAX)
		die("too many peers", NULL);
	peers[peer_count].name = strndup(argument, (size_t)(equals - argument));
	peers[peer_count++].preload = file;
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (!*text || *end || value == 0)
		die("not a number above 0", text);
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 'r' },
		{ "peer", required_argument, NULL, 'p' },
		{ "table", no_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	bool wants_table = false;
	int option;

	if (argc == 8 && !strcmp(argv[1], CHILD_MARK))
		return child(argv);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'n')
			count = number(optarg);
		else if (option == 'r')
			seed = number(optarg);
		else if (option == 'p')
			add_peer(optarg);
		else if (option == 't')
			wants_table = true;
		else
			return 2;
	}
	if (optind < argc)
		die("unknown argument", argv[optind]);
	return wants_table ? table() : tap();
}
