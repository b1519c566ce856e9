#!/bin/sh
# SPDX-License-Identifier: MIT
# The documentation's sample program runs as printed, built with and without sampling.
dir=${abs_top_builddir:=$PWD}/tests/compat
echo 1..2
n=0
for program in sampling_sample sampling_sample_on; do
	n=$((n + 1))
	# shellcheck disable=SC2086 # the runner is a command line
	if ${TEST_RUNNER-} "$dir/$program" >/dev/null; then
		echo "ok $n - $program"
	else
		echo "not ok $n - $program: exit status $?"
	fi
done
