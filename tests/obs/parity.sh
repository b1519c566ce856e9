#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/obs/parity.sh [--report FILE] BUILD OTHER-BUILD [PLACE...] [OTHER-BUILD PLACE...]
# The recorded workload of parity.c natively and, from OTHER-BUILD (aarch64 or riscv64), in other places: "4096"
# is qemu-user with pages of so many bytes, "kernel-64" a real arm64 kernel with pages of 64 KiB. Without a place
# these two, 16384 and 65536. All figures must be the same but those that `tslab verify --parity` says whose they
# are. Prints TAP; --report: the table too.
set -u
report=
if [ "${1-}" = --report ]; then
	report=$2
	shift 2
fi
[ $# -ge 2 ] || {
	sed -n 's/^# \(usage: \)/\1/p' "$0" >&2
	exit 2
}
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
shift
[ $# -gt 1 ] || set -- "$1" 4096 16384 65536 kernel-64
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

tslab=$(cd "$build" && pwd)/tools/tslab/tslab
count=0
failed=0
snapshots=native
places=
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

run_there() { # run_there PLACE
	case $1 in
	kernel-*) "$source_dir/cross/kernel/run" --plain "${1#kernel-}" "$other" tests/obs/parity ;;
	*) TEST_PAGE_BYTES=$1 "$source_dir/cross/run" --target "$cpu" "$other/tests/obs/parity" ;;
	esac
}

command -v jq >/dev/null || {
	echo 'Bail out! jq is missing'
	exit 1
}
: >"$work/log"
"$build/tests/obs/parity" >"$work/native" 2>"$work/log" &&
	jq -e '.total_allocations > 30000 and .total_remote_frees > 1000 and .total_madvise_calls > 0 and
		(.closes | length) > 0 and (.alloc_failures.recent | length) > 0' "$work/native" >"$work/log"
check 'the workload runs natively, and every kind of event is in it'
"$build/tests/obs/parity" 2>"$work/log" >"$work/again" && "$tslab" verify --parity --json "$work/native" "$work/again" >"$work/log"
check 'a second run gives the same figures'
jq -c '.total_frees += 1 | .classes[3].allocations -= 1' "$work/again" >"$work/other" &&
	! "$tslab" verify --parity --json "$work/native" "$work/other" >"$work/log" &&
	jq -e '[.[].id] | contains(["total_frees", "classes[].allocations"])' "$work/log" >/dev/null
check 'a planted difference is noticed'
"$tslab" verify --file "$work/native" >"$work/log" 2>&1
check 'they agree with each other'
for place; do
	if [ -d "$place" ]; then
		other=$place
		places="$places OTHER-BUILD"
		cpu=$(file -bL "$other/tests/obs/parity" | sed -n 's/.*RISC-V.*/riscv64/p; s/.*aarch64.*/aarch64/p')
		continue
	fi
	case $place in
	kernel-*) pages=$((${place#kernel-} * 1024)) ;;
	*) pages=$place ;;
	esac
	places="$places $place"
	snapshot=$cpu-$place
	snapshots="$snapshots $snapshot"
	run_there "$place" 2>"$work/log" >"$work/$snapshot" &&
		jq -e ".page_size == $pages and .arch == \"$cpu\"" "$work/$snapshot" >"$work/log" &&
		"$tslab" verify --parity --json "$work/native" "$work/$snapshot" >"$work/log"
	check "$cpu ($place) gives the same figures"
done
echo "1..$count"
if [ -n "$report" ] && [ "$failed" -eq 0 ]; then
	{
		cat <<EOF
# The same figures everywhere

One recorded workload (\`tests/obs/parity.c\`: 4 threads in turns, 360 epochs) on each machine, every exported
field side by side. From left to right: $(echo "$snapshots" | sed 's/ /, /g').
"kernel" is a real kernel with pages of so many KiB, a number alone qemu-user with pages of so many bytes. Of rows, the
table shows the sum, and the check compares each. The last column is empty where all are the same; else it says
whose the figure is, and why it may differ: \`tslab verify --parity\` finds fault with every other difference.

    tests/obs/parity.sh --report docs/parity.md BUILD${places}

wrote this on $(date -u +%Y-%m-%d).

EOF
		# shellcheck disable=SC2086 # a list of names
		(cd "$work" && "$tslab" verify --parity $snapshots)
	} >"$work/report" && cp "$work/report" "$report"
fi
[ "$failed" -eq 0 ]
