#!/bin/sh
# SPDX-License-Identifier: MIT
# `tslab serve`: what it answers, to whom, and that nobody can keep it from answering others. Prints TAP.
# shellcheck disable=SC2317 # functions that await, thrice and run call
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/web/server.sh
. "$abs_top_srcdir/tests/web/server.sh"
need curl jq python3 promtool setpriv systemd-analyze

# -- answers -----------------------------------------------------------------------------------------
start_victim leak closing failures
leak_line=$(grep -n 'LEAK \*/' "$abs_top_srcdir/tests/cli/victim.c" | cut -d: -f1)
start_server --interval 1ms --threshold 0 --naming clean "$victim"

answers 200 /healthz && json '.status == "ok" and .processes == 1 and .interval_ms == 1'
ok 'healthz'
answers 200 /metrics && says '^content-type: text/plain; version=0.0.4' && shows '^temporal_slab_up 1$' \
	'^temporal_slab_processes 1$' '^temporal_slab_scrape_errors_total 0$' \
	'^temporal_slab_epoch_refcount\{epoch="[0-9]+",state="ACTIVE",label="background-worker-3"\} 2$' &&
	promtool check metrics <"$work/out" >"$work/promtool" 2>&1 && [ ! -s "$work/promtool" ]
ok 'metrics, which promtool finds in order'
"$tslab" export prometheus --naming clean "$victim" >"$work/exported"
sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$work/exported" | sort >"$work/families"
sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$work/out" | grep -v '_scrape_' | sort | diff "$work/families" - >"$work/err" &&
	grep -v '^#' "$work/exported" | sed 's/ [^ ]*$//' | sort >"$work/series" &&
	grep -v '^#' "$work/out" | grep -v '_scrape_' | sed 's/ [^ ]*$//' | sort | diff "$work/series" - >"$work/err" &&
	[ "$(wc -l <"$work/series")" -gt 300 ]
ok 'the same series as those of tslab export'
# What Prometheus 2.42 asks with, and some that would rather have the text format.
answers 200 /metrics -H 'Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1' &&
	says '^content-type: application/openmetrics-text; version=1.0.0' &&
	[ "$(tail -n 1 "$work/out")" = '# EOF' ] &&
	/usr/bin/python3 -c 'import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
sys.exit(len(list(parse(sys.stdin.read()))) < 100)' <"$work/out" 2>"$work/err" &&
	answers 200 /metrics -H 'accept:text/plain, APPLICATION/OPENMETRICS-TEXT' && [ "$(tail -n 1 "$work/out")" = '# EOF' ]
ok 'OpenMetrics for those who accept it'
get_text() { # get_text ACCEPT...: with each of these headers
	for accept; do
		answers 200 /metrics -H "Accept: $accept" || return 1
		says '^content-type: text/plain; version=0.0.4' || return 1
	done
}
get_text '*/*' 'application/*' 'application/openmetrics-text;q=0,text/plain' 'text/plain,application/openmetrics-text; q=0.9' \
	'application/openmetrics-text;q=0.1,*/*;q=0.2' 'application/openmetrics-textual' ';,;q=,'
ok 'the text format for all others'
answers 200 /api/v1/snapshot && says '^content-type: application/json' &&
	json ".pid == $victim and .schema_version == 1" &&
	json '[.findings[] | select(.id == "open-scope") | .evidence] | length == 1 and (.[0] | contains("victim.c:'"$leak_line"'"))'
ok 'a snapshot, with findings and source lines'
cp "$work/out" "$work/snapshot"
run 0 "$tslab" top --epochs --by rss_bytes --n 1 --file "$work/snapshot" && shows background-worker-3
ok 'which the other commands read'
answers 200 "/api/v1/snapshot?pid=$victim" && json ".pid == $victim" && answers 404 '/api/v1/snapshot?pid=1' &&
	json '.error | contains("no process 1")' && answers 400 '/api/v1/snapshot?pid=x'
ok 'of a process id'
answers 200 /api/v1/processes && json "length == 1 and .[0].pid == $victim and .[0].comm == \"$name\""
ok 'processes'

answers 200 / && says '^content-type: text/html' && shows '<title>tslab</title>' && ! grep -E '(src|href)="[a-z]*:?//' "$work/out"
ok 'the page, which needs nothing from elsewhere'
grep -Eo '(src|href)="[^"#]+"' "$work/out" | cut -d'"' -f2 | sort -u >"$work/links"
get_links() {
	while read -r link; do
		answers 200 "/$link" || return 1
	done <"$work/links"
}
get_links && [ "$(wc -l <"$work/links")" -ge 7 ] && answers 200 /dygraph.js && [ "$(wc -c <"$work/out")" -gt 100000 ]
ok 'and whose parts are all there, dygraphs included'

# -- manners -----------------------------------------------------------------------------------------
answers 200 /api/v1/snapshot -I && says '^content-length: [1-9]' && ! shows schema_version
ok 'HEAD has no body'
answers 405 /metrics -X POST -d x && says '^allow: GET, HEAD' && answers 405 /metrics -X OPTIONS &&
	answers 405 / -X DELETE
ok 'nothing but GET and HEAD'
answers 404 /nothing && answers 404 /../../etc/passwd --path-as-is && answers 404 //metrics && answers 404 /metrics/
ok 'nothing else is there'
closed_to_others() { # closed_to_others PATH...
	for page; do
		get "$page" -H 'Origin: http://evil.example'
		says '^x-content-type-options: nosniff' '^x-frame-options: DENY' '^referrer-policy: no-referrer' \
			"^content-security-policy: default-src 'none'" '^cross-origin-resource-policy: same-origin' \
			'^connection: close' || return 1
		! says '^access-control' || return 1
	done
}
closed_to_others / /metrics /api/v1/snapshot /nothing
ok 'headers that keep other sites out'
answers 421 /metrics -H 'Host: evil.example' && answers 421 /metrics -H 'Host: 127.0.0.1.evil.example:2112' &&
	answers 421 /metrics -H 'Host:' && answers 200 /metrics -H 'Host: LOCALHOST:99' &&
	answers 200 /metrics -H 'Host: [::1]:2112' && answers 200 /metrics -H "Host: $(uname -n)"
ok 'names that are not this machine are refused'
awk -v port="$(printf ':%04X' "$port")" '$2 ~ port "$" && $4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6 \
	>"$work/out"
[ "$(cat "$work/out")" = "$(printf '0100007F:%04X' "$port")" ]
ok 'it listens at the loopback address alone'

# -- limits ------------------------------------------------------------------------------------------
cat >"$work/talk.py" <<'END'
import socket, sys, time
def talk(*parts, pause=0.0):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as s:
        began = time.monotonic()
        try:
            for part in parts:
                s.sendall(part)
                time.sleep(pause)
        except OSError:
            pass
        answer = b""
        try:
            while chunk := s.recv(4096):
                answer += chunk
        except OSError:
            pass
        print(answer[9:12].decode(), round(time.monotonic() - began, 1))
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
talk(GET + b"X: " + b"x" * 5000 + b"\r\n\r\n")
talk(b"\r\n\r\n")
talk(b"\x16\x03\x01\x02\x00")
talk(GET)
talk(*[bytes([b]) for b in GET], pause=0.1)
talk(GET, b"\r\n", pause=0.5)
talk(b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n")
talk(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
END
answered_in_time() {
	run 0 python3 "$work/talk.py" "$port" &&
		awk 'BEGIN { split("431 400 400 408 408 200 505 405", code) } { good += $1 == code[NR] && $2 < 4.2 } END { exit good != 8 }' "$work/out"
}
thrice answered_in_time
ok 'long heads, noise, no end of a head, bodies: an answer at once, or after two seconds'
start_server "$victim"
answers 200 /healthz
children_before=$(find "/proc/$server/fd" -type l | wc -l)
# besiege CONNECTIONS: 100 scrapes meanwhile
besiege() {
	run 0 python3 "$abs_top_srcdir/tests/web/hostile.py" "$port" 6 100 "$1" && cat "$work/out" >"$work/siege" &&
		sed 's/^/# /' "$work/siege"
}
# The 99th percentile. Where the machine is busy with other things, it is compared with that of an hour of peace.
withstands() {
	besiege 1000 && awk '$2 == 100 && $4 == 0 && $8 < 100 && $12 == 1000 { good = 1 } END { exit !good }' "$work/siege" && return
	cp "$work/siege" "$work/war" && besiege 0 && cat "$work/war" >>"$work/siege" &&
		awk '$2 != 100 || $4 { bad = 1 } NR == 1 { peace = $8 } NR == 2 && ($12 != 1000 || $8 > 5 * peace) { bad = 1 } END { exit bad || NR != 2 }' "$work/siege"
}
thrice withstands
ok "a hostile client with 1000 connections leaves a legal scrape under 100 ms"
await sh -c "[ \"\$(find /proc/$server/fd -type l | wc -l)\" -le $children_before ]" && answers 200 /healthz
ok 'and nothing of it stays'

# -- life --------------------------------------------------------------------------------------------
stop_server
[ "$server_status" -eq 0 ]
ok 'SIGTERM ends it with status 0'
start_server --interval 600s "$victim"
answers 200 /api/v1/snapshot && cp "$work/out" "$work/first" && sleep 0.1 && answers 200 /api/v1/snapshot &&
	cmp "$work/first" "$work/out" && [ "$(jq .timestamp_ns "$work/first")" -gt 0 ]
ok 'within the interval nothing is read anew'
start_server --interval 1ms --host proxy.example --name $name
answers 200 /metrics -H 'Host: proxy.example:80' && shows '^temporal_slab_up 1$'
ok 'by name; --host is a name too'
kill "$victim" && wait "$victim" 2>/dev/null
answers 503 /healthz && json ".error | contains(\"no process named \\\"$name\")" && answers 200 /metrics &&
	shows '^temporal_slab_up 0$' && answers 503 /api/v1/snapshot
ok 'when the process has ended: 503, up 0'
start_victim leak
answers 200 /api/v1/snapshot && json ".pid == $victim" && answers 200 /metrics && shows '^temporal_slab_up 1$'
ok 'and when it is back: its figures'
first=$victim
start_victim label second
start_server --all --interval 1ms
answers 200 /api/v1/processes && json "[.[].pid] | index($first) != null and index($victim) != null" &&
	answers 404 /api/v1/snapshot && json '.error | contains("?pid=")' && answers 200 "/api/v1/snapshot?pid=$first" &&
	json '[.epochs[].label] | index("background-worker-3") != null' && answers 200 /metrics &&
	shows "^temporal_slab_live_bytes\\{pid=\"$first\",comm=\"$name\",allocator=\"[^\"]*\"\\} " \
		"^temporal_slab_live_bytes\\{pid=\"$victim\",comm=\"$name\","
ok 'all processes'
start_server --file "$work/snapshot" && answers 200 /metrics && shows 'background-worker-3' &&
	answers 200 /api/v1/snapshot && json '.epochs | length > 1'
ok 'a file'

# -- sockets -----------------------------------------------------------------------------------------
stop_server
"$tslab" serve --unix "$work/socket" "$victim" >"$work/server.out" 2>"$work/server.err" &
server=$!
children="$children $server"
await test -S "$work/socket" && answers 200 /metrics --unix-socket "$work/socket" -H 'Host: anything.example' &&
	[ "$(stat -c %a "$work/socket")" = 600 ] && ! grep serving "$work/server.err"
ok 'a Unix socket, and no other'
if [ "$(id -u)" -eq 0 ]; then
	chmod 777 "$work/socket"
	code=$(setpriv --reuid 65534 --regid 65534 --clear-groups curl -s -o "$work/out" -w '%{http_code}' \
		--unix-socket "$work/socket" http://localhost/metrics)
	[ "$code" = 000 ]
	ok 'where other users get no word, whatever its mode is'
fi
stop_server
[ ! -e "$work/socket" ]
ok 'it is gone afterwards'
python3 -c 'import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.close(s.fileno())' "$work/stale" && touch "$work/precious"
"$tslab" serve --unix "$work/stale" "$victim" >"$work/server.out" 2>"$work/server.err" &
server=$!
children="$children $server"
await curl -s -o "$work/out" --unix-socket "$work/stale" http://localhost/healthz &&
	run 2 "$tslab" serve --unix "$work/stale" "$victim" && grep -q 'in use' "$work/err" &&
	run 2 "$tslab" serve --unix "$work/precious" "$victim" && [ -f "$work/precious" ]
ok 'what an earlier server left is replaced, nothing else'
stop_server
port=$(free_port)
python3 - "$port" "$tslab" serve "$victim" 2>"$work/server.err" <<'END' &
import os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
END
server=$!
children="$children $server"
await curl -sf "http://127.0.0.1:$port/healthz" && answers 200 /metrics && shows '^temporal_slab_up 1$' &&
	! grep serving "$work/server.err"
ok 'a socket that systemd hands over'

make -s -C "$abs_top_builddir" monitoring/systemd/tslab-serve.service &&
	sed "s|ExecStart=[^ ]*|ExecStart=$tslab|" "$abs_top_builddir/monitoring/systemd/tslab-serve.service" >"$work/tslab-serve.service" &&
	cp "$abs_top_srcdir/monitoring/systemd/tslab-serve.socket" "$work/" &&
	run 0 systemd-analyze verify --man=no "$work/tslab-serve.service" "$work/tslab-serve.socket" && ! grep -v '^status' "$work/err" &&
	run 0 systemd-analyze security --offline=true --threshold=45 "$work/tslab-serve.service"
ok 'units for systemd, with few rights'

# -- usage -------------------------------------------------------------------------------------------
refused() { # refused REGEX ARGUMENT...: says why, and ends with status 2
	regex=$1
	shift
	run 2 timeout 10 "$tslab" serve "$@" && grep -Eq -- "$regex" "$work/err"
}
refused 'no process given' && refused 'no number' --port 0 1 && refused 'above 65535' --port 70000 "$victim" &&
	refused 'stdin' --stdin && refused 'one of PID' --all "$victim" && refused 'no process id' x &&
	refused 'not known|not supported' --listen not.a.host.invalid "$victim" &&
	refused 'cannot listen .*in use' --port "$port" "$victim" && LISTEN_FDS=1 refused 'no process given'
ok 'bad usage is told'
stop_server
finish
