#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of what the library counts and of what the seeds' interface shows. Sourced by `run`, whose helpers
# they use.
# shellcheck disable=SC2154 # names of `run`

row_1_semantic_attribution() {
	"$tslab" top --epochs --by rss_bytes --n 1 --json "$target_pid" >"$work/top" &&
		jq -e '.[0].label == "background-worker-3" and .[0].rss_bytes >= 20971520' <"$work/top"
}

row_2_refcount_of_a_missing_cleanup() {
	json "[.epochs[] | select(.refcount == 2)] | length == 1" &&
		json "$(epoch_of background-worker-3) | .refcount == 2 and .state == \"ACTIVE\"" &&
		wait_for_age 2 &&
		says 'background-worker-3' "$tslab" doctor --threshold 1s "$target_pid"
}

wait_for_age() { # the age is of now: it grows while the program does nothing
	while [ $(($(date +%s) - began)) -le "$1" ]; do
		sleep 0.2
	done
	json "$(epoch_of background-worker-3) | .age_sec >= $1"
}

row_3_cache_miss_or_epoch_closed() {
	tap acceptance/rows row_3 &&
		json '.total_slow_epoch_closed == 1 and .total_slow_cache_miss >= 560'
}

row_4_memory_returns_inside_the_close() {
	tap unit/test_reclaim close_returns_memory
}

row_7_missing_exits_with_count_and_source_line() {
	line=$(grep -n 'NEVER LEFT' "$source" | cut -d: -f1)
	says 'Missing 2 domain_exit\(\) calls' "$tslab" leaks --age 0 "$target_pid" &&
		says "target\\.c:$line" "$tslab" leaks --age 0 "$target_pid"
}

row_15_attach_without_preparation_or_restart() {
	says 'background-worker-3' "$tslab" stats --epochs "$target_pid" &&
		[ "$(tr '\0' '\n' <"/proc/$target_pid/environ" | grep -c TSLAB)" -eq 0 ]
}

row_17_memory_age_and_reclaimable_slabs_by_epoch() {
	# A fifth more than was asked for at most: the epochs' slabs of 1 KiB objects have no waste.
	for epoch in background-worker-3:20 request-handler:10 parser:5; do
		mib=${epoch#*:}
		json "$(epoch_of "${epoch%:*}") | .live_objects == $mib * 1024 and
			.rss_bytes >= $mib * 1048576 and .rss_bytes < $mib * 1048576 * 1.2 and
			.age_sec < 3600 and .total_reclaimable_slabs < 16" || return 1
	done
	"$tslab" top --epochs --by rss_bytes --n 3 --json "$target_pid" >"$work/top" &&
		jq -e '[.[].label] == ["background-worker-3", "request-handler", "parser"]' <"$work/top"
}

row_18_madvise_calls_bytes_failures() {
	counters returns_by_class madvise_failures_by_class &&
		has_all . total_madvise_calls total_madvise_bytes total_madvise_failures madvise_last_errno
}

row_19_close_controls_reclamation() {
	tap unit/test_reclaim_sim close_returns_memory && tap unit/test_reclaim last_free_returns_memory
}

row_20_rss_before_and_after_a_close() {
	counters rss_around_a_close && has_all .last_epoch_close rss_before rss_after rss_delta
}

row_42_structures_for_global_class_and_epoch() {
	tap compat/test_compat statistics
}

row_43_calls_for_global_class_and_epoch() {
	tap compat/test_compat statistics && tap compat/test_compat epochs
}

row_45_slow_paths_by_cause_and_class() {
	counters slow_paths_by_cause slow_paths_of_a_warm_lane refused_by_a_closed_epoch
}

row_46_reclamation_by_class() {
	counters returns_by_class returns_of_large_objects madvise_failures_by_class
}

row_65_close_telemetry_of_a_class() {
	counters close_telemetry && has_all '.classes[0]' epoch_close_calls epoch_close_scanned_slabs \
		epoch_close_recycled_slabs epoch_close_total_ns
}

# How much could be given back is told from what is counted anyway, so it is a lower bound (docs/cli.md): what the
# row is after is that a pass over a lane gives back all there is, and that reading costs the same at any size.
row_66_reclaimable_memory() {
	tap unit/test_bin trim_returns_what_a_walk_finds && tap unit/test_bin statistics_of_many_slabs &&
		has_all '.epochs[0]' empty_partial_count total_reclaimable_slabs reclaimable_bytes
}

row_67_recycled_of_scanned_and_slabs_of_a_call() {
	counters documented_examples
}

row_68_era_strictly_rises() {
	tap acceptance/rows row_68
}

row_69_eleven_contention_fields() {
	has_all '.classes[0]' bitmap_alloc_cas_retries bitmap_free_cas_retries current_partial_cas_failures \
		bitmap_alloc_attempts bitmap_free_attempts current_partial_cas_attempts lock_fast_acquire \
		lock_contended scan_mode scan_adapt_checks scan_adapt_switches && counters retried_pushes what_stays_zero
}

row_70_locks_are_tried_first() {
	counters lock_probe
}

row_83_no_clock_by_default() {
	json '.sampling.sample_interval == 0 and .sampling.alloc_samples == 0' &&
		"$abs_top_srcdir/ci/check-machine-code" "$abs_top_builddir"
}

row_84_ten_fields_of_an_epoch() {
	json '.epochs | length > 0 and all(has("epoch_id") and has("epoch_era") and has("state") and
		has("age_sec") and has("refcount") and has("label") and has("total_partial_slabs") and
		has("total_full_slabs") and has("total_reclaimable_slabs") and has("estimated_rss_bytes"))'
}

row_91_entered_twice_exited_zero_times() {
	says 'background-worker-3' "$tslab" leaks --age 0 "$target_pid" &&
		says 'entered twice, exited zero times\. Missing 2 domain_exit\(\) calls' \
			"$tslab" leaks --age 0 "$target_pid"
}

row_94_labels_and_reference_counts() {
	tap acceptance/rows row_94
}

row_95_open_since_is_set_by_advance() {
	tap acceptance/rows row_95
}

row_96_enter_exit_and_a_missing_exit() {
	tap acceptance/rows row_96
}

row_97_sixteen_labels() {
	counters label_cardinality && json '.label_registry.max_labels == 16 and .label_registry.labels["0"] == "unlabeled"'
}

row_98_the_seventeenth_label_is_counted() {
	counters label_cardinality && has_all .label_registry overflowed
}

row_104_last_epoch_close() {
	counters rss_around_a_close the_last_64_closes_are_kept &&
		has_all .last_epoch_close timestamp_ns rss_before rss_after madvise_bytes &&
		has_all '.epochs[0]' rss_before_close rss_after_close
}

row_105_cooperation_of_100_and_0() {
	counters documented_examples
}

row_106_the_heuristic_says_so() {
	says '^epochs\[\]\.cooperation_pct .*Heuristic' "$tslab" stats --fields
}

row_110_wait_is_wall_less_cpu() {
	sampler waiting_is_not_work competition_is_waiting
}

row_111_seventeen_fields_of_a_sample() {
	has_all .sampling alloc_samples alloc_wall_ns_sum alloc_cpu_ns_sum alloc_wait_ns_sum \
		alloc_wall_ns_max alloc_cpu_ns_max alloc_wait_ns_max repair_count repair_wall_ns_sum \
		repair_cpu_ns_sum repair_wait_ns_sum repair_wall_ns_max repair_cpu_ns_max repair_wait_ns_max \
		repair_reason_full_bitmap repair_reason_list_mismatch repair_reason_other
}

row_112_one_sample_in_1024() {
	sampler one_in_1024
}

row_116_no_repairs() {
	counters what_stays_zero && json '.sampling.repair_count == 0'
}

row_144_time_of_a_snapshot() {
	json . && before=$(jq .timestamp_ns "$work/snapshot") && sleep 0.01 &&
		json ".timestamp_ns > $before and (.timestamp | startswith(\"20\")) and .monotonic_ns > 0"
}

# A restart shows in pid and start time, both true to /proc.
row_145_pid_detects_restarts() {
	json ".pid == $target_pid" || return 1
	before=$(jq .start_time_ns "$work/snapshot")
	end_target
	start_target
	json ".pid == $target_pid and .start_time_ns > $before and .comm == \"target\""
}

# A slab is not one page: the same binary serves 4, 16 and 64 KiB. Both sizes are exported.
row_147_slab_size_and_page_size() {
	json ".page_size == $(getconf PAGESIZE) and .slab_size == 8192"
}

row_148_sixteen_epochs_that_wrap() {
	tap acceptance/rows row_148 && json '.epoch_count == 16 and .current_epoch == 3' &&
		json '[.epochs[].epoch_id | select(. < 16)] | all(. >= 0)'
}

row_149_version_of_the_totals() {
	json '.version == 1 and .classes[0].version == 1 and .schema_version == 1'
}

# Of the slabs that became empty more than nine tenths are kept, or hardly any while new ones are taken all the
# time: that is told. What lies between is what ending large epochs looks like, and is what they are for.
row_153_slabs_that_are_used_again() {
	judges '.total_slabs_allocated = 10000 | .total_slabs_recycled = 9500 | .total_cache_overflows = 0 |
		.total_slow_cache_miss = 3000 | .total_slow_path_hits = 3000 | .total_allocations = 1000000' '^'
	! grep retain-too-small "$work/judged" || return 1
	judges '.total_slabs_allocated = 10000 | .total_slabs_recycled = 300 | .total_cache_overflows = 9500 |
		.total_slow_cache_miss = 3000 | .total_slow_path_hits = 3000 | .total_allocations = 1000000' \
		'retain-too-small'
}

row_154_net_slabs_are_those_in_use() {
	relation class-slabs slabs-in-use-by-class
}

row_155_resident_set_of_the_process() {
	json . && kib=$(awk '/^VmRSS/ { print $2 }' "/proc/$target_pid/status") &&
		json ".rss_bytes_current > $kib * 900 and .rss_bytes_current < $kib * 1150"
}

row_156_slab_memory_is_the_sum_of_the_classes() {
	relation slab-memory-by-class
}

row_157_slow_paths_above_5_and_20_percent() {
	judges '.total_allocations = 20000 | .total_slow_path_hits = 1500 | .classes[3].slow_path_hits = 1500' \
		'warning: slow-path-rate' &&
		judges '.total_allocations = 20000 | .total_slow_path_hits = 5000 | .classes[3].slow_path_hits = 5000' \
			'error: slow-path-rate'
}

row_158_empty_slabs_beyond_what_threads_keep() {
	# Slow paths are few: many of them would be told as a cache that is undersized.
	judges '.total_cache_overflows = 4000 | .total_slabs_recycled = 10 | .total_slow_cache_miss = 3000 |
		.total_slow_path_hits = 3000 | .total_allocations = 1000000' 'retain-too-small'
}

row_159_a_miss_had_no_slab() {
	relation class-miss-without-slab class-slow-paths
}

row_161_madvise_takes_whole_pages() {
	relation madvise-whole-pages && victim traffic -- "$tslab" verify PID
}

row_162_why_madvise_failed() {
	counters madvise_failures_by_class &&
		judges '.total_madvise_failures = 2 | .madvise_last_errno = 1' 'errno 1 \(Operation not permitted\)'
}

row_163_size_classes_and_objects_per_slab() {
	tap acceptance/rows row_163 &&
		json '[.classes[:8][].object_size] == [64, 96, 128, 192, 256, 384, 512, 768]' &&
		json '[.classes[:8][].objects_per_slab] == [128, 85, 64, 42, 32, 21, 16, 10]'
}

row_164_twenty_eight_fields_of_a_class() {
	has_all '.classes[0]' version class_index object_size slow_path_hits new_slab_count \
		list_move_partial_to_full list_move_full_to_partial current_partial_null current_partial_full \
		empty_slab_recycled empty_slab_overflowed slow_path_cache_miss slow_path_epoch_closed madvise_calls \
		madvise_bytes madvise_failures epoch_close_calls epoch_close_scanned_slabs \
		epoch_close_recycled_slabs epoch_close_total_ns cache_size cache_capacity cache_overflow_len \
		total_partial_slabs total_full_slabs recycle_rate_pct net_slabs estimated_rss_bytes
}

row_165_classes_add_up_to_the_totals() {
	relation slow-paths-by-class misses-by-class closed-by-class madvise-calls-by-class \
		madvise-bytes-by-class madvise-failures-by-class allocations-by-class frees-by-class \
		live-bytes-by-class && victim traffic -- "$tslab" verify PID
}

row_167_recycle_rate() {
	counters documented_examples kept_by_the_thread
}

row_168_closes_of_more_than_10_ms() {
	judges '.classes[5].epoch_close_calls = 3 | .classes[5].epoch_close_total_ns = 36000000' 'slow-closes' &&
		counters close_telemetry
}

row_169_closes_that_yield_less_than_three_tenths() {
	judges '.classes[5].epoch_close_scanned_slabs = 2000 | .classes[5].epoch_close_recycled_slabs = 100' \
		'low-reclamation-yield'
}

row_171_eleven_fields_with_three_ratios() {
	has_all '.classes[0]' avg_alloc_cas_retries_per_attempt avg_free_cas_retries_per_attempt \
		lock_contention_rate current_partial_cas_failure_rate
}

row_172_ratios_of_the_example() {
	counters documented_examples
}

row_175_work_and_waiting_are_told_apart() {
	sampler waiting_is_not_work competition_is_waiting
}

row_176_preemption_and_work_by_their_ratio() {
	counters documented_bands && sampler waiting_is_not_work competition_is_waiting
}

row_178_every_way_out_is_sampled() {
	sampler every_way_out closing_while_sampled
}

row_181_thread_stats_and_the_sample_program() {
	tap compat/test_compat sampling || return 1
	abs_top_builddir=$abs_top_builddir "$abs_top_srcdir/tests/compat/sample.sh" >"$work/sample"
	! grep -v -E '^(ok |1\.\.)' "$work/sample"
}

row_183_bands_of_the_ratio() {
	counters documented_bands
}

row_187_the_sampler_has_no_threshold() {
	sampler one_in_1024 every_way_out off_again
}

row_188_failures_are_traced_on_request() {
	TSLAB_TRACE_FAILURES=1 victim failures -- true &&
		says '^tslab: allocation failed: reason=threshold size=1152921504606846976 errno=12 ' cat "$work/victim.err"
}

row_189_causes_of_failures() {
	counters failures_by_reason the_last_256_failures_are_kept
}

row_190_the_doctor_names_the_cause() {
	victim failures -- "$tslab" doctor PID
	says 'cause invalid, 100 bytes \(class 12\), errno 22' cat "$work/victim.said" &&
		says 'limit-reached' cat "$work/victim.said"
}

row_191_preloaded_without_a_fallback() {
	export abs_top_builddir abs_top_srcdir
	"$abs_top_srcdir/tests/shim/test_shim.sh" >"$work/preloaded" || {
		grep -v '^ok' "$work/preloaded"
		return 1
	}
	for program in bash python3 git redis; do
		grep "^ok .* - $program: same output, no fallback" "$work/preloaded" || return 1
	done
}
