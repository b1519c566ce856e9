# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the scripts of tests/web: TAP, and a `tslab serve` to ask.
# shellcheck source=tests/monitoring/lib.sh
. "$abs_top_srcdir/tests/monitoring/lib.sh"

# start_victim WORD...: a program that has done as told (tests/cli/victim.c); its id in $victim, its name in $name
start_victim() {
	start "$abs_top_builddir/tests/cli/victim" "$@"
	# shellcheck disable=SC2034 # for those who source this
	# shellcheck disable=SC2034 # for those who source this
	victim=$watched
}

stop_server() {
	[ -n "${server-}" ] || return 0
	kill "$server" 2>/dev/null
	wait "$server"
	# shellcheck disable=SC2034 # for those who source this
	server_status=$?
	server=
}

# start_server ARGUMENT...: at $port, its id in $server
start_server() {
	stop_server
	port=$(free_port)
	: >"$work/server.err" # not the last server's
	"$tslab" serve --port "$port" "$@" >"$work/server.out" 2>"$work/server.err" &
	server=$!
	children="$children $server"
	await grep -q 'serving http' "$work/server.err" ||
		bail "the server did not start: $(cat "$work/server.err")"
}

# get PATH [CURL-OPTION...]: body in $work/out, head in $work/head, status in $code
get() {
	path=$1
	shift
	code=$(curl -sS --max-time 20 -o "$work/out" -D "$work/head" -w '%{http_code}' "$@" \
		"http://127.0.0.1:$port$path" 2>"$work/err")
	echo "status $code of $path" >>"$work/err"
}

# answers STATUS PATH [CURL-OPTION...]
answers() {
	wanted=$1
	shift
	get "$@"
	[ "$code" = "$wanted" ]
}

json() { # json EXPRESSION: true of the last body
	jq -e "$1" <"$work/out" >/dev/null 2>>"$work/err" || ! echo "not true: $1" >>"$work/err"
}

says() { # says REGEX...: all are in the last head
	for regex; do
		tr -d '\r' <"$work/head" | grep -Eiq -- "$regex" || ! echo "no $regex in the head" >>"$work/err" || return 1
	done
}
