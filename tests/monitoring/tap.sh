# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the scripts of tests/monitoring: where things are, and TAP.
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${abs_top_builddir:=$PWD}"
# shellcheck source=tests/patience.sh
. "$abs_top_srcdir/tests/patience.sh"
# shellcheck disable=SC2034 # for those who source this
tslab=$abs_top_builddir/tools/tslab/tslab
# shellcheck disable=SC2034 # likewise
victim=$abs_top_builddir/tests/cli/victim generations=$abs_top_builddir/tests/monitoring/generations
work=$(mktemp -d) || exit 99
chmod 755 "$work"
count=0
failures=0
children=

leave() {
	for child in $children; do
		kill "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	done
	rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' INT TERM

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
	if [ $? -eq 0 ]; then
		count=$((count + 1))
		echo "ok $count - $1"
	else
		count=$((count + 1))
		failures=$((failures + 1))
		head -n 60 "$work/out" | sed 's/^/# out: /'
		head -n 60 "$work/err" | sed 's/^/# err: /'
		echo "not ok $count - $1"
	fi
}

finish() {
	echo "1..$count"
	[ "$failures" -eq 0 ]
	exit
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

# start PROGRAM [WORD...]: a test program that says "ready"; its id in $watched, its name, which is its own as others
# may run on the machine, in $name. Its stdin does not end.
start() {
	rm -f "$work/in"
	mkfifo "$work/in" || bail 'no fifo'
	: >"$work/ready"
	name=watched$$
	cp -f "$1" "$work/$name" || bail 'no test program'
	shift
	nice "$work/$name" "$@" <>"$work/in" >"$work/ready" 2>"$work/watched.err" &
	watched=$!
	children="$children $watched"
	await grep -q ready "$work/ready" || bail "the program did not start: $(cat "$work/watched.err")"
}

free_port() {
	python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}
