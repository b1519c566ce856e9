#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: tests/robust/test_faults.sh [--every]
# Runs `faults`, then looks whether that was all: every function that the library takes from the C library
# is either wrapped there or asks nothing of the kernel that can fail, and a fault hit at every place in the
# program where the library calls a wrapped one. Prints TAP.
set -u
: "${abs_top_builddir:=$PWD}"
program=$abs_top_builddir/tests/robust/faults
library=$abs_top_builddir/.libs/libtslab.a
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

for tool in nm objdump; do
	command -v $tool >/dev/null || {
		echo "Bail out! $tool is missing"
		exit 1
	}
done
for file in "$program" "$library"; do
	[ -e "$file" ] || {
		echo "Bail out! $file is not built"
		exit 1
	}
done
CMOCKA_MESSAGE_OUTPUT=TAP "$program" "$@" >"$work/run"
status=$?
grep -v -e '^# site ' -e '^1\.\.' "$work/run"
count=$(grep -c -e '^ok ' -e '^not ok ' "$work/run")

result() { # result STATUS TEXT: what it says on failure is in $work/log
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		status=1
		sed 's/^/# /' "$work/log"
		echo "not ok $count - $2"
	fi
}

# What asks nothing, or cannot fail: memory and text, the process's own ids, locks that are ours, the end.
harmless='__errno_location __popcountdi2 __stack_chk_fail _GLOBAL_OFFSET_TABLE_ __ehdr_start __tls_get_addr
	_dl_find_object abort dl_iterate_phdr getenv geteuid getpid memcmp memcpy memmove memset pthread_mutex_lock
	pthread_mutex_trylock pthread_mutex_unlock pthread_self qsort sched_yield snprintf strchr strcmp strerror strlen
	strncmp strncpy strrchr strtoull syscall sysconf'
nm "$library" >"$work/nm" 2>/dev/null
awk '$1 == "U" { print $2 }' "$work/nm" | sort -u >"$work/undefined"
awk 'NF == 3 { print $3 }' "$work/nm" | sort -u >"$work/defined"
{
	sed -n 's/^\(not \)*ok [0-9]* - //p' "$work/run"
	# shellcheck disable=SC2086 # words
	printf '%s\n' $harmless
} | sort -u >"$work/known"
comm -23 "$work/undefined" "$work/defined" | comm -23 - "$work/known" >"$work/log"
test ! -s "$work/log"
result $? "the library calls nothing else of the C library"

# The address behind each call of a wrapper, in functions of the library: what its return address is. Not
# ts_die, which tells of a broken invariant.
# A jump at a function's end has no address of its own: one return address that is no such place stands for it.
objdump -d --no-show-raw-insn "$program" | awk -v library="$work/defined" '
	BEGIN { while ((getline name < library) > 0) ours[name] = 1 }
	/^[0-9a-f]+ <.*>:$/ { f = substr($2, 2, length($2) - 3); sub(/[.](cold|part|isra|constprop).*/, "", f); next }
	want != "" && $1 ~ /^[0-9a-f]+:$/ { print want, substr($1, 1, length($1) - 1); want = "" }
	/<__wrap_[a-z_]+>/ && f in ours && f != "ts_die" {
		match($0, /<__wrap_[a-z_]+>/)
		name = substr($0, RSTART + 8, RLENGTH - 9)
		if ($2 ~ /^(call|bl)/) want = name
		else print name, "jump"
	}' >"$work/places"
sed -n 's/^# site //p' "$work/run" >"$work/hit"
awk 'FILENAME == ARGV[1] { hit[$1, $2] = 1; hits[$1]++; next }
	{ total++ }
	$2 == "jump" { jumps[$1]++; next }
	hit[$1, $2] { direct[$1]++; next }
	{ print "no fault hit the call of " $1 " at " $2 }
	END { for (f in jumps) if (hits[f] - direct[f] < 1) print "no fault hit the call of " f " at a function'\''s end"
		if (total < 30) print "only " total " calls found" }' "$work/hit" "$work/places" >"$work/log"
test ! -s "$work/log"
result $? "a fault hit at each of the $(wc -l <"$work/places") calls of these functions"
echo "1..$count"
exit $status
