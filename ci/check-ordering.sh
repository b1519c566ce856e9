#!/bin/sh
# SPDX-License-Identifier: MIT
# Every ordering has an id, every id a row in docs/ordering.md, every row code.
#   1. each ordered operation (_acq, _rel, _acqrel, _sc) in src/core and src/obs names an ORD-n on its line,
#      within the three lines above it, or behind a statement that goes on on the next line
#   2. each ORD-n in src/ has a row in docs/ordering.md
#   3. each row of docs/ordering.md stands for code in src/
# Prints TAP. A check that cannot fail is none: the script first runs itself on planted mistakes.
#
# usage: ci/check-ordering.sh [ROOT]
set -u

# Prints what is wrong below $1; status 0 if nothing is.
check()
{
	sources=$(find "$1/src/core" "$1/src/obs" -name '*.[ch]' 2>/dev/null)
	rows=$(sed -n 's/^| \(ORD-[0-9]*\) |.*/\1/p' "$1/docs/ordering.md" | sort)
	ids=$(grep -rhoE 'ORD-[0-9]+' "$1/src" | sort -u)
	{
		[ -n "$sources" ] || echo "no sources below $1/src"
		[ -n "$rows" ] || echo "no rows in $1/docs/ordering.md"
		# The operations are defined in src/arch and used everywhere else.
		# shellcheck disable=SC2086
		awk '
		function complain() {
			if (open != "")
				print open
			open = ""
		}
		FNR == 1 { complain(); last = -9 }
		/ORD-[0-9]+/ { last = FNR; open = "" }
		open != "" { complain() }
		/ts_a(16|32|64)_[a-z]+_(acq|rel|acqrel|sc)[ (]/ && FNR - last > 3 {
			open = FILENAME ":" FNR ": ordered operation without an ORD id: " $0
			if (/;/)
				complain() # else the statement, and a comment behind it, go on
		}
		END { complain() }' $sources </dev/null
		echo "$rows" | uniq -d | sed 's/$/: two rows in docs\/ordering.md/'
		for id in $ids; do
			echo "$rows" | grep -qx "$id" || echo "$id: in src/, but no row in docs/ordering.md"
		done
		for id in $rows; do
			echo "$ids" | grep -qx "$id" || echo "$id: a row in docs/ordering.md, but no code in src/"
		done
	} | grep . && return 1
	return 0
}

count=0
bad=0

result() # status, text
{
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		bad=1
	fi
}

plant=$(mktemp -d) || exit 2
trap 'rm -rf "$plant"' EXIT
mkdir -p "$plant/src/core" "$plant/docs"

# $1: what is planted, $2: text that the report must hold
must_find()
{
	! check "$plant" >"$plant/report" && grep -q "$2" "$plant/report"
	result $? "self-test: $1 is noticed"
}

good='/* ORD-1 acquire */ x = ts_a64_load_acq(&a);'
echo "$good" >"$plant/src/core/a.c"
echo '| ORD-1 | writer | reader |' >"$plant/docs/ordering.md"
check "$plant" >"$plant/report"
result $? "self-test: a good tree passes"
printf '%s\n\n\n\n\nts_a64_store_rel(&a, 1);\n' "$good" >"$plant/src/core/a.c"
must_find "an operation without an id" 'a.c:6: ordered operation'
printf 'f(ts_a64_load_acq(&a)\n  + 1);\n' >"$plant/src/core/a.c"
must_find "a long statement without an id" 'a.c:1: ordered operation'
printf '%s\n/* ORD-2 release */\n' "$good" >"$plant/src/core/a.c"
must_find "an id without a row" 'ORD-2: in src/'
echo "$good" >"$plant/src/core/a.c"
echo '| ORD-3 | writer | reader |' >>"$plant/docs/ordering.md"
must_find "a row without code" 'ORD-3: a row'

root=${1:-$(cd "$(dirname "$0")/.." && pwd)}
check "$root" >"$plant/report"
status=$?
sed 's/^/# /' "$plant/report"
result $status "each of the $(echo "$rows" | wc -l) orderings has code and a row, each ordered operation an id"
echo "1..$count"
exit $bad
