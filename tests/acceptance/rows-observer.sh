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
	thrice says 'limit 2: met$' "$abs_top_builddir/tslab-bench-watching" --locks
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

# A fifth of a per cent is out of reach where each allocation is counted, so that exactly one in so many is timed
# (docs/performance.md). Held is what the counting costs, in instructions; off it costs none (row 186).
row_117_what_counting_costs_while_sampled() {
	sampler one_in_1024 || return 1
	TSLAB_SAMPLE=1048576 "$abs_top_srcdir/bench/gate" --only pair "$abs_top_builddir" >"$work/sampled"
	cat "$work/sampled"
	sed -n 's/^.* pair: \([0-9.]*\) instructions an operation, of \([0-9.]*\)$/\1 \2/p' "$work/sampled" |
		awk '{ found = $1 > $2 && $1 < 1.6 * $2 } END { exit !found }'
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

# What a sample adds up lies in words of its thread, written by plain stores; the library calls no malloc.
row_177_counters_of_a_thread_without_atomics_and_heap() {
	library=$abs_top_builddir/.libs/libtslab.so
	for function in alloc_counted ts_sample_end_on; do
		objdump -d --no-show-raw-insn --disassemble="$function" "$library" | sed -n 's/^ *[0-9a-f]*:\t//p' >"$work/code"
		[ -s "$work/code" ] && ! grep -E '^(lock|xchg .*\(|(ld|st)(a|l)?xr|cas|swp|ld(add|set|clr))' "$work/code" || return 1
	done
	nm -D --undefined-only "$library" | sed 's/.* //; s/@.*//' >"$work/needed" &&
		grep -q '^clock_gettime$' "$work/needed" &&
		! grep -Ex '(m|c|re|reallocarr|aligned_|v|pv)alloc|posix_memalign|memalign|free|strn?dup' "$work/needed"
}

row_179_repairs_with_their_reasons() {
	has_all .sampling repair_reason_full_bitmap repair_reason_list_mismatch repair_reason_other \
		repair_wall_ns_sum repair_cpu_ns_sum && counters what_stays_zero
}

# The interval that a program begins with, by the option of configure and by make's variable.
row_180_sampling_by_an_option_of_the_build() {
	printf '%s\n' '#include <stdio.h>' '#include <tslab/tslab.h>' '#include <tslab/stats.h>' 'int main(void) {' \
		'struct tslab_process_stats s = { .struct_bytes = sizeof(s) };' 'for (int i = 0; i < 3; i++) tslab_free(tslab_malloc(1));' \
		'return tslab_stats_process(&s) || printf("%d\n", (int)s.sample_interval) < 0; }' >"$work/interval.c"
	gcc -I"$abs_top_srcdir/include" -o "$work/interval" "$work/interval.c" "$abs_top_builddir/.libs/libtslab.so" ||
		return 1
	other_build sampling 'NEVER' --enable-slowpath-sampling -W "$abs_top_srcdir/src/core/control.c" libtslab.la &&
		[ "$(LD_LIBRARY_PATH=$other/.libs "$work/interval")" -eq 1024 ] &&
		make -C "$other" -s -W "$abs_top_srcdir/src/core/control.c" ENABLE_SLOWPATH_SAMPLING=0 libtslab.la &&
		[ "$(LD_LIBRARY_PATH=$other/.libs "$work/interval")" -eq 0 ]
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

# Off, the fast path has no test for it: both are the same instructions, and no clock is looked at. On, a sample
# is the time of the clocks.
row_186_no_cost_while_off() {
	sampler no_clock_while_off off_again && "$abs_top_srcdir/ci/check-machine-code" "$abs_top_builddir" >"$work/code"
	status=$?
	cat "$work/code"
	return $status
}
