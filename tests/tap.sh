# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by tests in shell: TAP, a directory to work in ($work), and commands whose output is kept and looked at.
# shellcheck source=build-aux/tap.sh
. "${abs_top_srcdir:?}/build-aux/tap.sh"
# shellcheck source=tests/patience.sh
. "$abs_top_srcdir/tests/patience.sh"
work=$(mktemp -d) || exit 99
chmod 755 "$work"

bail() {
	echo "Bail out! $*"
	exit 1
}

need() { # need PROGRAM...
	for program; do
		command -v "$program" >/dev/null || bail "$program is missing"
	done
}

ok() { # ok NAME: by the status of the last command
	passed=$?
	[ $passed -eq 0 ] || {
		head -n 60 "$work/out" | sed 's/^/# out: /'
		head -n 60 "$work/err" | sed 's/^/# err: /'
	}
	result $passed "$1"
}

skip() { # skip NAME REASON
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

run() { # run STATUS COMMAND...: it ends with this status; what it prints is kept
	wanted=$1
	shift
	status=0
	"$@" >"$work/out" 2>"$work/err" || status=$?
	echo "status $status, wanted $wanted: $*" >>"$work/err"
	[ "$status" -eq "$wanted" ]
}

shows() { # shows REGEX...: all of them are in the output
	for regex; do
		grep -Eq -- "$regex" "$work/out" || {
			echo "not shown: $regex" >>"$work/err"
			return 1
		}
	done
}
