# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154 # names of those who source this
# Sourced by the acceptance rows and by tests/monitoring: builds beside the one that is tested.

# A build with an option: one that ci/test has made, or one of our own. Sets `other`.
# other_build NAME LINE-OF-CONFIG.H OPTION TARGET...
other_build() {
	other=$abs_top_builddir/../$1
	if ! grep -q "^#define $2" "$other/config.h" 2>/dev/null; then
		other=$abs_top_builddir/acceptance-$1
		mkdir -p "$other"
		[ -e "$other/Makefile" ] || (cd "$other" && "$abs_top_srcdir/configure" --quiet "$3") || return 1
	fi
	shift 3
	make -C "$other" -s "$@"
}

with_label_contention() {
	other_build generic 'TSLAB_LABEL_CONTENTION 1' --enable-label-contention tests/obs/test_counters \
		tests/cli/victim tools/tslab/tslab
}

# One free slot at hand in each class, then the slow path: to see what the others are good for.
with_one_slot() {
	other_build one-slot 'TSLAB_STACK_SLOTS 1$' --with-stack-slots=1 libtslab.la
}
