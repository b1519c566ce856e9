#!/bin/sh
# SPDX-License-Identifier: MIT
# Rows of machines: page sizes, CPUs, races. Sourced by `run`, whose helpers they use.
# shellcheck disable=SC2154 # names of `run`

# Of this area: what is written about other CPUs is there, and its links lead somewhere.
row_56_arm_portability() {
	for page in docs/arm.md docs/matrix.md docs/parity.md docs/ordering.md docs/ordering-code.md PORTING.md \
		cross/README.md; do
		grep -oE '\]\([^)#:]+' "$abs_top_srcdir/$page" | cut -c3- | while read -r link; do
			[ -e "$abs_top_srcdir/$(dirname "$page")/$link" ] || echo "$page: no $link"
		done
		[ -s "$abs_top_srcdir/$page" ] || echo "no $page"
	done >"$work/links"
	cat "$work/links"
	[ ! -s "$work/links" ] && "$abs_top_srcdir/ci/table" check
}

# aarch64_build TARGET...: the directory of a build for AArch64 that has these; CI's, if there is one
aarch64_build() {
	other=$abs_top_builddir/../aarch64
	[ -e "$other/Makefile" ] || other=$abs_top_builddir/acceptance-aarch64
	if [ ! -e "$other/Makefile" ]; then
		mkdir -p "$other" && "$abs_top_srcdir/cross/build" --target aarch64 "$other" >&2 || return 1
	fi
	make -C "$other" -s "$@" >&2 && echo "$other"
}

# The same source, natively and as aarch64 under an emulator. ci/test runs all tests that way.
row_59_tests_pass_on_x86_64_and_aarch64() {
	tap unit/test_object class_boundaries || return 1
	other=$(aarch64_build tests/unit/test_object) || return 1
	says 'ARM aarch64' file "$other/tests/unit/test_object" || return 1
	CMOCKA_MESSAGE_OUTPUT=TAP "$abs_top_srcdir/cross/run" --target aarch64 \
		"$other/tests/unit/test_object" >"$work/aarch64" || return 1
	grep -q '^ok .* class_boundaries' "$work/aarch64" && ! grep '^not ok' "$work/aarch64"
}

# One table of lost races, made once: threads trials mode switches alloc_retries free_retries operations
retries() {
	[ -s "$work/retries" ] || "$programs/acceptance/retries" >"$work/retries"
	cat "$work/retries"
	awk "NR > 1 { $1 } END { exit bad || NR != 5 }" "$work/retries"
}

# There is nothing to scan: allocation loses no race with any number of threads.
row_129_no_allocation_tries_again() {
	# shellcheck disable=SC2016 # awk's
	retries 'if ($3 != 0 || $4 != 0 || $5 != 0) bad = 1'
}

# The older allocator came from 0.043 to 0.0074 with 16 threads.
row_130_retries_at_16_threads() {
	# shellcheck disable=SC2016 # awk's
	retries 'if ($1 == 16 && ($5 + $6) / $7 > 0.0074) bad = 1; if ($1 == 1 && $6 != 0) bad = 1'
}

row_131_validation_at_1_2_8_and_16_threads() {
	# shellcheck disable=SC2016 # awk's
	retries 'trials += $2; threads = threads " " $1; if (NR == 5 && (trials < 47 || threads != " 1 2 8 16")) bad = 1'
}

# One binary. 64 KiB is always a real kernel; the others are where they have been built, else an emulator of
# system calls.
row_146_page_size_at_run_time() {
	other=$(aarch64_build tests/arch/test_arch) || return 1
	sum=$(cksum <"$other/tests/arch/test_arch")
	for kib in 4 16 64; do
		if [ $kib = 64 ] || "$abs_top_srcdir/cross/kernel/build" --cached $kib >/dev/null; then
			"$abs_top_srcdir/cross/kernel/run" $kib "$other" tests/arch/test_arch >"$work/kernel"
		else
			TEST_PAGE_BYTES=$((kib * 1024)) CMOCKA_MESSAGE_OUTPUT=TAP "$abs_top_srcdir/cross/run" \
				"$other/tests/arch/test_arch" >"$work/kernel"
		fi
		cat "$work/kernel"
		grep -q '^ok .*test_page_size_is_the_kernels$' "$work/kernel" || return 1
		! grep -q '^not ok' "$work/kernel" || return 1
	done
	[ "$sum" = "$(cksum <"$other/tests/arch/test_arch")" ]
}
