/* SPDX-License-Identifier: MIT */
#include "retain.h"

#include "arch.h"
#include "environment.h"
#include "os.h"
#include "range.h"

#define DEFAULT_BYTES ((uint64_t)64 << 20)
#define SHARE 8 /* of the memory in use */
#define WINDOW_NS 1000000000u

static ts_a64 keep_bytes;
static bool learns;
static uint64_t learned;  /* more than the least */
static uint64_t returned; /* lately, and not taken again */

/* While there is any of both; each window judges what it has seen. */
static uint64_t window_ns;
static uint64_t least_held; /* by the pool */
static uint64_t peak[2];    /* memory in use, in this window and in the last one */

void ts_retain_start(void)
{
	uint64_t bytes = ts_environment_bytes("TSLAB_RETAIN", 0, UINT64_MAX - 1, UINT64_MAX);

	ts_retain_exactly(bytes == UINT64_MAX ? DEFAULT_BYTES : bytes);
	learns = bytes == UINT64_MAX;
}

void ts_retain_exactly(uint64_t bytes)
{
	ts_a64_store_rlx(&keep_bytes, bytes);
	learns = false;
	ts_retain_forget();
}

bool ts_retain_any(void)
{
	return ts_a64_load_rlx(&keep_bytes) != 0;
}

void ts_retain_forget(void)
{
	learned = returned = 0;
}

uint64_t ts_retain_least(uint64_t in_use)
{
	uint64_t share = in_use * TS_CHUNK_BYTES / SHARE;
	uint64_t keep = ts_a64_load_rlx(&keep_bytes);

	return keep ? (share > keep ? share : keep) / TS_CHUNK_BYTES : 0;
}

static uint64_t recent_peak(void)
{
	return peak[0] > peak[1] ? peak[0] : peak[1];
}

uint64_t ts_retain_most(uint64_t in_use)
{
	uint64_t least = ts_retain_least(in_use);
	uint64_t used = recent_peak();
	uint64_t gone = learned && used > in_use ? used - in_use : 0;
	uint64_t wanted = least + learned < gone ? least + learned : gone;

	return wanted > least ? wanted : least;
}

static void begin_window(uint64_t now_ns, uint64_t held, uint64_t in_use)
{
	window_ns = now_ns;
	least_held = held;
	peak[1] = peak[0];
	peak[0] = in_use;
}

static void judge_window(void)
{
	learned -= learned < least_held ? learned : least_held;
	returned /= 2;
}

/* Before the change: a window ends with what was so until now. */
void ts_retain_see(uint64_t held, uint64_t in_use)
{
	uint64_t now_ns, window;

	if (!learned && !returned)
		return;
	ts_retain_changed(held, in_use);
	now_ns = ts_os_coarse_ns();
	window = now_ns > window_ns ? now_ns - window_ns : 0;
	if (window < WINDOW_NS)
		return;
	judge_window();
	begin_window(now_ns, held, in_use);
	if (window < 2 * WINDOW_NS)
		return;
	/* A window at least in which nothing changed. */
	judge_window();
	returned = 0;
	peak[1] = in_use;
}

void ts_retain_changed(uint64_t held, uint64_t in_use)
{
	if (held < least_held)
		least_held = held;
	if (in_use > peak[0])
		peak[0] = in_use;
}

void ts_retain_returned(uint64_t chunks, uint64_t in_use)
{
	if (!learns)
		return;
	if (!learned && !returned) {
		peak[0] = 0;
		begin_window(ts_os_coarse_ns(), 0, in_use);
	}
	returned += chunks;
}

void ts_retain_missed(uint64_t chunks)
{
	uint64_t again = chunks < returned ? chunks : returned;

	returned -= again;
	learned += again;
	if (learned > recent_peak())
		learned = recent_peak();
}

uint64_t ts_retain_surplus(uint64_t held, uint64_t in_use)
{
	uint64_t most = learned ? ts_retain_most(in_use) : held;

	return held > most ? held - most : 0;
}
