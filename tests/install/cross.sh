#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317 # the checks are called by name
# usage: tests/install/cross.sh BUILD AARCH64-BUILD
# What a server gets: the tarball and the Debian packages of cross/package, a program built against the
# tarball by CMake, and that program, linked statically, on kernels with each page size. Prints TAP.
set -u
# shellcheck source=build-aux/tap.sh
. "$(dirname "$0")/../../build-aux/tap.sh"
[ $# -eq 2 ] || {
	echo 'usage: tests/install/cross.sh BUILD AARCH64-BUILD' >&2
	exit 2
}
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd) || exit 2
other=$(cd "$2" && pwd) || exit 2
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

for tool in abidiff aarch64-linux-gnu-readelf cmake dpkg-deb file; do
	command -v "$tool" >/dev/null || {
		echo "Bail out! $tool is missing (see ci/packages)"
		exit 1
	}
done

packed() {
	"$top/cross/package" "$other" "$work/packages" && mkdir "$work/root" &&
		tar -C "$work/root" -xJf "$work"/packages/*.tar.xz
}

elf_files() {
	find "$work/root" -type f -exec file {} + | grep ELF
}

all_are_aarch64() {
	[ "$(elf_files | wc -l)" -ge 3 ] && ! elf_files | grep -v 'ARM aarch64'
}

# A kernel with 64 KiB pages maps a file only if its segments are that far apart.
fits_large_pages() {
	find "$work/root" -type f -name '*.so*' | while read -r path; do
		aarch64-linux-gnu-readelf -lW "$path" | awk -v path="$path" '
			$1 == "LOAD" && $NF !~ /^0x[1-9a-f]0000$/ { print path ": " $0 }
			$1 == "GNU_STACK" && /RWE/ { print path ": executable stack" }'
	done >"$work/found"
	cat "$work/found"
	[ ! -s "$work/found" ]
}

needs_libc_alone() {
	lib=$(dirname "$(find "$work/root" -name libtslab.so.0)")
	for path in "$lib/libtslab.so.0" "$lib/libtslab-malloc.so"; do
		[ "$(aarch64-linux-gnu-readelf -d "$path" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
			grep -v '^ld-linux' | paste -sd' ' -)" = libc.so.6 ] || return 1
		! aarch64-linux-gnu-readelf -d "$path" | grep TEXTREL || return 1
	done
	aarch64-linux-gnu-readelf -d "$lib/libtslab.so.0" | grep 'SONAME.*\[libtslab.so.0\]'
}

same_interface() {
	abidiff --no-architecture --headers-dir1 "$top/include" --headers-dir2 "$top/include" --drop-private-types \
		"$build/.libs/libtslab.so" "$other/.libs/libtslab.so"
}

debian_packages() {
	for deb in "$work"/packages/*.deb; do
		[ "$(dpkg-deb -f "$deb" Architecture)" = arm64 ] || return 1
		dpkg-deb -c "$deb"
	done >"$work/contents"
	cat "$work/contents"
	dpkg-deb -f "$work"/packages/libtslab0_*.deb Depends | grep -x 'libc6 (>= [0-9.]*)' || return 1
	for file in usr/lib/libtslab.so.0 usr/lib/libtslab-malloc.so usr/include/tslab/tslab.h usr/lib/libtslab.a \
		usr/lib/pkgconfig/tslab.pc usr/bin/tslab; do
		[ "$(grep -c " \./$file\( ->.*\)\?\$" "$work/contents")" -eq 1 ] || {
			echo "not once: $file"
			return 1
		}
	done
}

cmake_project() {
	mkdir "$work/project" && cp "$top/tests/install/hello.c" "$work/project/" || return 1
	cat >"$work/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(hello C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(TSLAB REQUIRED tslab)
add_executable(hello hello.c)
target_include_directories(hello PRIVATE ${TSLAB_STATIC_INCLUDE_DIRS})
target_link_directories(hello PRIVATE ${TSLAB_STATIC_LIBRARY_DIRS})
target_link_libraries(hello PRIVATE -static ${TSLAB_STATIC_LDFLAGS})
END
	cmake -DCMAKE_TOOLCHAIN_FILE="$top/cross/aarch64.cmake" -DTSLAB_STAGE="$work/root" -S "$work/project" \
		-B "$work/cmake" && cmake --build "$work/cmake" &&
		file "$work/cmake/hello" | grep 'ARM aarch64.*statically linked'
}

runs_on() { # runs_on PAGE-KIB
	"$top/cross/kernel/run" --plain "$1" "$work/cmake" hello | grep "^tslab $("$top/build-aux/version.sh")"
}

check 'cross/package makes a tarball and Debian packages' packed
check 'each binary in them is for AArch64' all_are_aarch64
check 'shared libraries can be mapped with pages of 64 KiB' fits_large_pages
check 'the libraries need the C library alone' needs_libc_alone
check 'the interface is that of the x86-64 library' same_interface
check 'the Debian packages have their files, each once, and say what they need' debian_packages
check 'a CMake project builds against the tarball, statically' cmake_project
for kib in 4 16 64; do
	if [ $kib = 64 ] || "$top/cross/kernel/build" --cached $kib >/dev/null 2>&1; then
		check "the same static binary runs with pages of $kib KiB" runs_on $kib
	fi
done
finish
