#!/bin/sh
# SPDX-License-Identifier: MIT
# Recording rules, alerts and dashboard without a server: syntax, unit tests, names, runbooks. Prints TAP.
# shellcheck disable=SC2013,SC2016,SC2317 # words without spaces; jq's variables; functions that run() calls
set -u
# shellcheck source=tests/monitoring/lib.sh
. "$(dirname "$0")/lib.sh"
need promtool jq python3
here=$abs_top_srcdir/tests/monitoring
rules=$abs_top_srcdir/monitoring/rules
alerts=$rules/tslab-alerts.yml
board=$abs_top_srcdir/dashboards/temporal-slab-observability.json
cp -r "$rules" "$work/rules"

run 0 promtool check rules "$rules"/*.yml
ok 'the rules are valid'

# -- unit tests --------------------------------------------------------------------------------------
# unit_tests NAME [SED-EXPRESSION]: with the rules changed
unit_tests() {
	mkdir -p "$work/monitoring/rules" "$work/tests/monitoring"
	for file in "$rules"/*.yml; do
		sed "${2-}" "$file" >"$work/monitoring/rules/${file##*/}"
	done
	cp "$here/$1.test.yml" "$work/tests/monitoring/"
	promtool test rules "$work/tests/monitoring/$1.test.yml"
}
run 0 unit_tests alerts
ok 'the alerts fire when they should, and only then'
run 0 unit_tests recording
ok 'the recorded series have the values that they should'
# Changes that the tests have to notice: what the seeds had, and thresholds.
noticed() { # noticed SED-EXPRESSION
	run 1 unit_tests alerts "$1"
}
noticed 's/temporal_slab_epoch_age_seconds > 300/max(temporal_slab_epoch_age_seconds) > 300/' &&
	noticed 's/> 300/> 3000/' && noticed 's/> 52428800/> 52428799/' && noticed 's/> 16777216/> 16777215/' &&
	noticed 's/and resets.*//' && noticed 's/and temporal_slab_epoch_refcount > 0//'
ok 'the tests notice changed alerts'
# A test in which it fires, one in which it does not, and a page.
is_complete() { # is_complete ALERT
	grep -A 1 "alertname: $1\$" "$here/alerts.test.yml" >"$work/out"
	echo "tests or runbook of $1 are missing" >"$work/err"
	grep -q 'exp_alerts:$' "$work/out" && grep -q 'exp_alerts: \[\]' "$work/out" &&
		grep -q "runbook: docs/runbooks/$1.md" "$alerts" && [ -s "$abs_top_srcdir/docs/runbooks/$1.md" ] &&
		grep -q "($1.md)" "$abs_top_srcdir/docs/runbooks/README.md"
}
all_complete() {
	for alert in $(sed -n 's/^ *- alert: //p' "$alerts" | sort -u); do
		is_complete "$alert" || return 1
	done
}
all_complete && ! is_complete NoSuchAlert
ok 'each alert has tests and a runbook'
awk '/- alert:/ { n++ } /^        for: / { f++ } /severity: (info|warning|critical)$/ { s++ } /summary:/ { a++ }
	END { exit !(n >= 20 && n == f && n == s && n == a) }' "$alerts"
ok 'each alert has a duration, a severity and a summary'
sound() { # sound PAGE: the list has it, its links lead somewhere, and the tool has the commands that it names
	page=${1##*/}
	[ "$page" = README.md ] || grep -q "($page)" "$abs_top_srcdir/docs/runbooks/README.md" || return 1
	for link in $(sed -n 's/.*](\([^)#]*\)).*/\1/p' "$1"); do
		[ -e "$abs_top_srcdir/docs/runbooks/$link" ] || return 1
	done
	for command in $(sed -n 's/^\$ tslab \([a-z]*\).*/\1/p' "$1"); do
		run 0 "$tslab" "$command" --help || return 1
	done
}
all_sound() {
	for file in "$abs_top_srcdir"/docs/runbooks/*.md; do
		sound "$file" || {
			echo "$file" >>"$work/err"
			return 1
		}
	done
}
all_sound
ok 'the pages are listed; their links and commands exist'
printf 'groups: [{name: g, rules: [{alert: A, expr: "temporal_slab_epoch_refcount{age_sec > 300} > 0"}]}]\n' >"$work/seed.yml"
run 1 promtool check rules "$work/seed.yml"
ok 'the query for leaks of old is no PromQL'

# -- names -------------------------------------------------------------------------------------------
"$tslab" export prometheus --list >"$work/list"
{
	awk '$4 != "seed" { print $1 }' "$work/list"
	sed -n 's/^ *- record: //p' "$rules/tslab-recording.yml"
} | sort -u >"$work/known"
"$here/dashboard.py" metrics "$rules/tslab-recording.yml" "$alerts" >"$work/used"
run 0 comm -23 "$work/used" "$work/known" && ! shows . && [ "$(wc -l <"$work/used")" -gt 40 ]
ok 'rules and alerts use metrics that exist, by their clean names'
run 0 "$here/dashboard.py" quotients "$rules"/*.yml && ! shows .
ok 'every quotient is guarded against 0'
sed 's|/ clamp_min(\(.*\), 0.0001)|/ \1|' "$rules/tslab-recording.yml" >"$work/unguarded.yml"
run 1 "$here/dashboard.py" quotients "$work/unguarded.yml" && shows 'nothing guards / rate'
ok 'a quotient without a guard is noticed'
sed -n 's/^ *- record: //p' "$rules/tslab-aliases.yml" | sort >"$work/aliases"
{
	awk '$4 == "seed" { print $1 }' "$work/list"
	echo temporal_slab_class_epoch_close_total_ns
} | sort >"$work/old"
run 0 diff "$work/old" "$work/aliases"
ok 'there is a rule for each name of old'

# -- dashboard ---------------------------------------------------------------------------------------
run 0 "$here/dashboard.py" lint "$board" "$work/list"
ok 'the dashboard: metrics, labels, units, ids, places, datasource'
run 0 jq -e '([.panels[] | select(.type != "row")] | length >= 29) and ([.panels[] | select(.type == "row")] | length == 7)' "$board"
ok '29 panels or more in seven rows'
threshold() { # threshold TITLE VALUE...: those of the panel
	title=$1
	shift
	jq -e --arg title "$title" --arg wanted "$*" '[.panels[] | select(.title == $title) |
		.fieldConfig.defaults.thresholds.steps[].value | select(. != null) | tostring] | join(" ") == $wanted' \
		"$board" >"$work/out" || ! echo "$title" >"$work/err"
}
threshold 'Slow path rate' 0.05 0.2 && threshold 'Lock Contention Rate' 5 20 &&
	threshold 'Bitmap Alloc CAS Retries/Op' 0.01 0.05 && threshold 'Bitmap Free CAS Retries/Op' &&
	threshold 'current_partial CAS Failure Rate' && threshold 'Kernel Cooperation (heuristic)' 50
ok 'thresholds'
run 0 jq -r '.panels[].title' "$board" && shows '^Epoch age heatmap$' '^Top epochs by RSS$' '^Refcount of CLOSING epochs$' \
	'^Reclaimable slabs by epoch$' '^Kernel Cooperation \(heuristic\)$'
ok 'panels for epochs and for the kernel'
faulty() { # faulty CHANGE REGEX: the checker says so
	jq "$1" "$board" >"$work/board" && run 1 "$here/dashboard.py" lint "$work/board" "$work/list" && shows "$2"
}
faulty '.panels[2].targets[0].expr |= gsub("live_bytes"; "lively_bytes")' 'no metric temporal_slab_lively_bytes'
ok 'the checker notices a metric that does not exist'
faulty '.panels[3].id = .panels[2].id' 'id [0-9]+ twice' && faulty '.panels[3].gridPos = .panels[2].gridPos' 'on top of' &&
	faulty '.panels[3].datasource.uid = "P1809F7CD0C75ACF3"' 'not the variable' &&
	faulty 'del(.panels[3].fieldConfig.defaults.unit)' 'no unit' &&
	faulty '.panels[3].targets[0].expr = "temporal_slab_epoch_count"' 'a name of old' &&
	faulty '.panels[3].targets[0].expr = "sum by (colour) (temporal_slab_epoch_age_seconds)"' 'no label colour' &&
	faulty '.panels[3].targets[0].expr = "rate(temporal_slab_frees_total[1m]) / rate(temporal_slab_allocations_total[1m])"' 'nothing guards' &&
	faulty '.panels[3].targets[0].expr = "temporal_slab_live_bytes{instance=\"$host\"}"' 'no variable host'
ok 'and places, datasources, units, names of old, labels, variables'
finish
