#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Panels of the dashboard drawn by gnuplot, of what a Prometheus has.

usage: plot.py DASHBOARD URL SECONDS OUTPUT.png TITLE...     the last SECONDS of the panels with these titles
"""

import json
import re
import subprocess
import sys
import time

from dashboard import VARIABLES, panels_of, read_range

COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"]
FORMATS = {"bytes": "%.1b %BB", "Bps": "%.1b %BB/s", "ops": "%.1s%c/s", "percentunit": "%.3g", "s": "%.3s %cs"}
COLUMNS = 2
SERIES_MAX = len(COLOURS)


def legend(template, labels):
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match.group(1), ""), template).strip()


def series_of(panel, url, seconds):
    """(name, [(seconds before now, value)]), those with the largest values first."""
    now = time.time()
    found = []
    for target in panel["targets"]:
        query = target["expr"]
        for name, value in VARIABLES.items():
            query = query.replace(name, "10s" if name == "$__rate_interval" else value)
        for series in read_range(url, query, now - seconds, now):
            name = legend(target["legendFormat"], series["metric"])
            # One program on one host is drawn: who it is goes without saying.
            name = re.sub(r"\S+:\d+ *\d* *", "", name) or panel["title"].lower()
            points = [(float(at) - now, float(value)) for at, value in series["values"]]
            found.append((name, [point for point in points if point[1] == point[1]]))
    found.sort(key=lambda one: -max((value for _, value in one[1]), default=0))
    return [one for one in found if one[1]][:SERIES_MAX]


def quoted(text):
    return "'" + text.replace("'", "''").replace("_", " ") + "'"


def script(panels, url, seconds, output):
    rows = -(-len(panels) // COLUMNS)
    yield f"set terminal pngcairo size 1500,{360 * rows} font 'DejaVu Sans,10' background 'white'"
    yield f"set output '{output}'"
    yield f"set multiplot layout {rows},{COLUMNS}"
    yield "set grid lc rgb '#dddddd'; set border 3 lc rgb '#888888'; set tics nomirror; set key outside bottom center horizontal"
    yield f"set xrange [-{seconds}:0]; set format x '%g s'; set yrange [0:*]; set lmargin 12"
    for panel in panels:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        series = series_of(panel, url, seconds)
        if not series:
            sys.exit(f"plot.py: nothing to draw for {panel['title']}")
        yield f"set title {quoted(panel['title'])}; set format y '{FORMATS.get(unit, '%.3g')}'"
        for number, (_, points) in enumerate(series):
            yield f"$d{number} << END"
            before = None
            for at, value in points:
                if before is not None and at - before > 6:
                    yield ""  # it was not there meanwhile
                yield f"{at:.1f} {value!r}"
                before = at
            yield "END"
        yield "plot " + ", ".join(
            f"$d{number} with lines lw 2 lc rgb '{COLOURS[number]}' title {quoted(name)}"
            for number, (name, _) in enumerate(series)
        )
    yield "unset multiplot"


def main():
    board, url, seconds, output, *titles = sys.argv[1:]
    by_title = {panel["title"]: panel for panel in panels_of(json.load(open(board, encoding="utf-8")))}
    lines = script([by_title[title] for title in titles], url, int(seconds), output)
    subprocess.run(["gnuplot"], input="\n".join(lines) + "\n", text=True, check=True)


if __name__ == "__main__":
    main()
