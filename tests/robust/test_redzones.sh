#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/robust/test_redzones.sh [COUNT]
# A build with canaries: COUNT injected faults of each kind, then the unit tests that do not depend on size
# classes. One for AddressSanitizer or Valgrind: each mistake is trapped. Prints TAP.
set -u
# shellcheck source=build-aux/tap.sh
. "$(dirname "$0")/../../build-aux/tap.sh"
: "${abs_top_builddir:=$PWD}" "${abs_top_srcdir:=$PWD}"
cd "$abs_top_builddir" || exit 1
kind=$(sed -n 's/^#define TSLAB_REDZONE //p' config.h)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# The lines of a program that prints TAP, numbered anew.
adopt() { # adopt LOG
	while read -r line; do
		case $line in
		'ok '*) result 0 "${line#ok * - }" ;;
		'not ok '*) result 1 "${line#not ok * - }" ;;
		'#'* | 'Bail out!'*) echo "$line" ;;
		esac
	done <"$1"
}

case $kind in
1)
	tests/robust/redzones --count "${1:-100000}" >"$work/log"
	status=$?
	adopt "$work/log"
	[ $status -eq 0 ] || bad=1
	for name in test_abort test_domain test_epoch test_fork test_handle test_heap test_misuse test_thread; do
		TEST_RUNNER='' sh "$abs_top_srcdir/build-aux/tap-run.sh" "tests/unit/$name" >"$work/log" 2>&1
		result $? "$name with red zones"
		[ $bad -eq 0 ] || sed 's/^/# /' "$work/log"
	done
	tests/stress/stress --seconds 3 >"$work/log" 2>&1
	result $? 'stress with red zones'
	[ $bad -eq 0 ] || sed 's/^/# /' "$work/log"
	;;
2)
	tests/robust/redzone_deaths >"$work/log"
	status=$?
	adopt "$work/log"
	[ $status -eq 0 ] || bad=1
	;;
3)
	command -v valgrind >/dev/null || {
		echo 'Bail out! valgrind is missing'
		exit 1
	}
	while read -r mistake words; do
		valgrind --error-exitcode=9 tests/robust/redzone_deaths "$mistake" >"$work/log" 2>&1
		status=$?
		if [ "$mistake" = nothing ]; then
			result $status "Valgrind finds $mistake"
		else
			[ $status -eq 9 ] && grep -q 'Invalid write of size 1' "$work/log" && grep -q "$words" "$work/log"
			result $? "Valgrind finds $mistake: $words"
		fi
		[ $bad -eq 0 ] || sed 's/^/# /' "$work/log"
	done <<-'END'
		nothing
		overflow 0 bytes after a block of size 100 alloc'd
		overflow_of_a_full_slot 0 bytes after a block of size 128 alloc'd
		overflow_after_realloc 0 bytes after a block of size 90 alloc'd
		use_after_free 0 bytes inside a block of size 100 free'd
		use_after_discard 50 bytes inside a block of size 100 free'd
	END
	;;
*)
	echo 'Bail out! this build has no red zones: --enable-debug=4 or --enable-valgrind'
	exit 1
	;;
esac
finish
