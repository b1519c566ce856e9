# SPDX-License-Identifier: MIT
# man.awk: a manual page from a public header, so that there is one text. Usage:
#   awk -v name=tslab -v summary='memory by lifetime' -f man.awk tslab.h > tslab.3
# A block that opens with two stars documents the declaration that follows it; the first comment after
# the licence is the description; "-- title --" comments become sections.

function roff(text) {
	gsub(/\\/, "\\e", text)
	gsub(/-/, "\\-", text)
	sub(/^\./, "\\\\\\&.", text)
	return text
}

function flush_block() {
	if (block == "")
		return
	print block
	block = ""
}

BEGIN {
	printf ".TH %s 3\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n", toupper(name), name, summary
	printf "#include <%s>\n.fi\n", header
}

# The description: the first block comment that is not the licence.
!described && /^\/\*$/ { describing = 1; print ".SH DESCRIPTION\n.nf"; next }
describing && /^ \*\// { describing = 0; described = 1; print ".fi"; next }
describing { sub(/^ \* ?/, ""); print roff($0); next }

/^\/\* -+ .* -- \*\/$/ {
	sub(/^\/\* -+ /, ""); sub(/ -- \*\/$/, "")
	printf ".SH %s\n", toupper($0)
	next
}

/^\/\*\* .*\*\/$/ { sub(/^\/\*\* /, ""); sub(/ \*\/$/, ""); text = roff($0) "\n"; pending = 1; next }
/^\/\*\*/ { documenting = 1; text = ""; next }
documenting && /^ \*\// { documenting = 0; pending = 1; next }
documenting { sub(/^ \* ?/, ""); text = text roff($0) "\n"; next }

pending {
	declaration = declaration (declaration == "" ? "" : "\n") $0
	if ($0 ~ /;$/) {
		gsub(/TSLAB_API |TSLAB_MALLOC_LIKE| __attribute__\(\([a-z_]*\)\)/, "", declaration)
		gsub(/ +;/, ";", declaration)
		printf ".PP\n.nf\n%s\n.fi\n.RS 4\n.nf\n%s.fi\n.RE\n", roff(declaration), text
		declaration = ""
		pending = 0
	}
}
