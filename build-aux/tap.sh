# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# TAP from shell scripts; sourced. check needs a directory $work.
count=0
bad=0

result() { # result STATUS NAME
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		bad=1
		echo "not ok $count - $2"
	fi
}

check() { # check NAME COMMAND...: the end of what it prints is shown if it fails
	name=$1
	shift
	"$@" >"${work:?}/log" 2>&1
	status=$?
	[ $status -eq 0 ] || tail -n 60 "$work/log" | sed 's/^/# /'
	result $status "$name"
}

finish() {
	echo "1..$count"
	exit $bad
}
