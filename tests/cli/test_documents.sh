#!/bin/sh
# SPDX-License-Identifier: MIT
# The commands in the documents on observability do what the documents say: each line of a grey box that begins with
# `sh` is executed, with the id of a program in PID. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/cli/lib.sh
. "$abs_top_srcdir/tests/cli/lib.sh"
need jq promtool

# The documents' paths are those of the source tree, their commands those of an installation.
mkdir "$work/tree" "$work/bin"
ln -s "$abs_top_srcdir/monitoring" "$abs_top_srcdir/dashboards" "$abs_top_srcdir/examples" "$work/tree"
ln -s "$tslab" "$work/bin/tslab"
ln -s "$tslab" "$work/bin/stats_dump"

execute() { # execute LINE: it succeeds, and shows something
	(
		cd "$work/tree" && PATH=$work/bin:$PATH PID=$victim_pid SECONDS_EACH=0.1 \
			abs_top_builddir=$abs_top_builddir sh -euc "$1"
	) >"$work/out" 2>"$work/err" && [ -s "$work/out" ]
}

# commands_of FILE: a line each
commands_of() {
	# shellcheck disable=SC2016 # the quotes are Markdown's
	sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$1"
}

start leak closing failures traffic
# A document whose commands are not found would pass.
commands_of "$abs_top_srcdir/docs/GRAFANA_DEMO.md" >"$work/out" && [ "$(wc -l <"$work/out")" -eq 3 ] && ! execute false && ! execute true
ok 'commands are found, and those that fail or show nothing are noticed'
for document in OBSERVABILITY_DESIGN OBSERVABILITY_PHILOSOPHY stats_dump_reference METRICS_PERFORMANCE ARM_PORTABILITY \
	CONTENTION_RESULTS PHASE_2.2_PROMETHEUS_SPEC GRAFANA_DEMO; do
	commands_of "$abs_top_srcdir/docs/$document.md" >"$work/commands"
	[ -s "$work/commands" ]
	ok "$document has commands"
	while read -r line; do
		execute "$line"
		ok "$document: $line"
	done <"$work/commands"
done
echo "1..$count"
