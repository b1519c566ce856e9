#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of the observer: options of the build, readers, what watching costs. Sourced by `run`, whose helpers
# they use.
# shellcheck disable=SC2034,SC2154 # names of `run`

# Instructions, because they repeat where times do not; ci/test counts all workloads.
row_5_statistics_cost_one_percent() {
	other_build no-stats 'TSLAB_STATS 0' --disable-stats tslab-bench libtslab.la &&
		make -C "$abs_top_builddir" -s tslab-bench &&
		"$abs_top_srcdir/bench/gate" --only ws256 "$abs_top_builddir" "$other" >"$work/gate"
	status=$?
	cat "$work/gate"
	[ $status -eq 0 ] && grep -Eq '^ok .* with statistics, .* without$' "$work/gate"
}

# A lock is taken in less than one operation of a thousand, and counting it costs less than 2 ns (row 79).
row_77_locks_are_rare() {
	counters locks_are_rare
}

row_78_no_clock_by_default() {
	sampler no_clock_while_off
}

row_79_a_lock_that_is_counted_beyond_a_plain_one() {
	says 'limit 2: met$' "$abs_top_builddir/tslab-bench-watching" --locks
}

row_99_labels_cost_the_fast_path_nothing() {
	"$abs_top_srcdir/ci/check-machine-code" "$abs_top_builddir" >"$work/code"
	status=$?
	grep 'fast paths: tslab_' "$work/code"
	return $status
}

row_100_no_cost_of_contention_by_label_unless_asked_for() {
	"$abs_top_srcdir/ci/check-label-contention" "$abs_top_builddir" >"$work/contention"
	status=$?
	cat "$work/contention"
	return $status
}

row_101_contention_by_label_with_and_without() {
	counters contention_by_label && with_label_contention &&
		CMOCKA_MESSAGE_OUTPUT=TAP "$other/tests/obs/test_counters" >"$work/labelled" 2>&1
	grep -E '^ok [0-9]+ - contention_by_label$' "$work/labelled"
}

# The export of what a program shows that allocates and frees across threads.
by_label() { # by_label BUILD
	(programs=$1/tests && victim traffic -- "$1/tools/tslab/tslab" export prometheus PID >/dev/null)
	grep -o '^# TYPE temporal_slab_class_[a-z_]*_by_label_total counter' "$work/victim.said" | sort -u
}

row_102_four_series_by_label_only_if_enabled() {
	with_label_contention && by_label "$other" >"$work/by-label" && [ "$(wc -l <"$work/by-label")" -eq 4 ] &&
		grep -q 'temporal_slab_class_lock_fast_acquire_by_label_total{class="[0-9]*",object_size="[0-9]*",label="' \
			"$work/victim.said" && [ -z "$(by_label "$abs_top_builddir")" ]
}

row_118_what_sampling_tells() {
	# Its truth tables are the ones that the doctor goes by.
	guide=$abs_top_srcdir/workloads/README_SLOWPATH_SAMPLING.md
	for band in 'below 1.5' '1.5 to 2' 'above 2'; do
		grep -q "^| $band |" "$guide" || return 1
	done
	counters documented_bands
}

row_150_current_epoch_and_a_ring_that_stalls() {
	tap acceptance/rows row_148 && json '.current_epoch == 3' || return 1
	"$tslab" doctor --threshold 0s --file "$work/snapshot" >"$work/unchanged"
	! grep ring-stalled "$work/unchanged" &&
		judges '.total_epoch_advances = 1000 | .current_epoch = 5 |
			.start_time_ns = .timestamp_ns - 172800e9 - 1000e9 |
			.epochs[0] += { epoch_id: 5, heap_id: 0, age_sec: 172800, state: "ACTIVE" }' \
			'warning: ring-stalled'
}

row_152_steady_work_cuts_no_slabs() {
	counters steady_state
}

row_166_cache_capacity() {
	json '.classes | all(.cache_size <= .cache_capacity and .cache_capacity == (1048576 / .slab_bytes | floor))'
}

row_173_healthy_ranges() {
	victim traffic -- "$tslab" stats --json PID >"$work/traffic" &&
		jq -e '.total_remote_frees > 0 and
			.total_lock_contended < 0.2 * .total_lock_acquisitions and
			.total_bitmap_alloc_cas_retries < 0.05 * .total_bitmap_alloc_attempts and
			.total_bitmap_free_cas_retries < 0.001 * .total_bitmap_free_attempts' <"$work/traffic"
}

row_179_repairs_with_their_reasons() {
	has_all .sampling repair_reason_full_bitmap repair_reason_list_mismatch repair_reason_other \
		repair_wall_ns_sum repair_cpu_ns_sum && counters what_stays_zero
}

# The documentation's program, with work where it says so.
row_182_output_of_the_sample_program() {
	{
		echo '#include <stdlib.h>'
		sed 's|// ... run your workload ...|for (int i = 0; i < 300000; i++) {\
			SlabHandle h;\
			void *p = alloc_obj_epoch(alloc, 100, 0, \&h);\
			if (!p \|\| !free_obj(alloc, h)) abort();\
		}|' "$abs_top_srcdir/tests/compat/sampling_sample.c"
	} >"$work/sample.c"
	gcc -D_GNU_SOURCE -DENABLE_SLOWPATH_SAMPLING -I"$abs_top_srcdir/include" -I"$abs_top_srcdir/include/tslab/compat" \
		-o "$work/sample" "$work/sample.c" "$abs_top_builddir/.libs/libtslab.so" || return 1
	LD_LIBRARY_PATH=$abs_top_builddir/.libs "$work/sample" >"$work/sample.out"
	cat "$work/sample.out"
	grep -q '^=== Slowpath Sampling (1/1024) ===$' "$work/sample.out" &&
		grep -q '^Samples: 292$' "$work/sample.out" &&
		grep -Eq '^Avg wall: [0-9]+ ns \(max: [0-9]+ ns\)$' "$work/sample.out" &&
		grep -Eq '^Avg CPU:  [0-9]+ ns \(max: [0-9]+ ns\)$' "$work/sample.out" &&
		grep -Eq '^Ratio: [0-9.]+x$' "$work/sample.out"
}
