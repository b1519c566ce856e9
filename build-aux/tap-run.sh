#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one test program and makes what it prints proper TAP. TEST_RUNNER in the environment (qemu,
# valgrind) is put in front of it. cmocka 1.1 marks a skipped test "not ok N # SKIP"; TAP wants "ok".
# A program that dies or fails outside any test, or that runs no test, fails.
CMOCKA_MESSAGE_OUTPUT=TAP
export CMOCKA_MESSAGE_OUTPUT
out=$(mktemp) || exit 99
trap 'rm -f "$out"' EXIT
# shellcheck disable=SC2086 # the runner is a command line
${TEST_RUNNER-} "$@" >"$out"
status=$?
sed 's/^not ok \([0-9]* # SKIP\)/ok \1/' "$out"
if ! grep -Eq '^(ok|not ok) ' "$out" && ! grep -q '^1\.\.0 # SKIP' "$out"; then
	echo "Bail out! $1: no test ran (exit status $status)"
elif [ "$status" -ne 0 ] && ! grep -q '^not ok ' "$out"; then
	echo "Bail out! $1: exit status $status without a failed test"
fi
exit "$status"
