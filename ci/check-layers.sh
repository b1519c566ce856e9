#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317 # the finders are called by name
# usage: ci/check-layers.sh BUILD-DIRECTORY
# Rooms from low to high: arch, core, obs, tools. What is checked:
#   cpu      no CPU macro, CPU intrinsic or inline assembly outside src/arch
#   atomics  core and obs use the operations of arch.h, never a compiler's or a library's own
#   up       no room includes a header of a higher one
#   pages    no literal page size, and no question for it, outside arch and core's OS layer
#   link     core links alone: nothing in it calls up; each header of arch compiles alone
# Each check is first run on a planted file that it must refuse. Prints TAP.
set -u
# shellcheck source=build-aux/tap.sh
. "$(dirname "$0")/../build-aux/tap.sh"
[ $# -eq 1 ] || {
	echo 'usage: ci/check-layers.sh BUILD-DIRECTORY' >&2
	exit 2
}
build_dir=$(cd "$1" && pwd) || exit 1
cd "$(dirname "$0")/.." || exit 1
: "${CC:=cc}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The code of a file without its comments; lines keep their numbers.
code() {
	$CC -fpreprocessed -dD -E -x c "$1" 2>/dev/null | awk -v file="$1" '
		/^# [0-9]+ "/ { line = $2 - 1; next }
		{ line++; if ($0 ~ /[^ \t]/) print file ":" line ":" $0 }'
}

# Files of the rooms given, sources and headers alike.
files_of() {
	git ls-files --cached --others --exclude-standard -- "$@" | grep -E '\.(c|h|def|cc)$'
}

# Each finder prints the offending lines of one file.
find_cpu() {
	code "$1" | grep -E '\b__(x86_64|i386|amd64|aarch64|arm|ARM|AARCH64|riscv|powerpc|PPC|s390|mips|loongarch|SSE|AVX)[A-Za-z0-9_]*|\b(__asm__|__asm|asm)\b *(volatile|__volatile__|goto)? *\(|__builtin_(ia32|arm|aarch64|riscv)_|include *<(x86intrin|immintrin|emmintrin|cpuid|arm_acle|arm_neon)\.h>'
}

find_atomics() {
	code "$1" | grep -E '\b(AO_[a-z]|__atomic_|__sync_|atomic_(load|store|exchange|compare|fetch|thread|signal|init|flag)|_Atomic\b)|include *<(stdatomic|atomic_ops)\.h>'
}

# Higher rooms of a file, as an expression over the path that an include names.
find_up() {
	case ${2:-$1} in
	src/arch/*) higher='core|obs|tools|tslab' ;;
	src/core/*) higher='obs|tools|tslab/stats\.h|tslab/compat' ;;
	src/obs/*) higher='tools|tslab/compat' ;;
	*) return ;;
	esac
	grep -nE "^ *# *include *[<\"]([^\">]*/)?($higher)(/|[\">])" "$1" | sed "s|^|$1:|"
	# A name without a directory may belong to a higher room as well.
	sed -n 's/^ *# *include *"\([^/"]*\)".*/\1/p' "$1" | while read -r name; do
		for room in core obs; do
			case "|$higher|" in *"|$room|"*) ;; *) continue ;; esac
			[ ! -f "src/$room/$name" ] || [ -f "$(dirname "${2:-$1}")/$name" ] || echo "$1: \"$name\" is of src/$room"
		done
	done
}

find_pages() {
	code "$1" | grep -E '\b(4096|4095|0xfff|0x1000)[uUlL]*\b|\bPAGE_(SIZE|SHIFT|MASK)\b|getpagesize|_SC_PAGE_?SIZE|(<<|>>) *12\b' |
		grep -Ev '# *define|_MAX = 4096|CLASS\(|[0-9] \* 4096|char [a-z_]+\[4096\]'
}

# check NAME TEXT PLANTED-LINE AS-IF-FILE FILE...
check() {
	name=$1
	text=$2
	planted=$3
	as_if=$4
	shift 4
	printf '%s\n' "$planted" >"$work/planted.c"
	[ -n "$("find_$name" "$work/planted.c" "$as_if")" ]
	result $? "$name: a planted offence is noticed"
	: >"$work/found"
	for file; do
		"find_$name" "$file" >>"$work/found"
	done
	sed 's/^/# /' "$work/found"
	[ $# -gt 0 ] && [ ! -s "$work/found" ]
	result $? "$name: $text"
}

# shellcheck disable=SC2046 # no file name has a space
{
	check cpu 'CPU macros and assembly stay in src/arch' '#if defined(__aarch64__)' src/core/x.c \
		$(files_of src/core src/obs include tools bench examples tests)
	check atomics 'core and obs use the operations of arch.h' 'int f(int *p) { return __atomic_load_n(p, 0); }' \
		src/core/x.c $(files_of src/core src/obs)
	check up 'includes go down' '#include "obs/segment.h"' src/core/x.c $(files_of src)
	check pages 'the page size is asked for at run time, in one place' 'void *f(void) { return g(p & ~0xfff); }' \
		src/core/x.c $(files_of src/core src/obs | grep -Ev '^src/core/(os|sys)[._]')
}

# Everything that core's objects need comes from core itself or from the C library.
link_core() {
	$CC -shared -o "$work/core.so" -Wl,-z,defs -Wl,--whole-archive "$build_dir/.libs/libtscore.a" "$@" \
		-Wl,--no-whole-archive -pthread 2>"$work/log"
}

echo 'int ts_obs_planted(void); int ts_planted(void); int ts_planted(void) { return ts_obs_planted(); }' >"$work/up.c"
$CC -fPIC -c -o "$work/up.o" "$work/up.c"
! link_core "$work/up.o"
result $? 'link: a planted call that goes up is noticed'
link_core
status=$?
[ $status -eq 0 ] || sed 's/^/# /' "$work/log"
result $status 'link: core links without any other room'

for backend in src/arch/*/arch_impl.h; do
	backend=$(dirname "$backend")
	# A foreign backend refuses this compiler with its own #error; only then it is not this check's.
	echo '#include "arch.h"' | $CC -std=gnu11 -Wall -Werror -fsyntax-only -Isrc/arch -I"$backend" -x c - 2>"$work/log"
	status=$?
	if grep -q "error \"$backend is on the include path" "$work/log"; then
		status=0
	fi
	[ $status -eq 0 ] || sed 's/^/# /' "$work/log"
	result $status "link: $backend compiles alone, or refuses a foreign compiler"
done
finish
