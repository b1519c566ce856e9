#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The dashboard, looked at without Grafana.

usage: dashboard.py lint DASHBOARD LIST     what is wrong with it, a line each; LIST is what
                                            `tslab export prometheus --list` prints
       dashboard.py queries DASHBOARD       panel, tab, query, with all variables put in
       dashboard.py ask URL                 how many series a Prometheus has for each of such lines
       dashboard.py metrics FILE...         metrics that the expressions of these rule files name
       dashboard.py quotients FILE...       quotients of these rule files that nothing guards
"""

import json
import re
import sys
import time
import urllib.parse
import urllib.request

import yaml

# Label names, beside those of the metric itself, that a scrape or `--all` adds.
ADDED = {"instance", "job", "pid", "comm", "allocator", "le"}
KINDS = {"timeseries", "stat", "bargauge", "table", "heatmap"}
UNITS = {"bytes", "Bps", "ops", "percentunit", "percent", "short", "s"}
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$pid": ".*"}


def panels_of(board):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def metrics_in(expression):
    """Names of metrics, and of recorded series, without what a histogram's samples end with."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    for name in re.findall(r"\btemporal_slab[a-z0-9_:]*", bare):
        yield re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name)


def unguarded(expression):
    """Quotients whose divisor may be 0: it has to be a number, a clamp_min(), or (... > 0)."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    for match in re.finditer(r"/ *", bare):
        divisor = bare[match.end() :]
        if not re.match(r"[1-9][0-9]*\b|clamp_min\(|\([^()]*(\([^()]*\))?[^()]* > 0\)", divisor):
            yield f"nothing guards / {divisor[:60]}"


def read_list(path):
    """name -> (labels, naming)"""
    metrics = {}
    for line in open(path, encoding="utf-8"):
        name, _, labels, naming = line.split()[:4]
        metrics[name] = (set() if labels == "-" else set(labels.split(",")), naming)
    return metrics


def lint_expression(expression, metrics):
    names = list(metrics_in(expression))
    if not names:
        yield "names no metric"
    known = set(ADDED)
    for name in names:
        if name not in metrics:
            yield f"no metric {name}"
            continue
        labels, naming = metrics[name]
        known |= labels
        if naming == "seed":
            yield f"{name} is a name of old"
    for clause in re.findall(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)", expression):
        for label in filter(None, (word.strip() for word in clause.split(","))):
            if label not in known:
                yield f"no label {label}"
    for selector in re.findall(r"\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+) *(?:=~|!~|!=|=)", selector):
            if label not in known:
                yield f"no label {label}"


def lint_panel(panel, metrics, variables):
    if panel.get("type") not in KINDS:
        yield f"type {panel.get('type')}"
    if not panel.get("description"):
        yield "no description"
    if panel.get("fieldConfig", {}).get("defaults", {}).get("unit") not in UNITS:
        yield "no unit, or one that nobody looked at"
    targets = panel.get("targets", [])
    if not targets:
        yield "no query"
    if len({target.get("refId") for target in targets}) != len(targets):
        yield "refId used twice"
    for source in [panel] + targets:
        if source.get("datasource", {}).get("uid") != "${datasource}":
            yield "a datasource that is not the variable"
    for target in targets:
        for variable in re.findall(r"\$\{?(\w+)", target["expr"]):
            if variable not in variables and "$" + variable not in VARIABLES:
                yield f"no variable {variable}"
        yield from lint_expression(target["expr"], metrics)
        yield from unguarded(target["expr"])


def lint_places(panels):
    taken = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']}: beyond the right edge"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    yield f"{panel['title']}: on top of {taken[x, y]}"
                    return
                taken[x, y] = panel["title"]


def lint(board, metrics):
    panels = list(panels_of(board))
    variables = {variable["name"] for variable in board["templating"]["list"]}
    for key in ("uid", "title", "schemaVersion", "description"):
        if not board.get(key):
            yield f"no {key}"
    if not any(v["name"] == "datasource" and v["type"] == "datasource" for v in board["templating"]["list"]):
        yield "no variable for the datasource"
    for what in ("id", "title"):
        values = [panel[what] for panel in panels]
        for value in {value for value in values if values.count(value) > 1}:
            yield f"{what} {value} twice"
    yield from lint_places(panels)
    for panel in panels:
        if panel["type"] != "row":
            for fault in lint_panel(panel, metrics, variables):
                yield f"{panel['title']}: {fault}"
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield from lint_expression(variable["query"]["query"], metrics)


def queries(board):
    for panel in panels_of(board):
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def fetch(url, **parameters):
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
        return json.load(answer)["data"]["result"]


def ask(url, query):
    return fetch(f"{url}/api/v1/query", query=query)


def ask_often(url, query):
    """A busy machine may miss a scrape, after which there are no series until the next."""
    for _ in range(120):
        result = ask(url, query)
        if result:
            return result
        time.sleep(0.5)
    return []


def read_range(url, query, start, end):
    return fetch(f"{url}/api/v1/query_range", query=query, start=start, end=end, step=1)


def rule_metrics(paths):
    for path in paths:
        for line in open(path, encoding="utf-8"):
            if not line.lstrip().startswith("#"):
                yield from metrics_in(line)


def main():
    command, *arguments = sys.argv[1:]
    if command == "quotients":
        rules = [rule for path in arguments for group in yaml.safe_load(open(path))["groups"] for rule in group["rules"]]
        faults = [f"{rule}: {fault}" for rule in rules for fault in unguarded(rule["expr"])]
        print(*faults, sep="\n", end="\n" if faults else "")
        return 1 if faults else 0
    if command == "metrics":
        print(*sorted(set(rule_metrics(arguments))), sep="\n")
        return 0
    if command == "ask":
        for line in sys.stdin:
            title, query = line.rstrip("\n").split("\t")
            print(len(ask_often(arguments[0], query)), title, sep="\t")
        return 0
    board = json.load(open(arguments[0], encoding="utf-8"))
    if command == "queries":
        for title, expression in queries(board):
            print(title, expression, sep="\t")
        return 0
    faults = list(lint(board, read_list(arguments[1])))
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
