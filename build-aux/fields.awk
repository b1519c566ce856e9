# SPDX-License-Identifier: MIT
# fields.awk: the manual page of the JSON's fields, from the two files that the JSON is made of. Usage:
#   awk -f fields.awk src/obs/fields.c src/obs/fields.def > tslab-fields.5

function roff(text) {
	gsub(/\\/, "\\e", text)
	gsub(/-/, "\\-", text)
	return text
}

function path(group) {
	return (parent[group] == "" || parent[group] == "SNAPSHOT" ? "" : path(parent[group])) \
		name[group] (rows[group] ? "[]" : "") (name[group] == "" ? "" : ".")
}

# The n-th string of the line, counted from its end if n is negative.
function string(line, n,    parts, count) {
	count = split(line, parts, "\"")
	return n > 0 ? parts[2 * n] : parts[count + 1 + 2 * n]
}

BEGIN {
	printf ".\\\" Made by build-aux/fields.awk.\n.TH TSLAB\\-FIELDS 5\n.SH NAME\n"
	printf "tslab\\-fields \\- what tslab stats \\-\\-json says\n.SH DESCRIPTION\n"
	printf "Each field with its kind, its unit, and the family of its metric (without the prefix\n"
	printf "temporal_slab_; behind a comma the label that tells fields of one family apart; of\n"
	printf "two names with | in between the second keeps the conventions).\n"
	printf "Arrays have an object a row, marked []. Fields are added, not changed, as long as\n"
	printf "schema_version is 1. A counter of what this library never does is 0 and says so.\n.SH FIELDS\n"
}

/^\t\[TS_GROUP_[A-Z_]*\] = \{/ {
	group = $1
	gsub(/\[TS_GROUP_|\]/, "", group)
	name[group] = string($0, 1)
	parent[group] = $5
	sub(/^TS_GROUP_/, "", parent[group])
	sub(/,$/, "", parent[group])
	rows[group] = /true/
	next
}

/^TS_FIELD\(/ {
	row = substr($0, 10)
	split(row, column, /, */)
	if (!(column[1] in name)) {
		print "fields.awk: no group " column[1] > "/dev/stderr"
		exit 1
	}
	unit = string(row, 1)
	metric = string(row, 2)
	printf ".TP\n.B %s\n", roff(path(column[1]) column[2])
	printf "%s", tolower(column[3])
	if (unit != "")
		printf ", %s", roff(unit)
	if (metric != "")
		printf ", metric %s", roff(metric)
	printf ".\n%s.\n", roff(string(row, -1))
	found++
}

END { exit !found }
