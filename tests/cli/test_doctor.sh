#!/bin/sh
# SPDX-License-Identifier: MIT
# The doctor on programs that have exactly one disease each, and on healthy ones. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/cli/lib.sh
. "$abs_top_srcdir/tests/cli/lib.sh"
need jq
victim=$abs_top_builddir/tests/cli/patient

# one DISEASE ID DIAGNOSIS [OPTION...]: the finding, and no other. A patient that loses its processor in the middle of
# a close has another one: closes that take long.
one() {
	disease=$1
	id=$2
	diagnosis=$3
	shift 3
	thrice diagnosed "$@"
	ok "$disease: $id, and nothing else"
}

diagnosed() { # diagnosed [OPTION...]: as `one` has it
	start "$disease"
	run 4 "$tslab" doctor --json "$@" "$victim_pid" && json "map(.id) == [\"$id\"]" &&
		json '.[0] | (.evidence | length > 10) and (.action | length > 10) and
			(.confidence | IN("high", "medium", "low")) and (.severity | IN("error", "warning", "info"))' &&
		jq -r '.[0].diagnosis' "$work/out" | grep -Eq "$diagnosis" && runbook
}

# The page is there.
runbook() {
	page=$(jq -r '.[0].runbook' "$work/out")
	[ -s "$abs_top_srcdir/$page" ] || {
		echo "no page $page" >>"$work/err"
		return 1
	}
}

one missing-exits open-scope '^Epoch [0-9]+ \(background-worker-3\) age=[0-9]+s refcount=2 RSS=.*missing domain_exit\(\) calls' --threshold 0
one kept-reference reference-kept '\(referenced\) .*refcount=1' --threshold 0
one thread-ends-inside open-scope '\(abandoned\) .*missing domain_exit\(\) calls'
one not-draining not-draining '\(kept\) .*refcount=0' --threshold 0
one double-free double-free 'freed twice'
one wild-free wild-free "no object's address"
one foreign-free foreign-free 'another allocator'
one stale-handle stale-handle 'outlive'
one exit-without-enter exit-without-enter 'without domain_enter'
one exit-out-of-order exit-out-of-order 'wrong order'
one too-many-labels labels-overflowed 'More labels'
one too-large request-too-large 'Threshold \(size class mismatch\)'
one limit-reached limit-reached 'Exhaustion \(pool depletion\)'
if [ -z "$TEST_RUNNER" ] && ! grep -aqE '__(a|t)san_init' "$victim"; then
	one no-memory os-refused-memory 'MapFail \(OS memory allocation failure\)'
else
	skip 'no-memory: os-refused-memory, and nothing else' 'an emulator or a sanitizer has the limit too'
fi
one closed-epoch allocation-in-closed-epoch 'an epoch that was CLOSING'
one bad-argument bad-argument 'bad argument'
one undersized-cache cache-undersized '^Class 3 cache undersized \((9[5-9]|100)% miss rate\)$'
one low-yield low-reclamation-yield 'give little back'
one locked-memory madvise-failed 'refuses to take memory back'
one closing-backlog closing-backlog 'pile up'
one ring-stalled ring-stalled 'stands still' --threshold 1
TSLAB_SAMPLE=1
export TSLAB_SAMPLE
if [ -z "$TEST_RUNNER" ]; then
	one crowded-processor scheduler-interference '^wall >> cpu: Scheduler interference$'
else
	skip 'crowded-processor: scheduler-interference, and nothing else' 'the emulator works beside it'
fi
unset TSLAB_SAMPLE

# -- the healthy stay unmolested -----------------------------------------------------------------------
healthy() { # healthy LIFE
	start "$1"
	run 0 "$tslab" doctor --threshold 0 "$victim_pid" && shows '^nothing found$'
}
for life in healthy-requests healthy-server healthy-cache healthy-large; do
	thrice healthy "$life"
	ok "$life: nothing found"
done
victim=$abs_top_builddir/tests/cli/victim
at_work() {
	run 0 "$tslab" stats --json "$victim_pid" && json '.total_allocations > 500'
}
healthy_at_work() { # healthy_at_work WORD...
	start "$@"
	await at_work && run 0 "$tslab" doctor "$victim_pid" && shows '^nothing found$'
}
for life in 'rate 1000' 'lifetimes 64:8'; do
	# shellcheck disable=SC2086 # words
	thrice healthy_at_work $life
	ok "$life: nothing found"
done

# -- from figures made up ------------------------------------------------------------------------------
"$tslab" stats --json "$victim_pid" >"$work/quiet.json"
jq '.closes = [{"rss_before": 200000000, "rss_after": 199000000, "madvise_bytes": 100000000}]' "$work/quiet.json" >"$work/changed.json"
run 4 "$tslab" doctor --file "$work/changed.json" && shows '^info: kernel-not-cooperating: Allocator is madvising correctly, kernel is retaining pages$' \
	'95\.4 MiB to madvise' 'fell by 976\.6 KiB'
ok 'a kernel that retains pages'
jq '.closes = [{"rss_before": 200000000, "rss_after": 104000000, "madvise_bytes": 100000000}]' "$work/quiet.json" >"$work/changed.json"
run 0 "$tslab" doctor --file "$work/changed.json"
ok 'and one that does not'
jq '.sampling += {"alloc_samples": 1000, "wall_cpu_ratio": 1.9, "alloc_cpu_ns_max": 9000, "alloc_wall_ns_max": 251000}' "$work/quiet.json" >"$work/changed.json"
run 0 "$tslab" doctor --file "$work/changed.json"
ok 'moderate noise is none'
jq '.sampling += {"alloc_samples": 1000, "wall_cpu_ratio": 2.7, "alloc_cpu_ns_max": 9000, "alloc_wall_ns_max": 251000}' "$work/quiet.json" >"$work/changed.json"
run 4 "$tslab" doctor --file "$work/changed.json" && shows 'scheduler-interference' '2\.70x' 'the longest took 251000 ns, none worked more than 9000 ns'
ok 'a spike that nobody worked at is the scheduler'"'"'s'

jq '.arch = "aarch64" | .features = "lse_unused lrcpc"' "$work/quiet.json" >"$work/changed.json"
run 4 "$tslab" doctor --file "$work/changed.json" && shows '^warning: lse-unused: ' \
	'^machine aarch64 \(lse_unused lrcpc\), atomics by LL/SC, pages of '
ok 'a build that leaves atomic instructions of the CPU unused'
jq '.arch = "aarch64" | .features = "lse lrcpc" | .page_size = 262144' "$work/quiet.json" >"$work/changed.json"
run 4 "$tslab" doctor --file "$work/changed.json" && shows '^warning: pages-above-chunks: ' \
	'^machine aarch64 \(lse lrcpc\), atomics by LSE, pages of 256\.0 KiB'
ok 'pages that are larger than chunks'

# -- a leak that crosses its threshold -------------------------------------------------------------------
# From then to the culprit's source line in at most 5 seconds: the figure, and a second for the looking.
line=$(line_of 'LEAK \*/')
mkfifo "$work/findings"
named_in_time() {
	start leak
	began=$(date +%s%N)
	"$tslab" doctor --follow --threshold 2s "$victim_pid" >"$work/findings" &
	doctor=$!
	while IFS= read -r text; do
		printf '%s\n' "$text" >>"$work/out"
		case $text in *"victim.c:$line (forget_to_exit)"*) break ;; esac
	done <"$work/findings"
	took=$(($(date +%s%N) - began))
	kill $doctor 2>/dev/null
	wait $doctor
	echo "$((took / 1000000)) ms" >"$work/err"
	[ $took -lt 7000000000 ] && [ $took -gt 900000000 ]
}
thrice named_in_time
ok 'doctor --follow names a leak within 5 s of its threshold'
start leak
"$tslab" doctor --follow --interval 100ms --threshold 0 --json "$victim_pid" >"$work/out" 2>"$work/err" &
doctor=$!
await has_lines "$work/out" 1
sleep 1
end_victim
status=0
wait $doctor || status=$?
[ $status -eq 4 ] && [ "$(wc -l <"$work/out")" -eq 1 ] && says 'has ended'
ok 'and says it once, until the process ends'

# -- pages -----------------------------------------------------------------------------------------------
grep -oh '"[A-Za-z]*",$\|"[A-Z][A-Za-z]*", *DOCTOR' "$abs_top_srcdir"/tools/tslab/doctor*.c | grep -o '[A-Z][a-z]*[A-Z][A-Za-z]*' | grep -v DOCTOR |
	sort -u >"$work/pages"
while read -r page; do
	[ -s "$abs_top_srcdir/docs/runbooks/$page.md" ] || echo "$page"
done <"$work/pages" >"$work/lacking"
[ "$(wc -l <"$work/pages")" -gt 8 ] && run 1 grep . "$work/lacking"
ok 'every runbook that the doctor names is there'
echo "1..$count"
