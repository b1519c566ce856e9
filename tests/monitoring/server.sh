# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154 # $work, $children and await are those of lib.sh
# Sourced behind lib.sh: a node exporter that reads figures of programs every second, and a Prometheus that
# asks it. They keep all they have below $work.

# export_for_ever FILE ARGUMENT...: until told to end
export_for_ever() {
	file=$1
	shift
	while "$tslab" export prometheus --output "$file" "$@" 2>>"$work/export.err"; do
		sleep 1
	done
}

start_node_exporter() { # start_node_exporter DIRECTORY: of text files; $node is where it listens
	node=127.0.0.1:$(free_port)
	prometheus-node-exporter --collector.disable-defaults --collector.textfile \
		--collector.textfile.directory="$1" --web.listen-address="$node" 2>"$work/node.err" &
	children="$children $!"
	await curl -fs "http://$node/metrics" || bail "no node exporter: $(tail -n 3 "$work/node.err")"
}

start_prometheus() { # start_prometheus CONFIGURATION: $prometheus is its URL
	address=127.0.0.1:$(free_port)
	prometheus=http://$address
	prometheus --config.file="$1" --storage.tsdb.path="$work/data" --web.listen-address="$address" \
		--log.level=warn 2>"$work/prometheus.err" &
	children="$children $!"
	await curl -fs "$prometheus/-/ready" || bail "no Prometheus: $(tail -n 3 "$work/prometheus.err")"
}

# ask QUERY: the vector, as JSON; fails if the query is bad
ask() {
	curl -fsG "$prometheus/api/v1/query" --data-urlencode "query=$1" >"$work/answer" || {
		echo "no answer to $1" >>"$work/err"
		return 1
	}
	jq -e '.status == "success"' "$work/answer" >/dev/null && jq -c .data.result "$work/answer"
}

answers_now() {
	ask "$1" >"$work/out" && jq -e "(length > 0) and (${2-true})" "$work/out"
}

# answers QUERY [JQ-EXPRESSION]: not empty, and the expression is true of the vector; soon, as a busy machine may miss
# a scrape, after which there are no series until the next
answers() {
	if ! await answers_now "$@"; then
		echo "not as wanted: $1" >>"$work/err"
		return 1
	fi
}
