#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of `tslab serve`. Sourced by `run`, whose helpers they use.
# shellcheck disable=SC2154 # names of `run`

row_134_serve_metrics() {
	"$tslab" serve --port 2112 --interval 5s "$target_pid" 2>"$work/server" &
	server_pid=$!
	await curl -sf -o "$work/served" http://127.0.0.1:2112/metrics || return 1
	kill "$server_pid"
	wait "$server_pid" || return 1
	says 'label="background-worker-3"} 2$' cat "$work/served" || return 1
	promtool check metrics <"$work/served" >"$work/linted" 2>&1
	# Names of old and clean ones: the three that end in _count are all there is to say.
	[ "$(grep -vc 'should not have "_count" suffix' "$work/linted")" -eq 0 ]
}
