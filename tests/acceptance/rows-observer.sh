#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of the observer: options of the build, readers, what watching costs. Sourced by `run`, whose helpers
# they use.
# shellcheck disable=SC2034,SC2154 # names of `run`

# A build with --enable-label-contention: one that ci/test has made, or one of our own.
with_label_contention() {
	labelled=$abs_top_builddir/../generic
	if ! grep -q '^#define TSLAB_LABEL_CONTENTION 1' "$labelled/config.h" 2>/dev/null; then
		labelled=$abs_top_builddir/acceptance-labels
		mkdir -p "$labelled"
		[ -e "$labelled/Makefile" ] || (cd "$labelled" &&
			"$abs_top_srcdir/configure" --quiet --enable-label-contention) || return 1
	fi
	make -C "$labelled" -s tests/obs/test_counters tests/cli/victim tools/tslab/tslab
}

row_100_no_cost_of_contention_by_label_unless_asked_for() {
	"$abs_top_srcdir/ci/check-label-contention" "$abs_top_builddir" >"$work/contention"
	status=$?
	cat "$work/contention"
	return $status
}

row_101_contention_by_label_with_and_without() {
	counters contention_by_label && with_label_contention &&
		CMOCKA_MESSAGE_OUTPUT=TAP "$labelled/tests/obs/test_counters" >"$work/labelled" 2>&1
	grep -E '^ok [0-9]+ - contention_by_label$' "$work/labelled"
}

# The export of what a program shows that allocates and frees across threads.
by_label() { # by_label BUILD
	(programs=$1/tests && victim traffic -- "$1/tools/tslab/tslab" export prometheus PID >/dev/null)
	grep -o '^# TYPE temporal_slab_class_[a-z_]*_by_label_total counter' "$work/victim.said" | sort -u
}

row_102_four_series_by_label_only_if_enabled() {
	with_label_contention && by_label "$labelled" >"$work/by-label" && [ "$(wc -l <"$work/by-label")" -eq 4 ] &&
		grep -q 'temporal_slab_class_lock_fast_acquire_by_label_total{class="[0-9]*",object_size="[0-9]*",label="' \
			"$work/victim.said" && [ -z "$(by_label "$abs_top_builddir")" ]
}
