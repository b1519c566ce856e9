#!/bin/sh
# SPDX-License-Identifier: MIT
# Each fuzz target runs its corpus, and random inputs of today's seed. Prints TAP.
set -u
: "${abs_top_srcdir:?}" "${abs_top_builddir:?}" "${FUZZ_RANDOM:=300}" "${FUZZ_SEED:=$(date +%Y%m%d)}"
targets='api segment recording'
# The server is part of builds with libmicrohttpd.
grep -q '^#define TSLAB_HAVE_MICROHTTPD 1' "$abs_top_builddir/config.h" && targets="$targets http"
number=0
failed=0
log=$(mktemp) || exit 99
trap 'rm -f "$log"' EXIT
for target in $targets; do
	number=$((number + 1))
	# shellcheck disable=SC2086 # the runner is a command line
	if ${TEST_RUNNER-} "$abs_top_builddir/tests/fuzz/$target" --random "$FUZZ_RANDOM" --seed "$FUZZ_SEED" \
		"$abs_top_srcdir/tests/fuzz/corpus-$target" >"$log" 2>"$log.err" && grep -q '^ok 1 - ' "$log"; then
		sed -n "s/^ok 1 - /ok $number - $target, seed $FUZZ_SEED: /p" "$log"
	else
		failed=1
		tail -n 5 "$log" "$log.err" | sed 's/^/# /'
		echo "not ok $number - $target, seed $FUZZ_SEED"
	fi
	rm -f "$log.err"
done
echo "1..$number"
exit $failed
