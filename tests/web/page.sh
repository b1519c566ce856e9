#!/bin/sh
# SPDX-License-Identifier: MIT
# The page of `tslab serve` in a real browser: plots, clicks, keys, themes, what screen readers get. Prints TAP.
set -u
: "${abs_top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
# shellcheck source=tests/web/server.sh
. "$abs_top_srcdir/tests/web/server.sh"
need chromium chromedriver python3
# The system's python is the one that the package python3-selenium is for.
/usr/bin/python3 -c 'import selenium' 2>/dev/null || bail 'python3-selenium is missing'
set -- leak closing label '<img src=x onerror=alert(1)>' traffic busy
start_victim "$@"
start_server --interval 250ms --threshold 0 --name "$name"
/usr/bin/python3 "$abs_top_srcdir/tests/web/page.py" "http://127.0.0.1:$port/" "$victim" "$work/$name" "$@"
