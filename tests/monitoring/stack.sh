#!/bin/sh
# SPDX-License-Identifier: MIT
# A real Prometheus asks a real node exporter, which reads what `tslab export` writes of two programs that are at
# work: every query of dashboard, rules and documents gets an answer. Prints TAP.
# shellcheck disable=SC2317 # functions that await() calls
set -u
# shellcheck source=tests/monitoring/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/monitoring/server.sh
. "$(dirname "$0")/server.sh"
need promtool prometheus prometheus-node-exporter curl jq python3
here=$abs_top_srcdir/tests/monitoring
: >"$work/err"

# Thresholds of a test: seconds instead of minutes.
mkdir "$work/rules" "$work/text"
cp "$abs_top_srcdir/monitoring/rules/tslab-recording.yml" "$work/rules/"
sed -e 's/age_seconds > 300/age_seconds > 3/' -e 's/for: [0-9]*m/for: 1s/' \
	"$abs_top_srcdir/monitoring/rules/tslab-alerts.yml" >"$work/rules/tslab-alerts.yml"

# shellcheck source=tests/acceptance/builds.sh
. "$abs_top_srcdir/tests/acceptance/builds.sh"
with_label_contention >"$work/out" 2>&1 || bail "no build with contention by label: $(tail -n 5 "$work/out")"
start "$other/tests/cli/victim" leak closing misuse busy
busy=$watched
"$tslab" set sample-rate=64 rss-probe=always "$busy" >"$work/out" 2>&1 || bail 'cannot switch sampling on'
start "$generations"
attributed=$watched
"$tslab" set rss-probe=always "$attributed" >>"$work/out" 2>&1 || bail 'cannot switch the probe on'
start "$generations" reclaim
reclaiming=$watched
export_for_ever "$work/text/tslab.prom" "$busy" "$attributed" "$reclaiming" &
children="$children $!"
start_node_exporter "$work/text"
# A scrape may take as long as the time between two: on a busy machine, a second.
sed -e "s/15s/2s/; s|targets/\\([a-z]*\\)-\\*.yml|$work/\\1-*.yml|" "$abs_top_srcdir/monitoring/prometheus.yml" >"$work/prometheus.yml"
echo "[{targets: ['$node']}]" >"$work/node-test.yml"
began=$(date +%s)
start_prometheus "$work/prometheus.yml"
run 0 promtool check config "$work/prometheus.yml"
ok 'the configuration is valid'

enough() { # a rate has something to go by
	ask 'min(count_over_time(temporal_slab_up[1m])) > 4' | jq -e 'length > 0'
}
await enough
ok 'figures of the programs arrive'
answers 'temporal_slab_up' 'length == 3 and all(.[]; .value[1] == "1")' &&
	answers 'temporal_slab_process_info{comm=~"watched.*"}' 'length == 3'
ok 'each says whose it is'

# each_answers FILE WHAT: every query of the file, behind a name and a tab, has a result
each_answers() {
	"$here/dashboard.py" ask "$prometheus" <"$1" >"$work/answers" 2>"$work/err" ||
		bail "not all queries could be asked: $(cat "$work/err")"
	while IFS='	' read -r series name; do
		echo "$series series" >"$work/out"
		[ "$series" -gt 0 ]
		ok "$2$name"
	done <"$work/answers"
	[ "$(wc -l <"$1")" -eq "$(wc -l <"$work/answers")" ]
	ok "$2: all were asked"
}

# -- the dashboard -----------------------------------------------------------------------------------
"$here/dashboard.py" queries "$abs_top_srcdir/dashboards/temporal-slab-observability.json" >"$work/queries"
each_answers "$work/queries" 'panel '
# -- rules and alerts --------------------------------------------------------------------------------
sed -n 's/^ *- record: \(.*\)/\1\t\1/p' "$work/rules/tslab-recording.yml" >"$work/recorded"
each_answers "$work/recorded" 'recorded '
curl -fsG "$prometheus/api/v1/rules" | jq '[.data.groups[].rules[] | {name, health, lastError}]' >"$work/out"
jq -e 'length >= 37 and all(.[]; .health == "ok")' "$work/out" >/dev/null
ok 'every rule is evaluated without error'
answers 'ALERTS{alertname="EpochLeak", alertstate="firing"}' \
	'length == 1 and (.[0].metric | .label == "background-worker-3" and .severity == "critical")'
ok 'the leak is told by its label, and nothing else is taken for one'
answers 'ALERTS{alertname="EpochMemoryLeak"} or vector(0)' 'length == 1 and .[0].value[1] == "0"' &&
	answers 'ALERTS{alertname="MadviseFailures"} or vector(0)' 'length == 1 and .[0].value[1] == "0"'
ok 'what is not wrong is silent'

# -- queries of the documents ------------------------------------------------------------------------
slot=$("$tslab" stats --json "$busy" | jq '.epochs[] | select(.label == "background-worker-3") | .epoch_id')
answers "temporal_slab_epoch_refcount{epoch=\"$slot\",state=\"ACTIVE\"}" \
	'any(.[]; .value[1] == "2" and .metric.label == "background-worker-3")'
ok 'one query tells epoch, state, label and reference count'
mib() { # mib LABEL NUMBER: the memory of the label, within 1 %
	answers "sum by (label) (temporal_slab_epoch_rss_bytes{label=\"$1\"})" \
		"(.[0].value[1] | tonumber) / 1048576 | . >= $2 * 0.99 and . <= $2 * 1.01"
}
mib request-handler 50 && mib background-task 10 && mib cache 5
ok 'memory by label: 50, 10 and 5 MiB'
answers 'sum by (label) (temporal_slab_epoch_estimated_rss_bytes)' 'length >= 3'
ok 'the same by the name of old'
answers 'sum by (object_size) (rate(temporal_slab_class_lock_contended_total[1m]) / clamp_min(rate(temporal_slab_class_lock_acquisitions_total[1m]), 0.0001)) * 100' &&
	answers 'sum by (object_size) (rate(temporal_slab_class_bitmap_alloc_cas_retries_total[1m]) / clamp_min(rate(temporal_slab_class_bitmap_alloc_attempts_total[1m]), 0.0001))'
ok 'contention and retries by class'
answers 'topk(3, sum by (label) (rate(temporal_slab_class_lock_contended_by_label_total[1m])))' &&
	answers 'sum by (label) (rate(temporal_slab_class_lock_contended_by_label_total[1m])) / sum by (label) (rate(temporal_slab_class_lock_fast_acquire_by_label_total[1m]) + rate(temporal_slab_class_lock_contended_by_label_total[1m])) * 100' 'all(.[]; (.metric | keys) == ["label"])'
ok 'contention by label'
answers '(temporal_slab_epoch_rss_before_close - temporal_slab_epoch_rss_after_close) / temporal_slab_epoch_madvise_bytes * 100'
ok 'the cooperation of the kernel'
answers 'rate(temporal_slab_class_slow_path_hits_total{class="3"}[1m])' 'any(.[]; (.value[1] | tonumber) > 0)' &&
	answers 'rate(temporal_slab_slow_cache_miss_total[1m])'
ok 'slow paths of a class'

# -- memory that goes back ---------------------------------------------------------------------------
about() { # about QUERY LOW HIGH
	answers "$1" "(.[0].value[1] | tonumber) | . >= $2 and . <= $3"
}
of_reclaiming="{pid=\"$reclaiming\"}"
given_back=temporal_slab_madvise_bytes_total$of_reclaiming
about "temporal_slab_epoch_rss_bytes{pid=\"$reclaiming\",label=\"batch\"}" 104857600 106000000 && about "$given_back" 0 0
ok 'a batch holds 100 MiB'
echo >"$work/in"
returned() { # but for what a thread retains, 1 MiB
	about "$given_back" 103000000 106000000
}
await returned && about "max_over_time(rate(${given_back}[10s])[10m:1s])" 9000000 106000000 &&
	about "temporal_slab_madvise_failures_total$of_reclaiming" 0 0 &&
	about "temporal_slab_committed_bytes$of_reclaiming" 0 2000000
ok 'they go back, as a rate of madvise without a failure, and nothing is left to reclaim'

# -- federation --------------------------------------------------------------------------------------
curl -fsG "$prometheus/federate" --data-urlencode 'match[]={__name__=~"temporal_slab_label:.*"}' >"$work/out" 2>>"$work/err"
shows '^temporal_slab_label:rss_bytes:sum\{.*label="cache".*,cluster="default",replica="a"\} 5\.24288e\+06' && [ "$(grep -vc '^#' "$work/out")" -ge 4 ]
ok 'another Prometheus gets series that say where they come from'

# -- the end of a program ----------------------------------------------------------------------------
kill "$busy"
"$tslab" export prometheus --output "$work/text/tslab.prom" "$attributed" "$reclaiming" 2>>"$work/err"
gone() {
	ask 'temporal_slab_up' | jq -e 'length == 2'
}
await gone
ok 'a program that is over has no series any more'
# -- tslab serve -------------------------------------------------------------------------------------
port=$(free_port)
"$tslab" serve --port "$port" --interval 1s "$attributed" 2>"$work/serve.err" &
children="$children $!"
echo "[{targets: ['127.0.0.1:$port']}]" >"$work/tslab-new.yml"
scraped() { # a target that appears while Prometheus runs
	ask 'temporal_slab_up{job="tslab"} == 1' | jq -e 'length == 1' &&
		ask 'temporal_slab_epoch_rss_bytes{job="tslab",label="request-handler"} == 52428800' | jq -e 'length == 1'
}
await scraped || ! cat "$work/serve.err" >>"$work/err"
ok 'Prometheus asks tslab serve itself: the same figures'
echo "# $(($(date +%s) - began)) s"
finish
