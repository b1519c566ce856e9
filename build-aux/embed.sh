#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build-aux/embed.sh FILE... >page.c
# The files of tools/tslab/page.h as C. A file that is given as NAME=FILE goes by NAME; /dev/null is empty.
set -eu

type_of() {
	case $1 in
	*.html) echo 'text/html; charset=utf-8' ;;
	*.css) echo 'text/css; charset=utf-8' ;;
	*.js) echo 'text/javascript; charset=utf-8' ;;
	*.svg) echo 'image/svg+xml' ;;
	*)
		echo "embed.sh: no type is known for $1" >&2
		exit 1
		;;
	esac
}

printf '/* Made by build-aux/embed.sh. */\n#include "page.h"\n'
number=0
table=
for file; do
	name=${file%%=*}
	file=${file#*=}
	name=$(basename "$name")
	type=$(type_of "$name")
	[ -r "$file" ] || {
		echo "embed.sh: $file cannot be read" >&2
		exit 1
	}
	printf 'static const unsigned char file_%d[] = {\n' $number
	od -An -v -tu1 "$file" | sed 's/  */,/g; s/^,/\t/; s/$/,/'
	printf '\t0 };\n'
	table="$table	{ \"$name\", \"$type\", file_$number, sizeof(file_$number) - 1 },
"
	number=$((number + 1))
done
printf 'const struct page_file page_files[] = {\n%s};\n' "$table"
printf 'const size_t page_file_count = %d;\n' $number
