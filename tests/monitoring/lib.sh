# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the scripts of tests/monitoring: where things are, and programs to look into.
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${abs_top_builddir:=$PWD}"
# shellcheck source=tests/tap.sh
. "$abs_top_srcdir/tests/tap.sh"
# shellcheck disable=SC2034 # for those who source this
tslab=$abs_top_builddir/tools/tslab/tslab
# shellcheck disable=SC2034 # likewise
victim=$abs_top_builddir/tests/cli/victim generations=$abs_top_builddir/tests/monitoring/generations
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
