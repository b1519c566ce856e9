/* SPDX-License-Identifier: MIT */
/* The reader's side: a segment made by hand, then one that lies; JSON that any parser takes. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "obs/render.h"
#include "obs/snapshot.h"
#include "tests/obs/image.h"

static bool read_bytes(struct ts_snapshot *snapshot, const char *bytes, size_t length,
		       const char **why)
{
	const struct ts_chunk_view chunk = { bytes, length };
	const struct ts_target target = { .pid = 42, .source = "live", .boot_ns = 12000000000u };

	return ts_snapshot_read(snapshot, &target, &chunk, 1, why);
}

static bool read_image(struct ts_snapshot *snapshot, const char **why)
{
	return read_bytes(snapshot, image.bytes, sizeof(image), why);
}

/* What make_image wrote is there. */
static void assert_read_well(const char *bytes, size_t length)
{
	struct ts_snapshot s;
	const char *why;

	assert_true(read_bytes(&s, bytes, length, &why));
	assert_true(s.consistent);
	assert_int_equal(s.malformed, 0);
	assert_int_equal(s.epoch_count, 3);
	assert_int_equal(s.epochs[0].id, 1 << 16 | 22);
	assert_string_equal(s.epochs[0].label, "job");
	assert_true(s.epochs[1].ring_current);
	assert_false(s.epochs[2].ring_current);
	assert_int_equal(s.ring_closing, 0);
	assert_int_equal(s.epochs[0].lanes->open_scopes, 2);
	assert_int_equal(ts_epoch_refcount(&s.epochs[0]), 2);
	assert_int_equal(ts_lane_sum_live_objects(s.epochs[0].lanes), 200);
	assert_int_equal(ts_lane_sum_allocs(&s.lanes), 350);
	assert_int_equal(ts_snapshot_committed_bytes(&s), 131072 + 65536);
	assert_int_equal(s.thread_sum.threads, 1);
	assert_int_equal(s.domain_count, 1);
	assert_int_equal(s.domains[0].open, 2);
	assert_int_equal(s.domains[0].tid, 1001);
	assert_int_equal(s.domains[0].enters, 2);
	assert_int_equal(s.domains[0].exits, 0);
	assert_int_equal(s.domains[0].oldest_since_ns, 2000000000);
	assert_string_equal(s.domains[0].place->module, "/usr/bin/program");
	assert_string_equal(s.domains[0].place->build_id, "ab0c");
	assert_int_equal(s.domains[0].place->offset, 0x1234);
	assert_int_equal(s.classes[4].counts->slow_others, 44);
	assert_int_equal(s.classes[5].counts->slow_others, 55);
	assert_int_equal(s.class_total.slow_others, 99);
	assert_int_equal(s.lane_views[0].number, 7);
	ts_snapshot_free(&s);
}

static void test_good(void **state)
{
	(void)state;
	make_image();
	assert_read_well(image.bytes, sizeof(image));
}

/* -------------------------------------------------------------------------- segments of other minors -- */

static char longer[2 * IMAGE_BLOCKS * TS_BLOCK_BYTES] __attribute__((aligned(64)));

/* `rows` of `bytes`, with more behind each that nobody here knows. */
static char *put_rows(char *to, const void *from, unsigned rows, size_t bytes, size_t more)
{
	for (unsigned i = 0; i < rows; i++) {
		memcpy(to, (const char *)from + i * bytes, bytes);
		memset(to + bytes, 0xee, more);
		to += bytes + more;
	}
	return to;
}

/* A block as a library writes it whose rows are `more` bytes longer. Returns how many units it takes. */
static unsigned put_longer(char *to, const struct ts_block_head *head, size_t more)
{
	const struct ts_block_process *process = (const void *)head;
	const struct ts_block_epochs *epochs = (const void *)head;
	const struct ts_block_thread *thread = (const void *)head;
	const struct ts_block_lane *lane = (const void *)head;
	const struct ts_block_classes *classes = (const void *)head;
	struct ts_block_head *block = (void *)to;
	char *end = to + sizeof(*head);

	*block = *head;
	switch (head->kind) {
	case TS_BLOCK_PROCESS:
		put_rows(end, &process->w, 1, sizeof(process->w), more);
		break;
	case TS_BLOCK_EPOCHS:
		put_rows(end, epochs->row, TS_EPOCHS_PER_BLOCK - 1, sizeof(epochs->row[0]), more);
		break;
	case TS_BLOCK_THREAD:
		block->slots = 3;
		end = put_rows(end, &thread->w, 1, sizeof(thread->w), more);
		end = put_rows(end, thread->scope, TS_SCOPES_SHOWN, sizeof(thread->scope[0]), 0);
		put_rows(end, thread->cls, TS_CLASS_COUNT, sizeof(thread->cls[0]), more);
		break;
	case TS_BLOCK_LANE:
		end = put_rows(end, &lane->w, 1, sizeof(lane->w), more);
		put_rows(end, lane->cls, 1, sizeof(*lane) - offsetof(struct ts_block_lane, cls), 0);
		break;
	case TS_BLOCK_CLASSES:
		end = put_rows(end, &classes->first, 1, sizeof(classes->first), 0);
		put_rows(end, classes->row, TS_CLASS_ROWS_PER_BLOCK, sizeof(classes->row[0]), more);
		break;
	default:
		memcpy(to, head, head->slots * TS_BLOCK_BYTES);
	}
	return block->slots;
}

/* The image with longer rows everywhere, as a later minor may have them. */
static struct ts_block_header *make_longer(size_t more)
{
	struct ts_block_header *header = (void *)longer;
	char *to = longer;

	make_image();
	memset(longer, 0, sizeof(longer));
	for (size_t at = 0; at < sizeof(image);) {
		const struct ts_block_head *head = (const void *)(image.bytes + at);

		if (!head->kind)
			break;
		to += put_longer(to, head, more) * (size_t)TS_BLOCK_BYTES;
		at += head->slots * TS_BLOCK_BYTES;
	}
	header->minor = TS_STATS_MINOR + 1;
	for (unsigned i = 0; i < TS_SCOPES; i++)
		header->row_bytes[i] = (uint16_t)(ts_blockread_own.row_bytes[i] + more);
	return header;
}

/* Words that this reader does not know are passed over; rows that their block cannot hold are none. */
static void test_longer_rows(void **state)
{
	struct ts_block_header *header;
	struct ts_snapshot s;
	const char *why;

	(void)state;
	for (size_t more = 0; more <= 16; more += 8) {
		make_longer(more);
		assert_read_well(longer, sizeof(longer));
	}
	header = make_longer(8);
	for (unsigned i = 0; i < TS_SCOPES; i++)
		header->row_bytes[i] = 0xfff8;
	assert_true(read_bytes(&s, longer, sizeof(longer), &why));
	assert_int_equal(s.epoch_count, 0);
	ts_snapshot_free(&s);
}

/* Words that rows lack are 0. Who does not tell how long they are is of minor 2. */
static void test_shorter_rows(void **state)
{
	struct ts_block_header *header = (void *)image.bytes;
	struct ts_snapshot s;
	const char *why;

	(void)state;
	make_image();
	memset(header->row_bytes, 0, sizeof(header->row_bytes));
	header->minor = 2;
	assert_read_well(image.bytes, sizeof(image));
	header->row_bytes[TS_SCOPE_PROCESS] = offsetof(struct ts_process_words, refused_double);
	assert_true(read_image(&s, &why));
	assert_int_equal(ts_a64_load_rlx(&s.process.w.refused_double), 0);
	assert_int_equal(s.epoch_count, 3);
	ts_snapshot_free(&s);
	header->row_bytes[TS_SCOPE_EPOCH] = 12;
	assert_false(read_image(&s, &why));
	assert_non_null(strstr(why, "inconsistent"));
	ts_snapshot_free(&s);
}

/* -------------------------------------------------------------------------------- segments that lie -- */

static struct ts_block_header *header_of_image(void)
{
	return (void *)image.bytes;
}

static void assert_refused_because(const char *text)
{
	struct ts_snapshot s;
	const char *why = "";

	assert_false(read_image(&s, &why));
	assert_non_null(strstr(why, text));
	ts_snapshot_free(&s);
}

static void test_refused(void **state)
{
	const struct ts_chunk_view shorter = { image.bytes, TS_BLOCK_BYTES - 1 };
	const struct ts_target target = { .pid = 42 };
	struct ts_snapshot s;
	const char *why;

	(void)state;
	make_image();
	header_of_image()->magic[0] = 'X';
	assert_refused_because("magic");
	make_image();
	header_of_image()->endian = 0x0807060504030201ull;
	assert_refused_because("byte order");
	make_image();
	header_of_image()->major = TS_STATS_MAJOR + 1;
	assert_refused_because("version");
	make_image();
	header_of_image()->block_bytes = 512;
	assert_refused_because("inconsistent");
	make_image();
	assert_false(ts_snapshot_read(&s, &target, &shorter, 1, &why));
	assert_non_null(strstr(why, "shorter"));
	assert_false(ts_snapshot_read(&s, &target, NULL, 0, &why));
}

static void test_lengths(void **state)
{
	static const uint32_t lengths[] = { 0,        3,         7, IMAGE_BLOCKS, IMAGE_BLOCKS + 1,
					    1u << 22, UINT32_MAX };
	struct ts_snapshot s;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		make_image();
		((struct ts_block_head *)(image.bytes + TS_BLOCK_BYTES))->slots = lengths[i];
		assert_true(read_image(&s, &why));
		assert_true(s.malformed > 0);
		ts_snapshot_free(&s);
	}
}

/* A new kind of a later library is passed over. */
static void test_unknown_kind(void **state)
{
	struct ts_snapshot s;
	const char *why;

	(void)state;
	make_image();
	((struct ts_block_head *)(image.bytes + TS_BLOCK_BYTES))->kind = 77;
	assert_true(read_image(&s, &why));
	assert_int_equal(s.malformed, 0);
	assert_int_equal(s.epoch_count, 3);
	ts_snapshot_free(&s);
}

static bool into_text(void *context, const char *bytes, size_t count)
{
	return fwrite(bytes, 1, count, context) == count;
}

static json_t *parse_rendered(const struct ts_snapshot *snapshot)
{
	struct ts_json json;
	json_error_t error;
	char *text = NULL;
	size_t length = 0;
	FILE *stream = open_memstream(&text, &length);
	json_t *document;

	assert_non_null(stream);
	ts_json_start(&json, into_text, stream);
	ts_render_snapshot(&json, snapshot);
	assert_true(ts_json_end(&json));
	assert_int_equal(fclose(stream), 0);
	document = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!document)
		fail_msg("%s at %d: %.60s", error.text, error.position,
			 text + (error.position > 30 ? error.position - 30 : 0));
	free(text);
	return document;
}

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void damage_image(void)
{
	for (unsigned n = 1 + next_random() % 40; n; n--) {
		size_t at = next_random() % (sizeof(image) / 8);

		switch (next_random() % 4) {
		case 0:
			image.words[at] = next_random();
			break;
		case 1:
			image.words[at] = UINT64_MAX;
			break;
		case 2:
			image.words[at] ^= (uint64_t)1 << next_random() % 64;
			break;
		default:
			image.words[at] = next_random() % 300;
		}
	}
}

/* Whatever stands in the segment, reading ends, and what comes out is JSON. */
static void test_damaged(void **state)
{
	unsigned readable = 0;

	(void)state;
	random_state = 0x5eed5eed5eed5eedull;
	print_message("# seed %llx\n", (unsigned long long)random_state);
	for (unsigned i = 0; i < 3000; i++) {
		struct ts_snapshot s;
		const char *why;

		make_image();
		damage_image();
		if (read_image(&s, &why)) {
			json_decref(parse_rendered(&s));
			readable++;
		}
		ts_snapshot_free(&s);
	}
	assert_true(readable > 1000);
}

/* --------------------------------------------------------------------------------------------- JSON -- */

static void test_document(void **state)
{
	const json_t *epoch, *domain;
	struct ts_snapshot s;
	json_t *document;
	const char *why;

	(void)state;
	make_image();
	assert_true(read_image(&s, &why));
	document = parse_rendered(&s);
	assert_int_equal(json_integer_value(json_object_get(document, "schema_version")), 1);
	assert_int_equal(json_integer_value(json_object_get(document, "total_epochs_opened")), 3);
	assert_int_equal(json_array_size(json_object_get(document, "classes")), TS_CLASS_COUNT);
	epoch = json_array_get(json_object_get(document, "epochs"), 0);
	assert_int_equal(json_integer_value(json_object_get(epoch, "epoch_id")), 22);
	assert_int_equal(json_integer_value(json_object_get(epoch, "refcount")), 2);
	assert_int_equal(json_integer_value(json_object_get(epoch, "age_sec")), 11);
	domain = json_array_get(json_object_get(epoch, "domains"), 0);
	assert_int_equal(json_integer_value(json_object_get(domain, "oldest_age_sec")), 10);
	assert_string_equal(json_string_value(json_object_get(domain, "site")),
			    "/usr/bin/program+0x1234");
	/* An entry of the ring is shown by its index, the epoch that it named before by its slot. */
	assert_int_equal(json_integer_value(json_object_get(
				 json_array_get(json_object_get(document, "epochs"), 1), "epoch_id")),
			 2);
	assert_int_equal(json_integer_value(json_object_get(
				 json_array_get(json_object_get(document, "epochs"), 2), "epoch_id")),
			 20);
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(json_object_get(document, "safety"), "invalid_free"),
				 "double")),
			 3);
	json_decref(document);
	ts_snapshot_free(&s);
}

/* What a label may hold, and what a parser must read. */
static const struct {
	const char *label, *read;
} labels[] = {
	{ "plain", "plain" },
	{ "quote\" and \\", "quote\" and \\" },
	{ "\x01\n\t\x1f\x7f", "\x01\n\t\x1f\x7f" },
	{ "\xe2\x80\xa8\xe2\x80\xa9", "\xe2\x80\xa8\xe2\x80\xa9" }, /* line and paragraph separator */
	{ "\xc3\xa9\xf0\x9f\x99\x82", "\xc3\xa9\xf0\x9f\x99\x82" },
	{ "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd" },
	{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong */
	{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
	{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "cut \xe2\x82", "cut \xef\xbf\xbd\xef\xbf\xbd" },
	{ "exactly thirty-two bytes are her", "exactly thirty-two bytes are he" },
};

static void test_escaping(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		struct ts_block_epochs *epochs;
		struct ts_snapshot s;
		json_t *document;
		const char *why;

		make_image();
		epochs = (void *)(image.bytes + 2 * TS_BLOCK_BYTES);
		image_set_epoch(&epochs->row[2], 1 << 16 | 22, 0, labels[i].label);
		assert_true(read_image(&s, &why));
		document = parse_rendered(&s);
		assert_string_equal(
			json_string_value(json_object_get(
				json_array_get(json_object_get(document, "epochs"), 0), "label")),
			labels[i].read);
		json_decref(document);
		ts_snapshot_free(&s);
	}
}

static bool refuse_after(void *context, const char *bytes, size_t count)
{
	size_t *left = context;

	(void)bytes;
	if (*left < count)
		return false;
	*left -= count;
	return true;
}

/* A full disk is noticed, however late. */
static void test_sink_fails(void **state)
{
	struct ts_snapshot s;
	struct ts_json json;
	const char *why;

	(void)state;
	make_image();
	assert_true(read_image(&s, &why));
	for (size_t room = 0; room < 8192; room += 4096) {
		size_t left = room;

		ts_json_start(&json, refuse_after, &left);
		ts_render_snapshot(&json, &s);
		assert_false(ts_json_end(&json));
	}
	ts_snapshot_free(&s);
}

/* Written as "%.6g" writes them, or the next number of six digits where that is as near. */
static void test_reals(void **state)
{
	(void)state;
	random_state = 11;
	for (unsigned n = 0; n < 100000; n++) {
		static const double times[] = { 1e-6, 1e-4, 1e-3, 1, 1e3 };
		const double real = (double)(next_random() % 100000000) /
				    (double)(1 + next_random() % 1000) * times[next_random() % 5] *
				    (n % 7 ? 1 : 0);
		const struct ts_value value = { .type = TS_VALUE_F64, .f64 = real };
		struct ts_json json;
		char *text = NULL, wanted[32];
		size_t length = 0;
		FILE *stream = open_memstream(&text, &length);

		assert_non_null(stream);
		ts_json_start(&json, into_text, stream);
		ts_json_value(&json, NULL, &value);
		assert_true(ts_json_end(&json));
		assert_int_equal(fclose(stream), 0);
		snprintf(wanted, sizeof(wanted), "%.6g\n", real);
		if (strcmp(text, wanted) != 0 &&
		    fabs(strtod(text, NULL) - real) > 1.00001 * fabs(strtod(wanted, NULL) - real))
			fail_msg("%.17g is written %s, not %s", real, text, wanted);
		free(text);
	}
}

static void test_field_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < ts_field_count; i++) {
		assert_true(ts_fields[i].name[0] && ts_fields[i].help[0]);
		for (size_t k = i + 1; k < ts_field_count; k++) {
			bool flat = ts_fields[i].group <= TS_GROUP_GLOBAL &&
				    ts_fields[k].group <= TS_GROUP_GLOBAL;

			if (flat || ts_fields[i].group == ts_fields[k].group)
				assert_string_not_equal(ts_fields[i].name, ts_fields[k].name);
		}
	}
}

/* ------------------------------------------------------------------------------- while others write -- */

static union {
	struct ts_block_lane lane;
	char bytes[TS_BLOCK_BYTES];
} shared_block __attribute__((aligned(64)));
#define shared shared_block.lane
static int stop_writing;

/* Identity n has all its words at n; allocs rise before frees. */
static void *write_identities(void *arg)
{
	(void)arg;
	for (uint64_t n = 1; !__atomic_load_n(&stop_writing, __ATOMIC_RELAXED); n++) {
		__atomic_store_n((uint64_t *)&shared.head.seq, 2 * n - 1, __ATOMIC_RELAXED);
		__atomic_store_n((uint64_t *)&shared.w.epoch_id, n, __ATOMIC_RELEASE);
		__atomic_store_n((uint64_t *)&shared.w.enters_base, n, __ATOMIC_RELEASE);
		__atomic_store_n((uint64_t *)&shared.w.flags, n, __ATOMIC_RELEASE);
		__atomic_store_n((uint64_t *)&shared.head.seq, 2 * n, __ATOMIC_RELEASE);
		for (unsigned i = 0; i < 50; i++) {
			__atomic_store_n((uint64_t *)&shared.cls[7].allocs, 50 * n + i,
					 __ATOMIC_RELAXED);
			__atomic_store_n((uint64_t *)&shared.cls[7].frees, 50 * n + i,
					 __ATOMIC_RELEASE);
		}
	}
	return NULL;
}

static void test_torn(void **state)
{
	union ts_block_copy copy;
	unsigned consistent = 0;
	pthread_t writer;

	(void)state;
	shared.head.kind = TS_BLOCK_LANE;
	shared.head.slots = 1;
	assert_int_equal(pthread_create(&writer, NULL, write_identities, NULL), 0);
	for (unsigned i = 0; i < 200000; i++) {
		if (ts_blockread_copy(&shared, 1, &copy)) {
			consistent++;
			assert_true(ts_a64_load_rlx(&copy.lane.w.epoch_id) ==
				    ts_a64_load_rlx(&copy.lane.w.enters_base));
			assert_true(ts_a64_load_rlx(&copy.lane.w.epoch_id) ==
				    ts_a64_load_rlx(&copy.lane.w.flags));
		}
		assert_true(ts_a64_load_rlx(&copy.lane.cls[7].frees) <=
			    ts_a64_load_rlx(&copy.lane.cls[7].allocs));
	}
	__atomic_store_n(&stop_writing, 1, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_true(consistent > 0);
}

/* A writer that stopped in the middle of a change: said so, not waited for. */
static void test_stopped_writer(void **state)
{
	struct ts_snapshot s;
	const char *why;

	(void)state;
	make_image();
	SET(((struct ts_block_head *)(image.bytes + 7 * TS_BLOCK_BYTES))->seq, 7);
	assert_true(read_image(&s, &why));
	assert_false(s.consistent);
	assert_int_equal(s.lanes.lanes, 1);
	ts_snapshot_free(&s);
	make_image();
	SET(((struct ts_block_epochs *)(image.bytes + 2 * TS_BLOCK_BYTES))->row[2].label_seq, 7);
	assert_true(read_image(&s, &why));
	assert_false(s.consistent);
	assert_int_equal(s.epoch_count, 3);
	assert_string_equal(s.epochs[0].label, "");
	ts_snapshot_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),        cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lengths),     cmocka_unit_test(test_unknown_kind),
		cmocka_unit_test(test_damaged),     cmocka_unit_test(test_document),
		cmocka_unit_test(test_escaping),    cmocka_unit_test(test_sink_fails),
		cmocka_unit_test(test_reals),       cmocka_unit_test(test_field_list),
		cmocka_unit_test(test_torn),        cmocka_unit_test(test_stopped_writer),
		cmocka_unit_test(test_longer_rows), cmocka_unit_test(test_shorter_rows),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
