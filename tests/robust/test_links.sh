#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/robust/test_links.sh [TARGET]
# One program linked with the library in the ways that people link: shared, static, static and independent of
# its position, by two compilers; with optimisation across both; and with musl, where the library is built
# anew. With a TARGET (aarch64) for that machine, and run under qemu-user. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${abs_top_builddir:=$PWD}"
source=$abs_top_srcdir/tests/robust/linked.c
flags="-O2 -pthread -I$abs_top_srcdir/include"
closing='-Wl,-u,tslab_root'
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
count=0
status=0

# For this machine, or for another with the sysroot's libraries.
prefix=
clang=clang
sysroot=
options=--with-arch=generic
runner=
if [ $# -gt 0 ]; then
	cross_dir=$abs_top_srcdir/cross
	# shellcheck source=cross/common.sh
	. "$cross_dir/common.sh"
	load_target "$1"
	root=$("$cross_dir/sysroot" "$1") || exit 1
	prefix=$target_host-
	clang="clang --target=$target_host"
	sysroot=--sysroot=$root
	options="$options --host=$target_host"
	runner="$cross_dir/run --target $1"
	# What Debian's musl-gcc is there, as a command of this machine. Its libc.so is not below /usr, and the
	# outline atomics of a compiler made for glibc ask glibc.
	musl=${target_host%-gnu}-musl
	sed "s#/usr/#$root/usr/#g" "$root/usr/lib/$musl/musl-gcc.specs" >"$work/musl.specs" || exit 1
	printf '#!/bin/sh\nexec %sgcc -mno-outline-atomics "$@" -specs %s -L%s\n' \
		"$prefix" "$work/musl.specs" "$root/lib/$musl" >"$work/musl-gcc"
	chmod +x "$work/musl-gcc"
	PATH=$work:$PATH
fi
gcc="${prefix}gcc $sysroot"
clang="$clang $sysroot"
for tool in "${prefix}gcc" clang musl-gcc "${prefix}gcc-ar" file; do
	command -v "$tool" >/dev/null || {
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
linked() { # linked TEXT KIND-OF-FILE DIRECTORY COMMAND...
	text=$1
	kind=$2
	libraries=$3
	shift 3
	# shellcheck disable=SC2086 # the runner is a command line
	"$@" -o "$work/program" >"$work/log" 2>&1 && file "$work/program" >>"$work/log" &&
		grep -q "$kind" "$work/log" &&
		LD_LIBRARY_PATH=$libraries $runner "$work/program" >>"$work/log" 2>&1 &&
		grep -qx linked "$work/log"
	result $? "$text"
}

# build NAME SETTING...: a library of its own in $work/NAME
build() {
	name=$1
	shift
	# shellcheck disable=SC2086 # words
	mkdir "$work/$name" && (cd "$work/$name" && env "$@" "$abs_top_srcdir/configure" --quiet $options &&
		make -s libtslab.la) >"$work/log" 2>&1
	result $? "$name: the library is built"
}

given=$abs_top_builddir/.libs
# shellcheck disable=SC2086 # words
for cc in "$gcc" "$clang"; do
	name=${cc%% *}
	linked "$name, shared" 'dynamically linked' "$given" $cc $flags $source -L"$given" -ltslab
	linked "$name, library static" 'dynamically linked' "$given" $cc $flags $source "$given/libtslab.a" $closing
	linked "$name, static" 'statically linked' "$given" $cc $flags -static $source "$given/libtslab.a" $closing
	linked "$name, static-pie" 'static-pie linked' "$given" $cc $flags -static-pie $source "$given/libtslab.a" $closing
done
build lto CC="$gcc" CFLAGS='-O2 -flto=2' AR="${prefix}gcc-ar" NM="${prefix}gcc-nm" RANLIB="${prefix}gcc-ranlib"
lto=$work/lto/.libs
# shellcheck disable=SC2086 # words
{
	linked 'optimised across library and program' 'dynamically linked' "$lto" \
		$gcc $flags -flto=2 $source "$lto/libtslab.a" $closing
	linked 'optimised across, static' 'statically linked' "$lto" \
		$gcc $flags -flto=2 -static $source "$lto/libtslab.a" $closing
}
build musl CC=musl-gcc
musl=$work/musl/.libs
# shellcheck disable=SC2086 # words
{
	linked 'musl, shared' 'dynamically linked' "$musl" musl-gcc $flags $source -L"$musl" -ltslab
	linked 'musl, library static' 'dynamically linked' "$musl" musl-gcc $flags $source "$musl/libtslab.a" $closing
	linked 'musl, static' 'statically linked' "$musl" musl-gcc $flags -static $source "$musl/libtslab.a" $closing
}
echo "1..$count"
exit $status
