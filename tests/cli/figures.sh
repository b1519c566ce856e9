#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/cli/figures.sh [SECONDS]   (in a build directory, on a quiet machine)
# What the tool costs: time from its start to the first answer, the processor that watching and recording
# take, the size of a day's recording. Prints TAP: what misses a bound that docs/cli.md names is not ok.
set -u
seconds=${1-20}
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/cli/lib.sh
. "$abs_top_srcdir/tests/cli/lib.sh"
need jq curl python3
missed=0

row() { # row WHAT VALUE UNIT BOUND: BOUND may be -
	count=$((count + 1))
	verdict=ok
	if [ "$4" != - ] && ! awk -v v="$2" -v b="$4" 'BEGIN { exit !(v <= b) }'; then
		verdict='not ok'
		missed=1
	fi
	echo "$verdict $count - $1: $2 $3$([ "$4" = - ] || echo ", at most $4")"
}

# The best of 20: the machine's own delays are no figure of the tool.
first_answer() {
	best=1000000
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		before=$(date +%s%N)
		"$@" >/dev/null
		took=$((($(date +%s%N) - before) / 1000))
		[ $took -ge $best ] || best=$took
	done
	awk "BEGIN { printf \"%.1f\", $best / 1000 }"
}

# usage_of SECONDS COMMAND...: percent of one processor, of all that the command took
usage_of() {
	span=$1
	shift
	LC_ALL=C bash -c 'TIMEFORMAT="%U %S"; time "$@" >/dev/null 2>&1' - "$@" 2>&1 |
		awk "{ printf \"%.3f\", 100 * (\$1 + \$2) / $span }"
}

# asked_of_server PATH: percent of one processor that a server takes whom somebody asks each second
asked_of_server() {
	port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	"$tslab" serve --port "$port" --interval 500ms "$victim_pid" 2>"$work/server.err" &
	server=$!
	until curl -sf -o "$work/answer" "http://127.0.0.1:$port$1"; do
		sleep 0.1
	done
	before=$(cut -d' ' -f1 "/proc/$server/schedstat")
	asked=0
	while [ $asked -lt "$seconds" ]; do
		sleep 1
		curl -sf -o "$work/answer" "http://127.0.0.1:$port$1"
		asked=$((asked + 1))
	done
	after=$(cut -d' ' -f1 "/proc/$server/schedstat")
	kill $server
	wait $server
	awk "BEGIN { printf \"%.3f\", 100 * ($after - $before) / 1e9 / $seconds }"
}

a_day() { # a_day LABEL ARGUMENTS BOUND [RECORD-OPTION...]
	label=$1
	most=$3
	start lifetimes "$2"
	shift 3
	rm -f "$work/day"
	"$tslab" record --out "$work/day" --interval 1s --count "$seconds" "$@" "$victim_pid"
	# The first frame is whole; one in 600 is.
	bytes=$(stat -c %s "$work/day")
	"$tslab" record --out "$work/one" --count 1 "$victim_pid"
	whole=$(stat -c %s "$work/one")
	rm -f "$work/one"
	row "$label" "$(awk "BEGIN { each = ($bytes - $whole) / ($seconds - 1)
		printf \"%.1f\", (86400 * each + 144 * $whole) / 1e6 }")" 'MB a day' "$most"
}

start leak lifetimes 64:8
row 'tslab stats: start to answer, 64 epochs' "$(first_answer "$tslab" stats "$victim_pid")" ms 50
row 'tslab leaks with source lines: start to answer' "$(first_answer "$tslab" leaks --age 0 "$victim_pid")" ms 50
row 'tslab watch at 1 Hz' "$(usage_of "$seconds" "$tslab" watch --count "$seconds" "$victim_pid")" '% of a core' 0.1
row 'tslab record at 1 Hz' "$(usage_of "$seconds" "$tslab" record --out "$work/usage" --count "$seconds" "$victim_pid")" '% of a core' 0.1
row 'tslab serve, scraped at 1 Hz, 64 epochs' "$(asked_of_server /metrics)" '% of a core' 0.1
row 'tslab serve, its page open, at 1 Hz, 64 epochs' "$(asked_of_server /api/v1/snapshot)" '% of a core' 0.1
# A span of a minute has moments in full for certain; a shorter one would say too little.
[ "$seconds" -ge 60 ] || seconds=60
a_day 'recording at 1 Hz, 64 epochs at rest' 64:0 50
a_day 'recording at 1 Hz, 64 epochs, 8 at work each second' 64:8 50
a_day 'recording at 1 Hz, 64 epochs, all at work in 18 size classes' 64:64 50
a_day 'the same with --detail 1s' 64:64 - --detail 1s
start leak
row 'tslab serve, scraped at 1 Hz, 2 epochs' "$(asked_of_server /metrics)" '% of a core' 0.1
echo "1..$count"
exit $missed
