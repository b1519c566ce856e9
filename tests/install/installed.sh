#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317 # the checks are called by name
# usage: installed.sh SOURCE-DIRECTORY PKGCONFIGDIR   (CC, NM, DESTDIR, TEST_RUNNER in the environment)
# Builds and runs hello.c against the installed library as a user would, by pkg-config alone. Prints TAP.
set -u
# shellcheck source=build-aux/tap.sh
. "$(dirname "$0")/../../build-aux/tap.sh"
source_dir=$1
PKG_CONFIG_PATH=${DESTDIR-}$2${PKG_CONFIG_LIBDIR:+:$PKG_CONFIG_LIBDIR}
PKG_CONFIG_SYSROOT_DIR=${DESTDIR-}
unset PKG_CONFIG_LIBDIR
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
: "${CC:=cc}" "${NM:=nm}" "${PKG_CONFIG:=pkg-config}" "${TEST_RUNNER=}"
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

version=$("$source_dir/build-aux/version.sh")

says_version() {
	out=$(LD_LIBRARY_PATH=$("$PKG_CONFIG" --variable=libdir tslab) $TEST_RUNNER "$1") || return 1
	echo "printed: $out"
	[ "$out" = "tslab $version" ]
}

# shellcheck disable=SC2086 # NM is a command line
has_observer() {
	$NM "$work/static" | grep -w tslab_root
}

# shellcheck disable=SC2046,SC2086 # flags are meant to be split
build() { # build OUTPUT PKG-CONFIG-OPTION COMPILER-FLAG...
	out=$1
	static=$2
	shift 2
	$CC -std=c99 -Wall -Wextra -pedantic -Werror "$@" -o "$work/$out" "$source_dir/tests/install/hello.c" \
		$("$PKG_CONFIG" --cflags tslab) $("$PKG_CONFIG" $static --libs tslab)
}

# The C++ compiler that belongs to CC. Its runtime is linked in: an emulated machine may have none.
: "${CXX:=$(echo "$CC" | sed 's/gcc/g++/; t; s/clang/clang++/; t; s/cc/c++/')}"
# shellcheck disable=SC2046,SC2086 # flags are meant to be split
build_lifetimes() {
	$CXX -std=c++17 -g -O2 -Wall -Wextra -pedantic -Werror -static-libgcc -static-libstdc++ -o "$work/lifetimes" \
		"$source_dir/tests/install/lifetimes.cc" $("$PKG_CONFIG" --cflags tslab) $("$PKG_CONFIG" --libs tslab)
}

# shellcheck disable=SC2086
lifetimes() {
	LD_LIBRARY_PATH=$("$PKG_CONFIG" --variable=libdir tslab) $TEST_RUNNER "$work/lifetimes"
}

# A scope that is not left was entered in the program, not in the header.
line_is_told() { # line_is_told TOOL
	line=$(grep -n ENTERED "$source_dir/tests/install/lifetimes.cc" | cut -d: -f1)
	mkfifo "$work/in"
	LD_LIBRARY_PATH=$("$PKG_CONFIG" --variable=libdir tslab) "$work/lifetimes" ready <"$work/in" >"$work/out" &
	program=$!
	exec 3>"$work/in"
	until grep ready "$work/out" || ! kill -0 "$program"; do sleep 0.1; done
	"$1" leaks --age 0 "$program" >"$work/leaks"
	exec 3>&-
	wait "$program"
	cat "$work/leaks"
	grep "entered at .*lifetimes\.cc:$line " "$work/leaks"
}

# shellcheck disable=SC2046,SC2086 # command lines; an emulator is told what to preload
preloaded() {
	echo '#include <tslab/malloc.h>
int main(void) { return !tslab_malloc_fallbacks || tslab_malloc_fallbacks(); }' >"$work/preloaded.c"
	$CC -std=c99 -o "$work/preloaded" "$work/preloaded.c" $("$PKG_CONFIG" --cflags tslab) || return 1
	if [ -n "$TEST_RUNNER" ]; then
		QEMU_SET_ENV=LD_PRELOAD=$1 $TEST_RUNNER "$work/preloaded"
	else
		LD_PRELOAD=$1 "$work/preloaded"
	fi
}

header_alone() { # header_alone PACKAGE HEADER STANDARD: compiles as the only include
	echo "#include <$2>" >"$work/header.c"
	# shellcheck disable=SC2046
	$CC -std="$3" -Wall -Wextra -pedantic -Werror -fsyntax-only "$work/header.c" \
		$("$PKG_CONFIG" --cflags "$1")
}

check "pkg-config knows version $version" test "$("$PKG_CONFIG" --modversion tslab)" = "$version"
check 'a program builds against the shared library' build shared ''
check 'and runs' says_version "$work/shared"
check 'a program builds fully static' build static --static -static
check 'and runs' says_version "$work/static"
check 'and has the stats segment that nothing in it calls' has_observer
check '<tslab/tslab.hpp> builds' build_lifetimes
check 'and ends lifetimes as it says' lifetimes
tool=$("$PKG_CONFIG" --variable=exec_prefix tslab)/bin/tslab
# Without libdw it knows no lines.
[ -n "$TEST_RUNNER" ] || ! ldd "$tool" | grep -q libdw || check 'and the tool names the line that entered a scope' line_is_told "$tool"
# A sanitizer has a malloc of its own.
shim=$("$PKG_CONFIG" --variable=libdir tslab)/libtslab-malloc.so
[ ! -e "$shim" ] || check 'the malloc to preload serves a program' preloaded "$shim"
include_dir=$("$PKG_CONFIG" --variable=includedir tslab)
for name in tslab.h stats.h malloc.h; do
	check "<tslab/$name> stands alone in strict C99" header_alone tslab "tslab/$name" c99
done
# The compatibility layer is inline code that reads clocks, so it needs POSIX.
check '<tslab/compat.h> stands alone' header_alone tslab tslab/compat.h gnu99
for header in "$include_dir"/tslab/compat/*.h; do
	name=${header##*/}
	check "<$name> of tslab-compat stands alone" header_alone tslab-compat "$name" gnu99
done
finish
