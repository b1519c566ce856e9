#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: examples/demo_threading.sh [--stay] [THREADS...]   (in a build directory; default 1 2 4 8 16)
# What threads meet: a program whose threads allocate, free each other's objects and end epochs, for a second with
# each number of threads, looked at from outside. Prints the table of docs/CONTENTION_RESULTS.md. --stay: the program
# runs on until this script is ended, for those who watch it.
set -eu
: "${abs_top_builddir:=$PWD}" "${SECONDS_EACH:=1}"
tslab=$abs_top_builddir/tools/tslab/tslab
program=$abs_top_builddir/tests/cli/victim
work=$(mktemp -d)
pid=

die() {
	echo "demo_threading: $*" >&2
	exit 1
}

end_program() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	pid=
}
trap 'end_program; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

start_program() { # start_program THREADS
	rm -f "$work/in"
	mkfifo "$work/in"
	: >"$work/ready"
	"$program" threads "$1" <>"$work/in" >"$work/ready" &
	pid=$!
	waited=0
	until grep -q ready "$work/ready"; do
		waited=$((waited + 1))
		[ $waited -lt 600 ] || die 'the program did not start'
		sleep 0.1
	done
}

stay=
[ "${1-}" != --stay ] || {
	stay=1
	shift
}
[ $# -gt 0 ] || set -- 1 2 4 8 16
for threads; do
	case $threads in
		[1-9] | [1-5][0-9] | 6[0-4]) ;;
		*) die "\"$threads\" is no number of threads from 1 to 64" ;;
	esac
done
command -v jq >/dev/null || die 'jq is missing'
for needed in "$tslab" "$program"; do
	[ -x "$needed" ] || die "make tools/tslab/tslab tests/cli/victim in $abs_top_builddir first"
done

echo '| threads | allocations | locks taken | waited | frees across threads | retries |'
echo '|---|---|---|---|---|---|'
for threads; do
	start_program "$threads"
	sleep "$SECONDS_EACH"
	"$tslab" stats --json "$pid" | jq -r --arg threads "$threads" '
		def share(part; whole): (100000 * part / ([whole, 1] | max) | round) / 1000 | "\(.) %";
		"| \($threads) | \(.total_allocations) | \(.total_lock_acquisitions) | " +
		"\(share(.total_lock_contended; .total_lock_acquisitions)) | \(.total_remote_frees) | " +
		"\(share(.total_bitmap_free_cas_retries; .total_bitmap_free_attempts)) |"'
	[ -z "$stay" ] || wait "$pid"
	end_program
done
