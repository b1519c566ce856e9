#!/bin/sh
# SPDX-License-Identifier: MIT
# The program in README.md compiles, stays short, and prints what the README says; no link of README.md
# and of docs/ leads nowhere. TAP.
set -u
: "${abs_top_srcdir:?}" "${abs_top_builddir:?}"
readme=$abs_top_srcdir/README.md
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

make_variable() {
	sed -n "s/^$1 = //p" "$abs_top_builddir/Makefile"
}

report() {
	[ "$1" -eq 0 ] && echo "ok $2" || echo "not ok $2"
}

echo 1..4
# shellcheck disable=SC2016 # the quotes are Markdown's
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$readme" >"$work/hello.c"
# shellcheck disable=SC2016
sed -n '/a\.out$/,/^```$/{/a\.out$/d;/^```$/d;p}' "$readme" >"$work/expected"

lines=$(grep -c . "$work/hello.c")
[ "$lines" -gt 0 ] && [ "$lines" -le 20 ]
report $? "1 - the program has 20 lines at most ($lines)"

# shellcheck disable=SC2046 # command and flags are words
$(make_variable CC) $(make_variable SANITIZER_CFLAGS) -std=gnu11 -Wall -Wextra -Werror -pthread \
	-I"$abs_top_srcdir/include" "$work/hello.c" "$abs_top_builddir/.libs/libtslab.a" \
	-o "$work/hello"
report $? "2 - it compiles without a warning"

# shellcheck disable=SC2086 # the runner is a command line
${TEST_RUNNER-} "$work/hello" >"$work/printed" && [ -s "$work/expected" ] &&
	diff "$work/expected" "$work/printed" >&2
report $? "3 - it prints what the README says"

dead=$(for page in "$readme" "$abs_top_srcdir"/docs/*.md; do
	grep -o '](\([^)#]*\)' "$page" | cut -c3- | grep -v '^https:' | while read -r link; do
		[ -e "$(dirname "$page")/$link" ] || echo "# $page: $link"
	done
done)
[ -z "$dead" ] || echo "$dead"
[ -z "$dead" ]
report $? "4 - all links within the documents lead somewhere"
