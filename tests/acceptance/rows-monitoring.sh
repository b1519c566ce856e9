#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of metrics, rules, alerts and dashboard. Sourced by `run`, whose helpers they use.
# shellcheck disable=SC2154 # names of `run`

# monitoring SCRIPT TITLE...: these checks of tests/monitoring/SCRIPT.sh passed, in its run for this very build
monitoring() {
	log=$abs_top_builddir/tests/monitoring/$1.tap
	if [ ! -e "$log" ] || [ -n "$(find "$tslab" -newer "$log")" ]; then
		abs_top_builddir=$abs_top_builddir "$abs_top_srcdir/tests/monitoring/run" "$1" >/dev/null
	fi
	shift
	for check; do
		sed 's/^ok [0-9]* - //' "$log" | grep -qxF -- "$check" || {
			echo "not passed: $check"
			cat "$log"
			return 1
		}
	done
}

alerts_fire() { # alerts_fire WORDS...: the unit tests pass, and have these in what an alert says
	monitoring rules 'the alerts fire when they should, and only then' 'the tests notice changed alerts' || return 1
	for words; do
		grep -qF "$words" "$abs_top_srcdir/tests/monitoring/alerts.test.yml" || return 1
	done
}

panels() { # panels TITLE...: the dashboard has them, and their queries have answers
	monitoring rules 'the dashboard: metrics, labels, units, ids, places, datasource' || return 1
	for panel; do
		jq -e --arg title "$panel" '[.panels[] | select(.title == $title)] | length == 1' \
			"$abs_top_srcdir/dashboards/temporal-slab-observability.json" || return 1
		monitoring stack "panel $panel" || return 1
	done
}

export_says() { # export_says REGEX...: of the target
	for regex; do
		says "$regex" "$tslab" export prometheus "$target_pid" || return 1
	done
}

row_9_an_alert_tells_epoch_label_age_count_and_memory() {
	alerts_fire 'Epoch 12 (background-worker-3) age=600s refcount=2 RSS=50MB' &&
		monitoring stack 'the leak is told by its label, and nothing else is taken for one'
}

row_10_one_query_answers_state_label_and_count() {
	monitoring stack 'one query tells epoch, state, label and reference count' \
		'Prometheus asks tslab serve itself: the same figures'
}

row_11_slow_path_hits_of_a_class() {
	export_says '^temporal_slab_class_slow_path_hits_total\{class="[0-9]+",object_size="1024"\} [1-9]' &&
		monitoring stack 'slow paths of a class'
}

row_12_cache_miss_and_epoch_closed_are_counted() {
	export_says '^temporal_slab_slow_cache_miss_total [1-9]' '^temporal_slab_slow_epoch_closed_total 1$'
}

row_16_memory_by_label_in_prometheus() {
	monitoring stack 'memory by label: 50, 10 and 5 MiB'
}

row_41_prometheus_dashboard_and_alerts() {
	for script in export rules stack setup; do
		monitoring $script && ! grep '^not ok\|^Bail' "$abs_top_builddir/tests/monitoring/$script.tap" || return 1
	done
}

row_51_more_than_40_metrics() {
	monitoring export 'clean names: promtool has nothing to say' 'no series is there twice' 'values are those of the JSON' &&
		[ "$("$tslab" export prometheus "$target_pid" | grep -c '^# TYPE')" -ge 40 ]
}

row_52_a_dashboard_of_14_panels_or_more() {
	panels 'Memory by label' &&
		jq -e '[.. | .panels? // empty | .[]] | length >= 14' "$abs_top_srcdir/dashboards/temporal-slab-observability.json"
}

row_53_the_guide_is_executed() {
	monitoring setup 'tslab ps' 'the commands showed the program, and the last ones cleaned up'
}

row_54_alerts_on_slow_paths_madvise_and_growth() {
	alerts_fire 'take the slow path' 'The system does not take memory back' 'Slabs in use have risen for 30 minutes'
}

row_55_textfile_collector_with_unit_and_timer() {
	monitoring setup 'the units are valid' 'the services are confined: an exposure of 4.5 of 10 at most' &&
		monitoring stack 'figures of the programs arrive'
}

row_71_nine_raw_counters_of_contention() {
	monitoring export 'nine metrics of contention, raw counters'
}

row_72_29_panels_five_of_contention() {
	monitoring rules '29 panels or more in seven rows' &&
		panels 'Lock Contention Rate' 'Bitmap Alloc CAS Retries/Op' 'Bitmap Free CAS Retries/Op' \
			'current_partial CAS Failure Rate' 'Locks'
}

row_73_quotients_are_guarded() {
	monitoring rules 'every quotient is guarded against 0' 'a quotient without a guard is noticed' \
		'the dashboard: metrics, labels, units, ids, places, datasource'
}

row_74_help_of_one_line() {
	monitoring export 'each family has a help of one line; locks are counted without a clock, which it says'
}

row_75_thresholds_of_contention() {
	monitoring rules thresholds
}

row_82_contention_and_retries_by_query() {
	monitoring stack 'contention and retries by class'
}

row_87_five_metrics_of_an_epoch() {
	monitoring export 'an epoch: labels epoch, state, label'
}

row_88_four_panels_of_epochs() {
	panels 'Epoch age heatmap' 'Top epochs by RSS' 'Refcount of CLOSING epochs' 'Reclaimable slabs by epoch'
}

row_89_alert_on_a_leak_names_epoch_and_label() {
	alerts_fire 'Epoch 12 (background-worker-3) stuck for 600s'
}

row_90_alert_on_more_than_50_mib_for_a_minute() {
	alerts_fire 'Epoch 12 leaking 60MB'
}

row_92_memory_by_label_by_the_name_of_old() {
	monitoring stack 'the same by the name of old'
}

row_93_the_invalid_query_is_documented_and_replaced() {
	monitoring rules 'the query for leaks of old is no PromQL' &&
		grep -q 'age_sec > 300' "$abs_top_srcdir/monitoring/rules/tslab-alerts.yml"
}

row_103_contention_by_label_by_query() {
	monitoring stack 'contention by label' && panels 'Lock waits by label' 'Lock Contention Rate by label'
}

row_109_cooperation_of_the_kernel() {
	panels 'Kernel Cooperation (heuristic)' && alerts_fire 'The resident set fell by 20% of what epoch 12 gave back' &&
		monitoring stack 'the cooperation of the kernel' 'recorded temporal_slab_epoch_cooperation_ratio'
}

row_136_alerts_have_runbooks() {
	monitoring rules 'each alert has tests and a runbook' \
		'the pages are listed; their links and commands exist'
}

row_137_alert_on_closes_that_yield_little() {
	alerts_fire 'Closes find 5% of the slabs of 192 bytes empty'
}

row_151_alerts_on_active_and_closing_epochs() {
	alerts_fire '15 epochs are open' "11 of the ring''s epochs are closed and do not drain"
}
