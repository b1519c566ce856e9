/* SPDX-License-Identifier: MIT */
/* What keeps an epoch from draining, or would if it were closed now. */
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static struct {
	const char *epoch;
	bool all, json;
} set;

static const struct option_row options[] = {
	{ "epoch", OPTION_TEXT, &set.epoch, "N", "only this one: its id as tslab top shows it" },
	{ "all", OPTION_FLAG, &set.all, NULL,
	  "active epochs too: what would keep them, were they closed now" },
	{ "json", OPTION_FLAG, &set.json, NULL, "an array of epochs with drainable and pinned_by" },
	{ .name = NULL },
};

static void add_pin(json_t *pins, const char *by, uint64_t count, const char *text)
{
	json_array_append_new(pins, json_pack("{s:s, s:I, s:s}", "by", by, "count",
					      (json_int_t)count, "text", text));
}

/* The scopes, each place of its own, and those beyond what threads show. */
static void pin_by_scopes(json_t *pins, const json_t *epoch)
{
	uint64_t left = get_u64(epoch, "open_scopes");
	char text[2 * CLEAN_BYTES];
	const json_t *domain;
	size_t i;

	json_array_foreach(json_object_get(epoch, "domains"), i, domain) {
		uint64_t open = get_u64(domain, "open");

		describe_domain(domain, text, sizeof(text));
		add_pin(pins, "scope", open, text);
		left -= open < left ? open : left;
	}
	if (!left)
		return;
	snprintf(text, sizeof(text), "%llu more open scopes", (unsigned long long)left);
	add_pin(pins, "scope", left, text);
}

static void pin_by_objects(json_t *pins, const json_t *epoch)
{
	uint64_t objects = get_u64(epoch, "live_objects"), lanes = get_u64(epoch, "lanes");
	char text[256], live[HUMAN_BYTES];

	if (!objects)
		return;
	snprintf(text, sizeof(text),
		 "%llu live object%s, %s, in the memory of %llu thread%s: free them, or end the epoch "
		 "with tslab_epoch_discard()",
		 (unsigned long long)objects, objects == 1 ? "" : "s",
		 human_bytes(get_u64(epoch, "live_bytes"), live), (unsigned long long)lanes,
		 lanes == 1 ? "" : "s");
	add_pin(pins, "objects", objects, text);
}

static json_t *report(json_t *epoch)
{
	json_t *row = json_copy(epoch), *pins = json_array();

	if (json_is_true(json_object_get(epoch, "is_default")))
		add_pin(pins, "default", 1, "it is a heap's default epoch, which never ends");
	pin_by_scopes(pins, epoch);
	pin_by_objects(pins, epoch);
	json_object_set_new(row, "drainable", json_boolean(json_array_size(pins) == 0));
	json_object_set_new(row, "pinned_by", pins);
	return row;
}

static bool is_wanted(const json_t *epoch)
{
	char id[32], value[32];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)get_u64(epoch, "epoch_id"));
	snprintf(value, sizeof(value), "%llu", (unsigned long long)get_u64(epoch, "epoch"));
	if (set.epoch)
		return !strcmp(set.epoch, id) || !strcmp(set.epoch, value);
	return set.all || !strcmp(get_text(epoch, "state"), "CLOSING");
}

static void print_row(const json_t *row)
{
	bool closing = !strcmp(get_text(row, "state"), "CLOSING");
	char text[CLEAN_BYTES], age[HUMAN_BYTES];
	const json_t *pin;
	size_t i;

	describe_epoch(row, text, sizeof(text));
	puts(text);
	if (closing)
		printf("  closed %s ago; ", human_seconds(get_u64(row, "closing_sec"), age));
	else
		printf("  were it closed now: ");
	puts(json_is_true(json_object_get(row, "drainable")) ? "nothing keeps it" : "it is kept by");
	json_array_foreach(json_object_get(row, "pinned_by"), i, pin)
		printf("    %s\n", clean(get_text(pin, "text"), text, sizeof(text)));
}

static int show(const json_t *document)
{
	json_t *rows = json_array(), *epoch;
	const json_t *row;
	int code = EXIT_FINE;
	size_t i;

	json_array_foreach(json_object_get(document, "epochs"), i, epoch)
		if (is_wanted(epoch))
			json_array_append_new(rows, report(epoch));
	if (set.epoch && !json_array_size(rows))
		code = complain("no epoch \"%s\" is open", set.epoch);
	else if (set.json)
		code = print_json(rows, code);
	else if (!json_array_size(rows))
		puts("no closed epoch waits");
	else
		json_array_foreach(rows, i, row)
			print_row(row);
	json_decref(rows);
	return code;
}

static int run(struct source *source, int argc, char **argv)
{
	return source_show(source, argc, argv, show);
}

const struct command command_drain = {
	.name = "drain",
	.summary = "show who keeps closed epochs from ending",
	.usage = "",
	.text = "Shows what keeps each closed epoch from ending: open scopes, with thread and source line,\n"
		"and live objects.\n",
	.options = options,
	.source = SOURCE_SNAPSHOT,
	.run = run,
};
