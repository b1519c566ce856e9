# SPDX-License-Identifier: MIT
"""Snapshots that `tslab stats --json` wrote, as objects: snapshot.classes[3].slow_path_hits."""
import json
import sys
from types import SimpleNamespace


def load(path):
    with open(path, encoding="utf-8") as file:
        snapshot = json.load(file, object_hook=lambda members: SimpleNamespace(**members))
    # What is newer than this reader is left alone; what is not a snapshot, or of another layout, is refused.
    if getattr(snapshot, "schema_version", None) != 1:
        sys.exit(f"{path}: no snapshot of schema version 1")
    return snapshot


def arguments(least):
    if len(sys.argv) <= least:
        sys.exit(f"usage: {sys.argv[0]}" + " SNAPSHOT.json" * least)
    return [load(path) for path in sys.argv[1:]]
