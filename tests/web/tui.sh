#!/bin/sh
# SPDX-License-Identifier: MIT
# `tslab top --tui` in a terminal (tmux): views, keys, sizes, letters, and the end of the process. Prints TAP.
# shellcheck disable=SC2317 # functions that await, thrice and run call
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/web/server.sh
. "$abs_top_srcdir/tests/web/server.sh"
need tmux script
TMUX_TMPDIR=$work
export TMUX_TMPDIR
unset TMUX
session=0

# Each has a server of its own: one that is told to end takes its time.
terminal() {
	tmux -L "$session" -f /dev/null "$@" 2>>"$work/err"
}

# open_tui COLUMNS LINES LOCALE ARGUMENT...
open_tui() {
	columns=$1
	lines=$2
	letters=$3
	shift 3
	[ $session -eq 0 ] || terminal kill-server
	session=$((session + 1))
	# tmux itself needs a locale that knows all letters; the last words show that nothing is left behind.
	LC_ALL=C.UTF-8 terminal new-session -d -x "$columns" -y "$lines" \
		"LC_ALL=$letters TERM=screen-256color '$tslab' top --tui --window 200ms $*; echo status \$?; sleep 60"
}

frame() { # what the terminal shows
	terminal capture-pane -p >"$work/out"
}

# all_shown REGEX...: in one frame; with ! in front, what is not
all_shown() {
	: >"$work/err"
	frame
	for what; do
		case $what in
		!*) ! shows "${what#!}" || ! echo "shown: $what" >>"$work/err" || return 1 ;;
		*) shows "$what" || return 1 ;;
		esac
	done
}

# shows_soon REGEX...: sooner or later, all in one frame
shows_soon() {
	await all_shown "$@"
}

press() {
	terminal send-keys "$@"
	sleep 0.3
}

fits() { # fits COLUMNS LINES: no line is longer, and none is missing
	[ "$(LC_ALL=C.UTF-8 wc -L <"$work/out")" -le "$1" ] && [ "$(wc -l <"$work/out")" -eq "$2" ]
}

start_victim leak closing label 'Größe des Puffers' label '日本語のラベル' traffic
line=$(grep -n 'LEAK \*/' "$abs_top_srcdir/tests/cli/victim.c" | cut -d: -f1)

# -- views -------------------------------------------------------------------------------------------
open_tui 80 24 C.UTF-8 "$victim"
shows_soon "tslab  $name \\($victim\\)" 'live$' '\[1 epochs\]' 'epoch label .* held▼$' \
	'^>? +[0-9]+ background-worker-3 ACTIVE .* 2 +200 +200\.0 KiB' '^>? +[0-9]+ draining +CLOSING' '^ q end' &&
	fits 80 24
ok 'epochs, in 80 columns and 24 lines'
shows_soon 'Größe des Puffers' '日本語のラベル +ACTIVE'
ok 'labels in letters of two bytes and of two columns'
[ "$(sed -n '5,$s/.* \([0-9.]*\) KiB$/\1/p' "$work/out" | head -n 3 | sort -rn | head -n 1)" = "$(sed -n '5s/.* \([0-9.]*\) KiB$/\1/p' "$work/out")" ]
ok 'the largest comes first'
press 2 && shows_soon '\[2 classes\]' 'class object +alloc/s▼' '^.  *0 +64 ' && fits 80 24
ok 'classes'
press 3 && shows_soon '\[3 labels\]' 'label .*held▼' 'background-worker-3 +1 ' 'draining +2 ' && fits 80 24
ok 'labels'
press 4 && shows_soon '\[4 threads\]' "^. +$victim +2 " && fits 80 24
ok 'threads'
press Tab && shows_soon '\[1 epochs\]'
ok 'Tab goes round'

# -- rows --------------------------------------------------------------------------------------------
press Left && shows_soon ' live▼' && press r && shows_soon ' live▲' && press '>' && shows_soon 'held▼'
ok 'sorting by another column, and the other way'
press / && press back && shows_soon 'filter: back_' && press Enter && shows_soon 'filter: back$' '^> .*background-worker-3' \
	'!draining|default' && press Escape && shows_soon draining '!filter:'
ok 'a filter while it is typed, kept, and dropped'
press / && press nothinglikeit Enter && shows_soon 'none that the filter leaves' && press Escape && shows_soon draining
ok 'a filter that leaves nothing'
press End && shows_soon '^> +16 default' && press Home && shows_soon '^> +17 background'
ok 'the last row can be chosen, and the first'
press 3 && press / && press back Enter && press Enter && shows_soon '\[1 epochs\]' 'filter: background-worker-3' &&
	press Escape
ok 'a label leads to its epochs'
press 1 && press / && press background Enter && press Enter &&
	shows_soon 'epoch [0-9]+ "background-worker-3": ACTIVE' 'entered 2, left 0, scopes open 2' 'held over the last' '█' \
		'2 open scopes entered at' "victim\\.c:$line" && fits 80 24
ok 'an epoch: memory over time, open scopes with their source lines'
cp "$work/out" "$work/detail"
press Escape && shows_soon '\[1 epochs\]'
ok 'and back'
press '?' && shows_soon 'Keys' 'look into the epoch' && press Escape && shows_soon '\[1 epochs\]'
ok 'the keys'
press p && shows_soon 'paused$' && sleep 0.5 && frame && cp "$work/out" "$work/paused" && sleep 1.2 && frame && cmp "$work/out" "$work/paused" &&
	press p && shows_soon 'live$'
ok 'a pause'

# -- sizes -------------------------------------------------------------------------------------------
terminal resize-window -x 132 -y 50 && shows_soon 'held▼$' && fits 132 50 && terminal resize-window -x 60 -y 14 &&
	shows_soon '^ q end' 'epoch label' '! live +h?e?l?$' && fits 60 14
ok 'larger and smaller, without a number cut in two'
terminal resize-window -x 30 -y 8 && shows_soon 'too small' && terminal resize-window -x 80 -y 24 && shows_soon 'held▼$'
ok 'too small, and back'

# -- the end -----------------------------------------------------------------------------------------
kill "$victim"
wait "$victim" 2>/dev/null
shows_soon 'ENDED: no process' 'background-worker-3' && fits 80 24 && press 3 && shows_soon '\[3 labels\]' 'background-worker-3' ENDED
ok 'the process ends: its last figures stay, and the keys work'
press q && shows_soon '^status 0$' '!background'
ok 'q ends it, and the terminal is as it was'
start_victim leak
open_tui 80 24 C.UTF-8 --name "$name"
shows_soon "$name \\($victim\\)" && kill "$victim" && shows_soon ENDED && start_victim label again &&
	shows_soon "$name \\($victim\\)" 'live$' again
ok 'by name it finds the process when it is back'
pid=$(terminal list-panes -F '#{pane_pid}')
kill -TERM "$(pgrep -P "$pid" -x tslab)"
shows_soon '^status 0$'
ok 'SIGTERM leaves the terminal as it was'

# -- letters -----------------------------------------------------------------------------------------
start_victim leak label 'Größe'
open_tui 80 24 C "$victim"
shows_soon 'held-' 'Gr\?\??\?\?e' && press Enter && shows_soon '\.:|OOO' && [ -z "$(tr -d '\n -~' <"$work/out")" ]
ok 'a terminal with ASCII only'
"$tslab" stats --json "$victim" >"$work/json"
open_tui 80 24 C.UTF-8 --file "$work/json" && shows_soon background-worker-3 && press Enter && shows_soon "victim\\.c:$line"
ok 'a file'
# What ncurses has allocated for a terminal that is none it keeps.
terminal kill-server
run 2 "$tslab" top --tui "$victim" </dev/null && grep -q 'needs a terminal' "$work/err" &&
	run 2 env ASAN_OPTIONS=detect_leaks=0 TERM=nonsense script -qec "'$tslab' top --tui $victim" /dev/null && shows 'terminal "nonsense" is not known'
ok 'no terminal, or one that nobody knows'
terminal kill-server
finish
