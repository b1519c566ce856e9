#!/bin/sh
# SPDX-License-Identifier: MIT
# `tslab export prometheus`: names, labels, formats, files. Prints TAP.
# shellcheck disable=SC2317 # functions that run() calls
set -u
# shellcheck source=tests/monitoring/lib.sh
. "$(dirname "$0")/lib.sh"
need promtool jq
fixture=$abs_top_srcdir/tests/monitoring/epochs.json

export_to() { # export_to FILE ARGUMENT...
	file=$1
	shift
	run 0 "$tslab" export prometheus "$@" && cp "$work/out" "$file"
}

lint() { # lint STATUS FILE: what promtool says is kept
	run "$1" promtool check metrics <"$2" || return 1
	sed '/^status/d' "$work/err" >>"$work/out"
}

value() { # value SERIES FILE: "name" or "name{label=...}"
	awk -v series="$1" 'index($0, series " ") == 1 { print substr($0, length(series) + 2) }' "$2"
}

same() { # same SERIES JQ-EXPRESSION: the metric is what the JSON of the same file says
	[ "$(value "temporal_slab_$1" "$work/clean")" = "$(jq "$2" "$work/json")" ] ||
		! echo "$1: $(value "temporal_slab_$1" "$work/clean"), not $(jq "$2" "$work/json")" >>"$work/err"
}

start "$victim" traffic leak failures misuse closing
"$tslab" stats --json "$watched" >"$work/json"

export_to "$work/clean" --naming clean --file "$work/json" && lint 0 "$work/clean" && ! shows .
ok 'clean names: promtool has nothing to say'
export_to "$work/seed" --naming seed --file "$work/json" && lint 3 "$work/seed" &&
	[ "$(grep -c 'should not have "_count" suffix' "$work/out")" -eq 3 ] &&
	[ "$(grep -c . "$work/out")" -eq 3 ] &&
	shows '_slab_epoch_count ' '_slab_active_epoch_count ' '_slab_closing_epoch_count '
ok 'names of old: three of them are said to end in _count'
families() {
	grep -h '^# TYPE' "$@" | sort -u
}
families "$work/seed" "$work/clean" >"$work/either"
export_to "$work/both" --file "$work/json" && families "$work/both" >"$work/all" &&
	run 0 diff "$work/either" "$work/all" && [ "$(grep -c '^# TYPE' "$work/both")" -ge 144 ]
ok 'both has all of either, more than 140 metrics'

"$tslab" export prometheus --list | sed 's/^\([^ ]*\)  *\([a-z]*\) .*/\1 \2/; s/ info$/ gauge/' | sort >"$work/listed"
sed -n 's/^# TYPE //p' "$work/both" | sort >"$work/made"
run 0 comm -13 "$work/listed" "$work/made" && ! shows .
ok '--list has every family, with its type'
run 0 comm -23 "$work/listed" "$work/made" && ! grep -Ev 'temporal_slab_(scrape_|superslab_lookup_cycles|class_[a-z_]*_by_label_total)' "$work/out"
ok 'every family of the list is there, but what a server measures, what is not known and what few builds count'
# shellcheck disable=SC2016 # the fields of awk
run 0 awk '/^#/ || NF == 0 { next } { name = $0; sub(/ [^ ]*$/, "", name); if (seen[name]++) print name }' \
	"$work/both" && ! shows .
ok 'no series is there twice'

: >"$work/err"
same allocations_total .total_allocations && same live_bytes .live_bytes &&
	same 'class_slow_path_hits_total{class="3",object_size="192"}' '.classes[3].slow_path_hits' &&
	same 'alloc_failures_total{reason="epoch_closed"}' .alloc_failures.epoch_closed &&
	same 'invalid_frees_total{kind="double"}' .safety.invalid_free.double &&
	same slow_epoch_closed_total .total_slow_epoch_closed &&
	same domain_enters_total .total_domain_enters && same madvise_bytes_total .total_madvise_bytes &&
	same 'epoch_close_seconds_bucket{le="+Inf"}' '[.hist.epoch_close_ns[].count] | add' &&
	same 'label_registry_entries' .label_registry.count
ok 'values are those of the JSON'
jq -e '.total_domain_enters > .total_domain_exits and .total_slow_epoch_closed > 0' "$work/json" >"$work/out"
ok 'and are not all zero'
jq '.last_epoch_close.timestamp_ns = 1700000000500000000 | .timestamp_ns = 5000000000 |
	.classes[3].recycle_rate_pct = 12.5 | .classes[3].epoch_close_total_ns = 1500' "$work/json" >"$work/changed"
export_to "$work/units" --naming both --file "$work/changed" && cp "$work/units" "$work/out" &&
	shows '^temporal_slab_last_epoch_close_timestamp_seconds 1700000000\.5$' \
		'^temporal_slab_snapshot_timestamp_seconds 5$' \
		'^temporal_slab_class_recycle_rate_pct\{class="3",object_size="192"\} 12\.5$' \
		'^temporal_slab_class_recycle_ratio\{class="3",object_size="192"\} 0\.125$' \
		'^temporal_slab_class_epoch_close_seconds_total\{class="3",object_size="192"\} 0\.0000015$'
ok 'nanoseconds become seconds, per cent a ratio, without loss'
export_to "$work/x" --file "$work/json" && ! shows 'class="39"' &&
	jq '.classes[39].allocations = 1' "$work/json" >"$work/changed" &&
	export_to "$work/x" --file "$work/changed" && shows 'class_frees_total\{class="39",object_size="32768"\} 0$'
ok 'a class that nothing was asked of has no series'

grep '^# HELP' "$work/both" >"$work/out"
[ "$(awk '{ print $3 }' "$work/out" | sort | uniq -d | wc -l)" -eq 0 ] && [ "$(grep -c '^#' "$work/both")" -eq "$((2 * $(wc -l <"$work/out")))" ] &&
	shows '^# HELP temporal_slab_class_lock_fast_acquire_total .*HFT-safe' \
		'^# HELP temporal_slab_class_lock_contended_total .*HFT-safe'
ok 'each family has a help of one line; locks are counted without a clock, which it says'
contention() {
	for metric in bitmap_alloc_cas_retries bitmap_free_cas_retries current_partial_cas_failures bitmap_alloc_attempts \
		bitmap_free_attempts current_partial_cas_attempts lock_fast_acquire lock_contended lock_acquisitions; do
		grep -q "^# TYPE temporal_slab_class_${metric}_total counter" "$work/both" || return 1
	done
	! grep -E '^# TYPE temporal_slab_[a-z_]*(cas|lock|retries|contention)[a-z_]*_(rate|ratio|pct) ' "$work/both"
}
run 0 contention
ok 'nine metrics of contention, raw counters'

# -- epochs ------------------------------------------------------------------------------------------
export_to "$work/epochs" --file "$fixture" &&
	shows '^temporal_slab_epoch_age_seconds\{epoch="12",state="ACTIVE",label="background-worker-3"\} 600$' \
		'^temporal_slab_epoch_refcount\{epoch="12",state="ACTIVE",label="background-worker-3"\} 2$' \
		'^temporal_slab_epoch_rss_bytes\{epoch="12",state="ACTIVE",label="background-worker-3"\} 50331648$' \
		'^temporal_slab_epoch_reclaimable_slabs\{epoch="12",state="ACTIVE",label="background-worker-3"\} 25$' \
		'^temporal_slab_epoch_state\{epoch="12",state="ACTIVE",label="background-worker-3"\} 1$' \
		'^temporal_slab_epoch_state\{epoch="12",state="CLOSING",label="background-worker-3"\} 0$' \
		'^temporal_slab_epoch_estimated_rss_bytes\{epoch="12",state="ACTIVE",label="background-worker-3"\} 50331648$'
ok 'an epoch: labels epoch, state, label'
shows '^temporal_slab_epoch_refcount\{epoch="13",state="CLOSING",label="a \\"quoted\\\\\\" label\\nin two lines"\} 1$' &&
	lint 0 "$work/epochs"
ok 'quotation marks, backslashes and newlines of labels are escaped'
# More epochs than have a series each: 100 of one label and 10 of another, the largest first.
jq '.epochs = [range(0; 110) | {epoch_id: (. + 16), epoch_era: 1, state: "ACTIVE", age_sec: ., refcount: 1,
	label: (if . < 100 then "small" else "tiny" end), estimated_rss_bytes: (1000 - .),
	rss_before_close: 5}]' "$fixture" >"$work/many.json"
export_to "$work/many" --file "$work/many.json" &&
	[ "$(grep -c '^temporal_slab_epoch_refcount' "$work/many")" -eq 66 ] &&
	shows '^temporal_slab_epoch_refcount\{epoch="16",state="ACTIVE",label="small"\} 1$' \
		'^temporal_slab_epoch_refcount\{epoch="other",state="ACTIVE",label="small"\} 36$' \
		'^temporal_slab_epoch_refcount\{epoch="other",state="ACTIVE",label="tiny"\} 10$' \
		'^temporal_slab_epoch_age_seconds\{epoch="other",state="ACTIVE",label="tiny"\} 109$' &&
	! grep -E '(era|state|before_close[a-z_]*)\{epoch="other"' "$work/out" &&
	[ "$(awk '/^temporal_slab_epoch_rss_bytes/ { s += $2 } END { print s }' "$work/many")" -eq "$(jq '[.epochs[].estimated_rss_bytes] | add' "$work/many.json")" ]
ok 'the 64 largest have series of their own, the rest is summed by state and label'
jq '.epochs[0].heap_id = 1 | .epochs[0].epoch = 65536 * 9 + 77 | .epochs[0].epoch_id = 13' "$fixture" >"$work/heaps.json"
export_to "$work/heaps" --file "$work/heaps.json" &&
	shows '_epoch_refcount\{epoch="77",state="ACTIVE"' '_epoch_refcount\{epoch="13",state="CLOSING"'
ok "ring epochs of other heaps are called by their slot: no two share a name"

# -- several processes -------------------------------------------------------------------------------
export_to "$work/two" --file "$fixture" --file "$work/json" && lint 3 "$work/two" &&
	cp "$work/two" "$work/out" && shows '^temporal_slab_processes 2$' \
	"^temporal_slab_up\\{pid=\"$watched\",comm=\"$name\",allocator=\"libtslab\"\\} 1\$" \
	'^temporal_slab_epoch_refcount\{pid="4242",comm="server\\"\\\\\\n",allocator="libtslab",epoch="12",state='
ok 'of several processes each series says whose it is'
export_to "$work/all" --all && shows "^temporal_slab_live_bytes\\{pid=\"$watched\",comm=\"$name\"" '_processes [1-9]'
ok '--all finds the process'
run 2 "$tslab" export prometheus --file "$fixture" --file "$fixture" && grep -q '4242 is given twice' "$work/err"
ok 'one process twice is refused'
run 2 "$tslab" export prometheus --all "$watched" && run 2 "$tslab" export graphite "$watched" &&
	run 2 "$tslab" export prometheus && run 2 "$tslab" export prometheus --naming new "$watched" && ! shows .
ok 'bad usage is refused'

# -- formats and files -------------------------------------------------------------------------------
# Debian's own Python has Debian's module.
openmetrics() {
	/usr/bin/python3 -c 'import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(len(list(parse(sys.stdin.read()))))' <"$1" >"$work/out" 2>"$work/err"
}
for naming in seed clean both; do
	export_to "$work/om" --openmetrics --naming $naming "$watched" && openmetrics "$work/om"
	ok "OpenMetrics with $naming names is understood"
done
sed -i '$d' "$work/om" && ! openmetrics "$work/om"
ok 'without its end it is not'
run 0 "$tslab" export prometheus --output "$work/node.prom" "$watched" && ! shows . &&
	[ "$(stat -c %a "$work/node.prom")" = 644 ] && lint 3 "$work/node.prom" && cp "$work/node.prom" "$work/before"
ok '--output writes a file that others may read'
run 2 "$tslab" export prometheus --output "$work/node.prom" 999999999 && cmp "$work/before" "$work/node.prom" &&
	run 2 "$tslab" export prometheus --output "$work/none/node.prom" "$watched" && grep -q none "$work/err" &&
	[ -z "$(find "$work" -name 'node.prom?*')" ]
ok 'on trouble the file stays as it was, and nothing is left beside it'
run 0 "$tslab" export prometheus --stdin <"$work/json" && shows "^temporal_slab_allocations_total [1-9]"
ok '--stdin'
finish
