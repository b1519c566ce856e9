#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of the command line. Sourced by `run`, whose helpers they use.
# shellcheck disable=SC2034,SC2154 # names of `run`

# patient DISEASE COMMAND...: with PID in its words replaced by that of a program that has the disease
patient() {
	disease=$1
	shift
	mkfifo "$work/patient.in" && : >"$work/patient.out"
	"$programs/cli/patient" "$disease" <"$work/patient.in" >"$work/patient.out" 2>"$work/patient.err" &
	patient_pid=$!
	exec 5>"$work/patient.in"
	rm -f "$work/patient.in"
	await grep -q ready "$work/patient.out"
	status=0
	# shellcheck disable=SC2001,SC2046 # words without spaces
	"$1" $(shift && echo "$@" | sed "s/PID/$patient_pid/g") >"$work/patient.said" 2>&1 || status=$?
	exec 5>&-
	wait "$patient_pid"
	cat "$work/patient.said"
	return $status
}

# cli TEST NAME...: tests of tests/cli/test_TEST.sh passed, after the last build
cli() {
	log=$abs_top_builddir/tests/cli/$1.tap
	export abs_top_builddir
	if [ -z "$(find "$log" -newer "$tslab" 2>/dev/null)" ]; then
		"$abs_top_srcdir/tests/cli/run" "$1" >"$work/cli" 2>&1
	fi
	shift
	for name; do
		grep -E '^(not )?ok ' "$log" | grep -F -- "- $name" >"$work/lines"
		if [ ! -s "$work/lines" ] || grep -v '^ok ' "$work/lines"; then
			grep -B 20 -F -- "- $name" "$log"
			return 1
		fi
	done
}

# Like unshare --mount-proc, in a chroot too, whose root is no mount point.
in_own_processes() {
	# shellcheck disable=SC2016 # the inner shell's
	unshare --pid --fork --mount --propagation unchanged sh -c 'mount --make-rprivate /proc &&
		mount -t proc proc /proc && exec "$@"' sh "$@"
}

# alone COMMAND: a shell command where one process alone uses the library, in a directory with both tools
alone() {
	rm -rf "$work/alone"
	mkdir "$work/alone" && mkfifo "$work/alone/in" && : >"$work/alone/out" || return 1
	ln -s "$tslab" "$work/alone/tslab"
	ln -s "$tslab" "$work/alone/stats_dump"
	# shellcheck disable=SC2016 # the inner shell's
	(cd "$work/alone" && in_own_processes sh -c '"$1/cli/victim" leak <in >out & exec 4>in
		until grep -q ready out; do sleep 0.05; done
		PATH=$PWD:$PATH; eval "$2"' sh "$programs" "$1")
}

row_6_an_epoch_with_its_age() {
	"$tslab" doctor --threshold 0 "$target_pid" >"$work/doctor"
	says 'Epoch [0-9]+ \(background-worker-3\) age=[0-9]+s refcount=2 RSS=20\.[0-9] MiB' cat "$work/doctor"
}

row_8_a_leak_named_within_five_seconds() {
	cli doctor 'doctor --follow names a leak within 5 s of its threshold'
}

row_13_class_3_cache_undersized() {
	patient undersized-cache "$tslab" doctor PID
	says 'Class 3 cache undersized \((9[5-9]|100)% miss rate\)' cat "$work/patient.said"
}

# What close gives back is back at once, so little of it is ever "reclaimable".
row_21_rate_of_reclamation() {
	thrice rate_of_reclamation
}

rate_of_reclamation() {
	(
		cd "$work" && rm -f reclaim.in && mkfifo reclaim.in && : >reclaim.out
		"$programs/cli/victim" reclaim <reclaim.in >reclaim.out &
		exec 6>reclaim.in
		await grep -q ready reclaim.out
		"$tslab" watch --json --interval 1s --count 4 --fields total_madvise_bytes,epochs.reclaimable_bytes $! >reclaimed
		exec 6>&-
		wait
	)
	cat "$work/reclaimed"
	jq -se '(map(.total_madvise_bytes_per_sec) | add / 4 / 1048576) as $rate | $rate > 90 and $rate < 110
		and all(."epochs.reclaimable_bytes" < 13000000)' "$work/reclaimed"
}

row_47_text_and_json_at_once() {
	cli commands 'stats_dump: JSON on stdout, text on stderr'
}

row_48_stats_for_people_and_as_json_both_ways() {
	says '^memory' "$tslab" stats "$target_pid" && "$tslab" stats --json "$target_pid" >"$work/passed" &&
		"$tslab" stats --json --stdin <"$work/passed" >"$work/again" && cmp "$work/passed" "$work/again"
}

row_49_watch_by_the_second() {
	cli commands 'watch shows what changes by the second'
}

row_50_top_by_any_field() {
	json . && jq '.classes |= map(.slow_path_hits = (.class_index * 7 % 40) |
		.madvise_bytes = (39 - .class_index))' "$work/snapshot" >"$work/ranked" || return 1
	[ "$("$tslab" top --classes --by slow_path_hits --n 3 --json --file "$work/ranked" | jq -c 'map(.slow_path_hits)')" = '[39,38,37]' ] &&
		[ "$("$tslab" top --classes --by madvise_bytes --n 3 --json --file "$work/ranked" | jq -c 'map(.class_index)')" = '[0,1,2]' ]
}

row_57_eight_checks_of_all_commands() {
	says '^8/8$' "$abs_top_srcdir/VERIFICATION.sh" "$abs_top_builddir"
}

row_58_the_schema_on_live_core_and_replay() {
	"$tslab" stats --schema >"$work/schema" && "$tslab" record --out "$work/moment" --count 1 "$target_pid" || return 1
	# Shared anonymous memory alone, as tests/cli does.
	echo 2 >"/proc/$target_pid/coredump_filter"
	(cd "$work" && gdb -q -nx -batch -p "$target_pid" -ex 'gcore core' >gdb.log 2>&1)
	for from in "$target_pid" "--core $work/core" "--file $work/moment"; do
		# shellcheck disable=SC2086 # words
		"$tslab" verify --schema "$work/schema" $from && "$tslab" stats --json $from >"$work/instance" &&
			/usr/bin/python3 -c 'import json, sys, jsonschema
jsonschema.Draft202012Validator(json.load(open(sys.argv[1]))).validate(json.load(open(sys.argv[2])))' \
				"$work/schema" "$work/instance" || return 1
	done
}

row_60_which_epoch_owns_the_memory_and_since_when() {
	wait_for_age 1 && says 'background-worker-3 +[0-9]+ (s|min) +2 +20480 +20\.0 MiB' \
		"$tslab" top --epochs --by rss_bytes --n 1 "$target_pid"
}

row_61_undersized_cache_or_stale_epochs() {
	cli doctor 'undersized-cache: cache-undersized, and nothing else' \
		'closed-epoch: allocation-in-closed-epoch, and nothing else'
}

row_62_does_the_kernel_cooperate() {
	cli doctor 'locked-memory: madvise-failed, and nothing else' 'a kernel that retains pages' \
		'and one that does not' 'healthy-large: nothing found'
}

row_63_classes_by_slow_paths_and_why_they_took_them() {
	says '^ +19 +1024 ' "$tslab" top --classes --by slow_path_hits --n 1 "$target_pid" &&
		says '^ +[0-9]+ ' "$tslab" top --classes --by madvise_bytes "$target_pid" || return 1
	patient undersized-cache "$tslab" stats --doctor --json PID >"$work/profile"
	jq -e '.diagnostics.slow_path | max_by(.slow_path_hits) | .class_index == 3 and .cache_miss_pct > 95 and
		.epoch_closed_pct == 0' "$work/profile"
}

row_64_figures_without_a_profiler() {
	json '.total_allocations >= 35840 and .sampling.alloc_samples == 0'
}

row_85_epochs_by_age_from_stdin() {
	alone './stats_dump --no-text | tslab top --epochs --by age_sec --stdin' >"$work/said" && grep background-worker-3 "$work/said"
}

row_86_epochs_by_memory_from_stdin() {
	alone './stats_dump --no-text | tslab top --epochs --by rss_bytes --stdin' >"$work/said" &&
		sed -n 2p "$work/said" | grep background-worker-3
}

row_133_ranked_by_rate() {
	says 'slow_path_hits_per_sec' "$tslab" top --classes --window 1s --by slow_path_rate --n 5 "$target_pid"
}

row_135_diff_fails_on_a_regression() {
	cli commands 'diff of equal snapshots finds nothing' 'diff --fail-on regression' 'a rise within the limit is none'
}

row_139_four_commands_and_more() {
	for command in stats watch top export ps serve diff doctor leaks drain record replay set trace hist verify; do
		says "^  $command " "$tslab" help || return 1
	done
}

row_140_four_modes() {
	cli commands 'stats_dump: JSON on stdout, text on stderr' 'stats_dump --json' 'stats_dump --no-text' \
		'stats_dump --doctor, stats --doctor'
}

row_141_read_without_the_library() {
	"$tslab" stats --json "$target_pid" | python3 -c 'import json, sys
snapshot = json.load(sys.stdin)
assert snapshot["schema_version"] == 1 and len(snapshot["classes"]) == 40
print(snapshot["total_allocations"])'
}

row_142_twenty_two_fields_at_the_top() {
	has_all . schema_version timestamp_ns pid page_size epoch_count version current_epoch active_epoch_count \
		closing_epoch_count total_slabs_allocated total_slabs_recycled net_slabs rss_bytes_current \
		estimated_slab_rss_bytes total_slow_path_hits total_cache_overflows total_slow_cache_miss \
		total_slow_epoch_closed total_madvise_calls total_madvise_bytes total_madvise_failures classes &&
		"$tslab" stats --schema | jq -e '.required | contains(["total_slow_epoch_closed", "classes", "net_slabs"])'
}

row_143_schema_version_comes_first() {
	json . && [ "$(jq -r 'keys_unsorted[0]' "$work/snapshot")" = schema_version ] || return 1
	jq '.schema_version = 2' "$work/snapshot" >"$work/newer"
	! "$tslab" stats --file "$work/newer" >"$work/said" 2>&1 && grep 'schema_version 2, this tool reads 1' "$work/said"
}

row_170_the_python_examples_run() {
	"$tslab" stats --json "$target_pid" >"$work/one" && sleep 0.1 && "$tslab" stats --json "$target_pid" >"$work/two" || return 1
	for example in "$abs_top_srcdir"/docs/examples/[1-6]_*.py; do
		PYTHONDONTWRITEBYTECODE=1 python3 "$example" "$work/one" "$work/two" || return 1
	done >"$work/examples"
	says '^Slow path rate: 0\.00 hits/sec$' cat "$work/examples" && says '^no leak$' cat "$work/examples" &&
		says '^Cache hit rate: ' cat "$work/examples" && says '^Reclamation yield: ' cat "$work/examples"
}

# Fields that a reader does not know are left alone; those of a newer library that are missing count as 0.
row_174_older_and_newer_snapshots() {
	json . && jq '.from_the_future = {"a": [1]} | .classes[].unheard_of = 1 | .epochs[].unheard_of = "x"' "$work/snapshot" >"$work/newer" &&
		jq 'del(.sampling, .closes, .hist, .label_registry, .threads, .backend, .tls_cache, .diagnostics)' "$work/snapshot" >"$work/older" || return 1
	for file in newer older; do
		for command in stats top 'leaks --age 0' 'doctor --threshold 0' drain hist 'trace failures' 'export prometheus'; do
			# shellcheck disable=SC2086 # words
			"$tslab" $command --file "$work/$file" >"$work/said" 2>&1
			[ $? -ne 2 ] || { echo "$command, $file" && cat "$work/said" && return 1; }
		done
	done
	"$tslab" verify --file "$work/newer" && ! "$tslab" verify --file "$work/older" >/dev/null
}

row_184_a_spike_is_told_by_its_work() {
	cli doctor "a spike that nobody worked at is the scheduler's" 'moderate noise is none'
}

row_76_contention_and_threading_documented() {
	for page in CONTENTION_RESULTS PHASE_2.2_PROMETHEUS_SPEC GRAFANA_DEMO; do
		cli documents "$page" || return 1
	done
	SECONDS_EACH=0.2 "$abs_top_srcdir/examples/demo_threading.sh" 1 16 >"$work/threading" &&
		says '^\| 1 \| [1-9][0-9]* \| [1-9]' cat "$work/threading" &&
		says '^\| 16 \| [1-9][0-9]* \| [1-9]' cat "$work/threading"
}

row_138_seven_documents_whose_commands_run() {
	for page in OBSERVABILITY_DESIGN OBSERVABILITY_PHILOSOPHY stats_dump_reference METRICS_PERFORMANCE ARM_PORTABILITY \
		CONTENTION_RESULTS; do
		cli documents "$page" || return 1
	done
	monitoring setup 'the commands showed the program, and the last ones cleaned up'
}

# In a virtual machine a sampled allocation waits for the machine as well; bare metal is for who has it.
row_185_wall_by_cpu_here_and_elsewhere() {
	victim rate 50000 -- "$abs_top_srcdir/tests/cli/interference.sh" "$tslab" PID
}
