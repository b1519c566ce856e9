#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: examples/demo.sh [--aarch64]
# A server leaks a scope; `tslab` finds it from another process. Exits 0 only if the leak was found, by
# label, age, count, memory and source line, and nothing else was reported.
# --aarch64 builds the server for aarch64 and runs it under qemu-user; the tool stays native.
# DEMO_BUILD_DIR says where to build (default: build/demo in the source tree).
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=${DEMO_BUILD_DIR:-$top/build/demo}
prefix=$build/prefix
scratch=
server_pid=
label=background-worker-3
age_threshold_s=2

die() {
	echo "demo: $*" >&2
	exit 1
}

say() {
	if [ -t 1 ]; then
		printf '\n\033[1m%s\033[0m\n' "$*"
	else
		printf '\n== %s\n' "$*"
	fi
}

explain() {
	printf '   %s\n' "$@"
}

# show [-LINES] COMMAND...: prints the command as a user would type it, then its output, indented, and
# cut after LINES. The output stays in $scratch/shown, the exit status in $shown_status.
show() {
	most=1000
	case $1 in
	-[0-9]*)
		most=${1#-}
		shift
		;;
	esac
	printf '\n   $ %s %s\n' "$(basename "$1")" "$(shift && echo "$*")"
	shown_status=0
	"$@" >"$scratch/shown" 2>&1 || shown_status=$?
	head -n "$most" "$scratch/shown" | awk '{ print "   | " $0 }'
	[ "$(wc -l <"$scratch/shown")" -le "$most" ] || echo '   | ...'
}

expect_status() {
	[ "$shown_status" -eq "$1" ] || die "exit status $shown_status where $1 was due: $2"
}

expect_shown() {
	grep -Eq -- "$1" "$scratch/shown" || die "the output lacks $2 (/$1/)"
}

# ------------------------------------------------------------------------------------------- build --
build_native() {
	say "Building the library, the tool and the example server"
	explain "in $build, installed into a prefix of its own"
	mkdir -p "$build/native"
	cd "$build/native"
	[ -x "$top/configure" ] || "$top/autogen.sh" >autogen.log 2>&1 ||
		die "autogen.sh failed, see $build/native/autogen.log"
	[ -e config.status ] || "$top/configure" --quiet --prefix="$prefix" --with-jansson \
		--with-microhttpd --with-sqlite3 --with-libdw >configure.log 2>&1 ||
		die "configure failed, see $build/native/configure.log"
	make -j"$(nproc)" >make.log 2>&1 || die "make failed, see $build/native/make.log"
	make install >install.log 2>&1 || die "make install failed, see $build/native/install.log"
	cd "$top"
	server=$build/native/examples/searchd/searchd
	drive=$build/native/examples/searchd/searchd-drive
	tslab=$prefix/bin/tslab
}

build_aarch64() {
	say "Building the server for aarch64"
	explain "with a sysroot made of Debian's arm64 packages; nothing is installed on this machine"
	mkdir -p "$build"
	"$top/cross/build" "$build/aarch64" >"$build/aarch64.log" 2>&1 ||
		die "the cross build failed, see $build/aarch64.log"
	server=$build/aarch64/examples/searchd/searchd
	explain "$(file -bL "$server" | cut -d, -f1-2), run by qemu-aarch64"
}

# ------------------------------------------------------------------------------------------ server --
start_server() {
	set -- "$server" --port 0 "$@"
	[ "$machine" = native ] || set -- "$top/cross/run" "$@"
	: >"$scratch/server.log" # not the last server's, should this one be slow to open it
	"$@" >"$scratch/server.log" 2>&1 &
	server_pid=$!
	waited=0
	until grep -q 'serves http' "$scratch/server.log"; do
		if [ "$waited" -ge 600 ] || ! kill -0 "$server_pid" 2>/dev/null; then
			cat "$scratch/server.log" >&2
			die "the server did not start"
		fi
		sleep 0.1
		waited=$((waited + 1))
	done
	port=$(sed -n 's,.*127\.0\.0\.1:,,p' "$scratch/server.log")
	explain "$(cat "$scratch/server.log")"
}

url() {
	echo "http://127.0.0.1:$port$1"
}

stop_server() {
	curl -sSf -X POST "$(url /quit)" >/dev/null
	status=0
	wait "$server_pid" || status=$?
	server_pid=
	[ "$status" -eq 0 ] || die "the server ended with status $status"
	if grep -q '^tslab' "$scratch/server.log"; then
		cat "$scratch/server.log" >&2
		die "the library complained while the server ran"
	fi
}

# measure NAME: takes down held and kept memory and resident set, to be had by measured(). Of some
# readings it takes the one where epochs hold least: a job that runs just now doesn't count.
measure() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		"$tslab" stats --json "$server_pid" | jq -r '"\(.committed_bytes - .retained_bytes) \(
			.retained_bytes) \(.rss_bytes_current)"'
		sleep 0.13
	done | sort -n | head -n 1 >"$scratch/measured-$1"
	[ -s "$scratch/measured-$1" ] || die "tslab stats gave no figures"
}

# measured NAME held|kept|rss
measured() {
	read -r held kept rss <"$scratch/measured-$1"
	case $2 in
	held) echo "$held" ;;
	kept) echo "$kept" ;;
	rss) echo "$rss" ;;
	esac
}

table_row() {
	printf '   %-24s' "$1"
	for moment in baseline leaking repaired; do
		printf ' %14s' "$(in_kib "$(measured "$moment" "$2")")"
	done
	echo
}

in_kib() {
	echo "$(($1 / 1024)) KiB"
}

clean_up() {
	[ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
	[ -z "$scratch" ] || rm -rf "$scratch"
}

# ------------------------------------------------------------------------------------------- story --
expect_nothing_reported() {
	show "$tslab" leaks --age "$age_threshold_s" "$server_pid"
	expect_status 0 "nothing is leaked"
	show "$tslab" doctor --threshold "$age_threshold_s" "$server_pid"
	expect_status 0 "nothing is wrong"
}

tell_healthy() {
	say "1. A healthy server"
	explain "Each HTTP request and each background job has an epoch of its own."
	start_server
	show "$drive" --port "$port" --requests "$requests"
	expect_status 0 "all answers are right"
	explain "" "The tool attaches by process id; the server does not help and was not prepared." \
		"There is nothing to report about it:"
	sleep $((age_threshold_s + 1))
	expect_nothing_reported
	stop_server
}

tell_baseline() {
	say "2. The same server with a bug"
	explain "Under load, one job of the background worker will take an error path that returns" \
		"early, twice: the epoch is entered and never left. First, some load without that."
	start_server --leak
	show "$drive" --port "$port" --requests 800
	expect_status 0 "all answers are right"
	show "$tslab" ps
	expect_status 0 "the server is there"
	expect_shown "(^|[[:space:]])$server_pid([[:space:]]|\$)" "the server's process id"
	measure baseline
	explain "" "baseline: $(in_kib "$(measured baseline held)") held by epochs"
}

wait_for_leak() {
	waited=0
	until [ "$(curl -sSf "$(url /stats)" | jq .scopes_forgotten)" -eq 2 ]; do
		[ "$waited" -lt 300 ] || die "the worker did not take its faulty path"
		sleep 0.2
		waited=$((waited + 1))
	done
	sleep $((age_threshold_s + 1))
}

tell_leak() {
	say "3. More requests, and the bug strikes"
	show "$drive" --port "$port" --requests "$requests"
	expect_status 0 "all answers are right"
	wait_for_leak
	measure leaking
	explain "" "now $(in_kib "$(measured leaking held)") held by epochs"
}

tell_search() {
	say "4. Looking for it from outside"
	show -20 "$tslab" stats "$server_pid"
	expect_status 0 "stats"
	explain "" "Which lifetimes hold the memory?"
	show "$tslab" top --epochs --by rss_bytes --n 5 "$server_pid"
	expect_status 0 "top"
	expect_shown "$label" "the worker's epoch"
	explain "" "Which scopes were entered and never left?"
	show "$tslab" leaks --age "$age_threshold_s" "$server_pid"
	expect_status 4 "a leak is found"
	check_leaks
	explain "" "And what does the doctor say?"
	show "$tslab" doctor --threshold "$age_threshold_s" "$server_pid"
	expect_status 4 "a finding"
	expect_shown "$label" "the label"
	check_doctor
}

# The same as data, so that nothing is overlooked. The line that the report has to name is looked up in
# the source.
check_leaks() {
	line=$(grep -n 'tslab_domain_enter(' "$top/examples/searchd/worker.c" | cut -d: -f1)
	expect_shown "$label" "the label"
	expect_shown "worker\\.c:$line([^0-9]|\$)" "the source line"
	expect_shown "entered twice, exited zero times\. Missing 2 domain_exit\(\) calls" "the count"
	"$tslab" leaks --age "$age_threshold_s" --json "$server_pid" >"$scratch/leaks" || true
	jq -e "length == 1" "$scratch/leaks" >/dev/null || die "not one epoch is reported"
	jq -e ".[0] | .label == \"$label\" and .refcount == 2 and .missing_exits == 2 and
		.age_sec >= $age_threshold_s and .rss_bytes > 1000000 and (.domains | length) == 1 and
		.domains[0].open == 2 and .domains[0].line == $line and
		(.domains[0].file | endswith(\"worker.c\"))" "$scratch/leaks" >/dev/null ||
		die "the report is not as it should be: $(cat "$scratch/leaks")"
}

check_doctor() {
	"$tslab" doctor --threshold "$age_threshold_s" --json "$server_pid" >"$scratch/findings" || true
	jq -e 'length == 1 and .[0].id == "open-scope"' "$scratch/findings" >/dev/null ||
		die "the doctor reports something else: $(cat "$scratch/findings")"
}

tell_repair() {
	say "5. The repair: the worker leaves both scopes and discards the epoch"
	show curl -sSf -X POST "$(url /repair)"
	expect_status 0 "repair"
	expect_shown '"scopes_left":2' "both scopes"
	measure repaired
	expect_nothing_reported
	printf '\n   %-24s %14s %14s %14s\n' "" baseline leaking repaired
	table_row "held by epochs" held
	table_row "kept for reuse" kept
	table_row "resident, all in all" rss
	leaked=$(($(measured leaking held) - $(measured baseline held)))
	[ $(($(measured repaired held) - $(measured baseline held))) -le $((leaked / 10)) ] ||
		die "the memory of epochs is not back to its baseline"
	[ $(($(measured leaking rss) - $(measured repaired rss))) -ge $((leaked / 2)) ] ||
		die "the operating system did not get the memory back"
	stop_server
}

# -------------------------------------------------------------------------------------------- main --
machine=native
requests=4000
case ${1-} in
'') ;;
--aarch64) machine=aarch64 ;;
*) die "usage: examples/demo.sh [--aarch64]" ;;
esac
[ $# -le 1 ] || die "usage: examples/demo.sh [--aarch64]"
for tool in make pkg-config curl jq file; do
	command -v "$tool" >/dev/null || die "$tool is missing (ci/demo installs what is needed)"
done
scratch=$(mktemp -d)
trap clean_up EXIT
trap 'exit 1' INT TERM PIPE HUP

build_native
[ "$machine" = native ] || build_aarch64
tell_healthy
tell_baseline
tell_leak
tell_search
tell_repair
say "The leak was found, by label, age, count, memory and source line, and nothing else was reported."
