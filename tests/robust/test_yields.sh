#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/robust/test_yields.sh [SECONDS-OF-STRESS]
# The concurrent tests in a build with --enable-yields, where threads give way at random before each atomic
# operation. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${abs_top_builddir:=$PWD}"
seconds=${1:-60}
number=0
failed=0
log=$(mktemp) || exit 99
trap 'rm -f "$log"' EXIT
grep -q -e '-DTSLAB_YIELDS' "$abs_top_builddir/Makefile" || {
	echo "Bail out! $abs_top_builddir is no build with --enable-yields"
	exit 1
}
runs() { # runs PROGRAM ARGUMENT...
	number=$((number + 1))
	program=$1
	shift
	if "$abs_top_srcdir/build-aux/tap-run.sh" "$abs_top_builddir/tests/$program" "$@" >"$log" 2>&1; then
		echo "ok $number - $program $*: $(grep -c '^ok ' "$log") tests"
	else
		failed=1
		tail -n 20 "$log" | sed 's/^/# /'
		echo "not ok $number - $program $*"
	fi
}
runs unit/test_thread
runs unit/test_fork
runs unit/test_misuse
runs unit/test_scope
runs unit/test_scope_threads
runs unit/test_epoch
runs robust/misuse --count 20000
runs robust/lives --forks 100 --threads 2000 --seconds 10 --module "$abs_top_builddir/.libs/libtslab.so"
for threads in 2 4 16; do
	runs stress/stress --seconds "$seconds" --threads "$threads"
done
echo "1..$number"
exit $failed
