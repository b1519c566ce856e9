#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317 # the checks are called by name
# bench/programs/run notices what it must: strange arguments, a library that serves no malloc, a program
# that prints something else or fails; and what it measures is told completely. Prints TAP.
set -u
# shellcheck source=build-aux/tap.sh
. "$(dirname "$0")/../../build-aux/tap.sh"
: "${abs_top_builddir:?}" "${abs_top_srcdir:?}"
if [ -n "${TEST_RUNNER-}" ]; then
	echo '1..0 # SKIP times under an emulator or a checker say nothing'
	exit 0
fi
run=$abs_top_srcdir/bench/programs/run
for tool in jq python3; do
	command -v "$tool" >/dev/null || {
		echo "Bail out! $tool is missing"
		exit 1
	}
done
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# measure STATUS OPTION...: the exit status is as expected; output in $work/{out,err}.
measure() {
	expected=$1
	shift
	"$run" --build "$abs_top_builddir" --scale 1 --rounds 1 --max-rounds 1 "$@" >"$work/out" 2>"$work/err"
	status=$?
	[ "$status" -eq "$expected" ] && return 0
	echo "exit status $status instead of $expected"
	cat "$work/out" "$work/err"
	return 1
}

refuses() { # refuses STATUS TEXT OPTION...
	status_wanted=$1
	text=$2
	shift 2
	measure "$status_wanted" "$@" && grep -F -- "$text" "$work/err"
}

# A build directory whose program is another one.
with_json_that() { # with_json_that SCRIPT
	mkdir -p "$work/build/bench/programs" "$work/build/.libs"
	ln -sf "$abs_top_builddir/bench/programs/cost" "$work/build/bench/programs/cost"
	ln -sf "$abs_top_builddir/.libs/libtslab-malloc.so" "$work/build/.libs/"
	printf '#!/bin/sh\n%s\n' "$1" >"$work/build/bench/programs/json"
	chmod +x "$work/build/bench/programs/json"
	abs_top_builddir=$work/build
}

# shellcheck disable=SC2016 # the script's own variable
notices_other_output() (
	with_json_that 'echo "$1"' # --epochs shows
	refuses 1 'tslab-epochs gives another output' --programs json --peers glibc
)

notices_failure() (
	with_json_that 'exit 3'
	refuses 1 'exit status 3' --programs json --peers glibc
)

# One round is not enough to be certain of anything.
tells_all() {
	measure 3 --programs json --peers glibc --json "$work/json" &&
		grep -F '| jansson, documents of 10 MB, in epochs |' "$work/out" &&
		jq -e '.rows | length == 2 and all(.ratio > 0 and .best_peer == "glibc" and
			(.median.glibc | .cpu > 0 and .wall > 0 and .rss_kib > 1000))' "$work/json" &&
		jq -e '.programs[0].rounds | length == 1 and (.[0] | keys == ["glibc", "tslab", "tslab-epochs"])' "$work/json"
}

check 'an unknown program is refused' refuses 2 "no program 'none'" --programs none
check 'an unknown allocator is refused' refuses 1 "no allocator 'none'" --peers none
check 'a peer without a file is refused' refuses 1 '--peer wants NAME=FILE' --peer a=/nowhere
check 'a library that serves no malloc is noticed' refuses 1 'does not serve malloc' --programs json \
	--peer "none=$("${CC:-cc}" -print-file-name=libm.so.6)"
check 'another output is noticed' notices_other_output
check 'a program that fails is noticed' notices_failure
if [ -x "$abs_top_builddir/bench/programs/json" ]; then
	check 'a run tells all' tells_all
fi
finish
