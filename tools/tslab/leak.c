/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "tool.h"

static bool is_leak(const json_t *domain, uint64_t age_s)
{
	/* A scope whose thread has ended can never be left: its age doesn't matter. */
	return !get_u64(domain, "tid") || get_u64(domain, "oldest_age_sec") >= age_s;
}

/* The part of an epoch that leaks, as an object of its own; NULL if nothing does. */
static json_t *leak_of_epoch(const json_t *epoch, uint64_t age_s)
{
	const json_t *domains = json_object_get(epoch, "domains"), *domain;
	json_t *leaking = json_array(), *leak;
	uint64_t missing = 0, references = get_u64(epoch, "references");
	size_t i;

	if (get_u64(epoch, "age_sec") < age_s)
		references = 0;
	json_array_foreach(domains, i, domain) {
		if (!is_leak(domain, age_s))
			continue;
		missing += get_u64(domain, "open");
		json_array_append(leaking, (json_t *)domain);
	}
	if (!missing && !references) {
		json_decref(leaking);
		return NULL;
	}
	leak = json_copy((json_t *)epoch);
	json_object_set_new(leak, "missing_exits", json_integer((json_int_t)missing));
	json_object_set_new(leak, "missing_references", json_integer((json_int_t)references));
	json_object_set_new(leak, "domains", leaking);
	return leak;
}

json_t *find_leaks(const json_t *document, uint64_t age_s)
{
	const json_t *epochs = json_object_get(document, "epochs"), *epoch;
	json_t *leaks = json_array();
	size_t i;

	json_array_foreach(epochs, i, epoch) {
		json_t *leak = leak_of_epoch(epoch, age_s);

		if (leak)
			json_array_append_new(leaks, leak);
	}
	return leaks;
}

void describe_epoch(const json_t *epoch, char *buffer, size_t buffer_bytes)
{
	char label[64], age[HUMAN_BYTES], held[HUMAN_BYTES];
	const char *text = get_text(epoch, "label");

	snprintf(buffer, buffer_bytes,
		 "epoch %llu \"%s\": %s, age %s, refcount %llu, holds %s in %llu live objects",
		 (unsigned long long)get_u64(epoch, "epoch_id"),
		 *text ? clean(text, label, sizeof(label)) : "unlabeled",
		 get_text(epoch, "state_detail"), human_seconds(get_u64(epoch, "age_sec"), age),
		 (unsigned long long)get_u64(epoch, "refcount"),
		 human_bytes(get_u64(epoch, "estimated_rss_bytes"), held),
		 (unsigned long long)get_u64(epoch, "live_objects"));
}

void describe_missing(const json_t *leak, char *buffer, size_t buffer_bytes)
{
	uint64_t missing = get_u64(leak, "missing_exits"),
		 references = get_u64(leak, "missing_references");
	char entered[HUMAN_BYTES], exited[HUMAN_BYTES];
	int used = 0;

	if (missing)
		used = snprintf(buffer, buffer_bytes,
				"entered %s, exited %s. Missing %llu domain_exit() call%s.",
				times(get_u64(leak, "enters"), entered),
				times(get_u64(leak, "exits"), exited), (unsigned long long)missing,
				missing == 1 ? "" : "s");
	if (references)
		snprintf(buffer + used, buffer_bytes - (size_t)used,
			 "%s%llu reference%s taken by tslab_epoch_add_references() not given back.",
			 used ? " " : "", (unsigned long long)references, references == 1 ? "" : "s");
}

void describe_domain(const json_t *domain, char *buffer, size_t buffer_bytes)
{
	char site[CLEAN_BYTES], who[64], age[HUMAN_BYTES];
	uint64_t open = get_u64(domain, "open"), tid = get_u64(domain, "tid");

	describe_site(domain, site, sizeof(site));
	if (tid)
		snprintf(who, sizeof(who), "thread %llu, for %s", (unsigned long long)tid,
			 human_seconds(get_u64(domain, "oldest_age_sec"), age));
	else
		snprintf(who, sizeof(who), "by a thread that has ended");
	snprintf(buffer, buffer_bytes, "%llu open scope%s entered at %s, %s",
		 (unsigned long long)open, open == 1 ? "" : "s", site, who);
}
