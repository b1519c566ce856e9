#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317 # the checks are called by name
# The benchmark notices what it must: strange arguments, libraries that do not answer, system calls,
# exceeded limits and rounds that disagree. It measures a library with known faults, fake.c. Prints TAP.
set -u
# shellcheck source=build-aux/tap.sh
. "$(dirname "$0")/../build-aux/tap.sh"
: "${abs_top_srcdir:?}" "${abs_top_builddir:?}"
# shellcheck source=tests/patience.sh
. "$abs_top_srcdir/tests/patience.sh"
if [ -n "${TEST_RUNNER-}" ]; then
	echo '1..0 # SKIP times under an emulator or a checker say nothing'
	exit 0
fi
bench=$abs_top_builddir/tslab-bench
fake=$abs_top_builddir/.libs/libbenchfake.so
for tool in jq gnuplot python3; do
	command -v "$tool" >/dev/null || {
		echo "Bail out! $tool is missing"
		exit 1
	}
done
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# measure STATUS [NAME=VALUE...] OPTION...: the exit status is as expected; output in $work/{out,err}.
measure() {
	expected=$1
	shift
	env "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" -eq "$expected" ] && return 0
	echo "exit status $status instead of $expected"
	cat "$work/out" "$work/err"
	return 1
}

refuses() { # refuses TEXT OPTION...: exit status 2, and the text on stderr
	text=$1
	shift
	measure 2 "$bench" "$@" && grep -F -- "$text" "$work/err"
}

counts_system_calls() {
	measure 0 "$bench" --tslab "$fake" --allocators tslab --workloads epoch --rounds 1 \
		--json "$work/json" --max-spread 1000 &&
		jq -e '.workloads[0] | .system_calls == .operations' "$work/json"
}

# Slow enough for the ratio as well as for the time and the system calls of an epoch.
gate_fails() {
	measure 4 FAKE_SPIN=200 "$bench" --tslab "$fake" --allocators tslab,glibc --bursts 1 \
		--workloads pair,epoch --max-spread 1000 --gate &&
		grep 'gate: pair is' "$work/err" && grep 'gate: epoch made' "$work/err"
}

gate_passes() {
	measure 0 "$bench" --tslab "$fake" --allocators tslab,glibc --bursts 1 --max-spread 1000 \
		--workloads ws8192 --gate
}

withholds_noise() {
	measure 3 FAKE_SPIN=200 FAKE_UNSTEADY=1 "$bench" --tslab "$fake" --allocators tslab,glibc \
		--workloads pair --bursts 1 --rounds 9 --max-rounds 9 --json "$work/json" &&
		grep '| noisy |' "$work/out" &&
		jq -e '.workloads[0].ratio.noisy' "$work/json"
}

json_is_complete() {
	measure 0 "$bench" --tslab "$fake" --allocators floor,tslab,glibc --bursts 1 --rounds 3 \
		--workloads ws256,request100 --max-spread 1000 --seed 5 --json - &&
		jq -e '.seed == 5 and (.workloads | length) == 2 and (.machine.cpus > 0) and
			(.workloads[] | .best_peer == "glibc" and .ratio.median > 0 and
			(.figures | length) == 3 and (.figures[].rounds | length) == 3 and
			.sizes_bytes[1] == 504)' "$work/out"
}

# Another build is no peer; one that is slow on purpose is told apart, with an interval.
compares_builds() {
	measure 0 FAKE_SPIN=200 FAKE_SLOW=slow "$bench" --tslab "new=$fake" --tslab "slow=$fake" \
		--tslab "same=$fake" --compare glibc --allocators new,slow,same,glibc --workloads pair \
		--bursts 1 --max-spread 1000 --json "$work/json" &&
		grep '^pair: new to slow .* 95 % interval' "$work/out" &&
		jq -e '.workloads[0] | .best_peer == "glibc" and .ratio.median < 2 and
			([.compared[].with] == ["slow", "same", "glibc"]) and
			(.compared[0] | .interval[1] < 0.5 and .ratio <= .interval[1]) and
			(.compared[1] | .interval[0] > 0.5)' "$work/json"
}

no_interval_from_few_rounds() {
	measure 0 "$bench" --tslab "new=$fake" --tslab "old=$fake" --allocators new,old --workloads pair \
		--bursts 1 --rounds 5 --max-rounds 5 --max-spread 1000 --json "$work/json" &&
		grep '^pair: new to old .* no interval' "$work/out" &&
		jq -e '.workloads[0] | .best_peer == null and .compared[0].interval == null' "$work/json"
}

# Slow on purpose, it misses; as malloc itself, behind a call more, it does not.
judges() {
	measure 0 FAKE_SPIN=200 "$bench" --tslab "$fake" --allocators tslab,glibc --bursts 1 --rounds 3 \
		--workloads pair --max-spread 1000 --json "$work/json" &&
		grep '| missed  |' "$work/out" && jq -e '.workloads[0].verdict == "missed"' "$work/json" &&
		measure 0 "$bench" --tslab "$fake" --allocators tslab,glibc --bursts 1 --rounds 3 \
			--workloads ws8192,epoch --max-spread 1000 --json "$work/json" &&
		jq -e '[.workloads[].verdict] | (.[0] == "met" or .[0] == "landed") and .[1] == "-"' \
			"$work/json"
}

# A peer that was added may be the best one; the best of the distribution stands beside it.
tells_added_peers() {
	measure 0 "$bench" --tslab "$fake" --peer "fast=$(ldd "$bench" | awk '$1 == "libc.so.6" { print $3 }')" \
		--allocators tslab,jemalloc,fast --bursts 1 --rounds 3 --workloads pair --max-spread 1000 \
		--json "$work/json" &&
		jq -e '.workloads[0] | .best_of_distribution == "jemalloc" and
			(.ratio.median >= .ratio_of_distribution.median)' "$work/json"
}

# One slow call of 300 is beyond p99 and within p99.9.
finds_rare_slow_calls() {
	measure 0 FAKE_SPIN=20000 FAKE_EVERY=300 "$bench" --tslab "$fake" --allocators floor,tslab --bursts 1 \
		--rounds 3 --workloads latency-churn --max-spread 1000 --json "$work/json" &&
		jq -e '[.workloads[] | {key: .name, value: .figures[1].median}] | from_entries |
			."latency-churn.malloc-p99" < 5000 and ."latency-churn.malloc-p999" > 5000 and
			."latency-churn.free-p999" < 5000 and
			."latency-churn.malloc-p50" <= ."latency-churn.malloc-p99"' "$work/json"
}

# Nothing is given back when an epoch of the fake library is discarded: that shows as resident memory.
finds_lost_memory() {
	measure 0 "$bench" --tslab "$fake" --allocators tslab,glibc --bursts 1 --rounds 1 \
		--workloads mixed --max-spread 1000 --json "$work/json" &&
		jq -e '.workloads[] | select(.name == "mixed.resident") |
			.figures[0].median > 10 and .figures[1].median < 2 and .verdict == "missed"' "$work/json"
}

grows() {
	measure 0 "$bench" --tslab "$fake" --allocators tslab,glibc --growth=4 --rounds 1 --bursts 1 \
		--max-spread 1000 --json "$work/json" &&
		grep '^|         4 |' "$work/out" &&
		jq -e '[.workloads[] | select(.skipped == null)] |
			([.[] | select(.series == "chunks") | .x] | unique) == [1, 4] and
			all(.[]; .figures[0].median > 0 and .x <= 4)' "$work/json"
}

# A bar for each row with a ratio, a curve for each allocator; nothing is drawn from something else.
draws() {
	measure 0 "$bench" --tslab "$fake" --allocators floor,tslab,glibc --bursts 1 --rounds 3 \
		--workloads ws256,ws8192,request100,latency-lifo --max-spread 1000 --json "$work/table.json" &&
		measure 0 "$bench" --tslab "$fake" --allocators tslab,glibc --growth=4 --rounds 1 --bursts 1 \
			--max-spread 1000 --json "$work/growth.json" &&
		measure 0 "$abs_top_srcdir/bench/plot" "$work/table.json" "$work/pictures" &&
		measure 0 "$abs_top_srcdir/bench/plot" "$work/growth.json" "$work/pictures" &&
		grep -q 'WS256, 16-504 B' "$work/pictures/ratios.svg" &&
		grep -q '8192 objects' "$work/pictures/working-sets.svg" &&
		grep -q 'the newest of up to 256 is freed first: free' "$work/pictures/latency.svg" &&
		grep -q 'tslab' "$work/pictures/request100.svg" &&
		grep -q 'tslab discard-64' "$work/pictures/chunks.svg" &&
		echo '{"program": "another"}' >"$work/json" &&
		measure 2 "$abs_top_srcdir/bench/plot" "$work/json" "$work/pictures"
}

# Of what was measured by the test before.
draws_what_is_named() {
	measure 0 "$abs_top_srcdir/bench/plot" "$work/table.json" "$work/named" ws256 ratios &&
		[ "$(cd "$work/named" && echo *)" = 'ratios.svg ws256.svg' ] &&
		measure 2 "$abs_top_srcdir/bench/plot" "$work/growth.json" "$work/named" ratios &&
		grep 'no data for a picture "ratios"' "$work/err"
}

# A table takes the place of the old one, and nothing else changes.
writes_tables() {
	mkdir -p "$work/results" && cp "$work/table.json" "$work/results/bench.json" &&
		printf 'before\n<!-- table verdicts -->\nold\n<!-- end -->\nafter\n' >"$work/document.md" &&
		measure 1 "$abs_top_srcdir/bench/tables" --check "$work/results" "$work/document.md" &&
		measure 0 "$abs_top_srcdir/bench/tables" "$work/results" "$work/document.md" &&
		measure 0 "$abs_top_srcdir/bench/tables" --check "$work/results" "$work/document.md" &&
		grep '^| WS256, 16-504 B | ns/pair | [0-9.]* | [0-9.]* glibc | [0-9.]* | ' "$work/document.md" &&
		[ "$(sed -n '1p;$p' "$work/document.md" | tr '\n' ' ')" = 'before after ' ] &&
		! grep old "$work/document.md" &&
		echo '<!-- table unheard-of -->' >"$work/document.md" &&
		measure 1 "$abs_top_srcdir/bench/tables" "$work/results" "$work/document.md" &&
		grep 'no table "unheard-of"' "$work/err"
}

# What the documents show is what is published beside them.
documents_are_of_their_results() {
	measure 0 "$abs_top_srcdir/bench/tables" --check "$abs_top_srcdir/docs/figures" "$abs_top_srcdir/README.md" \
		"$abs_top_srcdir/docs/performance.md" "$abs_top_srcdir/docs/performance-figures.md" \
		"$abs_top_srcdir/docs/performance-history.md" &&
		for picture in ratios working-sets latency; do
			grep -q '</svg>' "$abs_top_srcdir/docs/figures/$picture.svg" || return 1
		done
}

check 'an unknown workload is refused' refuses "'ws1'" --workloads pair,ws1
check 'an unknown allocator is refused' refuses "'hoard'" --allocators glibc,hoard
check 'a number that is none is refused' refuses '--rounds wants' --rounds 7x
check 'two builds of one name are refused' refuses 'called tslab' --tslab a.so --tslab b.so
check 'a build without a file is refused' refuses '--tslab wants' --tslab old=
check 'a comparison with nobody is refused' refuses "'old'" --compare old
check 'a peer without a file is refused' refuses 'no file' --peer x=/nonexistent
check 'a peer without heaps is refused' \
	refuses 'no mi_heap_new' --peer-heap "x=$fake" --allocators x --workloads request10
check 'a peer that has no malloc is refused' \
	refuses 'no malloc of its own' --peer "x=$fake" --allocators x --workloads pair
check 'a library that cannot be loaded is refused' \
	refuses 'is not loaded' --tslab /nonexistent --allocators tslab --workloads pair
check 'a gate needs rounds' refuses 'at least 7 rounds' --gate --rounds 3
check 'system calls are counted' counts_system_calls
check 'what exceeds its limit fails the gate' thrice gate_fails
check 'what keeps it passes' thrice gate_passes
check 'rounds that disagree give no figure' thrice withholds_noise
check 'rare slow calls show in their percentile' thrice finds_rare_slow_calls
check 'memory that is lost shows' finds_lost_memory
check 'goals are judged' thrice judges
check 'peers of the distribution are told from others' tells_added_peers
check 'builds of the library are compared' thrice compares_builds
check 'five rounds make no interval' no_interval_from_few_rounds
check 'a gate has no use for growth' refuses 'no limits' --growth --gate
check 'points of growth are measured' grows
check 'pictures are drawn' draws
check 'only those that are named' draws_what_is_named
check 'tables are written into documents' writes_tables
check 'the documents show what is published' documents_are_of_their_results
check 'the JSON holds all that was measured' json_is_complete
finish
