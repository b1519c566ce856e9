#!/bin/sh
# SPDX-License-Identifier: MIT
# The shared library exports exactly what the public headers declare with TSLAB_API, all under one version
# node, and the static library defines no name outside tslab_* and ts_*. The malloc to preload exports what its
# list says, under no version. Prints TAP.
set -u
: "${NM:=nm}" "${abs_top_srcdir:?}" "${abs_top_builddir:?}" # NM is a command line
library=$abs_top_builddir/.libs/libtslab.so
shim=$abs_top_builddir/.libs/libtslab-malloc.so
archive=$abs_top_builddir/.libs/libtslab.a
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# The name of each declaration that starts with TSLAB_API: what stands before its first parenthesis, or
# before the semicolon if it has none.
declared() {
	awk '/^TSLAB_API/ { on = 1; text = "" }
		on { text = text " " $0 }
		on && /;/ { on = 0; sub(/[(;\[].*/, "", text); sub(/.*[ *]/, "", text); print text }' "$@" |
		sort
}

exported() {
	$NM -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort
}

report() { # report NUMBER NAME: passes if the file `difference` is empty
	if [ -s "$work/difference" ]; then
		sed 's/^/# /' "$work/difference"
		echo "not ok $1 - $2"
	else
		echo "ok $1 - $2"
	fi
}

# Not built with a sanitizer, nor without shared libraries.
if [ -e "$shim" ]; then
	echo 1..6
else
	echo 1..4
fi
declared "$abs_top_srcdir"/include/tslab/*.h >"$work/declared"
exported >"$work/exported"

# Self-test: a name that is declared and missing must be seen.
printf 'TSLAB_API extern const int tslab_planted;\nTSLAB_API int\ntslab_planted_too(int a,\n int b) __attribute__((pure));\n' \
	>"$work/planted.h"
declared "$work/planted.h" | tr '\n' ' ' >"$work/seen"
if [ "$(cat "$work/seen")" = 'tslab_planted tslab_planted_too ' ] && [ -s "$work/exported" ]; then
	: >"$work/difference"
else
	{ cat "$work/seen"; echo; } >"$work/difference"
fi
report 1 'a planted declaration is seen, and there are exports'

sed 's/$/@@TSLAB_1.0/' "$work/declared" | diff - "$work/exported" >"$work/difference"
report 2 'exports equal the declarations of the headers'

# A sanitizer brings its own run-time library.
readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
	grep -Ev '^(libc\.so\.|ld-linux|lib(a|t|ub)san\.so)' >"$work/difference"
report 3 'the shared library needs nothing but the C library'

$NM -g --defined-only "$archive" 2>/dev/null | awk 'NF == 3 { print $3 }' |
	grep -Ev '^(tslab_|ts_|__(a|t|ub)san_|__odr_asan)' >"$work/difference"
report 4 'the static library keeps to its names'
[ -e "$shim" ] || exit 0

awk '/^global:/ { on = 1; next } /^local:/ { on = 0 } on { sub(/;.*/, ""); sub(/^[ \t]*/, ""); print }' \
	"$abs_top_srcdir/src/shim/exports.map" | sort >"$work/listed"
[ -s "$work/listed" ] || echo nothing >>"$work/listed"
$NM -D --defined-only "$shim" | awk '{ print $3 }' | sort | diff "$work/listed" - >"$work/difference"
report 5 'the malloc to preload exports what its list says, without a version'

readelf -d "$shim" | grep -E 'TEXTREL|\(NEEDED\)' | grep -Ev '\[(libc\.so\.|ld-linux)' >"$work/difference"
readelf -d "$shim" | grep -q 'FLAGS_1.*NOW.*NODELETE' || echo 'not bound at once, or unloadable' >>"$work/difference"
report 6 'it needs nothing but the C library, binds at once and stays'
