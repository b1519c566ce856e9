# SPDX-License-Identifier: MIT
"""usage: outline.py DIRECTORY FILES

Outlines so many Python sources below a directory: parses each, collects what it defines, calls and
documents, and prints a digest of the report, which is made as JSON and read again.
"""
import ast
import collections
import hashlib
import json
import os
import re
import sys
import textwrap


def sources(top, count):
    found = []
    for directory, names, files in os.walk(top):
        names[:] = sorted(n for n in names if n not in ("__pycache__", "test", "tests"))
        found += [os.path.join(directory, f) for f in sorted(files) if f.endswith(".py")]
    return found[:count]


def outline(text):
    words = collections.Counter(re.findall(r"[A-Za-z_]\w+", text))
    entries = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            doc = ast.get_docstring(node) or ""
            entries.append({
                "name": node.name,
                "line": node.lineno,
                "doc": textwrap.shorten(doc, 60),
                "calls": sorted({c.func.id for c in ast.walk(node)
                                 if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)}),
            })
    return {"entries": entries, "words": words.most_common(50)}


def main():
    top, count = sys.argv[1], int(sys.argv[2])
    report = {}
    for path in sources(top, count):
        with open(path, encoding="utf-8", errors="replace") as file:
            report[os.path.relpath(path, top)] = outline(file.read())
    text = json.dumps(report, indent=1, sort_keys=True)
    assert json.loads(text).keys() == report.keys()
    print(len(report), len(text), hashlib.sha256(text.encode()).hexdigest())


main()
