#!/bin/sh
# SPDX-License-Identifier: MIT
# record and replay: what a recording says of a moment is what the process said. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/cli/lib.sh
. "$abs_top_srcdir/tests/cli/lib.sh"
need jq python3 cmp

# moments FILE NUMBER: so many are recorded
moments() {
	[ "$("$tslab" replay "$1" --json | jq .moments)" -ge "$2" ]
}

# -- the same figures ------------------------------------------------------------------------------------
start leak traffic failures closing
line=$(line_of 'LEAK \*/')
run 0 "$tslab" record --out "$work/rest" --interval 10ms --count 3 "$victim_pid"
ok 'record'
# All fields but those of the moment, of where the figures come from and of what the kernel counts.
of_the_process='del(.timestamp, .timestamp_ns, .monotonic_ns, .source, .rss_bytes_current, .anon_rss_bytes, .heap_resident_bytes, .heap_swapped_bytes,
	.sampling.interpretation) | (.. | objects) |= del(.age_sec, .resident_bytes, .age_ns, .closing_sec, .oldest_age_sec,
	.oldest_age_ns, .timestamp_ns)'
"$tslab" stats --json "$victim_pid" | jq -S "$of_the_process" >"$work/live.json"
run 0 "$tslab" replay "$work/rest" stats --json && json '.source == "replay" and .rss_bytes_current > 0 and .consistent' &&
	cp "$work/out" "$work/replayed.json" && jq -S "$of_the_process" "$work/replayed.json" >"$work/then.json" &&
	cmp "$work/live.json" "$work/then.json" >>"$work/err"
ok 'a moment that is replayed has every figure of the process'
run 0 "$tslab" replay "$work/rest" verify && shows 'relations agree'
ok 'which agree with each other'
end_victim
run 4 "$tslab" replay "$work/rest" leaks --age 0 && shows 'Missing 2 ' "victim\\.c:$line \\(forget_to_exit\\)"
ok 'and source lines when it is long over'
run 0 "$tslab" replay "$work/rest" trace failures && [ "$(wc -l <"$work/out")" -eq 5 ] &&
	run 0 "$tslab" replay "$work/rest" drain && shows draining &&
	run 4 "$tslab" replay "$work/rest" doctor --json && json 'map(.id) | contains(["limit-reached"])' &&
	run 0 "$tslab" replay "$work/rest" top --by rss_bytes --n 1 && run 0 "$tslab" replay "$work/rest" hist
ok 'other commands of it'
run 0 "$tslab" diff "$work/rest" "$work/replayed.json" --fail-on regression
ok 'diff takes a recording'

# -- in brief --------------------------------------------------------------------------------------------
start lifetimes 8:8
"$tslab" record --out "$work/brief" --interval 50ms --detail 1h "$victim_pid" 2>"$work/err" &
recorder=$!
"$tslab" record --out "$work/full" --interval 50ms --detail 50ms "$victim_pid" 2>>"$work/err" &
other=$!
"$tslab" record --out "$work/fits" --interval 50ms "$victim_pid" 2>>"$work/err" &
third=$!
for file in brief full fits; do
	await moments "$work/$file" 40
done
# One is detailed as long as it may, and again when it may.
in_brief() {
	"$tslab" replay "$work/fits" stats --json | jq -e '.consistent == false'
}
await in_brief && detail_fits=yes
kill -STOP "$victim_pid"
for file in brief full fits; do # one that began before may end after it, the next does not
	await moments "$work/$file" $(($("$tslab" replay "$work/$file" --json | jq .moments) + 2))
done
kill -INT $recorder $other $third
wait $recorder $other $third
sums='[.total_allocations, .total_frees, .live_objects, .live_bytes, .total_slow_path_hits, .total_remote_frees, .committed_bytes,
	(.classes[] | [.allocations, .frees, .live_bytes]), (.epochs[] | .rss_bytes)]'
"$tslab" stats --json "$victim_pid" | jq -c "$sums" >"$work/live.json"
run 0 "$tslab" replay "$work/brief" stats --json && json '.consistent == false' && jq -c "$sums" "$work/out" >"$work/then.json" &&
	cmp "$work/live.json" "$work/then.json" >>"$work/err"
ok 'between moments in full, totals and size classes are exact'
run 0 "$tslab" replay "$work/brief" --at +0s stats --json && json .consistent && run 0 "$tslab" replay "$work/full" stats --json && json .consistent &&
	run 1 "$tslab" replay "$work/brief" verify && shows 'different moments'
ok 'and that counts by epoch are older is told'
# Bytes a moment: one of them may have more moments than another.
for file in brief full; do
	"$tslab" replay "$work/$file" --json
done | jq '.bytes / .moments' | jq -s . >"$work/out"
json ".[0] < .[1]"
ok 'which takes less space'
[ "${detail_fits-}" = yes ]
ok 'a recording that is not told has as much detail as a day has room for'

# -- over time -------------------------------------------------------------------------------------------
record_rising() {
	rm -f "$work/rising"
	start rate 1000
	"$tslab" record --out "$work/rising" --interval 100ms "$victim_pid" 2>"$work/err" &
	recorder=$!
	await moments "$work/rising" 25
	end_victim
	wait $recorder && cp "$work/err" "$work/ended"
}
rises_by() { # rises_by MOMENT MOMENT: allocations from one to the other
	first=$("$tslab" replay "$work/rising" --at "$1" stats --json | jq .total_allocations)
	later=$("$tslab" replay "$work/rising" --at "$2" stats --json | jq .total_allocations)
	echo $((later - first))
}
rates() {
	run 0 "$tslab" replay "$work/rising" --at +0s watch --interval 500ms --json &&
		jq -se 'length >= 4 and all(.total_allocations_per_sec > 800 and .total_allocations_per_sec < 1200)' "$work/out" >/dev/null
}
goes_to_a_moment() {
	rise=$(rises_by +0s +1s)
	echo "$rise" >"$work/out"
	[ "$rise" -ge 800 ] && [ "$rise" -le 1200 ] && [ "$(rises_by +1s +2s)" -gt 0 ]
}
# On a crowded machine the victim or the recorder may be late.
on_time() {
	record_rising && rates && goes_to_a_moment
}
await on_time
cp "$work/ended" "$work/err" && says 'has ended' && run 0 "$tslab" replay "$work/rising" && shows 'victim|qemu' 'moments from 20'
ok 'record ends with the process'
run 0 "$tslab" replay "$work/rising" --json && json '.moments >= 20 and .cut == false and .interval_ms == 100'
ok 'replay without a command says what is there'
goes_to_a_moment
ok '--at goes to a moment'
from=$("$tslab" replay "$work/rising" --json | jq -r .from)
at=$(date -d "$from" +%s)
[ "$("$tslab" stats --json --file "$work/rising" --at $((at + 1)) | jq .total_allocations)" = \
	"$("$tslab" replay "$work/rising" --at "$(date -u -d "@$((at + 1))" +%Y-%m-%dT%H:%M:%SZ)" stats --json | jq .total_allocations)" ]
ok '--at by date and by Unix time'
rates
ok 'watch goes on from a moment, without waiting'
run 0 "$tslab" replay "$work/rising" --at +0s top --classes --by allocations --window 1s --n 1 --json &&
	json '.[0].allocations_per_sec > 800 and .[0].object_size == 192'
ok 'top --window too'
for bad in +1h -1h yesterday 2001-01-01T00:00:00Z; do
	run 2 "$tslab" replay "$work/rising" --at $bad stats && says '^tslab: --at: '
	ok "--at $bad is refused"
done
run 2 "$tslab" replay "$work/rising" set && says 'no command for a moment' && run 2 "$tslab" replay && says 'give a file' &&
	run 2 "$tslab" stats --file "$work/live.json" --at 1 && says 'is no recording'
ok 'commands that make no sense for a moment are refused'
run 2 "$tslab" record --out "$work/rising" $$ && run 2 "$tslab" record $$ && says 'out is missing'
ok 'a recording needs a place'

# -- a long one, with rotation ---------------------------------------------------------------------------
start lifetimes 64:64
run 2 "$tslab" record --out "$work/rising" --count 1 "$victim_pid" && says 'not overwritten'
ok 'a file that is there is not overwritten'
run 0 "$tslab" record --out "$work/long" --interval 1ms --count 1500 --rotate 100K "$victim_pid" &&
	[ -e "$work/long.1" ] && [ "$(cat "$work/long" "$work/long.1" | wc -c)" -le 102400 ] && [ "$(stat -c %a "$work/long")" = 600 ]
ok '--rotate bounds the space'
run 0 "$tslab" replay "$work/long" --at +0s verify
[ $status -le 1 ] && run 0 "$tslab" replay "$work/long" --at +0s stats --json && first=$(jq .total_allocations "$work/out") &&
	run 0 "$tslab" replay "$work/long" stats --json && json ".total_allocations > $first and .open_epochs == 65"
ok 'both parts are read as one'
# Backwards through key frames: each moment must be what it was when read forwards.
"$tslab" replay "$work/long" --at +0s watch --interval 10ms --fields total_allocations,live_objects --json >"$work/forward"
run 0 python3 - "$tslab" "$work/long" "$work/forward" <<'END'
import json, random, subprocess, sys
tool, path, forward = sys.argv[1:]
rows = [json.loads(line) for line in open(forward)]
random.seed(1)
for row in random.sample(rows, min(12, len(rows))):
    seen = json.loads(subprocess.run([tool, "replay", path, "--at", row["timestamp"], "stats", "--json"],
                                     check=True, capture_output=True).stdout)
    assert seen["live_objects"] == row["live_objects"], (row, seen["live_objects"])
END
ok 'a moment is the same whichever way it is reached'
run 2 "$tslab" record --out "$work/small" --rotate 10K "$victim_pid" && says 'at least 64K'
ok 'a size without sense is refused'

# -- damage ----------------------------------------------------------------------------------------------
head -c $(($(stat -c %s "$work/rising") - 5)) "$work/rising" >"$work/cut"
run 0 "$tslab" replay "$work/cut" --json && json '.cut' && run 0 "$tslab" replay "$work/cut" stats && run 0 "$tslab" replay "$work/cut" &&
	shows 'the last one was cut'
ok 'a recording whose end is missing is read up to there'
run 0 python3 - "$tslab" "$work/rising" "$work/bent" <<'END'
import random, subprocess, sys
tool, path, bent = sys.argv[1:]
whole = open(path, "rb").read()
random.seed(2)
for i in range(60):
    damaged = bytearray(whole)
    for _ in range(random.choice((1, 4, 50))):
        damaged[random.randrange(len(damaged))] = random.randrange(256)
    open(bent, "wb").write(damaged[:random.randrange(len(damaged))] if i % 3 == 0 else damaged)
    for command in (["stats", "--json"], ["verify"], ["watch", "--json"]):
        done = subprocess.run([tool, "replay", bent] + command, capture_output=True, timeout=60)
        assert done.returncode in (0, 1, 2, 4), (i, command, done)
END
ok 'damage is refused or left out, never believed to the end of the tool'
printf 'TSLABREC' >"$work/empty"
run 2 "$tslab" replay "$work/empty" && says 'is no recording'
head -c 176 "$work/rising" >"$work/empty"
run 2 "$tslab" replay "$work/empty" && says 'without a whole frame'
ok 'a recording of nothing is refused'
if [ -w /dev/full ]; then
	run 2 "$tslab" record --out /dev/full --count 1 "$victim_pid"
	ok 'a device is no place'
fi
echo "1..$count"
