#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/robust/test_links.sh
# One program linked with the library in the ways that people link: shared, static, static and independent of
# its position, by two compilers; with optimisation across both; and with musl, where the library is built
# anew. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${abs_top_builddir:=$PWD}"
source=$abs_top_srcdir/tests/robust/linked.c
flags="-O2 -pthread -I$abs_top_srcdir/include"
closing='-Wl,-u,tslab_root'
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
count=0
status=0

for tool in gcc clang musl-gcc gcc-ar file; do
	command -v $tool >/dev/null || {
		echo "Bail out! $tool is missing"
		exit 1
	}
done

result() { # result STATUS TEXT
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		status=1
		sed 's/^/# /' "$work/log"
		echo "not ok $count - $2"
	fi
}

# Links it, looks whether it is what was asked for, runs it.
linked() { # linked TEXT KIND-OF-FILE COMMAND...
	text=$1
	kind=$2
	shift 2
	"$@" -o "$work/program" >"$work/log" 2>&1 && file "$work/program" >>"$work/log" &&
		grep -q "$kind" "$work/log" &&
		LD_LIBRARY_PATH=$abs_top_builddir/.libs "$work/program" >>"$work/log" 2>&1 &&
		grep -qx linked "$work/log"
	result $? "$text"
}

# build NAME SETTING...: a library of its own in $work/NAME
build() {
	name=$1
	shift
	mkdir "$work/$name" && (cd "$work/$name" && env "$@" "$abs_top_srcdir/configure" --quiet --disable-shared \
		--with-arch=generic && make -s libtslab.la) >"$work/log" 2>&1
	result $? "$name: the library is built"
}

# shellcheck disable=SC2086 # words
for cc in gcc clang; do
	linked "$cc, shared" 'dynamically linked' $cc $flags $source -L"$abs_top_builddir/.libs" -ltslab
	linked "$cc, library static" 'dynamically linked' $cc $flags $source "$abs_top_builddir/.libs/libtslab.a" $closing
	linked "$cc, static" 'statically linked' $cc $flags -static $source "$abs_top_builddir/.libs/libtslab.a" $closing
	linked "$cc, static-pie" 'static-pie linked' $cc $flags -static-pie $source \
		"$abs_top_builddir/.libs/libtslab.a" $closing
done
build lto CFLAGS='-O2 -flto=2' AR=gcc-ar NM=gcc-nm RANLIB=gcc-ranlib
# shellcheck disable=SC2086 # words
{
	linked 'optimised across library and program' 'dynamically linked' \
		gcc $flags -flto=2 $source "$work/lto/.libs/libtslab.a" $closing
	linked 'optimised across, static' 'statically linked' \
		gcc $flags -flto=2 -static $source "$work/lto/.libs/libtslab.a" $closing
}
build musl CC=musl-gcc
# shellcheck disable=SC2086 # words
{
	linked 'musl, library static' 'dynamically linked' musl-gcc $flags $source "$work/musl/.libs/libtslab.a" $closing
	linked 'musl, static' 'statically linked' musl-gcc $flags -static $source "$work/musl/.libs/libtslab.a" $closing
}
echo "1..$count"
exit $status
