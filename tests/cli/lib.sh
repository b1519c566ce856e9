#!/bin/sh
# SPDX-License-Identifier: MIT
# What the tests of the tool share: a victim to look into, and TAP. Sourced.
: "${abs_top_builddir:=$PWD}" "${TEST_RUNNER=}"
# shellcheck source=tests/tap.sh
. "${abs_top_srcdir:?}/tests/tap.sh"
# A cross build is looked into with a tool of this machine.
# shellcheck disable=SC2034 # for those that source this
tslab=${TSLAB_TOOL-$abs_top_builddir/tools/tslab/tslab}
victim=$abs_top_builddir/tests/cli/victim
source=$abs_top_srcdir/tests/cli/victim.c
victim_pid=

end_victim() {
	[ -n "$victim_pid" ] || return 0
	kill -CONT "$victim_pid" 2>/dev/null
	kill "$victim_pid" 2>/dev/null
	wait "$victim_pid" 2>/dev/null
	victim_pid=
}
trap 'end_victim; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# shellcheck disable=SC2086 # the runner is a command line
start() { # start ARGUMENT...: a victim that has done as told; AS in the environment goes in front
	end_victim
	rm -f "$work/in" "$work/ready"
	mkfifo "$work/in"
	: >"$work/ready"
	chmod 666 "$work/ready"
	${AS-} $TEST_RUNNER "$victim" "$@" <"$work/in" >"$work/ready" 2>"$work/victim.err" &
	victim_pid=$!
	exec 3>"$work/in"
	await ready_or_gone
	grep -q ready "$work/ready" || {
		sed 's/^/# victim: /' "$work/victim.err"
		echo "Bail out! the victim did not start"
		exit 1
	}
}

ready_or_gone() {
	grep -q ready "$work/ready" || ! kill -0 "$victim_pid"
}

# tell WORD: the victim does as told, and says so
tell() {
	repaired=$(grep -c repaired "$work/ready")
	echo "$1" >&3
	await did $((repaired + 1))
}

did() { # did NUMBER: as often the victim has said that it did as told
	[ "$(grep -c repaired "$work/ready")" -eq "$1" ]
}

# waits PID: a command that goes on for ever is at its first pause, and ends as told from now on
waits() {
	blocked=$(sed -n 's/^SigBlk:[^0-9a-f]*//p' "/proc/$1/status") && [ $((0x$blocked >> 14 & 1)) -eq 1 ]
}

# has_lines FILE NUMBER: at least
has_lines() {
	[ "$(wc -l <"$1")" -ge "$2" ]
}

says() { # says REGEX: on stderr
	grep -Eq "$1" "$work/err"
}

json() { # json EXPRESSION: true of the output
	jq -e "$1" <"$work/out" >/dev/null 2>>"$work/err"
}

run_stdin() { # run_stdin FILE STATUS COMMAND...
	input=$1
	shift
	run "$@" <"$input"
}

line_of() {
	grep -n "$1" "$source" | cut -d: -f1
}

