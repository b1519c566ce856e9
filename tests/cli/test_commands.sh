#!/bin/sh
# SPDX-License-Identifier: MIT
# Commands that compare, follow and explain: watch, top --window, diff, drain, hist, trace, stats_dump,
# completion. Prints TAP. As test_cli.sh otherwise.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/cli/lib.sh
. "$abs_top_srcdir/tests/cli/lib.sh"
need jq python3 xmllint bash zsh fish unshare

# within VALUE WANTED PERCENT
within() {
	awk -v v="$1" -v w="$2" -v p="$3" 'BEGIN { exit !(v >= w * (1 - p / 100) && v <= w * (1 + p / 100)) }' ||
		{ echo "$1 is not $2 +- $3 %" >>"$work/err" && return 1; }
}

# -- rates ---------------------------------------------------------------------------------------------
# 1000 allocations of 192 bytes and one of 64 a second, on absolute times.
start rate 1000
watch_a_rate() {
	run 0 "$tslab" watch --json --interval 1s --count 4 --fields total_allocations,classes.allocations,live_objects \
		"$victim_pid" && [ "$(wc -l <"$work/out")" -eq 4 ] &&
		within "$(jq -s 'map(.total_allocations_per_sec) | add / 4' "$work/out")" 1001 2 &&
		jq -se 'all(.seconds > 0.9) and all(.live_objects > 0) and
			all((."classes.allocations_per_sec" - .total_allocations_per_sec) | fabs < 20)' "$work/out" >/dev/null
}
# On a crowded machine the victim may be late, by more than 80 ms.
await watch_a_rate
ok 'watch shows what changes by the second'
run 0 "$tslab" watch --interval 50ms --count 2 "$victim_pid" && [ "$(wc -l <"$work/out")" -eq 3 ] &&
	shows 'total_allocations/s' 'rss_bytes_current$'
ok 'and as text, with a heading'
run 0 "$tslab" top --classes --by slow_path_rate --window 1s --n 5 "$victim_pid" && shows 'slow_path_hits_per_sec' &&
	[ "$(wc -l <"$work/out")" -eq 6 ]
ok 'top --window ranks by a rate'
top_by_a_rate() {
	run 0 "$tslab" top --classes --by allocations --window 1s --n 2 --json "$victim_pid" &&
		within "$(jq '.[0].allocations_per_sec' "$work/out")" 1000 5 && json '.[0].object_size == 192 and .[1].object_size == 64'
}
await top_by_a_rate
ok 'which is the largest first'
"$tslab" stats --json "$victim_pid" >"$work/one.json"
run 2 "$tslab" top --window 1s --file "$work/one.json" && says 'takes a process'
ok 'and takes no file'
for bad in '--interval 0' '--interval 1x' '--count 0' '--fields nonsense' '--fields comm'; do
	# shellcheck disable=SC2086 # words
	run 2 "$tslab" watch $bad "$victim_pid" && says 'Try `tslab watch'
	ok "watch $bad is refused"
done
# What it says about the end comes at the end of its process.
"$tslab" watch --interval 100ms "$victim_pid" >"$work/out" 2>"$work/err" &
watcher=$!
await has_lines "$work/out" 3
ended=$victim_pid
end_victim
wait $watcher && says "process $ended has ended" && has_lines "$work/out" 3
ok 'watch ends with the process'
start leak closing
"$tslab" watch --interval 10s "$victim_pid" >"$work/out" 2>"$work/err" &
watcher=$!
await waits $watcher
kill -TERM $watcher
wait $watcher
ok 'and when it is asked to, between two lines too'
before=$("$tslab" stats --json "$victim_pid" | jq -r '[.total_allocations, .total_lock_acquisitions] | @tsv')
run 0 "$tslab" watch --interval 1ms --count 200 "$victim_pid" &&
	[ "$("$tslab" stats --json "$victim_pid" | jq -r '[.total_allocations, .total_lock_acquisitions] | @tsv')" = "$before" ]
ok 'nothing in the process moves because it is watched'

# -- drain ---------------------------------------------------------------------------------------------
line=$(line_of 'LEAK \*/')
run 0 "$tslab" drain "$victim_pid" && shows '"draining": CLOSING' 'it is kept by' '1 live object, 112 B' &&
	! grep -q background-worker-3 "$work/out"
ok 'drain says what keeps a closed epoch'
run 0 "$tslab" drain --all "$victim_pid" && shows 'were it closed now' "2 open scopes entered at .*victim\\.c:$line" \
	'default epoch, which never ends'
ok 'drain --all what would keep the others'
id=$("$tslab" top --json "$victim_pid" | jq '.[] | select(.label == "background-worker-3") | .epoch_id')
run 0 "$tslab" drain --epoch "$id" --json "$victim_pid" && json 'length == 1 and .[0].drainable == false and
	([.[0].pinned_by[] | select(.by == "scope") | .count] | add) == 2 and
	([.[0].pinned_by[] | select(.by == "objects") | .count] | add) == 200'
ok 'drain --epoch --json'
run 2 "$tslab" drain --epoch 65000 "$victim_pid" && says 'no epoch "65000" is open'
ok 'drain of an epoch that is not there'

# -- failures ------------------------------------------------------------------------------------------
start failures
line=$(line_of 'THRESHOLD \*/')
run 0 "$tslab" trace failures "$victim_pid" && [ "$(wc -l <"$work/out")" -eq 5 ] &&
	shows '^1, .*cause threshold, 1152921504606846976 bytes \(an object above 32 KiB\), errno 12' \
		'^5, .*cause invalid, 100 bytes \(class 12\), errno 22'
ok 'trace failures, the oldest first'
run 0 "$tslab" trace failures --reason epoch_closed --json "$victim_pid" && jq -se 'length == 2 and all(.reason == "epoch_closed")' \
	"$work/out" >/dev/null
ok 'trace failures --reason'
run 2 "$tslab" trace failures --reason bad-luck "$victim_pid" && says 'none of any\|threshold'
ok 'a reason that does not exist'
run 2 "$tslab" trace everything "$victim_pid" && says 'what can be traced'
ok 'what cannot be traced'
start fail-later
"$tslab" trace failures --follow --interval 50ms "$victim_pid" >"$work/out" 2>"$work/err" &
tracer=$!
await waits $tracer
[ ! -s "$work/out" ] || echo 'printed too early' >>"$work/err"
tell fail
await has_lines "$work/out" 5
end_victim
wait $tracer && [ "$(wc -l <"$work/out")" -eq 5 ] && says 'has ended' && ! says 'early'
ok 'trace failures --follow shows them as they happen'

# -- times ---------------------------------------------------------------------------------------------
start traffic
run 0 "$tslab" hist "$victim_pid" && shows 'closes and discards that moved memory: [1-9]' '50 % below' '#' \
	'sampled allocations: 0; none was timed'
ok 'hist'
run 0 "$tslab" hist --json "$victim_pid" && json '(.epoch_close_ns | map(.count) | add) > 0'
ok 'hist --json'

# -- two snapshots -------------------------------------------------------------------------------------
run 0 "$tslab" stats --json "$victim_pid" && cp "$work/out" "$work/a.json"
run 0 "$tslab" diff "$work/a.json" "$work/a.json" --fail-on regression && shows '^slow_path_rate ' '\+0\.0 %'
ok 'diff of equal snapshots finds nothing'
jq '.total_slow_path_hits *= 1.2 | .total_slow_path_hits |= floor | .total_madvise_failures += 1' "$work/a.json" >"$work/b.json"
run 3 "$tslab" diff "$work/a.json" "$work/b.json" --fail-on regression && shows '^slow_path_rate .*\+20\.0 % .*REGRESSION' \
	'^madvise_failures .*REGRESSION' && ! grep -q 'live_bytes.*REGRESSION' "$work/out"
ok 'diff --fail-on regression'
run 0 "$tslab" diff "$work/a.json" "$work/b.json" && shows REGRESSION
ok 'without it the status is 0'
jq '.total_slow_path_hits *= 1.09 | .total_slow_path_hits |= floor' "$work/a.json" >"$work/c.json"
run 0 "$tslab" diff --fail-on regression "$work/a.json" "$work/c.json"
ok 'a rise within the limit is none'
run 3 "$tslab" diff --fail-on regression --threshold slow_path_rate=+5% "$work/a.json" "$work/c.json" &&
	run 0 "$tslab" diff --fail-on regression --threshold slow_path_rate=+30% --threshold madvise_failures=+1 "$work/a.json" "$work/b.json"
ok 'limits can be set'
jq '.backend.superslab_count += 2' "$work/a.json" >"$work/d.json"
run 3 "$tslab" diff --fail-on regression --threshold backend.superslab_count=+1 --format json "$work/a.json" "$work/d.json" &&
	json '.[] | select(.regression) | .figure == "backend.superslab_count" and .change == 2 and .limit == "+1"'
ok 'also of fields that are not shown otherwise'
run 0 "$tslab" diff --format md "$work/a.json" "$work/b.json" && shows '^\| figure \| before ' '^\| madvise_failures \| 0 \| 1 \|'
ok 'diff --format md'
run 0 "$tslab" diff --format junit "$work/a.json" "$work/b.json" && cp "$work/out" "$work/junit.xml" &&
	run 0 xmllint --xpath 'string(/testsuite/@failures)' "$work/junit.xml" && [ "$(cat "$work/out")" = 2 ] &&
	run 0 xmllint --xpath 'count(//testcase[failure])' "$work/junit.xml" && [ "$(cat "$work/out")" = 2 ]
ok 'diff --format junit'
for bad in nonsense=+1 slow_path_rate=x slow_path_rate slow_path_rate=-1 comm=+1; do
	run 2 "$tslab" diff --threshold "$bad" "$work/a.json" "$work/b.json" && says 'threshold'
	ok "diff --threshold $bad is refused"
done
run 2 "$tslab" diff "$work/a.json" && says 'give two files' && run 2 "$tslab" diff "$work/a.json" "$work/nowhere" && says 'cannot be read'
ok 'diff needs two snapshots'

# -- the older name ------------------------------------------------------------------------------------
ln -s "$tslab" "$work/stats_dump"
start leak
run 0 "$work/stats_dump" "$victim_pid" && json '.schema_version == 1' && says 'background-worker-3' && says '^memory'
ok 'stats_dump: JSON on stdout, text on stderr'
run 0 "$work/stats_dump" --json "$victim_pid" && json '.schema_version == 1' && ! says memory
ok 'stats_dump --json'
run 0 "$work/stats_dump" --no-text "$victim_pid" && json '.schema_version == 1' && ! says memory
ok 'stats_dump --no-text'
start misuse
run 0 "$work/stats_dump" --doctor "$victim_pid" && shows 'error: double-free' && run 0 "$tslab" stats --doctor "$victim_pid" &&
	shows 'error: double-free'
ok 'stats_dump --doctor, stats --doctor'
run 0 "$tslab" stats --doctor --json "$victim_pid" && json '.diagnostics | (.findings | map(.id) | contains(["double-free"])) and
	(.leaks == []) and (.slow_path | length == 1) and .slow_path[0].cache_miss_pct == 100 and (.reclamation | type == "array")'
ok 'stats --doctor --json has diagnostics'
run 2 "$work/stats_dump" --nonsense && says 'Try `stats_dump --help'
ok 'stats_dump refuses an unknown option'
if [ "$(id -u)" -eq 0 ] && [ -z "$TEST_RUNNER" ]; then
	# A namespace in which one process alone uses the library: no PID is needed.
	cat >"$work/alone.sh" <<-'END'
		mount --make-rprivate /proc && mount -t proc proc /proc || exit
		mkfifo "$1/alone.in" && : >"$1/alone.out"
		"$2" leak <"$1/alone.in" >"$1/alone.out" &
		exec 4>"$1/alone.in"
		until grep -q ready "$1/alone.out"; do sleep 0.05; done
		cd "$1" && PATH=$1:$PATH
		./stats_dump --no-text | tslab top --epochs --by age_sec --stdin &&
		./stats_dump --no-text | tslab top --epochs --by rss_bytes --stdin
	END
	ln -s "$tslab" "$work/tslab"
	run 0 unshare --pid --fork --mount --propagation unchanged sh "$work/alone.sh" "$work" "$victim" &&
		[ "$(grep -c background-worker-3 "$work/out")" -eq 2 ]
	ok 'stats_dump --no-text | tslab top --stdin, as written'
else
	skip 'stats_dump --no-text | tslab top --stdin, as written' 'needs root, and a process that is not emulated'
fi

# -- ps ------------------------------------------------------------------------------------------------
run 0 "$tslab" ps && shows "^ *$victim_pid " && run 0 "$tslab" ps --all-users && shows "^ *$victim_pid "
ok 'ps --all-users'
run 1 "$tslab" ps --container || ! grep -q "^ *$victim_pid " "$work/out"
ok 'ps --container leaves out what is in none'
run 2 "$tslab" ps 1 && says 'takes no operand'
ok 'ps takes no operand'

# -- completion ----------------------------------------------------------------------------------------
"$tslab" completion bash >"$work/completion.bash" && run 0 bash -n "$work/completion.bash" &&
	cat >"$work/complete.sh" <<-'END'
		PATH=$2:$PATH
		. "$1"
		complete_line() {
			read -ra COMP_WORDS <<<"$1"
			[[ $1 != *' ' ]] || COMP_WORDS+=('')
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
			_tslab
			echo "${COMPREPLY[*]}"
		}
		complete_line 'tslab wa'
		complete_line 'tslab diff --fo'
		complete_line 'tslab diff --format '
		complete_line 'tslab set sam'
		complete_line 'tslab leaks '
	END
mkdir -p "$work/bin" && ln -sf "$tslab" "$work/bin/tslab"
run 0 bash "$work/complete.sh" "$work/completion.bash" "$work/bin" && [ "$(sed -n 1p "$work/out")" = watch ] &&
	[ "$(sed -n 2p "$work/out")" = --format ] && [ "$(sed -n 3p "$work/out")" = 'text md json junit' ] &&
	[ "$(sed -n 4p "$work/out")" = sample-rate= ] && sed -n 5p "$work/out" | grep -qw "$victim_pid"
ok 'completion bash'
"$tslab" completion zsh >"$work/completion.zsh" && run 0 zsh -n "$work/completion.zsh" &&
	run 0 zsh -fc "autoload -U compinit; compinit -u -d $work/zcompdump; . $work/completion.zsh; whence -w _tslab; echo \$_comps[tslab]" &&
	shows '_tslab: function' '^_tslab$'
ok 'completion zsh'
"$tslab" completion fish >"$work/completion.fish" && run 0 fish --no-config -c \
	". $work/completion.fish; complete -C 'tslab wa'; complete -C 'tslab diff --format '" && shows '^watch' '^junit'
ok 'completion fish'
for file in tslab _tslab tslab.fish; do
	grep -q "tslab completion" "$abs_top_srcdir/tools/completion/$file" || echo "$file" >>"$work/lacking"
done
[ ! -e "$work/lacking" ]
ok 'what is installed asks the tool'
run 2 "$tslab" completion tcsh && says 'no completion for "tcsh"'
ok 'no completion for others'

# -- the manual ----------------------------------------------------------------------------------------
# Every command and option that the tool knows has its place there.
"$tslab" completion bash | sed -n "s/^\t\([a-z]*\))\$/\1/p; s/^\t\toptions='\(.*\)'/\1/p" | tr ' ' '\n' | sort -u |
	grep -v -e '^$' -e '^--help$' -e '^--version$' >"$work/known"
sed 's/\\-/-/g' "$abs_top_srcdir/tools/man/tslab.1" >"$work/manual"
while read -r word; do
	grep -qw -e "$word" "$work/manual" || echo "$word"
done <"$work/known" >"$work/missing"
[ "$(wc -l <"$work/known")" -gt 30 ] && run 1 grep . "$work/missing"
ok 'tslab(1) has every command and option'
# -- told with tslab set -----------------------------------------------------------------------------
start leak fail-later
sleep 1.1
run 0 "$tslab" doctor "$victim_pid" && run 0 "$tslab" set doctor-threshold=1s "$victim_pid" &&
	run 4 "$tslab" doctor --json "$victim_pid" && json 'map(.id) == ["open-scope"]' &&
	run 0 "$tslab" doctor --threshold 1h "$victim_pid" && run 0 "$tslab" stats --json "$victim_pid" && json '.doctor_threshold_sec == 1'
ok "set doctor-threshold: the doctor's, where it is not told otherwise"
run 2 "$tslab" set doctor-threshold=soon "$victim_pid" && says 'no value' && run 2 "$tslab" set capture-sites=2 "$victim_pid"
ok 'what is no value is refused'
run 0 "$tslab" set capture-sites=0 "$victim_pid" && tell fail && run 0 "$tslab" stats --json "$victim_pid" &&
	json '.alloc_failures.recent | length == 5 and all(.site == "")' &&
	json '[.epochs[].domains[]] | length > 0 and all(.site != "")' &&
	run 0 "$tslab" set capture-sites=1 "$victim_pid" && tell fail && run 0 "$tslab" stats --json "$victim_pid" &&
	json '.alloc_failures.recent | length == 10 and ([.[] | select(.site != "")] | length) == 5'
ok 'set capture-sites: places are looked up, or not'

echo "1..$count"
