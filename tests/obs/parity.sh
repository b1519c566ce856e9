#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/obs/parity.sh BUILD OTHER-BUILD [PAGE-BYTES...]
# The recorded workload of parity.c natively and, from OTHER-BUILD (aarch64), under an emulator with pages
# of each size: all figures must be the same but those below. Prints TAP.
set -u
[ $# -ge 2 ] || {
	echo 'usage: tests/obs/parity.sh BUILD OTHER-BUILD [PAGE-BYTES...]' >&2
	exit 2
}
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
other=$2
shift 2
[ $# -gt 0 ] || set -- 4096 16384 65536
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# What may differ, and why:
#   time       when things happened and how long they took: timestamps, ages, *_ns, durations, histograms
#   machine    what the process runs on: CPU, features, page size, its address range
#   build      which files it came from: build id, sites (offsets of code)
#   process    its ids, and what the kernel gives it beside: pid, tid, resident sets
#   locks      contended or not is the scheduler's matter; their sum is the same
# shellcheck disable=SC2016 # jq's variables
same='
	del(.timestamp_ns, .timestamp, .monotonic_ns, .start_time_ns, .pid, .ns_pid, .comm, .container, .boot_id,
		.build_id, .arch, .features, .page_size, .range_bytes, .rss_bytes_current, .anon_rss_bytes, .hist,
		.last_epoch_close.timestamp_ns, .last_epoch_close.duration_ns, .total_lock_fast_acquire,
		.total_lock_contended)
	| del(.closes[] | .timestamp_ns, .age_ns, .duration_ns, .madvise_ns)
	| del(.alloc_failures.recent[] | .timestamp_ns, .tid, .site, .function, .file, .line)
	| del(.classes[] | .epoch_close_total_ns, .lock_fast_acquire, .lock_contended, .lock_contention_rate)
	| del(.epochs[] | .age_sec, .age_ns, .closing_sec, .open_since_ns)
	| del(.threads[] | .tid)'

count=0
failed=0
check() { # check NAME: by the status of the last command
	status=$?
	count=$((count + 1))
	if [ "$status" -eq 0 ]; then
		echo "ok $count - $1"
	else
		failed=$((failed + 1))
		head -n 40 "$work/log" | sed 's/^/# /'
		echo "not ok $count - $1"
	fi
}

for program in jq python3; do
	command -v "$program" >/dev/null || {
		echo "Bail out! $program is missing"
		exit 1
	}
done
: >"$work/log"
"$build/tests/obs/parity" >"$work/native.all" 2>"$work/log" && jq -S "$same" "$work/native.all" >"$work/native" &&
	jq -e '.total_allocations > 30000 and .total_remote_frees > 1000 and .total_madvise_calls > 0 and
		(.closes | length) > 0 and (.alloc_failures.recent | length) > 0' "$work/native.all" >"$work/log"
check 'the workload runs natively, and every kind of event is in it'
"$build/tests/obs/parity" 2>"$work/log" | jq -S "$same" >"$work/again" && diff "$work/native" "$work/again" >"$work/log"
check 'a second run gives the same figures'
"$build/tools/tslab/tslab" verify --file "$work/native.all" >"$work/log" 2>&1
check 'they agree with each other'
for pages; do
	TEST_PAGE_BYTES=$pages "$source_dir/cross/run" "$other/tests/obs/parity" 2>"$work/log" >"$work/other.all" &&
		jq -S "$same" "$work/other.all" >"$work/other" &&
		jq -e ".page_size == $pages and .arch == \"aarch64\"" "$work/other.all" >"$work/log" &&
		diff "$work/native" "$work/other" >"$work/log"
	check "aarch64 with pages of $pages bytes gives the same figures"
done
echo "1..$count"
[ "$failed" -eq 0 ]
