/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <string.h>

#include "tool.h"

static struct {
	bool json, all_users, container;
} set;

static const struct option_row options[] = {
	{ "all-users", OPTION_FLAG, &set.all_users, NULL,
	  "those of other users too, where you may read them (root)" },
	{ "container", OPTION_FLAG, &set.container, NULL,
	  "only those in containers, with the container's id" },
	{ "json", OPTION_FLAG, &set.json, NULL, "an array of objects" },
	{ .name = NULL },
};

/* Command and user names are bytes; JSON wants UTF-8. */
static json_t *text_value(const char *text)
{
	json_t *value = json_string(text);

	return value ? value : json_string("?");
}

static json_t *describe(const struct ts_snapshot *s)
{
	char user[64];

	proc_user(s->target.pid, user, sizeof(user));
	return json_pack(
		"{s:i, s:i, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "pid", s->target.pid,
		"ns_pid", s->target.ns_pid, "user", text_value(user), "comm",
		text_value(s->target.comm), "arch", ts_field_machine(s->header.arch_machine),
		"container", s->target.container, "age_sec",
		(json_int_t)(ts_minus(s->target.boot_ns, s->header.start_boot_ns) / 1000000000u),
		"open_epochs", (json_int_t)s->open_epochs, "live_bytes",
		(json_int_t)ts_lane_sum_live_bytes(&s->lanes, s->class_bytes), "committed_bytes",
		(json_int_t)ts_snapshot_committed_bytes(s), "rss_bytes",
		(json_int_t)s->target.rss_bytes);
}

static void add_process(json_t *list, pid_t pid)
{
	struct ts_snapshot snapshot;
	struct ts_target target;
	struct attachment a;
	const char *why;

	if ((!set.all_users && !proc_is_mine(pid)) || !attach(pid, &a))
		return;
	if (proc_describe(pid, a.inner_pid, true, &target) && (!set.container || *target.container)) {
		if (ts_snapshot_read(&snapshot, &target, a.chunks, a.chunk_count, &why))
			json_array_append_new(list, describe(&snapshot));
		ts_snapshot_free(&snapshot);
	}
	detach(&a);
}

static void print_list(const json_t *list)
{
	const json_t *row;
	size_t i;

	printf("%8s %8s %-10s %-16s %-8s %7s %10s %10s %10s %8s%s\n", "PID", "NSPID", "USER",
	       "COMMAND", "ARCH", "EPOCHS", "LIVE", "HELD", "RSS", "AGE",
	       set.container ? " CONTAINER" : "");
	json_array_foreach(list, i, row) {
		char comm[32], user[64], live[HUMAN_BYTES], held[HUMAN_BYTES], rss[HUMAN_BYTES];
		char age[HUMAN_BYTES];

		printf("%8llu %8llu %-10s %-16s %-8s %7llu %10s %10s %10s %8s%s%.12s\n",
		       (unsigned long long)get_u64(row, "pid"),
		       (unsigned long long)get_u64(row, "ns_pid"),
		       clean(get_text(row, "user"), user, sizeof(user)),
		       clean(get_text(row, "comm"), comm, sizeof(comm)), get_text(row, "arch"),
		       (unsigned long long)get_u64(row, "open_epochs"),
		       human_bytes(get_u64(row, "live_bytes"), live),
		       human_bytes(get_u64(row, "committed_bytes"), held),
		       human_bytes(get_u64(row, "rss_bytes"), rss),
		       human_seconds(get_u64(row, "age_sec"), age), set.container ? " " : "",
		       set.container ? get_text(row, "container") : "");
	}
}

static int run(struct source *source, int argc, char **argv)
{
	json_t *list;
	size_t count;
	pid_t pid;
	DIR *dir;
	int code;

	(void)source;
	if (argc)
		return complain("\"%s\" is too much: ps takes no operand", argv[0]), complain_usage();
	dir = opendir("/proc");
	list = json_array();
	if (!dir || !list)
		return complain("cannot read /proc: %m");
	while ((pid = proc_next(dir)))
		add_process(list, pid);
	closedir(dir);
	count = json_array_size(list);
	code = count ? EXIT_FINE : EXIT_NONE;
	if (set.json)
		code = print_json(list, code);
	else if (count)
		print_list(list);
	else
		fprintf(stderr, "no process%s%s that uses libtslab and that you may read\n",
			set.container ? " in a container" : "", set.all_users ? "" : " of yours");
	json_decref(list);
	return code;
}

const struct command command_ps = {
	.name = "ps",
	.summary = "list processes that use the library",
	.usage = "",
	.text = "Lists your processes that use libtslab, and which may be read.\n",
	.options = options,
	.notes = "Exit status: 0, 1 if there is none.",
	.run = run,
};
