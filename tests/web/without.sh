#!/bin/sh
# SPDX-License-Identifier: MIT
# A tool that was built without libmicrohttpd and ncursesw says so, and does the rest. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/web/server.sh
. "$abs_top_srcdir/tests/web/server.sh"
need ldd
run 0 ldd "$tslab" && shows libjansson && ! shows 'libmicrohttpd|libncurses'
ok 'it is such a tool'
run 2 "$tslab" serve 1 && grep -q 'serve is not part of this build: configure found no libmicrohttpd' "$work/err"
ok 'serve'
run 2 "$tslab" top --tui 1 && grep -q 'tui is not part of this build: configure found no ncursesw' "$work/err"
ok 'top --tui'
run 0 "$tslab" serve --help && shows -- '--listen ADDRESS' && run 0 "$tslab" --help && shows '  serve '
ok 'their help is there'
printf '{"schema_version": 1, "epochs": [{"epoch_id": 5, "label": "some", "estimated_rss_bytes": 1}]}' >"$work/json"
run 0 "$tslab" top --file "$work/json" && shows 'some'
ok 'and so are other commands'
finish
