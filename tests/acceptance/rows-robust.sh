#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of robustness: what stays constant, and what never happens. Sourced by `run`, whose helpers they use.
# shellcheck disable=SC2154 # names of `run`

row_107_two_hundred_cycles_without_drift() {
	"$programs/robust/soak" --cycles 200
}

# What is held is the same from the tenth cycle on; ci/soak does it for two hours and looks at the slope.
row_108_no_ratcheting() {
	"$programs/robust/soak" --seconds 10 && grep -q '^stage  drift .*soak --seconds 7200' "$abs_top_srcdir/ci/matrix.txt"
}

sampled() { # sampled TEST: its line of figures
	[ -e "$work/sampled" ] || : >"$work/sampled"
	grep "^$1 " "$work/sampled" || "$programs/robust/sampling" "$1" | tee -a "$work/sampled"
}

row_113_simple_contention_and_zombie_tests() {
	for test in simple_test contention_sampling_test zombie_repair_test; do
		sampled $test | grep -E "^$test threads=(1|8|16) samples=[1-9][0-9]* .* repairs=0\$" || return 1
	done
}

# The table of known figures, and the figures of now.
row_114_truth_table_of_samples() {
	analyze=$abs_top_srcdir/tests/robust/analyze_sampling.sh
	cat >"$work/known" <<-'END'
		some other line
		simple_test threads=1 samples=97 wall_ns=1308 cpu_ns=398 wait_ns=910 repairs=0
		contention_sampling_test threads=8 samples=776 wall_ns=3800 cpu_ns=3200 wait_ns=600 repairs=0
		zombie_repair_test threads=16 samples=768 wall_ns=780 cpu_ns=400 wait_ns=380 repairs=83
	END
	"$analyze" "$work/known" >"$work/table" && grep -E '^simple_test .* scheduler$' "$work/table" &&
		grep -E '^contention_sampling_test .* contention$' "$work/table" &&
		grep -E '^zombie_repair_test .* allocator repairs$' "$work/table" || return 1
	! echo 'no figures' | "$analyze" 2>/dev/null || return 1
	for test in simple_test contention_sampling_test zombie_repair_test; do
		sampled $test >/dev/null || return 1
	done
	"$analyze" "$work/sampled" >"$work/table" && cat "$work/table" &&
		[ "$(grep -cE ' (scheduler|contention|allocator)$' "$work/table")" -eq 3 ]
}

row_121_closing_epochs_take_no_handles() {
	tap unit/test_handle stale_after_close && tap unit/test_handle arguments &&
		tap unit/test_thread close_in_the_middle
}

# The design has no list that can hold a full slab: sixteen threads find nothing to repair, and no object damaged.
row_132_nothing_to_repair_under_sixteen_threads() {
	sampled zombie_repair_test | grep -E ' repairs=0$' && json '.sampling.repair_count == 0'
}

# Every program that uses the library correctly.
row_160_no_allocation_in_a_closed_epoch() {
	for program in 'soak --cycles 20' 'sampling simple_test'; do
		# shellcheck disable=SC2086 # words
		TSLAB_ON_ERROR=abort TSLAB_TRACE_FAILURES=1 "$programs/robust/"$program >"$work/correct" 2>&1 || return 1
		! grep 'tslab:' "$work/correct" || return 1
	done
	victim traffic -- "$tslab" stats --json PID >"$work/traffic" &&
		jq -e '.total_slow_epoch_closed == 0' "$work/traffic"
}

# No allocation is served by anything else than the library, and its free slots have no headers to reset: a
# preloaded program of sixteen threads meets neither. ci/soak has hours of it.
row_200_no_fallbacks() {
	LD_PRELOAD=$abs_top_builddir/.libs/libtslab-malloc.so python3 -c '
import ctypes, threading
def work():
    for i in range(300): [bytes(n) for n in range(100, 5000, 50)]
threads = [threading.Thread(target=work) for i in range(16)]
for t in threads: t.start()
for t in threads: t.join()
count = ctypes.CDLL(None).tslab_malloc_fallbacks
count.restype = ctypes.c_uint64
print("fallbacks", count())' >"$work/fallbacks" 2>&1
	cat "$work/fallbacks"
	grep -qx 'fallbacks 0' "$work/fallbacks" &&
		json '[.. | objects | select(has("fallback_total")) | .fallback_total + .list_header_resets] == [0]'
}
