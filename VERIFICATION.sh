#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: ./VERIFICATION.sh [BUILD-DIRECTORY]
# Does what the tools promise hold here? Eight checks on a program that leaks, from outside. Prints what
# passes and "8/8"; the exit status is 0 if all do.
set -u
source_dir=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-$PWD}" && pwd) || exit 1
tslab=$build/tools/tslab/tslab
work=$(mktemp -d) || exit 1
passed=0
number=0
target=
trap 'exec 3>&-; [ -z "$target" ] || wait "$target" 2>/dev/null; rm -rf "$work"' EXIT
if ! make -C "$build" -s "$tslab" "$build/tests/cli/victim" >"$work/make" 2>&1 &&
	! make -C "$build" -s tools/tslab/tslab tests/cli/victim >"$work/make" 2>&1; then
	cat "$work/make"
	echo "$build is not built: ./configure && make there first"
	exit 1
fi

mkfifo "$work/in" && : >"$work/ready"
"$build/tests/cli/victim" leak traffic rate 1000 <"$work/in" >"$work/ready" 2>/dev/null &
target=$!
exec 3>"$work/in"
until grep -q ready "$work/ready"; do
	kill -0 "$target" 2>/dev/null || exit 1
	sleep 0.1
done

check() { # check WHAT COMMAND...
	what=$1
	shift
	number=$((number + 1))
	if "$@" >"$work/out" 2>&1; then
		passed=$((passed + 1))
		echo "[PASS] $number. $what"
	else
		echo "[FAIL] $number. $what"
		sed 's/^/       /' "$work/out" | head -n 20
	fi
}

snapshot() {
	"$tslab" stats --json "$target" >"$work/a.json" && "$tslab" stats --schema >"$work/schema.json" &&
		"$tslab" verify --schema "$work/schema.json" --file "$work/a.json" >"$work/verified"
	# 1: the program does not rest, so that the figures are not compared with each other
	[ $? -le 1 ]
}

watch() {
	"$tslab" watch --interval 200ms --count 3 --json "$target" >"$work/lines" && [ "$(wc -l <"$work/lines")" -eq 3 ]
}

top() {
	"$tslab" top --classes --by slow_path_hits --n 3 "$target" &&
		"$tslab" stats --json "$target" | "$tslab" top --epochs --by rss_bytes --stdin | grep background-worker-3
}

metrics() {
	"$tslab" export prometheus "$target" >"$work/metrics" && [ "$(grep -c '^# TYPE' "$work/metrics")" -ge 40 ]
}

leak() {
	"$tslab" leaks --age 0 "$target" >"$work/leaks"
	[ $? -eq 4 ] && grep -q 'Missing 2 domain_exit' "$work/leaks" && "$tslab" doctor --threshold 0 "$target" >"$work/doctor"
	[ $? -eq 4 ] && grep -q 'docs/runbooks/EpochLeak.md' "$work/doctor" && [ -s "$source_dir/docs/runbooks/EpochLeak.md" ]
}

compare() {
	"$tslab" diff "$work/a.json" "$work/a.json" --fail-on regression &&
		jq '.total_madvise_failures += 1' "$work/a.json" >"$work/b.json" || return 1
	"$tslab" diff "$work/a.json" "$work/b.json" --fail-on regression
	[ $? -eq 3 ]
}

record() {
	"$tslab" record --out "$work/recording" --interval 100ms --count 5 "$target" &&
		"$tslab" replay "$work/recording" --at +0s top --n 1
}

check 'tslab stats: text' "$tslab" stats "$target"
check 'tslab stats --json follows its schema (verify)' snapshot
check 'tslab watch: figures by the second' watch
check 'tslab top: ranks, also from --stdin' top
check 'tslab export prometheus: 40 metrics or more' metrics
check 'tslab leaks and doctor: the leak, its source line, its runbook' leak
check 'tslab diff: a regression, and none' compare
check 'tslab record and replay' record
echo "$passed/8"
[ "$passed" -eq 8 ]
