# SPDX-License-Identifier: MIT
"""The size classes with most slow paths."""
from snapshots import arguments


def hot_classes(snapshot):
    return sorted(
        snapshot.classes,
        key=lambda c: c.slow_path_hits,
        reverse=True
    )[:3]  # Top 3 by slow path activity


for c in hot_classes(arguments(1)[0]):
    print(f"class {c.class_index} ({c.object_size}B): {c.slow_path_hits}")
