#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the tool against victim.c from outside. Prints TAP. A missing program is a failure.
# The tool runs natively; the victim may run under TEST_RUNNER (qemu-user).
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/cli/lib.sh
. "$abs_top_srcdir/tests/cli/lib.sh"

need jq setpriv python3 gdb

# -- a leak ------------------------------------------------------------------------------------------
start leak
line=$(line_of 'LEAK \*/')
run 0 "$tslab" ps && shows "^ *$victim_pid "
ok 'ps lists the process'
run 0 "$tslab" ps --json && json "[.[] | select(.pid == $victim_pid and .open_epochs == 2)] | length == 1"
ok 'ps --json'
run 4 "$tslab" leaks --age 0 "$victim_pid" &&
	shows 'background-worker-3' 'refcount 2' 'entered twice, exited zero times' \
		'Missing 2 domain_exit\(\) calls' '200 live objects' "victim\\.c:$line \\(forget_to_exit\\)"
ok 'leaks names label, count, memory and source line'
run 0 "$tslab" leaks --age 1h "$victim_pid" && shows 'no scope has been open'
ok 'leaks keeps quiet about younger scopes'
run 4 "$tslab" leaks --age 0 --json "$victim_pid" &&
	json ".[0].missing_exits == 2 and .[0].domains[0].line == $line and ([.[0].domains[].open] | add) == 2"
ok 'leaks --json'
run 4 "$tslab" doctor --threshold 0 "$victim_pid" && shows 'open-scope' 'background-worker-3' 'confidence'
ok 'doctor finds it'
run 0 "$tslab" doctor "$victim_pid" && shows 'nothing found'
ok 'doctor keeps quiet about younger scopes'
run 0 "$tslab" stats "$victim_pid" && shows 'background-worker-3' 'allocations +200' 'epochs open: 2'
ok 'stats'
run 0 "$tslab" stats --json "$victim_pid" && cp "$work/out" "$work/snapshot.json" &&
	json "has(\"timestamp_ns\") and .schema_version == 1 and .pid == $victim_pid and .consistent
		and .total_allocations == 200 and .live_objects == 200 and (.classes | length) == 40
		and .rss_bytes_current > 0 and .page_size > 0 and .epoch_count == 16" &&
	json '[.classes[].allocations] | add == 200' &&
	json '.epochs[] | select(.label == "background-worker-3") | .refcount == 2 and .state == "ACTIVE"
		and .estimated_rss_bytes >= 200000 and .live_bytes >= 200000 and .epoch_era >= 1'
ok 'stats --json: the fields agree with each other'
run 0 "$tslab" stats --no-text "$victim_pid" && json '.schema_version == 1'
ok 'stats --no-text is JSON too'
run 0 "$tslab" top --epochs --by rss_bytes --n 1 "$victim_pid" && shows 'background-worker-3' &&
	[ "$(wc -l <"$work/out")" -eq 2 ]
ok 'top --epochs'
run 0 "$tslab" top --classes --by live_bytes --n 1 "$victim_pid" && shows ' 1024 +200 '
ok 'top --classes'
run 0 "$tslab" top --by age_ns --json "$victim_pid" && json 'length == 2 and .[0].age_ns >= .[1].age_ns'
ok 'top --json'
run 2 "$tslab" top --by nonsense "$victim_pid" && says 'no number "nonsense"' && says 'refcount'
ok 'top lists what it can rank by'

# -- the same from a file ----------------------------------------------------------------------------
run_stdin "$work/snapshot.json" 4 "$tslab" leaks --stdin --age 0 && shows "victim\\.c:$line"
ok 'leaks --stdin'
run_stdin "$work/snapshot.json" 0 "$tslab" top --stdin --by rss_bytes && shows 'background-worker-3'
ok 'top --stdin'
run_stdin "$work/snapshot.json" 0 "$tslab" stats --stdin && shows 'allocations +200'
ok 'stats --stdin'
echo '{"a": ' >"$work/cut.json"
run_stdin "$work/cut.json" 2 "$tslab" stats --stdin && says 'stdin, line'
ok 'a cut document is refused with its line'
echo '{"a": 1}' >"$work/other.json"
run_stdin "$work/other.json" 2 "$tslab" stats --stdin && says 'not a snapshot'
ok 'another document is refused'
sed 's/"schema_version": 1/"schema_version": 2/' "$work/snapshot.json" >"$work/newer.json"
run_stdin "$work/newer.json" 2 "$tslab" stats --stdin && says 'schema_version 2'
ok 'a newer document is refused'

# -- stopped, repaired, deadlocked -------------------------------------------------------------------
kill -STOP "$victim_pid"
run 4 "$tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 ' "victim\\.c:$line"
ok 'a stopped process is read'
kill -CONT "$victim_pid"
tell repair && run 0 "$tslab" leaks --age 0 "$victim_pid"
ok 'nothing is reported after the repair'
start leak deadlock
run 4 "$tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 '
ok 'a deadlocked process is read'

# -- other findings ----------------------------------------------------------------------------------
start thread-end
line=$(line_of 'ABANDONED \*/')
run 4 "$tslab" leaks "$victim_pid" && shows 'left-by-thread' "victim\\.c:$line" 'thread that has ended'
ok 'a scope whose thread has ended is reported at any age'
start closing
run 4 "$tslab" doctor --threshold 0 "$victim_pid" && shows 'not-draining' 'draining' 'CLOSING'
ok 'an epoch that does not drain is found'
start references
run 4 "$tslab" leaks --age 0 "$victim_pid" && shows '1 reference .*not given back'
ok 'a reference that is not given back is reported'
start misuse
run 4 "$tslab" doctor "$victim_pid" && shows 'double-free' 'exit-without-enter' '1 frees? of objects'
ok 'refused calls are found'
run 4 "$tslab" doctor --json "$victim_pid" && json 'map(.id) | contains(["double-free", "exit-without-enter"])'
ok 'doctor --json'
start label "$(printf 'a\033[31mb\342\200\256c"d')"
run 0 "$tslab" stats "$victim_pid" && ! LC_ALL=C grep -q "$(printf '\033')" "$work/out" &&
	! LC_ALL=C grep -q "$(printf '\342\200\256')" "$work/out"
ok 'labels cannot speak to the terminal'
run 0 "$tslab" stats --json "$victim_pid" && json '[.epochs[].label] | any(contains("c\"d"))'
ok 'and are data in JSON'

# -- the list of fields ------------------------------------------------------------------------------
# Every field that the list names is in the JSON, and the other way round; of contention by label there are
# rows in some builds only (tests/obs/test_counters).
start leak failures closing
"$tslab" stats --fields | awk '!/contention_by_label/ { print $1 }' | LC_ALL=C sort >"$work/listed"
run 0 "$tslab" stats --json "$victim_pid" && cp "$work/out" "$work/all.json" && jq -r '
	def leaves(p): to_entries[] | "\(p)\(.key)" as $at | .value |
		if type == "object" then leaves($at + ".")
		elif type == "array" then first | leaves($at + "[].")
		else $at end;
	.epochs |= map(select(.domains != [])) | del(.label_registry.labels) |
	del(.classes[].contention_by_label) | leaves("")' "$work/out" |
	LC_ALL=C sort >"$work/present" && cmp "$work/listed" "$work/present" >>"$work/err" 2>&1
ok 'stats --fields lists what the JSON has'
run 0 "$tslab" stats --schema && cp "$work/out" "$work/schema.json" &&
	run 0 /usr/bin/python3 -c 'import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(json.load(open(sys.argv[2])))' \
		"$work/schema.json" "$work/all.json"
ok 'stats --schema is a schema, and the JSON follows it'
jq 'del(.epochs[0].refcount)' "$work/all.json" >"$work/less.json"
run 1 /usr/bin/python3 -c 'import json, sys, jsonschema
jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))' \
	"$work/schema.json" "$work/less.json" && says "refcount"
ok 'a missing field does not'
"$tslab" stats --fields | awk '$4 != "-" { print $4 }' | LC_ALL=C sort | uniq -d >"$work/twice"
run 1 grep . "$work/twice"
ok 'no two fields have the same metric'

# -- do the figures agree ----------------------------------------------------------------------------
run 0 "$tslab" verify "$victim_pid" && shows 'fields and [0-9]+ relations agree'
ok 'verify'
run 0 "$tslab" verify --list && shows 'slow-paths-by-class'
ok 'verify --list'
# shellcheck disable=SC2094 # another file
run_stdin "$work/all.json" 0 "$tslab" verify --stdin
ok 'verify --stdin'
jq '.total_slow_path_hits += 1 | .classes[3].live_bytes = 77 | del(.backend.superslab_count)' \
	"$work/all.json" >"$work/wrong.json"
run_stdin "$work/wrong.json" 4 "$tslab" verify --stdin && shows '^slow-paths-by-class: ' \
	'^live-bytes-by-class: ' '^class-live-within-slabs: classes\[3\]' '^field: backend\.superslab_count'
ok 'verify finds what does not agree'
run_stdin "$work/wrong.json" 4 "$tslab" verify --json --stdin && json 'map(.id) | contains(["field"])'
ok 'verify --json'
run 0 "$tslab" verify --schema "$work/schema.json" --file "$work/all.json" &&
	run 0 "$tslab" verify --schema "$work/schema.json" "$victim_pid"
ok 'verify --schema'
jq 'del(.epochs[0].refcount) | .classes[2].frees = "7" | .pid = -1 | .consistent = null' "$work/all.json" >"$work/unlike.json"
run 4 "$tslab" verify --schema "$work/schema.json" --file "$work/unlike.json" &&
	shows '^schema: epochs\[0\]: lacks refcount' '^schema: classes\[2\]\.frees: is not of type integer' '^schema: pid: is below the minimum' \
		'^schema: consistent: is not of type boolean'
ok 'verify --schema finds what is not like it'
echo '{"type": "object", "maxProperties": 3}' >"$work/strange.json"
run 4 "$tslab" verify --schema "$work/strange.json" --file "$work/all.json" && shows 'keyword that tslab does not know: maxProperties' &&
	run 2 "$tslab" verify --schema "$work/cut.json" --file "$work/all.json" && run 2 "$tslab" verify --schema /dev/null --file "$work/all.json"
ok 'a schema that it does not understand is refused'
start traffic
run 0 "$tslab" verify "$victim_pid" && run 0 "$tslab" stats --json "$victim_pid" &&
	cp "$work/out" "$work/traffic.json" && json '.total_madvise_calls > 0 and .closes != []
		and (.closes | length) <= 64 and .total_remote_frees > 0
		and ([.classes[].epoch_close_recycled_slabs] | add) > 0
		and ([.classes[].list_move_full_to_partial] | add) > 0
		and ([.classes[].empty_slab_recycled] | add) > 0
		and ([.classes[].empty_slab_overflowed] | add) > 0'
ok 'after traffic of several threads all figures agree'
# shellcheck disable=SC2016 # the variable is jq's
run 0 jq -e '[.closes[] | select(.by == "close")] as $c | ($c | length) > 0 and
	all(.closes[]; .returned_bytes <= .held_bytes and .madvise_ns <= .duration_ns) and
	([.closes[].number] | . == (sort | reverse))' "$work/traffic.json"
ok 'and the closes that it made are told'
start busy
# On a crowded machine it may get no processor for a while, and rest.
await run 1 "$tslab" verify "$victim_pid" && shows 'does not rest'
ok 'while it goes on they are not compared'

# -- changing what it does -----------------------------------------------------------------------------
run 0 "$tslab" set "$victim_pid" && shows '^sample-rate=0$' '^rss-probe=large$' '^trace-failures=0$' '^guard-rate=0$' \
	'^capture-sites=1$' '^doctor-threshold=0s$'
ok 'set shows what is set'
run 0 "$tslab" set --json "$victim_pid" && json '. == {"sample-rate": 0, "rss-probe": "large", "trace-failures": 0, "guard-rate": 0,
	"capture-sites": 1, "doctor-threshold": 0}'
ok 'set --json'
run 0 "$tslab" set sample-rate=64 rss-probe=always "$victim_pid" &&
	run 0 "$tslab" set "$victim_pid" && shows '^sample-rate=64$' '^rss-probe=always$'
ok 'set'
samples() {
	run 0 "$tslab" stats --json "$victim_pid" && json '.sampling.sample_interval == 64 and
		.sampling.alloc_samples > 0 and ([.hist.alloc_wall_ns[].count] | add) > 0 and
		.sampling.sample_rate_mask == 63 and .closes[0].rss_before > 0 and .last_epoch_close.rss_after > 0'
}
await samples
ok 'a running program samples its allocations from then on'
# Each thread takes notice when it comes to it; from then on it allocates without sampling.
samples_no_more() {
	run 0 "$tslab" stats --json "$victim_pid" && cp "$work/out" "$work/before" && sleep 0.5 &&
		run 0 "$tslab" stats --json "$victim_pid" && json ".sampling.alloc_samples == $(jq .sampling.alloc_samples "$work/before") and
			.total_allocations > $(jq .total_allocations "$work/before")"
}
run 0 "$tslab" set sample-rate=0 "$victim_pid" && await samples_no_more
ok 'and stops when told'
run 2 "$tslab" set sample-rate=1 rss-probe=sometimes "$victim_pid" && says '"sometimes" is no value' &&
	run 0 "$tslab" set "$victim_pid" && shows '^sample-rate=0$'
ok 'a bad setting among good ones changes nothing'
run 2 "$tslab" set colour=red "$victim_pid" && says 'no "colour" to set' && run 2 "$tslab" set sample-rate=-1 "$victim_pid"
ok 'settings that do not exist are refused'
run 2 "$tslab" set sample-rate=1 $$ && says 'no control page'
ok 'a process without the library cannot be set'
TSLAB_CONTROL=0
export TSLAB_CONTROL
start closing
unset TSLAB_CONTROL
run 2 "$tslab" set "$victim_pid" && says 'TSLAB_CONTROL=0' && run 0 "$tslab" stats "$victim_pid"
ok 'nor one that forbids it, which is read all the same'

# -- judgements of the doctor, from figures made up ---------------------------------------------------
finds() { # finds JQ-CHANGE REGEX: in a snapshot changed so; without the change it does not
	jq "$1" "$work/quiet.json" >"$work/changed.json"
	run 0 "$tslab" doctor --file "$work/quiet.json" &&
		run 4 "$tslab" doctor --file "$work/changed.json" && shows "$2"
}
start label quiet
run 0 "$tslab" stats --json "$victim_pid" && cp "$work/out" "$work/quiet.json"
finds '.total_allocations = 20000 | .total_slow_path_hits = 1500 | .classes[3].slow_path_hits = 1400 |
	.total_slow_cache_miss = 1485 | .classes[3].slow_path_cache_miss = 1386' \
	'warning: cache-undersized: Class 3 cache undersized \(99% miss rate\)' && shows '7\.5 % of 20000' '99\.0 % of these needed a new chunk' \
	'93\.3 %, in class 3 \(192 bytes\)' 'raise retain_bytes'
ok 'many slow paths, with the class that has most'
finds '.total_allocations = 20000 | .total_slow_path_hits = 5000 | .classes[3].slow_path_hits = 5000' 'error: slow-path-rate'
ok 'and more than one in five is an error'
finds '.classes[5].epoch_close_calls = 3 | .classes[5].epoch_close_scanned_slabs = 2000 |
	.classes[5].epoch_close_recycled_slabs = 100' 'low-reclamation-yield' && shows '100 of 2000 slabs, 5\.0 %'
ok 'closes that give little back'
finds '.classes[5].epoch_close_calls = 3 | .classes[5].epoch_close_total_ns = 36000000' 'slow-closes' && shows '12\.0 ms'
ok 'closes that take long'
finds '.total_cache_overflows = 4000 | .total_slabs_recycled = 10 | .total_slow_cache_miss = 3000' 'retain-too-small'
ok 'memory that goes back and forth'
finds '.total_madvise_failures = 2 | .madvise_last_errno = 1' 'madvise-failed' &&
	shows 'errno 1 \(Operation not permitted\)' 'seccomp'
ok 'memory that the system would not take, with its reason'
finds '.sampling |= (.alloc_samples = 97 | .avg_wall_ns = 4382 | .avg_cpu_ns = 1536 | .wall_cpu_ratio = 2.85)' \
	'scheduler-interference' && shows '2\.85x'
ok 'samples that waited more than they worked'
finds '.sampling |= (.alloc_samples = 97 | .wall_cpu_ratio = 1.1 | .alloc_cpu_ns_max = 2000000)' 'slow-allocation'
ok 'samples that worked long'

# -- failed allocations ------------------------------------------------------------------------------
start failures
line=$(line_of 'THRESHOLD \*/')
run 0 "$tslab" stats --json "$victim_pid" &&
	json '.alloc_failures | .threshold == 1 and .exhaustion == 1 and .epoch_closed == 2 and .invalid == 1
		and .mapfail == 0 and (.recent | map(.reason)) ==
		["invalid", "epoch_closed", "epoch_closed", "exhaustion", "threshold"]' &&
	json '.alloc_failures.recent | .[3].label == "limited" and .[3].size == 2097152 and
		.[3].class_index == -1 and .[3].errno == 12 and .[2].label == "closed" and .[2].errno == 116 and
		.[2].class_index == 14 and .[1].class_index == -1 and all(.[]; .tid > 0)' &&
	json '.classes[14].slow_path_epoch_closed == 1 and .total_slow_epoch_closed == 2 and
		.large_slow_epoch_closed == 1'
ok 'failed allocations are recorded'
if jq -e '.alloc_failures.recent[4].file | endswith("victim.c")' "$work/out" >/dev/null; then
	json ".alloc_failures.recent[4] | .line == $line and .function == \"fail_in_every_way\""
else # without optimization the library's own frame is in between
	json '.alloc_failures.recent[4].site != ""'
fi
ok 'with the place that asked'
run 4 "$tslab" doctor "$victim_pid" && shows 'allocation-in-closed-epoch' 'limit-reached' 'request-too-large' 'bad-argument' \
	'cause invalid, 100 bytes \(class 12\), errno 22 \(Invalid argument\)'
ok 'doctor names the cause'
TSLAB_TRACE_FAILURES=1
export TSLAB_TRACE_FAILURES
start failures
unset TSLAB_TRACE_FAILURES
cp "$work/victim.err" "$work/out"
[ "$(grep -c 'allocation failed: reason=threshold size=1152921504606846976 errno=12' "$work/out")" -eq 1 ]
ok 'TSLAB_TRACE_FAILURES=1 prints them, not all at once'

# -- source lines ------------------------------------------------------------------------------------
start leak
line=$(line_of 'LEAK \*/')
run 4 "$tslab" leaks --age 0 --sysroot "$work/nowhere" "$victim_pid" && shows 'Missing 2 ' "victim\\.c:$line"
ok 'a sysroot that lacks the file does not hurt'
mkdir -p "$work/root$(dirname "$victim")"
cp /bin/true "$work/root$victim"
run 4 "$tslab" leaks --age 0 --sysroot "$work/root" "$victim_pid" && shows 'Missing 2 ' "victim\\.c:$line"
ok 'a file of another build is not believed'

if [ -z "$TEST_RUNNER" ]; then
	built=$victim
	victim=$work/replaced
	cp "$built" "$victim"
	start leak
	cp /bin/true "$work/other"
	mv "$work/other" "$victim"
	run 4 "$tslab" leaks --age 0 "$victim_pid" && shows "victim\\.c:$line \\(forget_to_exit\\)"
	ok 'a program that was replaced on disk is read as it runs'
	victim=$built
else
	skip 'a program that was replaced on disk is read as it runs' 'the executable is the emulator'
fi

# -- who may look ------------------------------------------------------------------------------------
if [ "$(id -u)" -eq 0 ]; then
	nobody='setpriv --reuid 65534 --regid 65534 --clear-groups'
	cp "$tslab" "$work/tslab" 2>/dev/null
	built=$abs_top_builddir/tools/tslab/.libs/tslab
	[ ! -x "$built" ] || cp "$built" "$work/tslab"
	# shellcheck disable=SC2086
	run 2 $nobody "$work/tslab" leaks "$victim_pid" && says 'belongs to another user'
	ok 'another user gets nothing'
	# shellcheck disable=SC2086
	run 1 $nobody "$work/tslab" ps
	ok 'and does not see it in ps'
else
	for name in 'another user gets nothing' 'and does not see it in ps'; do
		skip "$name" 'needs root to change users'
	done
fi
if [ "$(id -u)" -eq 0 ] && [ -z "$TEST_RUNNER" ]; then
	cp "$victim" "$work/victim"
	victim=$work/victim
	AS=$nobody
	start leak
	# shellcheck disable=SC2086
	run 4 $nobody "$work/tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 '
	ok 'a user looks into his own process without privilege'
	run 4 "$tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 '
	ok 'and root looks into it'
	start leak hidden
	# shellcheck disable=SC2086
	run 2 $nobody "$work/tslab" leaks "$victim_pid" && says 'forbids it'
	ok 'a process that forbids it is not read by its user'
	run 4 "$tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 '
	ok 'but by root'
	AS=
	victim=$abs_top_builddir/tests/cli/victim
else
	for name in 'a user looks into his own process without privilege' 'and root looks into it' \
		'a process that forbids it is not read by its user' 'but by root'; do
		skip "$name" 'needs root, and a program that any user can run'
	done
fi

# -- nothing there -----------------------------------------------------------------------------------
run 2 "$tslab" stats $$ && says 'shows no stats segment'
ok 'a process without the library'
end_victim
TSLAB_STATS=0
export TSLAB_STATS
start leak
run 2 "$tslab" stats "$victim_pid" && says 'TSLAB_STATS=0'
ok 'a process that switched it off'
start impostor
run 2 "$tslab" stats "$victim_pid" && says 'its stats segment is none'
ok 'a memfd of that name with something else in it'
start truncating
tries=0
while [ $tries -lt 30 ] && run 2 "$tslab" stats "$victim_pid"; do
	tries=$((tries + 1))
done
[ $tries -eq 30 ]
ok 'a memfd that shrinks while it is read'
unset TSLAB_STATS
end_victim
run 2 "$tslab" leaks 2147483646 && says 'no process 2147483646'
ok 'no such process'
run 2 "$tslab" leaks --name no-such-program && says 'no process named'
ok 'no such name'
if [ -z "$TEST_RUNNER" ]; then
	built=$victim
	victim=$work/named-$$ # others may run the victim too
	cp "$built" "$victim"
	start leak
	run 4 "$tslab" leaks --age 0 --name "named-$$" && shows 'Missing 2 '
	ok '--name'
	victim=$built
else
	start leak
	skip '--name' 'an emulated process has its emulator'"'"'s name'
fi

# -- other ways to the figures ------------------------------------------------------------------------
run 0 "$tslab" stats --file "$work/all.json" && shows 'background-worker-3' && run 0 "$tslab" verify --file "$work/all.json"
ok '--file takes a snapshot'
if [ "$(id -u)" -eq 0 ]; then
	start leak closefrom
	line=$(line_of 'LEAK \*/')
	run 4 "$tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 ' "victim\\.c:$line" && run 0 "$tslab" verify "$victim_pid"
	ok 'a program that closed all its descriptors is read through its memory'
else
	skip 'a program that closed all its descriptors is read through its memory' 'needs root'
fi
mkdir -m 700 "$work/stats"
TSLAB_STATS_DIR=$work/stats
export TSLAB_STATS_DIR
start leak failures
file=$(ls "$work/stats"/tslab.v1-*)
run 4 "$tslab" leaks --age 0 --file "$file" && shows 'Missing 2 ' &&
	run 4 "$tslab" leaks --age 0 "$victim_pid" && shows 'Missing 2 ' &&
	run 0 "$tslab" verify --file "$file" && [ "$(stat -c %a "$file")" = 600 ]
ok 'TSLAB_STATS_DIR: figures in a file, by its name and by process'
kill -KILL "$victim_pid"
wait "$victim_pid" 2>/dev/null
victim_pid=
run 4 "$tslab" leaks --age 0 --file "$file" && shows 'background-worker-3' &&
	run 0 "$tslab" stats --json --file "$file" && json '.source == "file" and .total_allocations >= 200'
ok 'which outlives a kill'
rm -f "$file"
start leak
end_orderly() { # stdin ends, and so does the victim
	exec 3>&-
	wait "$victim_pid"
	victim_pid=
}
end_orderly
run 1 sh -c "ls '$work/stats' | grep ."
ok 'and goes with an orderly end'
for bad in "$work/missing" /tmp "$work/all.json"; do
	TSLAB_STATS_DIR=$bad
	start leak
	cp "$work/victim.err" "$work/out"
	shows "TSLAB_STATS_DIR=$bad: must be a directory of this user" && run 4 "$tslab" leaks --age 0 "$victim_pid" &&
		shows 'Missing 2 '
	ok "TSLAB_STATS_DIR=$(basename "$bad") is refused, and figures are shown without it"
done
ln -s "$work/stats" "$work/link"
TSLAB_STATS_DIR=$work/link
start leak
cp "$work/victim.err" "$work/out"
shows 'must be a directory of this user'
ok 'as is a symbolic link'
unset TSLAB_STATS_DIR
end_victim
if [ -z "$TEST_RUNNER" ]; then
	start leak failures
	# Shared anonymous memory alone: a debugger would read all that is reserved, page by page.
	echo 2 >"/proc/$victim_pid/coredump_filter"
	line=$(line_of 'LEAK \*/')
	run 0 "$tslab" stats --json "$victim_pid" && cp "$work/out" "$work/live.json"
	(cd "$work" && run 0 gdb -q -nx -batch -p "$victim_pid" -ex 'gcore core.gdb')
	run 4 "$tslab" leaks --age 0 --core "$work/core.gdb" && shows 'Missing 2 ' "victim\\.c:$line \\(forget_to_exit\\)" &&
		run 0 "$tslab" verify --core "$work/core.gdb" && run 0 "$tslab" stats --json --core "$work/core.gdb" &&
		json '.source == "core" and .comm == "victim" and .consistent' &&
		[ "$(jq .pid "$work/out")" -eq "$victim_pid" ]
	ok '--core reads a core dump'
	for field in total_allocations live_bytes total_epochs_opened; do
		[ "$(jq ".$field" "$work/out")" = "$(jq ".$field" "$work/live.json")" ] || echo "$field" >>"$work/differs"
	done
	run 1 grep . "$work/differs" 2>/dev/null || [ ! -e "$work/differs" ]
	ok 'with the figures of the living process'
	head -c 700 "$work/core.gdb" >"$work/core.cut"
	run 2 "$tslab" stats --core "$work/core.cut" && says 'holds no stats segment'
	ok 'a core that was cut too short is refused'
else
	for name in '--core reads a core dump' 'with the figures of the living process' \
		'a core that was cut too short is refused'; do
		skip "$name" 'a debugger sees the emulator'
	done
fi
# A core of another CPU: the emulator writes its guest's. Each is read with a tool of either.
if [ -n "$TEST_RUNNER" ] && file -bL "$victim" | grep -q RISC-V; then
	for name in 'a core of another CPU' 'read there' 'and one of this machine read there'; do
		skip "$name" 'QEMU writes no cores of RISC-V programs'
	done
elif [ -n "$TEST_RUNNER" ]; then
	line=$(line_of 'LEAK \*/')
	(
		cd "$work" || exit 1
		# shellcheck disable=SC3045 # dash has it
		ulimit -c unlimited
		# shellcheck disable=SC2086 # the runner is a command line
		echo quit | $TEST_RUNNER "$victim" leak abort >/dev/null 2>&1
		rm -f core
		mv qemu_*.core core.guest
	) 2>/dev/null
	run 4 "$tslab" leaks --age 0 --core "$work/core.guest" && shows 'Missing 2 ' "victim\\.c:$line" &&
		run 0 "$tslab" stats --json --core "$work/core.guest" && json '.source == "core" and .arch != "x86_64" and .comm == "victim"'
	ok 'a core of another CPU'
	foreign=$abs_top_builddir/tools/tslab/tslab
	# shellcheck disable=SC2086 # the runner is a command line
	run 4 $TEST_RUNNER "$foreign" leaks --age 0 --core "$work/core.guest" && shows 'Missing 2 ' &&
		run 0 $TEST_RUNNER "$foreign" verify --core "$work/core.guest"
	ok 'read there'
	native=${tslab%/tools/tslab/tslab}/tests/cli/victim
	if [ -x "$native" ]; then
		mkfifo "$work/native.in" && : >"$work/native.out"
		"$native" leak <"$work/native.in" >"$work/native.out" &
		exec 4>"$work/native.in"
		await grep -q ready "$work/native.out"
		echo 2 >"/proc/$!/coredump_filter"
		(cd "$work" && gdb -q -nx -batch -p $! -ex 'gcore core.native' >/dev/null 2>&1)
		exec 4>&-
		# shellcheck disable=SC2086 # the runner is a command line
		run 4 $TEST_RUNNER "$foreign" leaks --age 0 --core "$work/core.native" && shows 'Missing 2 ' &&
			run 0 $TEST_RUNNER "$foreign" stats --json --core "$work/core.native" && json '.arch == "x86_64"'
		ok 'and one of this machine read there'
	else
		skip 'and one of this machine read there' 'the native build has no victim yet'
	fi
else
	for name in 'a core of another CPU' 'read there' 'and one of this machine read there'; do
		skip "$name" 'needs an emulator: the stages of other CPUs have it'
	done
fi
run 2 "$tslab" stats --file "$work/nowhere" && says 'cannot be read' && run 2 "$tslab" stats --file /bin/true && says 'holds no'
ok 'a file that is none of these'

# -- usage -------------------------------------------------------------------------------------------
run 0 "$tslab" --help && commands=$(sed -n 's/^  \([a-z]*\)  .*/\1/p' "$work/out") &&
	shows 'ps' 'stats' 'top' 'leaks' 'doctor' 'set' 'verify'
ok '--help'
for command in $commands; do
	run 0 "$tslab" "$command" --help && shows "^Usage: tslab $command"
	ok "$command --help"
	run 2 "$tslab" "$command" --no-such-option && says 'Try `tslab'
	ok "$command refuses an unknown option"
done
run 2 "$tslab" && says 'Usage'
ok 'no command'
run 2 "$tslab" nonsense && says 'no command "nonsense"'
ok 'an unknown command'
run 2 "$tslab" stats && says 'no process given'
ok 'no process given'
run 2 "$tslab" stats 12x && says '"12x" is no process id'
ok 'a process id that is none'
run 2 "$tslab" stats 1 2 && says 'give one of'
ok 'two process ids'
run 2 "$tslab" leaks --age soon 1 && says '"soon" is no time'
ok 'an age that is none'
run 2 "$tslab" top --n 0 1 && says 'no number from 1'
ok 'a number of rows that is none'
if [ -w /dev/full ] && [ -n "${victim_pid-}" ]; then
	"$tslab" stats --json "$victim_pid" >/dev/full 2>"$work/err"
	[ $? -eq 2 ] && says 'cannot write'
	ok 'a full disk is noticed'
else
	skip 'a full disk is noticed' 'no /dev/full, or no process to look at'
fi
echo "1..$count"
