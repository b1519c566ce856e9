/* SPDX-License-Identifier: MIT */
/*
 * tool.h: what the commands of `tslab` share. A command is one file, cmd_<name>.c, with one function.
 *
 * All commands but ps work on the JSON document of a snapshot, whether it was made just now from a
 * running process or is read from a file: what one of them shows, another program can compute too.
 */
#ifndef TSLAB_TOOL_H
#define TSLAB_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "obs/fields.h"
#include "options.h"

enum exit_code {
	EXIT_FINE = 0,
	EXIT_NONE = 1,       /* ps: no process; verify: the process did not rest */
	EXIT_TROUBLE = 2,    /* bad usage, or the process cannot be read */
	EXIT_REGRESSION = 3, /* diff --fail-on regression */
	EXIT_FINDINGS = 4,   /* leaks, doctor, verify: something was found */
};

extern const struct command command_completion, command_diff, command_doctor, command_drain,
	command_export, command_hist, command_leaks, command_ps, command_record, command_replay,
	command_serve, command_set, command_stats, command_stats_dump, command_top, command_trace,
	command_verify, command_watch;

/* All of them, ended by NULL. */
extern const struct command *const commands[];
/* NULL: there is none of that name. */
const struct command *find_command(const char *name);

/* "tslab: ..." on stderr; what the text quotes is made harmless. Returns EXIT_TROUBLE. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* From now on complaints go into the buffer, without "tslab: ", the last one stays; NULL: to stderr. */
void complain_into(char *buffer, size_t buffer_bytes);
/* EXIT_TROUBLE if what was printed did not all reach its place, else `code`. */
int finish_output(int code);
/* A document, or a part of one, on stdout. Returns `code`, or EXIT_TROUBLE after a complaint. */
int print_json(const json_t *value, int code);

/* -- proc.c: what /proc says -- */
/* Its number in its own namespace. */
int proc_inner_pid(pid_t pid);
/* `brief`: the resident set as the kernel has it at hand; exact, it looks at every page. */
bool proc_describe(pid_t pid, int inner_pid, bool brief, struct ts_target *target);
/* False also for one that has ended and waits for its parent. */
bool proc_is_alive(pid_t pid);
bool proc_is_mine(pid_t pid);
void proc_user(pid_t pid, char *name, size_t name_bytes);
/* Next process of a listing made with opendir("/proc"); 0 at its end. */
pid_t proc_next(void *dir);
bool proc_is_named(pid_t pid, const char *name);

/* -- attach.c: a process's segment -- */
struct attachment {
	struct ts_chunk_view chunks[TS_SNAPSHOT_CHUNKS_MAX];
	bool mapped[TS_SNAPSHOT_CHUNKS_MAX];
	size_t chunk_count;
	int inner_pid;               /* its number in its own namespace */
	uint64_t doctor_threshold_s; /* of the control page; 0 = none */
	bool gaps;     /* chunks are missing: private memory of the process, or too many */
	char why[256]; /* a sentence, if nothing could be attached */
	/* By which it is known to be the same still: the process's descriptor of the first chunk, and its file. */
	pid_t pid;
	char first_path[48]; /* "": it cannot be known */
	dev_t first_dev;
	ino_t first_ino;
	int control_fd; /* of the control page, from 1; 0 = none */
};
/* False: a.why tells. */
bool attach(pid_t pid, struct attachment *a);
/* The same of what is attached already, or all zero: nothing is looked for if it is the same segment, with as many chunks. */
bool attach_again(pid_t pid, struct attachment *a);
/* From what a file holds: a core dump, or the chunks of a segment (PATH, PATH+1, ...). Fills in `target`. */
bool attach_file(const char *path, struct attachment *a, struct ts_target *target);
void detach(struct attachment *a);
/* Counts the chunks from the first to the first that is missing; those behind are given up. */
void attach_keep_contiguous(struct attachment *a);
/* Does a link say that a file is the control page of this instance? */
bool is_control_link(const char *link, const char *instance);
/* An open file of the process, and what its link says; false ends the visit. */
typedef bool visit_fd(const char *path, const char *link, void *context);
/* False with errno: the process cannot be looked into. */
bool attach_visit_fds(pid_t pid, visit_fd *visit, void *context);

/* -- resident.c: the kernel's view -- */
/*
 * Fills in the target and the epochs of a snapshot that was read from these chunks. False: the range was not
 * found among the mappings, or is not shown.
 */
bool resident_read(pid_t pid, struct ts_snapshot *snapshot, const struct ts_chunk_view *chunks,
		   size_t chunk_count);

/* -- symbols.c: source lines for the places of a snapshot -- */
void symbols_resolve(struct ts_snapshot *snapshot, const char *sysroot);

/* -- source.c: whose figures a command shows -- */
struct source {
	const char *name;    /* --name */
	const char *sysroot; /* --sysroot */
	const char *file;    /* --file, --core */
	const char *at;      /* --at */
	bool use_stdin;      /* --stdin */
	bool bare;           /* no source lines: the command shows none */
	uint32_t groups;     /* of fields that the command looks at, as in struct ts_json; 0: all */
	bool (*wants)(enum ts_field_group group, const struct ts_subject *row); /* NULL: all rows */
	bool only;  /* without any: the one process that there is */
	bool brief; /* the resident set may be off by a little, if that is cheaper */
	bool over;  /* no more to come: the process has ended, or this tool was asked to */
	pid_t pid;
	struct attachment attached; /* from one reading of the process to the next */
	uint64_t start_time_ns;     /* of the process that was read last */
	struct history *history;    /* the recording in `file`, once it is read */
	uint64_t moment_ns;         /* of it, that was read last */
};
/* The one that the options below are read into. */
extern struct source the_source;
extern const struct option_row source_process_rows[], source_snapshot_rows[];
/* Takes the PID, which is the last operand. False = complained. */
bool source_arguments(struct source *source, int argc, char **argv);
/* The snapshot as JSON, NULL = complained. */
json_t *source_load(struct source *source);
/* The figures `ms` later: of a process after waiting, of a recording at once. NULL: complained, unless source->over. */
json_t *source_next(struct source *source, uint64_t ms);
/* Until `ms` later. False: the process has ended, or a signal came. */
bool source_wait(struct source *source, uint64_t ms);
/* Once more, at once; a name is looked up anew when its process is gone. */
json_t *source_reload(struct source *source);
/* Lets go of a process or a recording that was read. */
void source_close(struct source *source);
/* The first of both. */
json_t *source_document(struct source *source, int argc, char **argv);
/* Shows it: for an exit status. */
int source_show(struct source *source, int argc, char **argv, int (*show)(const json_t *document));

/* -- tree.c -- */
/* The figures of a snapshot as JSON, those that the source is to give. NULL = complained. */
json_t *make_document(const struct ts_snapshot *snapshot, const struct source *source);

/* -- document.c: looking into it -- */
uint64_t get_u64(const json_t *object, const char *name);
double get_number(const json_t *object, const char *name);
const char *get_text(const json_t *object, const char *name);
/* What a path such as "sampling.alloc_samples" names, summed over the arrays on its way. */
double sum_path(const json_t *value, const char *path);
/* "a + 2 * b.c - d" of such paths. Figures stay below 2^53 where they are compared. */
double evaluate(const json_t *object, const char *expression);
/* The field of such a path, as fields.def has it; NULL if there is none, or it is text. */
const struct ts_field *find_field(const char *path);
const struct ts_field *field_named(enum ts_field_group group, const char *name);
/* The groups on the way to it, as in struct source. */
uint32_t groups_of(const struct ts_field *field);
bool is_counter(const struct ts_field *field);
/* Of `whole`; 0 of nothing. */
double percent(uint64_t part, uint64_t whole);
/* Seconds from one document to another of the same process. */
double seconds_between(const json_t *before, const json_t *after);
/* A time such as 90s or 5m; without a unit in seconds. */
bool parse_ms(const char *text, uint64_t *ms);
bool parse_bytes(const char *text, uint64_t *bytes);
bool parse_count(const char *text, size_t *count);

/* -- pace.c: waiting in step -- */
/*
 * Until `ms` after it returned last, however long the work in between took. False: a signal asked this
 * tool to end.
 */
bool pace_wait(uint64_t ms);

/* -- rank.c: rows of the document by one of their fields -- */
/* The first `most` rows, largest first; a new reference. */
json_t *rank_rows(const json_t *rows, const char *field, size_t most);
bool rankable(const json_t *rows, const char *field);
void list_rankable(FILE *to, const json_t *rows);
/* `by`: a field to show besides the usual ones; may be NULL. */
void print_epoch_rows(FILE *to, const json_t *rows, const char *by);

/* -- leak.c: scopes that were entered and not left -- */
/*
 * Epochs with open scopes that are `age_s` old or older, or whose thread has ended, each with these
 * scopes alone in "domains"; "missing_exits" and "missing_references" say how many. A new reference.
 */
json_t *find_leaks(const json_t *document, uint64_t age_s);
void describe_epoch(const json_t *epoch, char *buffer, size_t buffer_bytes);
void describe_missing(const json_t *leak, char *buffer, size_t buffer_bytes);
void describe_domain(const json_t *domain, char *buffer, size_t buffer_bytes);

/* -- doctor.c: what is wrong -- */
enum { DOCTOR_THRESHOLD_S = 60 };
/* What was asked for, else what the process was told with tslab set, else the above. */
#define DOCTOR_THRESHOLD_UNSET UINT64_MAX
uint64_t doctor_threshold(const json_t *document, uint64_t asked_s);
/* What it looks at: of the groups, and of their rows. */
bool may_be_trouble(enum ts_field_group group, const struct ts_subject *row);
#define TROUBLE_GROUPS                                                                             \
	(1u << TS_GROUP_GLOBAL | 1u << TS_GROUP_CLOSE | 1u << TS_GROUP_LABELS |                    \
	 1u << TS_GROUP_FAILURES | 1u << TS_GROUP_RECENT | 1u << TS_GROUP_SAMPLING |               \
	 1u << TS_GROUP_SAFETY | 1u << TS_GROUP_INVALID_FREE | 1u << TS_GROUP_CLASS |              \
	 1u << TS_GROUP_EPOCH | 1u << TS_GROUP_DOMAIN)
/* What to do about allocations off the fast path, by what they lacked. */
#define DOCTOR_UNDERSIZED                                                                          \
	"raise retain_bytes of the heap: what a thread gives back it soon takes again"
#define DOCTOR_SLOW_PATH                                                                           \
	"see which sizes are asked for; larger objects leave the fast path more often by nature"
#define DOCTOR_CLOSED "close an epoch after the last exit; allocate in the current one"
/* An array of findings; `threshold_s` as --threshold of the doctor. A new reference. */
json_t *find_trouble(const json_t *document, uint64_t threshold_s);
void print_finding(FILE *to, const json_t *finding);
void print_trouble(FILE *to, const json_t *findings);
/* -- diagnostics.c -- */
/*
 * Gives the document "diagnostics": leaks, slow_path and reclamation by class, findings; what the commands
 * show otherwise. print_summary shows the findings then.
 */
void add_diagnostics(json_t *document);

/* -- summary.c -- */
/* A line: what the figures were made on. */
void print_machine(FILE *to, const json_t *document);
void print_summary(FILE *to, const json_t *document, bool all_epochs);

/* -- schema.c -- */
/* What of a document is not as a JSON Schema has it: an array of texts. A new reference. */
json_t *schema_errors(const json_t *schema, const json_t *document);
/* -- parity.c: verify --parity FILE FILE... -- */
int show_parity(int argc, char **argv, bool as_json);

/* -- text.c: for people -- */
enum { HUMAN_BYTES = 32, CLEAN_BYTES = 2048 };
/* Text from outside, made harmless for terminals: no control characters, no text direction. */
const char *clean(const char *text, char *buffer, size_t buffer_bytes);
const char *human_bytes(uint64_t bytes, char *buffer);
const char *human_seconds(uint64_t seconds, char *buffer);
/* "once", "twice", "3 times", "zero times" */
const char *times(uint64_t count, char *buffer);
/* An entry of alloc_failures.recent. */
void describe_failure(const json_t *event, char *buffer, size_t buffer_bytes);
/* "file:line (function)", or module+offset and why. */
void describe_site(const json_t *domain, char *buffer, size_t buffer_bytes);

#endif
